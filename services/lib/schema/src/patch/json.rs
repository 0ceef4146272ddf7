//! JSON patch: a list of operations, each on one place of the object.
//!
//! # Upstream
//! RFC 6902 as `gopkg.in/evanphx/json-patch.v4` reads it (`patch.go`), limits of
//! `k8s.io/apiserver/pkg/endpoints/handlers/patch.go`. Null and missing are one; indexes below zero count from the
//! end; `replace` sets a member that is not there.

use crate::json::encode_generic;
use crate::{Map, Value};

/// The most operations a patch may have.
const MAX_OPERATIONS: usize = 10_000;
/// The most bytes that copies may add.
const MAX_COPIED: usize = 3 * 1024 * 1024;
const MEMBERS: [&str; 4] = ["op", "path", "from", "value"];

/// Why a JSON patch is refused, with upstream's texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonPatchError {
    /// It is no JSON patch: 400.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// It has too many operations: 413.
    #[error("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {0}")]
    TooLong(usize),
    /// An operation does not fit the object: 422.
    #[error("{0}")]
    DoesNotApply(String),
}

/// Applies a JSON patch; gives what a strict server refuses and a lenient one warns about
/// (`json patch unknown field "[0].foo"`).
///
/// # Errors
/// It is malformed, too long, or an operation does not fit. `tree` is then half changed.
pub fn json_patch(tree: &mut Value, patch: &Value) -> Result<Vec<String>, JsonPatchError> {
    let operations = patch.as_list().ok_or_else(|| {
        malformed(format!(
            "cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
            json_name(patch)
        ))
    })?;
    let mut problems = Vec::new();
    for (i, operation) in operations.iter().enumerate() {
        check(i, operation, &mut problems)?;
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(JsonPatchError::TooLong(operations.len()));
    }
    let mut copied = 0;
    for operation in operations.iter() {
        run(tree, operation, &mut copied).map_err(JsonPatchError::DoesNotApply)?;
    }
    Ok(problems)
}

fn malformed(what: String) -> JsonPatchError {
    JsonPatchError::Malformed(format!("json: {what}"))
}

