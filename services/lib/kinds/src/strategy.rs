//! What many kinds do before a write: the status belongs to its own endpoint.

use schema::{Map, Object, Value};

use crate::Context;

/// Create: the client sets no status.
pub(crate) fn no_status(_: &Context<'_>, object: &mut Object) {
    object.root_mut().insert("status", Map::new());
}

/// Update: the object's own endpoint keeps the old status, `/status` keeps the old spec.
pub(crate) fn split(cx: &Context<'_>, object: &mut Object, old: &Object) {
    keep(object, old, if cx.subresource == "status" { "spec" } else { "status" });
}

/// As `split`; `/status` keeps the old metadata too, but for managed fields and what the machine sets.
pub(crate) fn split_all(cx: &Context<'_>, object: &mut Object, old: &Object) {
    split(cx, object, old);
    if cx.subresource == "status" {
        for key in ["labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp"] {
            keep_metadata(object, old, key);
        }
    }
}

/// Puts the old value of a top-level field back.
pub(crate) fn keep(object: &mut Object, old: &Object, key: &'static str) {
    put(object.root_mut(), key, old.root().get(key).cloned());
}

/// Puts the old value of a metadata field back.
pub(crate) fn keep_metadata(object: &mut Object, old: &Object, key: &'static str) {
    put(object.metadata_mut(), key, old.metadata().get(key).cloned());
}

/// Sets or removes.
pub(crate) fn put(map: &mut Map, key: &'static str, value: Option<Value>) {
    match value {
        Some(value) => {
            map.insert(key, value);
        }
        None => {
            map.remove(key);
        }
    }
}
