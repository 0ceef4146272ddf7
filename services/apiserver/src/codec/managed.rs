//! Field ownership, by the schema's server-side apply.

use schema::{Object, Value};

use super::Type;
use crate::registry::Path;

/// Two managers want different values for a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// `conflict with "kubectl" using apps/v1 at …`
    pub message: String,
    /// `.spec.replicas`
    pub field: String,
}

/// Why an apply failed.
#[derive(Debug, Clone)]
pub enum ApplyError {
    /// Others own fields with other values.
    Conflicts(Vec<Conflict>),
    /// The request is wrong.
    Invalid(String),
    /// The applied object does not fit the schema.
    Typed(String),
}