fn json_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::Str(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

fn check(i: usize, operation: &Value, problems: &mut Vec<String>) -> Result<(), JsonPatchError> {
    let members = match operation {
        Value::Map(members) => members,
        Value::Null => return Ok(()), // an empty operation to Go
        other => {
            let found = json_name(other);
            return Err(malformed(format!(
                "cannot unmarshal {found} into Go value of type handlers.jsonPatchOp"
            )));
        }
    };
    for (name, value) in members.iter() {
        if !MEMBERS.contains(&name.as_ref()) {
            problems.push(format!("json patch unknown field \"[{i}].{name}\""));
        } else if name != "value" && !matches!(value, Value::Str(_) | Value::Null) {
            let found = json_name(value);
            return Err(malformed(format!(
                "cannot unmarshal {found} into Go struct field jsonPatchOp.{name} of type string"
            )));
        }
    }
    Ok(())
}

fn run(tree: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let op = operation.at(&["op"]).and_then(Value::as_str).unwrap_or("unknown");
    match op {
        "add" => add(tree, operation),
        "remove" => remove(tree, operation),
        "replace" => replace(tree, operation),
        "move" => relocate(tree, operation),
        "test" => test(tree, operation),
        "copy" => copy(tree, operation, copied),
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn text<'a>(operation: &'a Value, member: &str) -> Option<&'a str> {
    operation.at(&[member]).and_then(Value::as_str)
}

fn value(operation: &Value) -> Value {
    operation.at(&["value"]).cloned().unwrap_or_default()
}

fn add(tree: &mut Value, operation: &Value) -> Result<(), String> {
    let path = text(operation, "path").ok_or("add operation failed to decode path: missing value")?;
    let (parent, key) = find(tree, path).ok_or_else(|| {
        format!("add operation does not apply: doc is missing path: \"{path}\": missing value")
    })?;
    insert(parent, key, value(operation)).map_err(|e| format!("error in add for path: '{path}': {e}"))
}

fn remove(tree: &mut Value, operation: &Value) -> Result<(), String> {
    let path = text(operation, "path").ok_or("remove operation failed to decode path: missing value")?;
    let (parent, key) = find(tree, path).ok_or_else(|| {
        format!("remove operation does not apply: doc is missing path: \"{path}\": missing value")
    })?;
    take(parent, &key).map(drop).map_err(|e| format!("error in remove for path: '{path}': {e}"))
}

fn replace(tree: &mut Value, operation: &Value) -> Result<(), String> {
    let path = text(operation, "path")
        .ok_or("replace operation failed to decode path: operation missing path field: missing value")?;
    if path.is_empty() {
        *tree = match value(operation) {
            new @ (Value::Map(_) | Value::List(_)) => new,
            _ => return Err("replace operation value must be object or array: %!w(<nil>)".to_owned()),
        };
        return Ok(());
    }
    let (parent, key) = find(tree, path).ok_or_else(|| {
        format!("replace operation does not apply: doc is missing path: {path}: missing value")
    })?;
    match parent {
        Value::List(list) => {
            let at = index(&key, list.len()).map_err(|_| {
                format!("replace operation does not apply: doc is missing key: {path}: missing value")
            })?;
            list[at] = value(operation);
        }
        _ => insert(parent, key, value(operation))?,
    }
    Ok(())
}

fn relocate(tree: &mut Value, operation: &Value) -> Result<(), String> {
    let from = text(operation, "from")
        .ok_or("move operation failed to decode from: operation, missing from field: missing value")?;
    let (parent, key) = find(tree, from).ok_or_else(|| {
        format!("move operation does not apply: doc is missing from path: {from}: missing value")
    })?;
    let moved = take(parent, &key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
    let path = text(operation, "path")
        .ok_or("move operation failed to decode path: operation missing path field: missing value")?;
    let (parent, key) = find(tree, path).ok_or_else(|| {
        format!("move operation does not apply: doc is missing destination path: {path}: missing value")
    })?;
    insert(parent, key, moved).map_err(|e| format!("error in move for path: '{path}': {e}"))
}

fn test(tree: &mut Value, operation: &Value) -> Result<(), String> {
    let path = text(operation, "path")
        .ok_or("test operation failed to decode path: operation missing path field: missing value")?;
    let wanted = value(operation);
    let found = if path.is_empty() {
        Some(&*tree)
    } else {
        let (parent, key) = find(tree, path).ok_or_else(|| {
            format!("test operation does not apply: is missing path: {path}: missing value")
        })?;
        child(parent, &key).map_err(|e| format!("error in test for path: '{path}': {e}"))?
    };
    match equal(found.unwrap_or(&Value::Null), &wanted) {
        true => Ok(()),
        false => Err(format!("testing value {path} failed: test failed")),
    }
}

fn copy(tree: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let from = text(operation, "from")
        .ok_or("copy operation failed to decode from: operation, missing from field: missing value")?;
    let (parent, key) = find(tree, from).ok_or_else(|| {
        format!("copy operation does not apply: doc is missing from path: {from}: missing value")
    })?;
    let found = child(parent, &key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?;
    let value = found.cloned().unwrap_or_default();
    let path = text(operation, "path").ok_or("copy operation failed to decode path: missing value")?;
    let (parent, key) = find(tree, path).ok_or_else(|| {
        format!("copy operation does not apply: doc is missing destination path: {path}: missing value")
    })?;
    if !value.is_null() {
        let mut bytes = Vec::new();
        encode_generic(&value, &mut bytes);
        *copied += bytes.len();
    }
    if *copied > MAX_COPIED {
        return Err(format!(
            "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}"
        ));
    }
    insert(parent, key, value).map_err(|e| format!("error while adding value during copy: {e}"))
}

/// The map or list a path ends in, and the last part.
fn find<'a>(tree: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let unescape = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let mut parts: Vec<String> = path.split('/').skip(1).map(unescape).collect();
    let last = parts.pop()?;
    let mut at = tree;
    for part in &parts {
        at = match at {
            Value::Map(map) => map.get_mut(part)?,
            Value::List(list) => {
                let i = index(part, list.len()).ok()?;
                &mut list[i]
            }
            _ => return None,
        };
    }
    matches!(at, Value::Map(_) | Value::List(_)).then_some((at, last))
}

fn child<'a>(parent: &'a Value, key: &str) -> Result<Option<&'a Value>, String> {
    match parent {
        Value::Map(map) => Ok(map.get(key)),
        Value::List(list) => index(key, list.len()).map(|i| list.get(i)),
        _ => Ok(None),
    }
}

fn insert(parent: &mut Value, key: String, value: Value) -> Result<(), String> {
    match parent {
        Value::List(list) if key == "-" => list.push(value),
        Value::List(list) => {
            let number =
                number(&key).map_err(|e| format!("value was not a proper array index: '{key}': {e}"))?;
            let at = within(number, list.len() + 1)?; // the end is a place to add at
            list.insert(at, value);
        }
        Value::Map(map) => drop(map.insert(key, value)),
        _ => {}
    }
    Ok(())
}

fn take(parent: &mut Value, key: &str) -> Result<Value, String> {
    match parent {
        Value::List(list) => index(key, list.len()).map(|at| list.remove(at)),
        Value::Map(map) => {
            map.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value"))
        }
        _ => Ok(Value::Null),
    }
}

fn index(key: &str, len: usize) -> Result<usize, String> {
    within(number(key)?, len)
}

fn number(key: &str) -> Result<i64, String> {
    key.parse::<i64>().map_err(|e| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why = if matches!(e.kind(), PosOverflow | NegOverflow) {
            "value out of range"
        } else {
            "invalid syntax"
        };
        format!("strconv.Atoi: parsing {key:?}: {why}")
    })
}

fn within(number: i64, len: usize) -> Result<usize, String> {
    let from_end = if number < 0 { number + len as i64 } else { number };
    let at = usize::try_from(from_end).ok().filter(|at| *at < len);
    at.ok_or_else(|| format!("Unable to access invalid index: {number}: invalid index referenced"))
}

/// Equal as JSON: the order of members means nothing.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Map(a), Value::Map(b)) => {
            let same =
                |(key, value): (&crate::Key, &Value)| b.get(key).is_some_and(|other| equal(value, other));
            a.len() == b.len() && Map::iter(a).all(same)
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        _ => a == b,
    }
}
