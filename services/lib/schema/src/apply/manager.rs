//! The two operations: update and apply.
//!
//! # Upstream
//! `structured-merge-diff/v6/merge/update.go`, `k8s.io/apimachinery/pkg/util/managedfields/internal`

use super::compare::{Comparison, compare, owned};
use super::merge::{merge, remove};
use super::record::{self, Entry};
use super::set::{Set, display};
use crate::{Map, Object, Schema, Value};

/// What is never anybody's.
const NOBODYS: [&[&str]; 11] = [
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

/// The manager that owns what was there before anybody applied.
const BEFORE: &str = "before-first-apply";

/// The facts of one request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The type, in the request's version.
    pub schema: &'a Schema,
    /// The request's `apiVersion`.
    pub api_version: &'a str,
    /// Who.
    pub manager: &'a str,
    /// Through which subresource, empty for none.
    pub subresource: &'a str,
    /// Fields this endpoint does not change, whatever is sent.
    pub resets: &'a [&'a [&'a str]],
    /// Now, as `time` has it.
    pub now: &'a str,
}

/// Another manager owns a field with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// `conflict with "kubectl" using apps/v1`, with `subresource "x"` and `at <time>` where there are such.
    pub message: String,
    /// `.spec.replicas`
    pub field: String,
}

/// Why an apply is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields with other values.
    #[error("Apply failed with {} conflicts", .0.len())]
    Conflicts(Vec<Conflict>),
    /// The applied object may not carry managed fields.
    #[error("metadata.managedFields must be nil")]
    ManagedFields,
}

fn strip(mut set: Set, resets: &[&[&str]]) -> Set {
    NOBODYS.iter().for_each(|path| set.omit(path));
    resets.iter().for_each(|path| set.exclude(path));
    set
}

fn entry(request: &Request<'_>, apply: bool, set: Set) -> Entry {
    Entry {
        manager: request.manager.to_owned(),
        apply,
        api_version: request.api_version.to_owned(),
        subresource: request.subresource.to_owned(),
        time: request.now.to_owned(),
        set,
    }
}

/// What an object is without its managed fields.
fn bare(object: Option<&Object>) -> Map {
    let mut map = object.map(|o| o.root().clone()).unwrap_or_default();
    if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_map_mut) {
        metadata.remove("managedFields");
    }
    map
}

/// Records in `object` that its writer changed it from `old` (`None`: created it).
pub fn update(request: &Request<'_>, old: Option<&Object>, object: &mut Object) {
    let given = if request.subresource.is_empty() { record::read(object) } else { Vec::new() };
    let mut entries = if request.subresource.is_empty() && record::is_reset(object) {
        Vec::new()
    } else if given.is_empty() {
        old.map(record::read).unwrap_or_default()
    } else {
        given
    };
    if old.is_some() && entries.is_empty() {
        // an object that nobody was tracked on is tracked from its first apply on
        record::write(object, Vec::new());
        return;
    }
    static NOTHING: Map = Map::new();
    let mut found = compare(request.schema, old.map_or(&NOTHING, Object::root), object.root());
    found.exclude(&["metadata", "managedFields"]);
    request.resets.iter().for_each(|path| found.exclude(path));
    let Comparison { added, modified, removed } = found;
    if !entries.is_empty() {
        let gone = removed.union(modified.clone()).union(added.clone());
        for e in &mut entries {
            e.set = std::mem::take(&mut e.set).difference(&gone);
        }
    }
    let changed = strip(modified.union(added), &[]);
    if !changed.is_empty() {
        let mut own = entry(request, false, changed);
        if let Some(at) = entries.iter().position(|e| e.same(&own)) {
            own.set = own.set.union(entries.remove(at).set);
        }
        entries.push(own);
    }
    record::write(object, entries);
}

/// Merges an applied configuration into `live` (`None`: there is no object yet) and gives the new object with its
/// managed fields. Of `applied`, fields the endpoint resets are not owned.
///
/// # Errors
/// Others own fields with other values and `force` is not set; or `applied` carries managed fields.
pub fn apply(
    request: &Request<'_>,
    live: Option<&Object>,
    applied: &Map,
    force: bool,
) -> Result<Object, ApplyError> {
    let theirs = applied.get("metadata").and_then(|m| m.at(&["managedFields"]));
    if theirs.is_some_and(|v| !v.is_null()) {
        return Err(ApplyError::ManagedFields);
    }
    let schema = request.schema;
    let mut entries = live.map(record::read).unwrap_or_default();
    let live_bare = bare(live);
    if let (true, Some(_)) = (entries.is_empty(), live) {
        // nobody was tracked so far: what is there belongs to whoever came before
        let set = strip(owned(schema, &live_bare), &[]);
        let before = Request { manager: BEFORE, subresource: "", ..*request };
        entries.push(entry(&before, false, set));
    }
    let merged = merge(schema, &live_bare, applied);
    let said = owned(schema, applied);
    let mut own = entry(request, true, strip(said.clone(), request.resets));
    let last = entries.iter().position(|e| e.same(&own)).map(|at| entries.remove(at));
    let pruned = prune(schema, merged, last.as_ref(), &entries, &said);
    let mut found = compare(schema, &live_bare, &pruned);
    request.resets.iter().for_each(|path| found.exclude(path));
    let changed = found.modified.clone().union(found.added.clone());
    let mut conflicts = Vec::new();
    for e in &mut entries {
        let contested = e.set.intersection(&changed);
        conflicts.extend(contested.paths().iter().map(|path| conflict(e, path)));
        e.set = std::mem::take(&mut e.set).difference(&contested).difference(&found.removed);
    }
    if !force && !conflicts.is_empty() {
        return Err(ApplyError::Conflicts(conflicts));
    }
    if let Some(last) = last
        .filter(|l| l.set == own.set && l.api_version == own.api_version && found == Comparison::default())
    {
        own.time = last.time;
    }
    entries.push(own);
    let mut object = Object::new(pruned);
    record::write(&mut object, entries);
    Ok(object)
}

/// Takes out what the manager said before and nobody says now.
fn prune(schema: &Schema, mut merged: Map, last: Option<&Entry>, others: &[Entry], own: &Set) -> Map {
    let Some(last) = last.filter(|l| !l.set.is_empty()) else { return merged };
    let kept = others.iter().fold(own.clone(), |all, e| all.union(e.set.clone())).with_ancestors();
    let gone = last.set.clone().with_ancestors().difference(&kept);
    remove(schema, &mut merged, &gone);
    merged
}

fn conflict(entry: &Entry, path: &[String]) -> Conflict {
    let mut message = format!("conflict with {:?}", entry.manager);
    if !entry.subresource.is_empty() {
        message.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if !entry.apply {
        message.push_str(&format!(" using {}", entry.api_version));
    }
    Conflict { message, field: display(path) }
}
