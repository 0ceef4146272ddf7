//! The client of a store: Kubernetes' reads and transactions.

use std::time::Duration;

use bytes::Bytes;
use rustls::ClientConfig;
use std::sync::Arc;

use crate::rpc::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::rpc::kv_client::KvClient;
use crate::rpc::lease_client::LeaseClient;
use crate::rpc::maintenance_client::MaintenanceClient;
use crate::rpc::watch_client::WatchClient;
use crate::rpc::{self, Compare, RequestOp, TxnRequest, TxnResponse, request_op, response_op};
use crate::{Channel, Endpoint, EndpointError, Error, KeyValue, Watch, WatchOptions};

/// A handle on a store. Clones are cheap and share one connection.
#[derive(Debug, Clone)]
pub struct Kv {
    kv: KvClient<Channel>,
    watch: WatchClient<Channel>,
    lease: LeaseClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
    timeout: Duration,
}

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// The first key.
    pub start: Bytes,
    /// The key after the last one; empty reads `start` alone, `\0` everything from it.
    pub end: Bytes,
    /// At most this many keys; 0 is no limit.
    pub limit: i64,
    /// The state as of this revision; 0 is the newest.
    pub revision: i64,
    /// Leave values out.
    pub keys_only: bool,
    /// Leave keys out too: only `count`.
    pub count_only: bool,
}

impl Range {
    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        let (start, end) = (Bytes::copy_from_slice(prefix), crate::prefix_end(prefix).into());
        Self { start, end, ..Self::default() }
    }
}

/// What a range read gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The store's revision when it was read (not the revision asked for).
    pub revision: i64,
    /// The keys found, in bytewise order.
    pub kvs: Vec<KeyValue>,
    /// The limit cut some off.
    pub more: bool,
    /// How many keys the range holds, the limit aside.
    pub count: i64,
}

/// What a conditional write did.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It happened, at this revision. Deleting gives what was deleted.
    Done {
        /// The revision of the write.
        revision: i64,
        /// What a delete removed, as upstream's conditional delete returns it.
        deleted: Option<KeyValue>,
    },
    /// The condition did not hold.
    Mismatch {
        /// The store's revision.
        revision: i64,
        /// What is there instead; nothing if the key does not exist.
        current: Option<KeyValue>,
    },
}

impl Kv {
    /// A handle on the store at `endpoints` (`unix:///path`, `http://…`, `https://…`); connects with the first call.
    ///
    /// # Errors
    /// An endpoint cannot be understood.
    pub fn connect(endpoints: &[&str], tls: Option<&Arc<ClientConfig>>) -> Result<Self, EndpointError> {
        let endpoints: Result<Vec<_>, _> = endpoints.iter().map(|e| Endpoint::parse(e, tls)).collect();
        Ok(Self::new(Channel::new(endpoints?)))
    }

