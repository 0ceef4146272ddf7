//! What the writing verbs share: reading the body, tracking who owns which field, and the change of an object.

use std::sync::Arc;

use meta::field;
use schema::{Object, Value};

use super::Call;
use super::meta as metadata;
use crate::admission::{Operation, Request};
use crate::alloc;
use crate::codec::{self, Decoded, SCHEME};
use crate::errors::{self, Result};
use crate::registry::resets;
use crate::request::accept::{MEDIA_TYPES, Media};
use crate::request::options::{Validation, WriteOptions};
use crate::store::entry::Entry;
use crate::store::write::{Attempt, Next};

/// Whether field ownership is still to be tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Managed {
    /// As an update by the request's manager.
    Update,
    /// Apply did it already.
    Done,
}

/// Decodes the body as an object of the served version.
pub fn decode_body(call: &Call, validation: Validation) -> Result<Object> {
    let media = codec::body_media(call.header("content-type"))
        .filter(|m| *m != Media::Protobuf || call.endpoint.schema.has_protobuf());
    let media = media.ok_or_else(|| errors::unsupported_media(&MEDIA_TYPES))?;
    let decoded = call.endpoint.schema.decode(media, &call.body).map_err(|e| undecodable(call, media, e))?;
    let mut object = judge(call, decoded, validation)?;
    let expected = &call.endpoint.face.gvk;
    if object.kind().is_empty() && object.api_version().is_empty() {
        call.endpoint.stamp(&mut object);
    }
    let version = expected.group_version().to_string();
    if object.api_version() != version {
        return Err(errors::bad_request(format!(
            "the API version in the data ({}) does not match the expected API version ({version})",
            object.api_version()
        )));
    }
    if object.kind() != expected.kind {
        return Err(errors::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {}: no kind {kind:?} is registered for version {version:?} in scheme {SCHEME:?}",
            expected.version,
            expected.kind,
            kind = object.kind(),
        )));
    }
    Ok(object)
}

/// A body that is no object: of another shape, or no JSON at all.
fn undecodable(call: &Call, media: Media, error: codec::DecodeError) -> errors::Error {
    let gvk = &call.endpoint.face.gvk;
    errors::bad_request(match error {
        codec::DecodeError::Shape(text) => {
            format!("{} in version {:?} cannot be handled as a {}: {text}", gvk.kind, gvk.version, gvk.kind)
        }
        error => {
            let what =
                if media == Media::Json { "couldn't get version/kind; json parse error: " } else { "" };
            let (kind, summary) = (&gvk.kind, summary(&call.body));
            format!("the object provided is unrecognized (must be of type {kind}): {what}{error} ({summary})")
        }
    })
}

