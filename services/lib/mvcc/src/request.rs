//! What changes the store.

use etcd::rpc::compare::CompareTarget;
use etcd::rpc::{DeleteRangeRequest, PutRequest, TxnRequest, request_op};

use crate::State;

/// A request that takes its turn with the writer.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Writes a key.
    Put(PutRequest),
    /// Deletes a range.
    Delete(DeleteRangeRequest),
    /// Compares, then one of two lists of operations.
    Txn(TxnRequest),
    /// Forgets history before a revision.
    Compact(i64),
    /// Makes a lease.
    Grant {
        /// Its id, 0 to have one chosen.
        id: i64,
        /// Its time to live.
        ttl_seconds: i64,
    },
    /// Ends a lease and deletes its keys.
    Revoke(i64),
    /// Gives a lease its whole time again.
    KeepAlive(i64),
}

/// The ids of stored values that planning a request looks at: values compared, values kept by a put.
pub fn needs(state: &State, request: &Request) -> Vec<u64> {
    let mut ids = Vec::new();
    match request {
        Request::Put(put) => need_put(state, put, &mut ids),
        Request::Txn(txn) => need_txn(state, txn, &mut ids),
        _ => {}
    }
    ids
}

fn need_put(state: &State, put: &PutRequest, ids: &mut Vec<u64>) {
    if put.ignore_value {
        ids.extend(state.newest(&put.key).map(|found| found.version.id));
    }
}

fn need_txn(state: &State, txn: &TxnRequest, ids: &mut Vec<u64>) {
    for compare in &txn.compare {
        if compare.target() == CompareTarget::Value {
            let found = state.scan(&compare.key, &compare.range_end, state.revision());
            ids.extend(found.map(|(_, version)| version.id));
        }
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(request_op::Request::RequestPut(put)) => need_put(state, put, ids),
            Some(request_op::Request::RequestTxn(inner)) => need_txn(state, inner, ids),
            _ => {}
        }
    }
}
