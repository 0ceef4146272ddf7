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

impl Type {
    /// Records that a manager's update changed fields.
    #[expect(clippy::too_many_arguments, reason = "the facts of one request")]
    pub fn track_update(
        &self,
        _old: Option<&Object>,
        _object: &mut Object,
        _manager: &str,
        _subresource: &str,
        _resets: &[Path],
        _now: jiff::Timestamp,
    ) {
    }

    /// Merges an applied configuration into an object.
    ///
    /// # Errors
    /// Conflicts, or an object that does not fit.
    #[expect(clippy::too_many_arguments, reason = "the facts of one request")]
    pub fn apply(
        &self,
        _old: Option<&Object>,
        _applied: &Value,
        _manager: &str,
        _force: bool,
        _subresource: &str,
        _resets: &[Path],
        _now: jiff::Timestamp,
    ) -> Result<Object, ApplyError> {
        Err(ApplyError::Typed("server-side apply is not supported by this build".into()))
    }
}