/// The beginning of a body, for a message: text of what seems JSON, else digits.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/endpoints/handlers/rest.go` `summarizeData`
fn summary(body: &[u8]) -> String {
    const LENGTH: usize = 30;
    let (start, more) = (&body[..body.len().min(LENGTH)], if body.len() > LENGTH { " ..." } else { "" });
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(start)),
        Some(_) => format!("{}{more}", start.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

/// Applies the field validation switch to what the decoder found.
pub fn judge(call: &Call, decoded: Decoded, validation: Validation) -> Result<Object> {
    if decoded.problems.is_empty() {
        return Ok(decoded.object);
    }
    match validation {
        Validation::Ignore => {}
        Validation::Warn => decoded.problems.iter().for_each(|p| call.warn(p.as_str())),
        Validation::Strict => {
            let all = decoded.problems.join(", ");
            let gvk = &call.endpoint.face.gvk;
            let text = format!(
                "{} in version {:?} cannot be handled as a {}: strict decoding error: {all}",
                gvk.kind, gvk.version, gvk.kind
            );
            return Err(errors::bad_request(text));
        }
    }
    Ok(decoded.object)
}

/// Updates `metadata.managedFields` of `object` (served version) for the request's manager.
pub fn track(
    call: &Call,
    old: Option<&Object>,
    object: &mut Object,
    options: &WriteOptions,
    subresource: &str,
) -> Result<()> {
    let has_status = call.endpoint.has("status");
    let kind = &call.endpoint.face.gvk.kind;
    let resets = resets(kind, subresource, has_status);
    let writer = codec::Writer { manager: &options.field_manager, subresource, resets, now: call.now };
    call.endpoint.schema.track_update(old, object, writer);
    Ok(())
}

/// Where the new object of a change comes from. Objects are of the served version.
pub trait Source: Send {
    /// Computes the new object from the present one.
    fn compute(&mut self, call: &Call, old: &Object) -> Result<Computed>;

    /// Whether a missing object fails (as against: is created by the caller).
    fn missing(&self, call: &Call) -> errors::Error {
        call.missing()
    }
}

/// A new object of the served version.
pub struct Computed {
    /// The object.
    pub object: Object,
    /// Whether ownership is still to be tracked.
    pub managed: Managed,
    /// The resource version the client insists on, empty for none.
    pub insists_on: String,
}

/// A change of an existing object: an [`Attempt`] made of a source.
pub struct Change<'a, S> {
    /// The request.
    pub call: &'a Call,
    /// Its options.
    pub options: &'a WriteOptions,
    /// Where the new object comes from.
    pub source: S,
    /// What to give back if the write fails.
    pub allocated: alloc::Allocated,
}

impl<S: Source> Attempt for Change<'_, S> {
    async fn run(&mut self, current: Option<&Arc<Entry>>) -> Result<Next> {
        let call = self.call;
        let Some(current) = current else { return Err(self.source.missing(call)) };
        let old = call.decode(current)?;
        let mut old_served = old.clone();
        call.endpoint.to_served(&mut old_served)?;
        let computed = self.source.compute(call, &old_served)?;
        if !computed.insists_on.is_empty() && computed.insists_on != old.resource_version() {
            return Err(errors::modified(&call.endpoint.group_resource(), &call.info.name));
        }
        let mut object = computed.object;
        call.endpoint.default(&mut object);
        let object = self.prepare(&old, &old_served, object, computed.managed).await?;
        Ok(finish(call, object, &old))
    }
}

impl<S: Source> Change<'_, S> {
    /// Brings an object into the version that is stored; where the request is an update, with who owns what.
    fn to_storage(&self, old_served: &Object, object: &mut Object, managed: Managed) -> Result<()> {
        let (call, subresource) = (self.call, &self.call.info.subresource);
        if managed == Managed::Update && call.endpoint.native {
            track(call, Some(old_served), object, self.options, subresource)?;
        }
        call.endpoint.to_storage(object)?;
        if managed == Managed::Update && !call.endpoint.native {
            // ownership is of what is read back, with the annotations that a version without the fields gets; the
            // way back is for that alone, as a version may not say all that the stored one does
            let mut seen = object.clone();
            call.endpoint.to_served(&mut seen)?;
            track(call, Some(old_served), &mut seen, self.options, subresource)?;
            match seen.metadata_mut().remove("managedFields") {
                Some(fields) => object.metadata_mut().insert("managedFields", fields),
                None => object.metadata_mut().remove("managedFields"),
            };
        }
        Ok(())
    }

    async fn prepare(
        &mut self,
        old: &Object,
        old_served: &Object,
        mut object: Object,
        managed: Managed,
    ) -> Result<Object> {
        let call = self.call;
        let resource = &call.endpoint.resource;
        let hooks = &resource.kind.hooks;
        metadata::keep_system_fields(&mut object, old_served);
        keep_reset_fields(call, &mut object, old_served);
        if metadata::dedup_owners(&mut object) {
            call.warn(".metadata.ownerReferences contains duplicate entries");
        }
        self.to_storage(old_served, &mut object, managed)?;
        object.set(&["metadata", "resourceVersion"], old.resource_version());
        let request = Request {
            server: &call.server,
            endpoint: &call.endpoint,
            subresource: &call.info.subresource,
            operation: Operation::Update,
            user: &call.user,
            namespace: &call.info.namespace,
            name: &call.info.name,
            old: Some(old),
            dry_run: self.options.dry_run,
            now: call.now,
            warnings: &call.warnings,
        };
        call.server.admission.mutate(&request, &mut object).await?;
        hooks.default_versioned(&resource.kind.storage.version, &mut object);
        // an attempt that failed before this one gives back what it took
        std::mem::take(&mut self.allocated).give_back(&call.server).await;
        self.allocated = alloc::on_update(call, &mut object, old, self.options.dry_run).await?;
        let context = call.hooks_context();
        // a binding may do what no update of a pod may
        let binding = call.info.subresource == "binding";
        if !binding {
            hooks.prepare_update(&context, &mut object, old);
            metadata::keep_system_fields(&mut object, old);
            if hooks.spec_changed(&object, old) == Some(true) {
                object.set(&["metadata", "generation"], old.generation() + 1);
            }
        }
        let mut problems = metadata::validate_update(&object, old, &call.endpoint);
        if hooks.checks_metadata_again() {
            problems.extend(problems.clone());
        }
        if !binding {
            problems.extend(hooks.validate_update(&context, &object, old));
        }
        if !problems.is_empty() {
            return Err(self.invalid(&problems));
        }
        for warning in hooks.warnings(&context, &object, Some(old)) {
            call.warn(warning);
        }
        call.server.admission.validate(&request, Some(&object)).await?;
        // what is read back has the defaults of what the strategy left
        hooks.default_versioned(&resource.kind.storage.version, &mut object);
        Ok(object)
    }

    fn invalid(&self, problems: &[field::Error]) -> errors::Error {
        let gvk = &self.call.endpoint.resource.kind.storage;
        errors::invalid(&gvk.group, &gvk.kind, &self.call.info.name, problems)
    }
}

