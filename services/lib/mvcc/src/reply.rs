//! What the writer answers.

use etcd::rpc::RangeRequest;

use crate::Found;

/// An answer: the store's revision after the request, and what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The revision.
    pub revision: i64,
    /// The result.
    pub op: ReplyOp,
}

/// The result of one operation. Values that are in the log are still to be fetched.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplyOp {
    /// A put.
    Put {
        /// What was there, if asked for.
        previous: Option<Found>,
    },
    /// A deletion.
    Delete {
        /// How many keys.
        deleted: i64,
        /// What they were, if asked for.
        previous: Vec<Found>,
    },
    /// A read inside a transaction.
    Range {
        /// What was asked for.
        request: RangeRequest,
        /// What was found, as of the transaction.
        answer: crate::Answer,
    },
    /// A transaction.
    Txn {
        /// Which list ran.
        succeeded: bool,
        /// Its results.
        ops: Vec<ReplyOp>,
    },
    /// A compaction.
    Compact,
    /// A lease.
    Lease {
        /// Its id.
        id: i64,
        /// The time it has left.
        ttl_seconds: i64,
    },
}

/// Why a request was refused. The texts and codes clients see are in `grpc::status`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An empty key.
    #[error("key is not provided")]
    EmptyKey,
    /// A key written twice by one transaction.
    #[error("duplicate key given in txn request")]
    DuplicateKey,
    /// More operations than a transaction may have.
    #[error("too many operations in txn request")]
    TooManyOps,
    /// A put that keeps value or lease of a key that does not exist.
    #[error("key not found")]
    KeyNotFound,
    /// A put that keeps the value and gives one.
    #[error("value is provided")]
    ValueProvided,
    /// A put that keeps the lease and gives one.
    #[error("lease is provided")]
    LeaseProvided,
    /// History before this revision is gone.
    #[error("required revision has been compacted")]
    Compacted,
    /// The revision does not exist yet.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// No such lease.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The lease exists.
    #[error("lease already exists")]
    LeaseExists,
    /// A time to live beyond etcd's bound.
    #[error("too large lease TTL")]
    LeaseTtlTooLarge,
    /// One revision cannot hold so many changes.
    #[error("range holds more keys than one revision can delete")]
    RangeTooLarge,
    /// An operation without content.
    #[error("empty operation in txn request")]
    EmptyOp,
    /// The disk is full.
    #[error("no room left on the disk")]
    NoSpace,
    /// The log failed; whether the request happened is not known.
    #[error("the log failed while the request was under way")]
    LogFailed,
    /// The store is going down.
    #[error("store is stopping")]
    Stopping,
}
