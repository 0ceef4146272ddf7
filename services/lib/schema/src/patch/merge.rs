//! JSON merge patch.
//!
//! # Upstream
//! RFC 7386 as `gopkg.in/evanphx/json-patch.v4` reads it (`merge.go`): nulls inside new lists stay, a patch must be
//! an object.

use crate::{Map, Value};

/// A merge patch that is no object: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("json: cannot unmarshal {0} into Go value of type map[string]interface {{}}")]
pub struct MergePatchError(&'static str);

/// Applies a merge patch: null removes, maps merge, everything else replaces.
///
/// # Errors
/// The patch is no object.
pub fn merge_patch(tree: &mut Map, patch: &Value) -> Result<(), MergePatchError> {
    let found = match patch {
        Value::Map(map) => {
            merge(tree, map);
            return Ok(());
        }
        Value::List(_) => "array",
        Value::Str(_) => "string",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Null => "null",
    };
    Err(MergePatchError(found))
}

fn merge(tree: &mut Map, patch: &Map) {
    for (key, value) in patch.iter() {
        if value.is_null() {
            tree.remove(key);
            continue;
        }
        match (tree.get_mut(key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => merge(old, new),
            (Some(old), new) => *old = pruned(new),
            (None, new) => tree.push(key.clone(), pruned(new)),
        }
    }
}

/// Without the nulls of its maps.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Map(map) => {
            let kept = map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), pruned(v)));
            Value::Map(kept.collect())
        }
        Value::List(list) => Value::List(list.iter().map(pruned).collect()),
        other => other.clone(),
    }
}
