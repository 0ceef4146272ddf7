//! The Maintenance service.
//!
//! # Upstream
//! `go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc/maintenance.go` `Snapshot`

use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use etcd::rpc::maintenance_server;
use etcd::rpc::{
    AlarmRequest, AlarmResponse, DefragmentRequest, DefragmentResponse, DowngradeRequest, DowngradeResponse,
    HashKvRequest, HashKvResponse, HashRequest, HashResponse, MoveLeaderRequest, MoveLeaderResponse,
    SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse, alarm_request::AlarmAction,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::convert::{MEMBER_ID, header};
use crate::Engine;

/// The etcd release whose behaviour is served: clients choose features by it (progress requests from 3.4.25 on).
const VERSION: &str = "3.6.16";
/// Pieces a snapshot is sent in.
const PIECE_BYTES: usize = 1 << 20;
/// How many snapshots were asked for.
static SNAPSHOTS: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(super) struct Maintenance {
    pub(super) engine: Engine,
    /// Where a snapshot is made: on a disk that holds the database, not in memory.
    pub(super) scratch: PathBuf,
}

type SnapshotPieces = mpsc::Sender<Result<SnapshotResponse, Status>>;

#[tonic::async_trait]
impl maintenance_server::Maintenance for Maintenance {
    type SnapshotStream = ReceiverStream<Result<SnapshotResponse, Status>>;

    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        if request.into_inner().action() == AlarmAction::Activate {
            return Err(Status::unimplemented("alarms cannot be raised by hand"));
        }
        // there is none to list or to end
        let revision = self.engine.state().revision();
        Ok(Response::new(AlarmResponse { header: header(revision), alarms: Vec::new() }))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let head = self.engine.state().head();
        let size = self.engine.size();
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(Response::new(StatusResponse {
            header: header(head.revision),
            version: VERSION.into(),
            db_size: signed(size.total),
            db_size_in_use: signed(size.used),
            leader: MEMBER_ID,
            raft_index: head.sequence.unsigned_abs(),
            raft_applied_index: head.sequence.unsigned_abs(),
            raft_term: 1,
            ..Default::default()
        }))
    }

    async fn defragment(
        &self,
        _: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        // space is given back while the store runs: nothing is left to be done
        let revision = self.engine.state().revision();
        Ok(Response::new(DefragmentResponse { header: header(revision) }))
    }

    async fn hash(&self, _: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        Err(Status::unimplemented("Hash compares etcd's own files: this store has others"))
    }

    async fn hash_kv(&self, _: Request<HashKvRequest>) -> Result<Response<HashKvResponse>, Status> {
        Err(Status::unimplemented("HashKV compares members of a cluster: this store has one"))
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<Self::SnapshotStream>, Status> {
        // two may be asked for at the same time
        let number = SNAPSHOTS.fetch_add(1, Ordering::Relaxed);
        let path = self.scratch.join(format!("{number}.db"));
        let head = self.engine.snapshot(&path).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "Making a snapshot");
            Status::internal("making a snapshot; see the datastore's log")
        })?;
        let opened = std::fs::File::open(&path);
        // the open file stays readable without its name
        let file = opened.and_then(|file| std::fs::remove_file(&path).map(|()| file))?;
        let (pieces, receiver) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || send_file(file, head.revision, &pieces));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn move_leader(
        &self,
        _: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        Err(Status::unimplemented("a k3s-rs datastore has one member"))
    }

    async fn downgrade(&self, _: Request<DowngradeRequest>) -> Result<Response<DowngradeResponse>, Status> {
        Err(Status::unimplemented("downgrades are etcd's"))
    }
}

/// Sends the file and then its SHA-256, as etcd does: `etcdctl snapshot save` refuses what does not end with one.
fn send_file(mut file: std::fs::File, revision: i64, pieces: &SnapshotPieces) {
    let mut remaining = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) => return send(pieces, Err(error.into())).unwrap_or_default(),
    };
    let message = |remaining_bytes, piece: Vec<u8>| {
        let (blob, version) = (Bytes::from(piece), VERSION.into());
        Ok(SnapshotResponse { header: header(revision), remaining_bytes, blob, version })
    };
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    while remaining > 0 {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece);
        let next = match read {
            Ok(0) => Err(Status::data_loss("the snapshot ended early")),
            Ok(read) => {
                remaining -= read as u64;
                digest.update(&piece);
                message(remaining, piece)
            }
            Err(error) => Err(error.into()),
        };
        let ended = next.is_err();
        if send(pieces, next).is_none() || ended {
            return;
        }
    }
    // who went away meanwhile needs no checksum
    send(pieces, message(0, digest.finish().as_ref().to_vec())).unwrap_or_default();
}

fn send(pieces: &SnapshotPieces, message: Result<SnapshotResponse, Status>) -> Option<()> {
    pieces.blocking_send(message).ok() // the client went away: nothing is left to do
}
