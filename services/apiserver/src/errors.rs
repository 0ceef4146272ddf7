//! Every error of the API server as the `Status` a client sees. Nothing else builds a failure.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/api/errors/errors.go`

use meta::{GroupResource, Reason, Status, field};

/// A failed request: the `Status` it is answered with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub Box<Status>);

/// The result of everything a request does.
pub type Result<T> = std::result::Result<T, Error>;

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self(Box::new(status))
    }
}

impl Error {
    /// Whether the reason is this one.
    pub fn is(&self, reason: Reason) -> bool {
        self.0.is(reason)
    }

    /// The status.
    pub fn status(&self) -> &Status {
        &self.0
    }
}

fn failure(reason: Reason, message: impl Into<String>) -> Error {
    Status::failure(reason, message).into()
}

fn about(reason: Reason, message: impl Into<String>, resource: &GroupResource, name: &str) -> Error {
    Status::failure(reason, message).about(name, &resource.group, &resource.resource).into()
}

/// 400.
pub fn bad_request(message: impl Into<String>) -> Error {
    failure(Reason::BadRequest, message)
}

/// 401.
pub fn unauthorized() -> Error {
    failure(Reason::Unauthorized, "Unauthorized")
}

/// 403: `pods "x" is forbidden: why`.
pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Error {
    let message = match (resource.resource.is_empty(), name.is_empty()) {
        (true, true) => format!("forbidden: {why}"),
        (true, false) => format!("forbidden: {name:?} is forbidden: {why}"),
        (false, true) => format!("{resource} is forbidden: {why}"),
        (false, false) => format!("{resource} {name:?} is forbidden: {why}"),
    };
    about(Reason::Forbidden, message, resource, name)
}

/// 403 with a cause a client can tell apart: the namespace is going away.
pub fn namespace_terminating(resource: &GroupResource, name: &str, namespace: &str) -> Error {
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let Error(status) = forbidden(resource, name, &why);
    let cause = format!("namespace {namespace} is being terminated");
    status.because("NamespaceTerminating", cause, "metadata.namespace").into()
}

/// 404: `pods "x" not found`.
pub fn not_found(resource: &GroupResource, name: &str) -> Error {
    about(Reason::NotFound, format!("{resource} {name:?} not found"), resource, name)
}

/// 404 for a resource nobody serves in a known group.
pub fn unknown_resource() -> Error {
    let status = Status::failure(Reason::NotFound, "the server could not find the requested resource");
    status.about("", "", "").into()
}

/// 405.
pub fn method_not_supported(resource: &GroupResource, verb: &str) -> Error {
    let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
    about(Reason::MethodNotAllowed, message, resource, "")
}

/// 405 where no resource is known.
pub fn method_not_allowed() -> Error {
    let text = "the server does not allow this method on the requested resource";
    failure_about_nothing(Reason::MethodNotAllowed, text)
}

/// 406.
pub fn not_acceptable(supported: &[&str]) -> Error {
    let list = supported.join(", ");
    failure(Reason::NotAcceptable, format!("only the following media types are accepted: {list}"))
}

/// 406 of a request whose `Accept` has no media type of ours at all: upstream's router says it.
pub fn nothing_acceptable(supported: &[&str]) -> Error {
    let list = supported.join(", ");
    let text = format!("406: Not Acceptable\n\nAvailable representations: {list}");
    failure_about_nothing(Reason::NotAcceptable, &text)
}

/// 409 on create.
pub fn already_exists(resource: &GroupResource, name: &str) -> Error {
    about(Reason::AlreadyExists, format!("{resource} {name:?} already exists"), resource, name)
}

/// 409 after eight generated names were all taken.
pub fn generate_name_conflict(resource: &GroupResource, name: &str) -> Error {
    let message = format!(
        "{resource} {name:?} already exists, the server was not able to generate a unique name for the object"
    );
    let Error(status) = about(Reason::AlreadyExists, message, resource, name);
    status.retry_after(1).into()
}

/// 409: `Operation cannot be fulfilled on pods "x": why`.
pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Error {
    let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
    about(Reason::Conflict, message, resource, name)
}

/// 409: somebody else wrote first.
pub fn modified(resource: &GroupResource, name: &str) -> Error {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    conflict(resource, name, why)
}

