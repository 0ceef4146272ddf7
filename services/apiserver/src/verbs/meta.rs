//! Metadata the server owns, and the checks of metadata every kind shares.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/registry/rest/{create,update,meta}.go`,
//! `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`

use meta::field;
use schema::{Map, Object, Value};

use crate::errors::{self, Result};
use crate::registry::Endpoint;

const GENERATED_CHARS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const MAX_GENERATED_BASE: usize = 58;
const ANNOTATIONS_LIMIT: usize = 256 << 10;

/// A time as metadata shows it: RFC 3339, whole seconds, UTC.
pub fn timestamp(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A fresh uid.
pub fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A name from a base and five random characters.
pub fn generate_name(base: &str) -> String {
    let mut end = base.len().min(MAX_GENERATED_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let random = uuid::Uuid::new_v4();
    let suffix = random.as_bytes().iter().filter(|b| **b < 243).take(5);
    let mut name = base[..end].to_owned();
    name.extend(suffix.map(|b| GENERATED_CHARS[usize::from(*b) % GENERATED_CHARS.len()] as char));
    name
}

/// Fills what the server sets on a new object; whether its name was made of `generateName`.
pub fn fill_new(object: &mut Object, now: jiff::Timestamp) -> Result<bool> {
    if !object.resource_version().is_empty() {
        return Err(errors::unclassified("resourceVersion should not be set on objects to be created"));
    }
    let metadata = object.metadata_mut();
    for key in
        ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"]
    {
        metadata.remove(key);
    }
    metadata.insert("uid", new_uid());
    metadata.insert("creationTimestamp", timestamp(now));
    let generate = object.name().is_empty() && !object.generate_name().is_empty();
    if generate {
        let name = generate_name(object.generate_name());
        object.set(&["metadata", "name"], name);
    }
    Ok(generate)
}

/// Keeps the namespace of the object and of the URL one; an object that is in none gets none.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/registry/rest/meta.go` `EnsureObjectNamespaceMatchesRequestNamespace`
pub fn agree_on_namespace(object: &mut Object, endpoint: &Endpoint, namespace: &str) -> Result<()> {
    if !endpoint.resource.kind.namespaced {
        object.metadata_mut().remove("namespace");
        return Ok(());
    }
    if object.namespace().is_empty() {
        object.set(&["metadata", "namespace"], namespace);
    }
    if object.namespace() != namespace {
        return Err(errors::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// The object is the one the path names.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/endpoints/handlers/rest.go` `checkName`
pub fn check_name(object: &Object, name: &str) -> Result<()> {
    if object.name().is_empty() {
        return Err(errors::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if object.name() != name {
        return Err(errors::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            object.name()
        )));
    }
    Ok(())
}

/// Keeps what an update may not change. A uid that is given stays, for the check to refuse it when it is another.
pub fn keep_system_fields(object: &mut Object, old: &Object) {
    let given = !object.uid().is_empty();
    let metadata = object.metadata_mut();
    for key in ["uid", "creationTimestamp", "deletionTimestamp", "selfLink", "generation"] {
        if key == "uid" && given {
            continue;
        }
        metadata.remove(key);
        if let Some(value) = old.metadata().get(key) {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    // who deletes may only shorten the grace period, and does so through DELETE
    metadata.remove("deletionGracePeriodSeconds");
    if let Some(value) = old.metadata().get("deletionGracePeriodSeconds") {
        metadata.insert("deletionGracePeriodSeconds", value.clone());
    }
    if !old.generate_name().is_empty() && object.generate_name().is_empty() {
        let name = old.generate_name().to_owned();
        object.set(&["metadata", "generateName"], name);
    }
}

/// Drops owner references that are there twice.
pub fn dedup_owners(object: &mut Object) -> bool {
    let Some(Value::List(owners)) = object.metadata_mut().get_mut("ownerReferences") else { return false };
    let before = owners.len();
    let mut seen: Vec<Value> = Vec::with_capacity(before);
    owners.retain(|o| {
        let new = !seen.contains(o);
        if new {
            seen.push(o.clone());
        }
        new
    });
    owners.len() != before
}

/// Problems of an object's metadata.
pub fn validate(object: &Object, endpoint: &Endpoint) -> Vec<field::Error> {
    let mut problems = Vec::new();
    let hooks = &endpoint.resource.kind.hooks;
    let generate = object.generate_name();
    if !generate.is_empty() {
        let found = hooks.validate_name(generate, true);
        problems.extend(
            found.into_iter().map(|p| field::Error::invalid_str("metadata.generateName", generate, p)),
        );
    }
    let name = object.name();
    if name.is_empty() {
        problems.push(field::Error::required("metadata.name", "name or generateName is required"));
    } else {
        let found = hooks.validate_name(name, false);
        problems.extend(found.into_iter().map(|p| field::Error::invalid_str("metadata.name", name, p)));
    }
    labels(object.metadata(), "labels", &mut problems);
    annotations(object.metadata(), &mut problems);
    owners(object, &mut problems);
    finalizers(object, &mut problems);
    problems
}

fn pairs<'a>(metadata: &'a Map, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let map = metadata.get(key).and_then(Value::as_map);
    map.into_iter().flat_map(|m| m.iter()).map(|(k, v)| (&**k, v.as_str().unwrap_or("")))
}

fn labels(metadata: &Map, key: &str, problems: &mut Vec<field::Error>) {
    let path = format!("metadata.{key}");
    for (name, value) in pairs(metadata, key) {
        let found = meta::content::qualified_name(name);
        problems.extend(found.into_iter().map(|p| field::Error::invalid_str(path.as_str(), name, p)));
        let found = meta::content::label_value(value);
        problems.extend(found.into_iter().map(|p| field::Error::invalid_str(path.as_str(), value, p)));
    }
}

fn annotations(metadata: &Map, problems: &mut Vec<field::Error>) {
    let mut total = 0;
    for (name, value) in pairs(metadata, "annotations") {
        let found = meta::content::qualified_name(&name.to_ascii_lowercase());
        problems
            .extend(found.into_iter().map(|p| field::Error::invalid_str("metadata.annotations", name, p)));
        total += name.len() + value.len();
    }
    if total > ANNOTATIONS_LIMIT {
        let detail = format!("may not be more than {ANNOTATIONS_LIMIT} bytes");
        problems.push(field::Error::new(field::ErrorKind::TooLong, "metadata.annotations", "", detail));
    }
}

fn owners(object: &Object, problems: &mut Vec<field::Error>) {
    let mut controller: Option<String> = None;
    let owners = object.list_at(&["metadata", "ownerReferences"]);
    for owner in owners {
        let path = "metadata.ownerReferences";
        let text = |key: &str| owner.at(&[key]).and_then(Value::as_str).unwrap_or("");
        for (key, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(key).is_empty() {
                problems.push(field::Error::invalid_str(format!("{path}.{key}"), "", detail));
            }
        }
        if owner.at(&["controller"]).and_then(Value::as_bool) == Some(true) {
            let me = format!("{}/{}", text("kind"), text("name"));
            if let Some(first) = &controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {me}"
                );
                problems.push(field::Error::invalid(path, in_struct_order(owners), detail));
            }
            controller = Some(me);
        }
    }
}

/// Owner references as Go writes the struct.
fn in_struct_order(owners: &[Value]) -> String {
    let ordered = owners.iter().filter_map(Value::as_map).map(|owner| {
        let fields = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
        let present = fields.into_iter().filter_map(|key| Some((key, owner.get(key)?.clone())));
        Value::Map(present.collect())
    });
    let mut text = Vec::new();
    schema::json::encode_ordered(&ordered.collect::<Vec<_>>().into(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn finalizers(object: &Object, problems: &mut Vec<field::Error>) {
    for name in object.finalizers() {
        let found = meta::content::qualified_name(name);
        problems.extend(found.into_iter().map(|p| field::Error::invalid_str("metadata.finalizers", name, p)));
        let known = ["orphan", "foregroundDeletion", "kubernetes"];
        if !name.contains('/') && !known.contains(&name) {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            problems.push(field::Error::invalid_str("metadata.finalizers", name, detail));
        }
    }
    let all: Vec<&str> = object.finalizers().collect();
    if all.contains(&"orphan") && all.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        problems.push(field::Error::invalid("metadata.finalizers", format!("{all:?}"), detail));
    }
}

/// Problems of a change of metadata.
pub fn validate_update(object: &Object, old: &Object, endpoint: &Endpoint) -> Vec<field::Error> {
    let mut problems = Vec::new();
    let immutable = "field is immutable";
    for (path, new, before) in [
        ("metadata.name", object.name(), old.name()),
        ("metadata.namespace", object.namespace(), old.namespace()),
        ("metadata.uid", object.uid(), old.uid()),
    ] {
        if new != before {
            problems.push(field::Error::invalid_str(path, new, immutable));
        }
    }
    if old.deletion_timestamp().is_some() {
        let had: Vec<&str> = old.finalizers().collect();
        let added: Vec<&str> = object.finalizers().filter(|f| !had.contains(f)).collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                quoted(&added)
            );
            problems.push(field::Error::forbidden("metadata.finalizers", detail));
        }
    }
    let mut own = validate(object, endpoint);
    // the name was checked when it was given
    own.retain(|e| e.path != "metadata.name" && e.path != "metadata.generateName");
    problems.extend(own);
    problems
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_generated() {
        let name = generate_name(&"x".repeat(80));
        assert_eq!(name.len(), 63);
        assert_ne!(generate_name("a-"), generate_name("a-"));
        assert!(generate_name("a-").starts_with("a-"));
    }

    #[test]
    fn times() {
        assert_eq!(timestamp(jiff::Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
