//! JSON patch and merge patch.
//!
//! # Upstream
//! RFC 6902 and RFC 7386 as `gopkg.in/evanphx/json-patch.v4` reads them

use schema::Value;

use super::PatchError;

/// The most operations a JSON patch may have.
const MAX_OPERATIONS: usize = 10_000;

/// Applies a merge patch: null removes, maps merge, everything else replaces.
pub fn merge_patch(tree: &mut Value, patch: &Value) {
    let Value::Map(patch) = patch else {
        *tree = patch.clone();
        return;
    };
    if !matches!(tree, Value::Map(_)) {
        *tree = Value::Map(schema::Map::new());
    }
    let Some(target) = tree.as_map_mut() else { return };
    for (key, value) in patch.iter() {
        if value.is_null() {
            target.remove(key);
        } else {
            merge_patch(target.get_or_insert_with(key.clone(), || Value::Null), value);
        }
    }
}

/// Applies a JSON patch.
///
/// # Errors
/// It is malformed, too long, or does not fit.
pub fn json_patch(tree: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let operations = patch
        .as_list()
        .ok_or_else(|| PatchError::Malformed("a JSON patch is a list of operations".into()))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    for operation in operations {
        let text = |key: &str| operation.at(&[key]).and_then(Value::as_str);
        let path = pointer(
            text("path").ok_or_else(|| PatchError::Malformed("an operation without a path".into()))?,
        )?;
        let value = || operation.at(&["value"]).cloned().unwrap_or_default();
        let from = || {
            let from =
                text("from").ok_or_else(|| PatchError::Malformed("an operation without from".into()))?;
            pointer(from)
        };
        match text("op").unwrap_or("") {
            "add" => add(tree, &path, value())?,
            "replace" => {
                remove(tree, &path)?;
                add(tree, &path, value())?;
            }
            "remove" => drop(remove(tree, &path)?),
            "move" => {
                let moved = remove(tree, &from()?)?;
                add(tree, &path, moved)?;
            }
            "copy" => {
                let copied = get(tree, &from()?)?.clone();
                add(tree, &path, copied)?;
            }
            "test" => {
                let found = get(tree, &path).cloned().unwrap_or_default();
                if found != value() {
                    return Err(PatchError::Failed(format!(
                        "testing value {} failed: test failed",
                        text("path").unwrap_or("")
                    )));
                }
            }
            other => return Err(PatchError::Malformed(format!("Unexpected kind: {other}"))),
        }
    }
    Ok(())
}

fn pointer(path: &str) -> Result<Vec<String>, PatchError> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let rest = path.strip_prefix('/').ok_or_else(|| PatchError::Malformed(format!("bad path {path:?}")))?;
    Ok(rest.split('/').map(|p| p.replace("~1", "/").replace("~0", "~")).collect())
}

fn missing(path: &[String]) -> PatchError {
    PatchError::Failed(format!(
        "the server rejected our request due to an error in our request: path /{} does not exist",
        path.join("/")
    ))
}

fn step<'a>(tree: &'a mut Value, part: &str) -> Option<&'a mut Value> {
    match tree {
        Value::Map(map) => map.get_mut(part),
        Value::List(list) => list.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    }
}

fn get<'a>(tree: &'a Value, path: &[String]) -> Result<&'a Value, PatchError> {
    let found = path.iter().try_fold(tree, |at, part| match at {
        Value::Map(map) => map.get(part),
        Value::List(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    });
    found.ok_or_else(|| missing(path))
}

fn parent<'a>(tree: &'a mut Value, path: &[String]) -> Result<(&'a mut Value, String), PatchError> {
    let (last, parents) = path.split_last().ok_or_else(|| missing(path))?;
    let mut at = tree;
    for part in parents {
        at = step(at, part).ok_or_else(|| missing(path))?;
    }
    Ok((at, last.clone()))
}

fn add(tree: &mut Value, path: &[String], value: Value) -> Result<(), PatchError> {
    if path.is_empty() {
        *tree = value;
        return Ok(());
    }
    let (parent, last) = parent(tree, path)?;
    match parent {
        Value::Map(map) => {
            map.insert(last, value);
            Ok(())
        }
        Value::List(list) => {
            let at =
                if last == "-" { list.len() } else { last.parse::<usize>().map_err(|_| missing(path))? };
            if at > list.len() {
                return Err(missing(path));
            }
            list.insert(at, value);
            Ok(())
        }
        _ => Err(missing(path)),
    }
}

fn remove(tree: &mut Value, path: &[String]) -> Result<Value, PatchError> {
    if path.is_empty() {
        return Ok(std::mem::take(tree));
    }
    let (parent, last) = parent(tree, path)?;
    let removed = match parent {
        Value::Map(map) => map.remove(&last),
        Value::List(list) => last.parse::<usize>().ok().filter(|i| *i < list.len()).map(|i| list.remove(i)),
        _ => None,
    };
    removed.ok_or_else(|| missing(path))
}