/// 410: a version that is no longer kept.
pub fn expired(message: impl Into<String>) -> Error {
    failure(Reason::Expired, message)
}

/// 410: a watch from before the retained window.
pub fn too_old(wanted: i64, oldest: i64) -> Error {
    expired(format!("too old resource version: {wanted} ({oldest})"))
}

/// 410: a continue token from before the last compaction, with a token that goes on regardless.
pub fn continue_expired(token: &str) -> Error {
    let message = "The provided continue parameter is too old to display a consistent list result. You can \
start a new list without the continue parameter, or use the continue token in this response to retrieve the \
remainder of the results. Continuing with the provided token results in an inconsistent list - objects that \
were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
    let mut status = Status::failure(Reason::Expired, message);
    status.metadata.insert("continue".into(), token.into());
    status.into()
}

/// 410: an exact version from before the last compaction.
pub fn revision_expired() -> Error {
    expired("The resourceVersion for the provided list is too old.")
}

/// 413.
pub fn too_large(message: impl Into<String>) -> Error {
    failure(Reason::RequestEntityTooLarge, message)
}

/// 415.
pub fn unsupported_media(supported: &[&str]) -> Error {
    let list = supported.join(", ");
    let message =
        format!("the body of the request was in an unknown format - accepted media types include: {list}");
    failure(Reason::UnsupportedMediaType, message)
}

/// 415 of a patch whose media type no patch has.
pub fn unsupported_patch() -> Error {
    failure_about_nothing(Reason::UnsupportedMediaType, "415: Unsupported Media Type")
}

/// 422 of a JSON patch that does not fit its object; upstream does not say why.
pub fn unprocessable() -> Error {
    let text = "the server rejected our request due to an error in our request";
    failure_about_nothing(Reason::Invalid, text)
}

/// Details that are there and empty, as upstream's generic errors have.
fn failure_about_nothing(reason: Reason, message: &str) -> Error {
    Status::failure(reason, message).about("", "", "").into()
}

/// 422 with a cause per field.
pub fn invalid(group: &str, kind: &str, name: &str, errors: &[field::Error]) -> Error {
    Status::invalid(group, kind, name, errors).into()
}

/// 429.
pub fn too_many_requests(message: &str, seconds: i32) -> Error {
    let status = Status::failure(Reason::TooManyRequests, message);
    if seconds > 0 { status.retry_after(seconds).into() } else { status.into() }
}

/// 500.
pub fn internal(message: impl std::fmt::Display) -> Error {
    let message = message.to_string();
    let status = Status::failure(Reason::InternalError, format!("Internal error occurred: {message}"));
    status.because("", message, "").into()
}

/// 500 without a reason: an error upstream does not classify either.
pub fn unclassified(message: impl Into<String>) -> Error {
    failure(Reason::Unknown, message)
}

/// 500: try again.
pub fn server_timeout(resource: &GroupResource, verb: &str) -> Error {
    let message = format!(
        "The {verb} operation against {resource} could not be completed at this time, please try again."
    );
    let Error(status) = about(Reason::ServerTimeout, message, resource, verb);
    status.retry_after(2).into()
}

/// 503.
pub fn unavailable(message: impl Into<String>) -> Error {
    failure(Reason::ServiceUnavailable, message)
}

/// 504: the request's time is over.
pub fn timeout(message: &str) -> Error {
    failure(Reason::Timeout, format!("Timeout: {message}"))
}

/// 504: a version from the future.
pub fn future_revision(wanted: i64, current: i64) -> Error {
    let message = format!("Too large resource version: {wanted}, current: {current}");
    let status = Status::failure(Reason::Timeout, format!("Timeout: {message}"));
    status.because("ResourceVersionTooLarge", "Too large resource version", "").retry_after(1).into()
}

/// What the store answered: unavailable, too large, or broken.
impl From<crate::store::kv::KvError> for Error {
    fn from(error: crate::store::kv::KvError) -> Self {
        use crate::store::kv::KvError;
        match error {
            KvError::Compacted => revision_expired(),
            KvError::Store(etcd::Error::Unavailable(why)) => unavailable(why),
            KvError::Store(etcd::Error::Timeout) => timeout("the store gave no answer in time"),
            KvError::Store(etcd::Error::TooLarge) => too_large("etcdserver: request is too large"),
            other => unclassified(other.to_string()),
        }
    }
}