/// Puts back the fields that this endpoint does not change.
fn keep_reset_fields(call: &Call, object: &mut Object, old: &Object) {
    let has_status = call.endpoint.has("status");
    for path in resets(&call.endpoint.face.gvk.kind, &call.info.subresource, has_status) {
        if *path == ["metadata"] {
            let fields = object.metadata_mut().remove("managedFields");
            let mut kept = old.metadata().clone();
            kept.remove("managedFields");
            if let Some(fields) = fields {
                kept.insert("managedFields", fields);
            }
            object.set(&["metadata"], kept);
            continue;
        }
        if *path == ["status", "conditions"] {
            continue; // only ownership leaves them out: the kind's own hook says which of them stay
        }
        match old.at(path) {
            Some(value) => object.set(path, value.clone()),
            None => {
                object.remove(path);
            }
        }
    }
}

/// A write that only moves ownership times is none; one that empties the finalizers of a deleted object ends it.
fn finish(call: &Call, mut object: Object, old: &Object) -> Next {
    if same_but_times(&object, old)
        && let Some(fields) = old.metadata().get("managedFields")
    {
        object.metadata_mut().insert("managedFields", fields.clone());
    }
    let grace = old.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
    let namespace_held =
        call.endpoint.is("", "namespaces") && !object.list_at(&["spec", "finalizers"]).is_empty();
    let done = old.deletion_timestamp().is_some() && object.finalizers().next().is_none() && grace == 0;
    if done && !namespace_held { Next::Delete(object) } else { Next::Put(object) }
}

fn without_times(fields: &[Value]) -> Vec<Value> {
    let strip = |entry: &Value| {
        let mut entry = entry.clone();
        if let Some(map) = entry.as_map_mut() {
            map.remove("time");
        }
        entry
    };
    fields.iter().map(strip).collect()
}

fn same_but_times(object: &Object, old: &Object) -> bool {
    let path = ["metadata", "managedFields"];
    if without_times(object.list_at(&path)) != without_times(old.list_at(&path)) {
        return false;
    }
    let bare = |o: &Object| {
        let mut o = o.clone();
        o.metadata_mut().remove("managedFields");
        o
    };
    bare(object) == bare(old)
}