    /// A handle over a channel.
    pub fn new(channel: Channel) -> Self {
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel).max_decoding_message_size(usize::MAX),
            timeout: Duration::from_secs(60),
        }
    }

    /// The same store with another limit for each call (60 s unless said; watches have none).
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// One key as of `revision` (0: newest), with the store's revision.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&self, key: &[u8], revision: i64) -> Result<(i64, Option<KeyValue>), Error> {
        let page =
            self.range(Range { start: Bytes::copy_from_slice(key), revision, ..Range::default() }).await?;
        Ok((page.revision, page.kvs.into_iter().next()))
    }

    /// Keys in order, linearizable.
    ///
    /// # Errors
    /// [`Error::Compacted`] and [`Error::FutureRevision`] if a revision was asked for; see [`Error`].
    pub async fn range(&self, range: Range) -> Result<Page, Error> {
        let request = rpc::RangeRequest {
            key: range.start,
            range_end: range.end,
            limit: range.limit,
            revision: range.revision,
            keys_only: range.keys_only,
            count_only: range.count_only,
            ..Default::default()
        };
        let mut kv = self.kv.clone();
        let answer = self.within(kv.range(request)).await?;
        let revision = header(answer.header.as_ref())?;
        Ok(Page { revision, kvs: answer.kvs, more: answer.more, count: answer.count })
    }

    /// Puts a key that does not exist yet.
    ///
    /// # Upstream
    /// `k8s.io/apiserver/pkg/storage/etcd3/store.go` `Create` (which ignores what is there: no read on mismatch
    /// there, one here)
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`]; see [`Error`].
    pub async fn create(&self, key: &[u8], value: Bytes, lease: i64) -> Result<Outcome, Error> {
        self.conditional(key, 0, put(key, value, lease)).await
    }

    /// Puts a key whose newest revision is `expected` (0: it does not exist).
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`]; see [`Error`].
    pub async fn update_if(
        &self,
        key: &[u8],
        expected: i64,
        value: Bytes,
        lease: i64,
    ) -> Result<Outcome, Error> {
        self.conditional(key, expected, put(key, value, lease)).await
    }

    /// Deletes a key whose newest revision is `expected`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_if(&self, key: &[u8], expected: i64) -> Result<Outcome, Error> {
        let key_bytes = Bytes::copy_from_slice(key);
        let delete = rpc::DeleteRangeRequest { key: key_bytes, prev_kv: true, ..Default::default() };
        self.conditional(key, expected, request_op::Request::RequestDeleteRange(delete)).await
    }

    async fn conditional(
        &self,
        key: &[u8],
        expected: i64,
        write: request_op::Request,
    ) -> Result<Outcome, Error> {
        let key = Bytes::copy_from_slice(key);
        let read = rpc::RangeRequest { key: key.clone(), ..Default::default() };
        let compare = Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Mod as i32,
            key,
            target_union: Some(TargetUnion::ModRevision(expected)),
            ..Default::default()
        };
        let request = TxnRequest {
            compare: vec![compare],
            success: vec![RequestOp { request: Some(write) }],
            failure: vec![RequestOp { request: Some(request_op::Request::RequestRange(read)) }],
        };
        let answer = self.txn(request).await?;
        let revision = header(answer.header.as_ref())?;
        let response = answer.responses.into_iter().next().and_then(|op| op.response);
        match (answer.succeeded, response) {
            (true, Some(response_op::Response::ResponseDeleteRange(d))) => {
                Ok(Outcome::Done { revision, deleted: d.prev_kvs.into_iter().next() })
            }
            (true, Some(_)) => Ok(Outcome::Done { revision, deleted: None }),
            (false, Some(response_op::Response::ResponseRange(r))) => {
                Ok(Outcome::Mismatch { revision, current: r.kvs.into_iter().next() })
            }
            _ => Err(Error::Protocol("a transaction without the response asked for")),
        }
    }

    /// Any transaction, as the protocol has it (for `compact_rev_key` and the like).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Error> {
        let mut kv = self.kv.clone();
        self.within(kv.txn(request)).await
    }

    /// The revision of the newest write acknowledged to anybody before this call began.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn linearizable_revision(&self) -> Result<i64, Error> {
        // any key does: only the header is wanted
        let start = Bytes::from_static(b"\0");
        Ok(self.range(Range { start, count_only: true, ..Range::default() }).await?.revision)
    }

    /// Events of a range from a revision on.
    ///
    /// # Errors
    /// The first connection fails. Later ones are made again by the watch itself.
    pub async fn watch(&self, options: WatchOptions) -> Result<Watch, Error> {
        Watch::open(self.watch.clone(), options).await
    }

    /// A new lease of `ttl_seconds`; gives its id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn grant(&self, ttl_seconds: i64) -> Result<i64, Error> {
        let mut lease = self.lease.clone();
        Ok(self.within(lease.lease_grant(rpc::LeaseGrantRequest { ttl: ttl_seconds, id: 0 })).await?.id)
    }

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// [`Error::LeaseNotFound`]; see [`Error`].
    pub async fn revoke(&self, lease: i64) -> Result<(), Error> {
        let mut client = self.lease.clone();
        self.within(client.lease_revoke(rpc::LeaseRevokeRequest { id: lease })).await.map(drop)
    }

    /// Forgets what no reader at `revision` or later can see.
    ///
    /// # Errors
    /// [`Error::Compacted`] if that happened before, [`Error::FutureRevision`]; see [`Error`].
    pub async fn compact(&self, revision: i64) -> Result<(), Error> {
        let mut kv = self.kv.clone();
        self.within(kv.compact(rpc::CompactionRequest { revision, physical: false })).await.map(drop)
    }

    /// Version, size and revision of the store.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<rpc::StatusResponse, Error> {
        let mut client = self.maintenance.clone();
        self.within(client.status(rpc::StatusRequest::default())).await
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Error::Timeout),
        }
    }
}

fn put(key: &[u8], value: Bytes, lease: i64) -> request_op::Request {
    let key = Bytes::copy_from_slice(key);
    request_op::Request::RequestPut(rpc::PutRequest { key, value, lease, ..Default::default() })
}

pub(crate) fn header(header: Option<&rpc::ResponseHeader>) -> Result<i64, Error> {
    header.map(|h| h.revision).ok_or(Error::Protocol("an answer without a header"))
}
