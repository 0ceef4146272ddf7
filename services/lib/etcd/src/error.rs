//! What a store answers instead of data.

use tonic::{Code, Status};

/// Why a call gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The revision asked for is older than what the store keeps.
    #[error("required revision has been compacted")]
    Compacted,
    /// The revision asked for does not exist yet.
    #[error("required revision is a future revision")]
    FutureRevision,
    /// No such lease.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The request is larger than the store takes.
    #[error("request is too large")]
    TooLarge,
    /// The store is out of space and takes no writes.
    #[error("database space exceeded")]
    NoSpace,
    /// The store could not be reached, or the connection ended; a write may or may not have happened.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// The store gave no answer in time; a write may or may not have happened.
    #[error("store gave no answer in time")]
    Timeout,
    /// The store answered something this client does not understand.
    #[error("unexpected answer of the store: {0}")]
    Protocol(&'static str),
    /// Any other refusal.
    #[error("store answered {code:?}: {message}")]
    Other {
        /// The gRPC code.
        code: Code,
        /// The message.
        message: String,
    },
}

/// # Upstream
/// `go.etcd.io/etcd/api/v3/v3rpc/rpctypes/error.go`: the messages are the contract, codes are shared.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        match (status.code(), status.message()) {
            (_, "etcdserver: mvcc: required revision has been compacted") => Self::Compacted,
            (_, "etcdserver: mvcc: required revision is a future revision") => Self::FutureRevision,
            (_, "etcdserver: requested lease not found") => Self::LeaseNotFound,
            (_, "etcdserver: request is too large") => Self::TooLarge,
            (_, "etcdserver: mvcc: database space exceeded") => Self::NoSpace,
            (Code::DeadlineExceeded, _) => Self::Timeout,
            (_, message) if message.starts_with("etcdserver: request timed out") => Self::Timeout,
            (Code::Unavailable, message) => Self::Unavailable(message.into()),
            // what the channel itself met: no gRPC status came back
            (Code::Unknown, message) if std::error::Error::source(&status).is_some() => {
                Self::Unavailable(message.into())
            }
            (Code::Cancelled, message) => Self::Unavailable(message.into()),
            (code, message) => Self::Other { code, message: message.into() },
        }
    }
}
