//! Refusals as etcd words them: clients compare the texts.

use tonic::{Code, Status};

use crate::Refusal;

/// # Upstream
/// `go.etcd.io/etcd/api/v3/v3rpc/rpctypes/error.go`
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = match refusal {
            Refusal::EmptyKey => (Code::InvalidArgument, "etcdserver: key is not provided"),
            Refusal::KeyNotFound => (Code::InvalidArgument, "etcdserver: key not found"),
            Refusal::ValueProvided => (Code::InvalidArgument, "etcdserver: value is provided"),
            Refusal::LeaseProvided => (Code::InvalidArgument, "etcdserver: lease is provided"),
            Refusal::TooManyOps => (Code::InvalidArgument, "etcdserver: too many operations in txn request"),
            Refusal::DuplicateKey => {
                (Code::InvalidArgument, "etcdserver: duplicate key given in txn request")
            }
            Refusal::Compacted => {
                (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted")
            }
            Refusal::FutureRevision => {
                (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision")
            }
            Refusal::LeaseNotFound => (Code::NotFound, "etcdserver: requested lease not found"),
            Refusal::LeaseExists => (Code::FailedPrecondition, "etcdserver: lease already exists"),
            Refusal::LeaseTtlTooLarge => (Code::OutOfRange, "etcdserver: too large lease TTL"),
            Refusal::RangeTooLarge => {
                (Code::InvalidArgument, "range holds more keys than one revision can delete")
            }
            Refusal::EmptyOp => (Code::InvalidArgument, "empty operation in txn request"),
            Refusal::NoSpace => (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
            // clients take this for "may have happened": they read before they write again
            Refusal::LogFailed => (Code::Unavailable, "etcdserver: request timed out"),
            Refusal::Stopping => (Code::Unavailable, "etcdserver: server stopped"),
        };
        Self::new(code, message)
    }
}

/// A request above [`super::MAX_REQUEST_BYTES`].
pub(super) fn too_large() -> Status {
    Status::invalid_argument("etcdserver: request is too large")
}
