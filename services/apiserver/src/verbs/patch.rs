//! PATCH: JSON patch, merge patch, strategic merge patch, apply.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`

use std::collections::BTreeMap;

use meta::Reason;
use schema::patch::JsonPatchError;
use schema::{Object, Value};

use super::Call;
use super::create;
use super::update::change;
use super::write::{Computed, Managed, Source, judge};
use crate::codec::{self, ApplyError, PatchError};
use crate::encode::Answer;
use crate::errors::{self, Error, Result};
use crate::request::options::{Validation, WriteOptions};

/// The patch media types of custom resources, as `415` lists them.
const CUSTOM_TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// Which kind of patch a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// A patch, read once and applied to whatever the present object is.
pub struct Patch {
    kind: Kind,
    body: Value,
    options: WriteOptions,
}

/// 422 of a patch that makes no object of the kind, with what it makes.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/endpoints/handlers/patch.go` `applyJSPatch`
fn unfit(patched: &Value, why: &str) -> Error {
    let mut text = Vec::new();
    schema::json::encode_generic(patched, &mut text);
    let problem = meta::field::Error::invalid_str("patch", &String::from_utf8_lossy(&text), why);
    errors::invalid("", "", "", &[problem])
}

fn patch_error(error: PatchError) -> Error {
    match error {
        // upstream does not classify it
        PatchError::Malformed(text) => errors::unclassified(text),
        PatchError::Failed(_) => errors::unprocessable(),
        PatchError::TooLarge(text) => errors::too_large(text),
    }
}

/// Upstream's answers to a JSON patch that cannot be applied.
pub fn json_patch_error(error: JsonPatchError) -> Error {
    match error {
        JsonPatchError::Malformed(_) => errors::bad_request(error.to_string()),
        JsonPatchError::TooLong(_) => errors::too_large(error.to_string()),
        JsonPatchError::DoesNotApply(_) => errors::unprocessable(),
    }
}

impl Patch {
    /// A configuration to be applied.
    pub(crate) fn to_apply(body: Value, options: &WriteOptions) -> Self {
        Self { kind: Kind::Apply, body, options: options.clone() }
    }

    fn apply_to(&self, call: &Call, old: &Object) -> Result<Object> {
        let schema = &call.endpoint.schema;
        let mut problems = Vec::new();
        let patched = match self.kind {
            Kind::Json => {
                let mut tree = Value::Map(old.root().clone());
                problems = schema::patch::json_patch(&mut tree, &self.body).map_err(json_patch_error)?;
                tree
            }
            Kind::Merge => {
                let mut tree = old.root().clone();
                let merged = schema::patch::merge_patch(&mut tree, &self.body);
                merged.map_err(|e| errors::bad_request(format!("error decoding patch: {e}")))?;
                Value::Map(tree)
            }
            Kind::Strategic => schema.strategic_merge(old, &self.body).map_err(patch_error)?,
            Kind::Apply => return Err(errors::internal("apply is no plain patch")),
        };
        let mut decoded = schema.decode_tree(&patched).map_err(|e| unfit(&patched, &e.to_string()))?;
        decoded.problems.extend(problems);
        if self.options.validation == Validation::Strict && !decoded.problems.is_empty() {
            let why = format!("strict decoding error: {}", decoded.problems.join(", "));
            return Err(unfit(&patched, &why));
        }
        judge(call, decoded, self.options.validation)
    }

    fn server_side_apply(&self, call: &Call, old: Option<&Object>) -> Result<Object> {
        let force = self.options.force.unwrap_or(false);
        let kind = &call.endpoint.face.gvk.kind;
        let resets = crate::registry::resets(kind, &call.info.subresource, call.endpoint.has("status"));
        let writer = codec::Writer {
            manager: &self.options.field_manager,
            subresource: &call.info.subresource,
            resets,
            now: call.now,
        };
        let applied = call.endpoint.schema.apply(old, &self.body, force, writer);
        applied.map_err(apply_error)
    }
}

/// Upstream's answers to a configuration that cannot be applied.
pub fn apply_error(error: ApplyError) -> Error {
    match error {
        ApplyError::Conflicts(conflicts) => apply_conflict(&conflicts),
        ApplyError::Invalid(text) => errors::bad_request(text),
        ApplyError::Typed(text) => errors::unclassified(text),
    }
}

/// The conflicting fields, below the manager they are with.
fn by_manager(conflicts: &[codec::Conflict]) -> Vec<String> {
    let mut managers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for conflict in conflicts {
        let who = conflict.message.strip_prefix("conflict with ").unwrap_or(&conflict.message);
        managers.entry(who).or_default().push(&conflict.field);
    }
    let mut lines = Vec::new();
    for (who, fields) in managers {
        lines.push(format!("conflicts with {who}:"));
        lines.extend(fields.iter().map(|field| format!("- {field}")));
    }
    lines
}

