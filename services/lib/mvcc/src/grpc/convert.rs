//! The engine's answers as protocol messages.

use std::collections::HashMap;

use bytes::Bytes;
use etcd::KeyValue;
use etcd::rpc::range_request::{SortOrder, SortTarget};
use etcd::rpc::{
    DeleteRangeResponse, PutResponse, RangeRequest, RangeResponse, ResponseHeader, ResponseOp, TxnResponse,
    response_op,
};
use tonic::Status;

use crate::{Answer, Engine, Found, Refusal, Reply, ReplyOp, Version};

/// One member, one cluster: their ids mean nothing here, but clients expect some.
pub(super) const MEMBER_ID: u64 = 1;

pub(super) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: 1, member_id: MEMBER_ID, revision, raft_term: 1 })
}

pub(super) fn key_value(key: &[u8], version: Version, value: Bytes) -> KeyValue {
    KeyValue {
        key: Bytes::copy_from_slice(key),
        create_revision: version.create_revision,
        mod_revision: version.revision(),
        version: version.version,
        value,
        lease: version.lease,
    }
}

/// Orders and cuts what was found.
pub(super) fn range_response(
    request: &RangeRequest,
    mut answer: Answer,
    values: Vec<Bytes>,
    revision: Option<i64>,
) -> RangeResponse {
    let values = values.into_iter().map(Some).chain(std::iter::repeat(None));
    let found = std::mem::take(&mut answer.found).into_iter().zip(values);
    let mut kvs: Vec<KeyValue> =
        found.map(|(f, value)| key_value(&f.key, f.version, value.unwrap_or_default())).collect();
    let order = request.sort_order();
    let by = request.sort_target();
    match by {
        SortTarget::Key => {}
        SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
        SortTarget::Create => kvs.sort_by_key(|kv| kv.create_revision),
        SortTarget::Mod => kvs.sort_by_key(|kv| kv.mod_revision),
        SortTarget::Value => kvs.sort_by(|a, b| a.value.cmp(&b.value)),
    }
    if order == SortOrder::Descend {
        kvs.reverse();
    }
    if let Ok(limit @ 1..) = usize::try_from(request.limit)
        && kvs.len() > limit
    {
        kvs.truncate(limit);
        answer.more = true;
    }
    if request.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
    }
    RangeResponse { header: revision.and_then(header), kvs, more: answer.more, count: answer.count }
}

/// The message for a writer's reply: values are fetched first.
pub(super) async fn response(engine: &Engine, reply: Reply) -> Result<(i64, response_op::Response), Status> {
    let mut ids = Vec::new();
    collect(&reply.op, &mut ids);
    let values = engine.values(&ids).await?;
    let values: HashMap<u64, Bytes> =
        ids.into_iter().zip(values).filter_map(|(id, v)| Some((id, v?))).collect();
    Ok((reply.revision, render(reply.op, Some(reply.revision), &values)?))
}

fn collect(op: &ReplyOp, ids: &mut Vec<u64>) {
    let stored = |found: &Found| found.value.is_none().then_some(found.version.id);
    match op {
        ReplyOp::Put { previous } => ids.extend(previous.iter().filter_map(stored)),
        ReplyOp::Delete { previous, .. } => ids.extend(previous.iter().filter_map(stored)),
        ReplyOp::Range { request, answer } if !request.keys_only => {
            ids.extend(answer.found.iter().filter_map(stored));
        }
        ReplyOp::Txn { ops, .. } => ops.iter().for_each(|op| collect(op, ids)),
        _ => {}
    }
}

fn value(found: &Found, values: &HashMap<u64, Bytes>) -> Result<Bytes, Status> {
    // trimmed between the transaction and now: only a compaction up to this very moment does that. What was written
    // stays written, so the answer must not look like a refusal.
    let stored = || values.get(&found.version.id).cloned();
    found.value.clone().or_else(stored).ok_or_else(|| Refusal::LogFailed.into())
}

fn kept(found: &Found, values: &HashMap<u64, Bytes>) -> Result<KeyValue, Status> {
    Ok(key_value(&found.key, found.version, value(found, values)?))
}

fn render(
    op: ReplyOp,
    revision: Option<i64>,
    values: &HashMap<u64, Bytes>,
) -> Result<response_op::Response, Status> {
    let header = revision.and_then(header);
    Ok(match op {
        ReplyOp::Put { previous } => {
            let prev_kv = previous.map(|found| kept(&found, values)).transpose()?;
            response_op::Response::ResponsePut(PutResponse { header, prev_kv })
        }
        ReplyOp::Delete { deleted, previous } => {
            let prev_kvs = previous.iter().map(|found| kept(found, values)).collect::<Result<_, _>>()?;
            response_op::Response::ResponseDeleteRange(DeleteRangeResponse { header, deleted, prev_kvs })
        }
        ReplyOp::Range { request, answer } => {
            let fetched = match request.keys_only {
                true => Vec::new(),
                false => answer.found.iter().map(|f| value(f, values)).collect::<Result<_, _>>()?,
            };
            response_op::Response::ResponseRange(range_response(&request, answer, fetched, revision))
        }
        ReplyOp::Txn { succeeded, ops } => {
            let inner = ops.into_iter().map(|op| {
                // etcd's inner headers carry the revision only
                Ok(ResponseOp { response: Some(render(op, revision, values)?) })
            });
            let responses = inner.collect::<Result<_, Status>>()?;
            response_op::Response::ResponseTxn(TxnResponse { header, succeeded, responses })
        }
        ReplyOp::Compact | ReplyOp::Lease { .. } => {
            return Err(Status::internal("a reply of another kind than its request"));
        }
    })
}
