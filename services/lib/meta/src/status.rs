//! `Status`: what the API answers when it is not an object.

use serde::{Deserialize, Serialize};

use crate::field;

/// Upstream's machine-readable reasons, with the HTTP code each goes with.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/apis/meta/v1/types.go` `StatusReason`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No reason: the empty string on the wire.
    Unknown,
    /// 400.
    BadRequest,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 406.
    NotAcceptable,
    /// 409 on create.
    AlreadyExists,
    /// 409 on update.
    Conflict,
    /// 410: the version asked for was compacted.
    Expired,
    /// 410: gone for good.
    Gone,
    /// 413.
    RequestEntityTooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 422.
    Invalid,
    /// 429.
    TooManyRequests,
    /// 500.
    InternalError,
    /// 500, try again.
    ServerTimeout,
    /// 503.
    ServiceUnavailable,
    /// 504.
    Timeout,
}

impl Reason {
    /// The name on the wire and the HTTP code.
    pub const fn parts(self) -> (&'static str, u16) {
        match self {
            Reason::Unknown => ("", 500),
            Reason::BadRequest => ("BadRequest", 400),
            Reason::Unauthorized => ("Unauthorized", 401),
            Reason::Forbidden => ("Forbidden", 403),
            Reason::NotFound => ("NotFound", 404),
            Reason::MethodNotAllowed => ("MethodNotAllowed", 405),
            Reason::NotAcceptable => ("NotAcceptable", 406),
            Reason::AlreadyExists => ("AlreadyExists", 409),
            Reason::Conflict => ("Conflict", 409),
            Reason::Expired => ("Expired", 410),
            Reason::Gone => ("Gone", 410),
            Reason::RequestEntityTooLarge => ("RequestEntityTooLarge", 413),
            Reason::UnsupportedMediaType => ("UnsupportedMediaType", 415),
            Reason::Invalid => ("Invalid", 422),
            Reason::TooManyRequests => ("TooManyRequests", 429),
            Reason::InternalError => ("InternalError", 500),
            Reason::ServerTimeout => ("ServerTimeout", 500),
            Reason::ServiceUnavailable => ("ServiceUnavailable", 503),
            Reason::Timeout => ("Timeout", 504),
        }
    }
}

/// The wire form of `Status`, read and written by servers and clients alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// List metadata; empty for errors.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// `Success` or `Failure`.
    pub status: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// For programs: a `Reason` by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the reason is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The HTTP code; of a success often left out.
    #[serde(skip_serializing_if = "is_nought")]
    pub code: u16,
}

/// What a `Status` is about.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its resource; for `Invalid` its kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Single causes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds after which to try again; also the `Retry-After` header.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: i32,
}

/// One cause of a `Status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cause {
    /// For programs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field's path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn is_nought(n: &u16) -> bool {
    *n == 0
}

fn is_zero(n: &i32) -> bool {
    *n == 0
}

impl Default for Status {
    fn default() -> Self {
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: serde_json::Map::new(),
            status: "Failure".into(),
            message: String::new(),
            reason: String::new(),
            details: None,
            code: 500,
        }
    }
}

impl Status {
    /// A failure with the reason's own code.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        let (name, code) = reason.parts();
        Self { message: message.into(), reason: name.into(), code, ..Self::default() }
    }

    /// Adds what it is about: name, group and resource (or kind).
    pub fn about(mut self, name: &str, group: &str, kind: &str) -> Self {
        let details = self.details.get_or_insert_default();
        details.name = name.into();
        details.group = group.into();
        details.kind = kind.into();
        self
    }

    /// Adds one cause.
    pub fn because(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let cause = Cause { reason: reason.into(), message: message.into(), field: field.into() };
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// Adds the seconds after which to try again.
    pub fn retry_after(mut self, seconds: i32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// Whether the reason on the wire is this one.
    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason.parts().0
    }

    /// `Kind "name" is invalid: …` with one cause per field error.
    ///
    /// # Upstream
    /// `k8s.io/apimachinery/pkg/api/errors/errors.go` `NewInvalid`
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &[field::Error]) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for text in errors.iter().map(ToString::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = match texts.as_slice() {
            [] => "<nil>".to_owned(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        // the Go type prints `Kind.group` when there is a group
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let status = Self::failure(Reason::Invalid, format!("{qualified} {name:?} is invalid: {all}"));
        errors.iter().fold(status.about(name, group, kind), |status, e| {
            status.because(e.kind.cause(), e.body(), &e.path)
        })
    }
}
