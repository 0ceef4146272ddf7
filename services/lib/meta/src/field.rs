//! Errors about one field, with upstream's texts.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/util/validation/field/errors.go`

use std::fmt;

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Something the value refers to is missing.
    NotFound,
    /// The value is missing.
    Required,
    /// The value is there twice.
    Duplicate,
    /// The value is malformed or not allowed.
    Invalid,
    /// The value is none of an enumeration.
    NotSupported,
    /// The value may not be set here.
    Forbidden,
    /// The value is too long.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// The server could not check.
    Internal,
    /// The value has the wrong type.
    TypeInvalid,
}

impl ErrorKind {
    /// The cause's reason in a `Status`.
    pub const fn cause(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "FieldValueNotFound",
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::Invalid => "FieldValueInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::Internal => "InternalError",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "Not found",
            ErrorKind::Required => "Required value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Invalid | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
            ErrorKind::Internal => "Internal error",
        }
    }
}

/// One error about one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The field's path in Go's JSON names: `spec.containers[0].image`.
    pub path: String,
    /// The offending value as Go prints it (strings quoted); empty where the text shows none.
    pub value: String,
    /// The detail after the value.
    pub detail: String,
}

impl Error {
    /// Any error from its parts; `value` as Go prints it.
    pub fn new(
        kind: ErrorKind,
        path: impl Into<String>,
        value: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self { kind, path: path.into(), value: value.into(), detail: detail.into() }
    }

    /// `path: Required value: detail`
    pub fn required(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, path, "", detail)
    }

    /// `path: Invalid value: "value": detail`, a string value.
    pub fn invalid_str(path: impl Into<String>, value: &str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, quote(value), detail)
    }

    /// `path: Invalid value: value: detail`, the value as Go prints it.
    pub fn invalid(path: impl Into<String>, value: impl ToString, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, value.to_string(), detail)
    }

    /// `path: Forbidden: detail`
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, path, "", detail)
    }

    /// `path: Duplicate value: "value"`
    pub fn duplicate(path: impl Into<String>, value: &str) -> Self {
        Self::new(ErrorKind::Duplicate, path, quote(value), "")
    }

    /// `path: Unsupported value: "value": supported values: "a", "b"`
    pub fn not_supported(path: impl Into<String>, value: &str, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| quote(s)).collect();
        let detail =
            if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        Self::new(ErrorKind::NotSupported, path, quote(value), detail)
    }

    /// `path: Too long: may not be more than N bytes`
    pub fn too_long(path: impl Into<String>, limit: usize) -> Self {
        Self::new(ErrorKind::TooLong, path, "", format!("may not be more than {limit} bytes"))
    }

    /// `path: Too many: N: must have at most M items`
    pub fn too_many(path: impl Into<String>, count: usize, limit: usize) -> Self {
        let item = if limit == 1 { "item" } else { "items" };
        Self::new(ErrorKind::TooMany, path, count.to_string(), format!("must have at most {limit} {item}"))
    }

    /// `path: Not found: "value"`
    pub fn not_found(path: impl Into<String>, value: &str) -> Self {
        Self::new(ErrorKind::NotFound, path, quote(value), "")
    }

    /// The text without the path: a cause's message.
    pub fn body(&self) -> String {
        let mut text = self.kind.text().to_owned();
        // these kinds never show the value
        let hidden = matches!(
            self.kind,
            ErrorKind::Required | ErrorKind::Forbidden | ErrorKind::TooLong | ErrorKind::Internal
        );
        if !hidden && !self.value.is_empty() {
            text.push_str(": ");
            text.push_str(&self.value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// A string as Go's `%q` prints it.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
