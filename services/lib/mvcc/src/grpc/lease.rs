//! The Lease service.

use std::pin::Pin;

use etcd::rpc::lease_server;
use etcd::rpc::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::convert::header;
use crate::{Engine, Refusal, ReplyOp, Request as Change};

#[derive(Debug)]
pub(super) struct Lease(pub(super) Engine);

fn lease(op: &ReplyOp) -> (i64, i64) {
    match op {
        ReplyOp::Lease { id, ttl_seconds } => (*id, *ttl_seconds),
        _ => (0, 0),
    }
}

async fn keep_alive(engine: &Engine, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
    match engine.submit(Change::KeepAlive(id)).await {
        Ok(reply) => {
            let (id, ttl) = lease(&reply.op);
            Ok(LeaseKeepAliveResponse { header: header(reply.revision), id, ttl })
        }
        // a lease that is gone is told by a time of zero
        Err(Refusal::LeaseNotFound) => {
            let revision = engine.state().revision();
            Ok(LeaseKeepAliveResponse { header: header(revision), id, ttl: 0 })
        }
        Err(refusal) => Err(refusal.into()),
    }
}

#[tonic::async_trait]
impl lease_server::Lease for Lease {
    type LeaseKeepAliveStream = Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let LeaseGrantRequest { ttl, id } = request.into_inner();
        let reply = self.0.submit(Change::Grant { id, ttl_seconds: ttl }).await?;
        let (id, ttl) = lease(&reply.op);
        Ok(Response::new(LeaseGrantResponse {
            header: header(reply.revision),
            id,
            ttl,
            error: String::new(),
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let reply = self.0.submit(Change::Revoke(request.into_inner().id)).await?;
        Ok(Response::new(LeaseRevokeResponse { header: header(reply.revision) }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let start = (self.0.clone(), request.into_inner());
        let answers = futures_util::stream::unfold(start, |(engine, mut requests)| async move {
            let answer = match requests.message().await {
                Ok(Some(request)) => keep_alive(&engine, request.id).await,
                Ok(None) => return None,
                Err(status) => Err(status),
            };
            Some((answer, (engine, requests)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let LeaseTimeToLiveRequest { id, keys } = request.into_inner();
        let (revision, times, attached) = {
            let state = self.0.state();
            (state.revision(), state.lease_times(id, self.0.now()), state.lease_keys(id))
        };
        // a lease that is gone is told by a time of -1
        let (granted_ttl, ttl) = times.unwrap_or((0, -1));
        let attached = attached.iter().filter(|_| keys);
        let keys = attached.map(|key| bytes::Bytes::copy_from_slice(key)).collect();
        Ok(Response::new(LeaseTimeToLiveResponse { header: header(revision), id, ttl, granted_ttl, keys }))
    }

    async fn lease_leases(
        &self,
        _: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let (revision, ids) = {
            let state = self.0.state();
            (state.revision(), state.leases())
        };
        let leases = ids.into_iter().map(|id| LeaseStatus { id }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: header(revision), leases }))
    }
}