fn apply_conflict(conflicts: &[codec::Conflict]) -> Error {
    let n = conflicts.len();
    let list: Vec<String> = conflicts.iter().map(|c| format!("{}: {}", c.message, c.field)).collect();
    let text = match list.as_slice() {
        [one] => format!("Apply failed with 1 conflict: {one}"),
        _ => format!("Apply failed with {n} conflicts: {}", by_manager(conflicts).join("\n")),
    };
    let status = meta::Status::failure(Reason::Conflict, text);
    let fold = |status: meta::Status, c: &codec::Conflict| {
        status.because("FieldManagerConflict", c.message.as_str(), &c.field)
    };
    conflicts.iter().fold(status, fold).into()
}

impl Source for Patch {
    fn compute(&mut self, call: &Call, old: &Object) -> Result<Computed> {
        if self.kind == Kind::Apply {
            let insists_on = self.body.at(&["metadata", "resourceVersion"]).and_then(Value::as_str);
            let insists_on = insists_on.unwrap_or("").to_owned();
            let object = agreed(call, self.server_side_apply(call, Some(old))?)?;
            return Ok(Computed { object, managed: Managed::Done, insists_on });
        }
        let object = agreed(call, self.apply_to(call, old)?)?;
        let insists_on = object.resource_version().to_owned();
        Ok(Computed { object, managed: Managed::Update, insists_on })
    }
}

/// What was patched, if it is still the object the path names. Another uid is found among what may not change.
fn agreed(call: &Call, mut object: Object) -> Result<Object> {
    super::meta::agree_on_namespace(&mut object, &call.endpoint, call.object_namespace())?;
    super::meta::check_name(&object, &call.info.name)?;
    Ok(object)
}

fn media_of(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

/// Whether a body of this type is a patch.
pub fn has_type(content_type: &str) -> bool {
    let media = media_of(content_type);
    media == "application/strategic-merge-patch+json" || CUSTOM_TYPES.contains(&media)
}

fn read_kind(call: &Call) -> Result<Kind> {
    match media_of(call.header("content-type")) {
        "application/json-patch+json" => Ok(Kind::Json),
        "application/merge-patch+json" => Ok(Kind::Merge),
        "application/strategic-merge-patch+json" if call.endpoint.schema.is_built_in() => Ok(Kind::Strategic),
        "application/apply-patch+yaml" => Ok(Kind::Apply),
        // a custom resource knows no strategic patch, and says what it does know
        "application/strategic-merge-patch+json" => Err(errors::unsupported_media(&CUSTOM_TYPES)),
        _ => Err(errors::unsupported_patch()),
    }
}

/// Changes the object the path names by the patch in the body.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = call.form(false)?;
    let kind = read_kind(call)?;
    let apply = kind == Kind::Apply;
    let options = WriteOptions::read(call.query.as_deref(), "PatchOptions", call.agent(), Some(apply))?;
    let body = if apply { codec::parse_yaml_or_json(&call.body) } else { codec::parse_json(&call.body) };
    let body = body.map_err(|e| {
        errors::bad_request(if apply { e.to_string() } else { format!("error decoding patch: {e}") })
    })?;
    if apply {
        check_applied(call, &body)?;
    }
    let patch = Patch { kind, body, options: options.clone() };
    match change(call, &options, patch).await {
        Err(error) if apply && error.is(Reason::NotFound) && call.info.subresource.is_empty() => {
            create_applied(call, &options).await.map(|created| created.answer(form))
        }
        other => other.map(|changed| changed.answer(form)),
    }
}

fn check_applied(call: &Call, body: &Value) -> Result<()> {
    let text = |path: &[&str]| body.at(path).and_then(Value::as_str).unwrap_or("").to_owned();
    let (version, kind) = (call.endpoint.api_version(), &call.endpoint.face.gvk.kind);
    if text(&["apiVersion"]).is_empty() || text(&["kind"]).is_empty() {
        return Err(errors::bad_request("apiVersion and kind must be set in an apply patch"));
    }
    let given = meta::GroupVersion::parse(&text(&["apiVersion"]));
    if text(&["kind"]) != *kind {
        let given = given.map_or_else(|| text(&["apiVersion"]), |v| format!("{}/{}", v.group, v.version));
        let given = format!("{given}, Kind={}", text(&["kind"]));
        return Err(errors::bad_request(format!("invalid object type: {given}")));
    }
    if text(&["apiVersion"]) != version {
        return Err(errors::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {}, expected: {version}",
            text(&["apiVersion"])
        )));
    }
    if body.at(&["metadata", "managedFields"]).is_some_and(|m| !m.is_null()) {
        return Err(errors::bad_request("metadata.managedFields must be nil"));
    }
    Ok(())
}

async fn create_applied(call: &Call, options: &WriteOptions) -> Result<create::Created> {
    let body = codec::parse_yaml_or_json(&call.body).map_err(|e| errors::bad_request(e.to_string()))?;
    let uid = body.at(&["metadata", "uid"]).and_then(Value::as_str).unwrap_or("");
    if !uid.is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        );
        return Err(errors::conflict(&call.endpoint.group_resource(), &call.info.name, &why));
    }
    let patch = Patch { kind: Kind::Apply, body, options: options.clone() };
    let mut object = agreed(call, patch.server_side_apply(call, None)?)?;
    call.endpoint.default(&mut object);
    object.metadata_mut().remove("resourceVersion");
    create::create(call, object, options, Managed::Done).await
}
