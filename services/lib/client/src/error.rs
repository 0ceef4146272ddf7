//! What can go wrong with a request.

use meta::{Reason, Status};

/// Why a request gave no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered with a failure.
    #[error(transparent)]
    Api(#[from] Box<Status>),
    /// No connection, or it broke.
    #[error("connecting to {server}")]
    Connect {
        /// The server's address.
        server: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request or response broke on the way.
    #[error("talking to the API server")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is not what was asked for.
    #[error("decoding the API server's answer")]
    Decode(#[from] serde_json::Error),
    /// The request cannot be built.
    #[error("building the request")]
    Request(#[from] http::Error),
}

impl Error {
    /// The server's `Status`, if it answered with one.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api(status) => Some(status),
            _ => None,
        }
    }

    /// Whether the server answered with this reason.
    pub fn is(&self, reason: Reason) -> bool {
        self.status().is_some_and(|s| s.is(reason))
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.is(Reason::NotFound)
    }

    /// Whether the object changed meanwhile, or a precondition did not hold.
    pub fn is_conflict(&self) -> bool {
        self.is(Reason::Conflict)
    }

    /// Whether a write may have been carried out in spite of this: its answer was lost, or the server gave up waiting.
    pub fn leaves_unsure(&self) -> bool {
        matches!(self, Self::Transport(_)) || self.is(Reason::Timeout)
    }

    /// Whether the revision asked for is gone: list again.
    pub fn is_expired(&self) -> bool {
        self.status().is_some_and(|s| s.code == 410)
    }
}

/// Turns a non-2xx answer into an error; a body that is no `Status` is carried as its message.
pub(crate) fn from_response(code: http::StatusCode, body: &[u8]) -> Error {
    let status = serde_json::from_slice::<Status>(body).ok().filter(|s| s.kind == "Status"); // else made below
    Error::Api(Box::new(status.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        let message = if text.trim().is_empty() { code.to_string() } else { text.trim().to_owned() };
        let reason = match code.as_u16() {
            401 => Reason::Unauthorized,
            403 => Reason::Forbidden,
            404 => Reason::NotFound,
            410 => Reason::Expired,
            429 => Reason::TooManyRequests,
            503 => Reason::ServiceUnavailable,
            504 => Reason::Timeout,
            _ => Reason::Unknown,
        };
        Status { code: code.as_u16(), ..Status::failure(reason, message) }
    })))
}
