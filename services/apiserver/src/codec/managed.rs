//! Field ownership, by the schema's server-side apply.

use schema::apply::Request;
use schema::{Object, Value};

use super::Type;
use crate::registry::Path;
use crate::verbs::meta::timestamp;

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

/// The facts of one write that ownership depends on.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Who.
    pub manager: &'a str,
    /// Through which subresource, empty for none.
    pub subresource: &'a str,
    /// Fields this endpoint does not change.
    pub resets: &'a [Path],
    /// When.
    pub now: jiff::Timestamp,
}

impl Type {
    /// Records that a manager's update changed fields.
    pub fn track_update(&self, old: Option<&Object>, object: &mut Object, writer: Writer<'_>) {
        let (version, now) = (self.gvk().group_version().to_string(), timestamp(writer.now));
        schema::apply::update(&self.request(writer, &version, &now), old, object);
    }

    fn request<'a>(&'a self, writer: Writer<'a>, api_version: &'a str, now: &'a str) -> Request<'a> {
        Request {
            schema: &self.schema,
            api_version,
            manager: writer.manager,
            subresource: writer.subresource,
            resets: writer.resets,
            now,
        }
    }

    /// Merges an applied configuration into an object.
    ///
    /// # Errors
    /// Conflicts, or an object that does not fit.
    pub fn apply(
        &self,
        old: Option<&Object>,
        applied: &Value,
        force: bool,
        writer: Writer<'_>,
    ) -> Result<Object, ApplyError> {
        let decoded = self.decode_tree(applied).map_err(|e| ApplyError::Invalid(e.to_string()))?;
        if let Some(problem) = decoded.problems.first() {
            let path = problem.split('"').nth(1).unwrap_or("");
            let gvk = self.gvk();
            let object = &decoded.object;
            return Err(ApplyError::Typed(format!(
                "failed to create typed patch object ({}/{}; {}, Kind={}): .{path}: field not declared in schema",
                object.namespace(),
                object.name(),
                gvk.group_version(),
                gvk.kind
            )));
        }
        let (version, now) = (self.gvk().group_version().to_string(), timestamp(writer.now));
        let request = self.request(writer, &version, &now);
        let merged = schema::apply::apply(&request, old, decoded.object.root(), force);
        merged.map_err(|error| match error {
            schema::apply::ApplyError::Conflicts(all) => {
                let own = |c: schema::apply::Conflict| Conflict { message: c.message, field: c.field };
                ApplyError::Conflicts(all.into_iter().map(own).collect())
            }
            other => ApplyError::Invalid(other.to_string()),
        })
    }
}
