//! The KV service.

use etcd::rpc::kv_server;
use etcd::rpc::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, TxnRequest, TxnResponse, response_op,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::convert::{header, range_response, response};
use super::{MAX_REQUEST_BYTES, status};
use crate::{Engine, Request as Change};

#[derive(Debug)]
pub(super) struct Kv(pub(super) Engine);

fn sized<M: Message>(request: Request<M>) -> Result<M, Status> {
    let message = request.into_inner();
    if message.encoded_len() > MAX_REQUEST_BYTES { Err(status::too_large()) } else { Ok(message) }
}

impl Kv {
    async fn change(&self, change: Change) -> Result<response_op::Response, Status> {
        let reply = self.0.submit(change).await?;
        Ok(response(&self.0, reply).await?.1)
    }
}

fn other() -> Status {
    Status::internal("a reply of another kind than its request")
}

#[tonic::async_trait]
impl kv_server::Kv for Kv {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        let (revision, answer, values) = self.0.range(&request).await?;
        Ok(Response::new(range_response(&request, answer, values, Some(revision))))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        match self.change(Change::Put(sized(request)?)).await? {
            response_op::Response::ResponsePut(response) => Ok(Response::new(response)),
            _ => Err(other()),
        }
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        match self.change(Change::Delete(sized(request)?)).await? {
            response_op::Response::ResponseDeleteRange(response) => Ok(Response::new(response)),
            _ => Err(other()),
        }
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        match self.change(Change::Txn(sized(request)?)).await? {
            response_op::Response::ResponseTxn(response) => Ok(Response::new(response)),
            _ => Err(other()),
        }
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        let reply = self.0.submit(Change::Compact(request.into_inner().revision)).await?;
        Ok(Response::new(CompactionResponse { header: header(reply.revision) }))
    }
}
