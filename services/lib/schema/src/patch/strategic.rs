//! Strategic merge patch.
//!
//! Maps merge and null removes, as in a merge patch; lists follow their field's patch strategy: those with a merge
//! key merge item by item, lists of scalars with strategy `merge` become unions, all others are replaced. Directives
//! (`$patch`, `$retainKeys`, `$setElementOrder/x`, `$deleteFromPrimitiveList/x`) say the rest.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/util/strategicpatch/patch.go`

use crate::{Field, Map, Schema, Ty, TypeId, Value};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// Why a patch does not fit, with upstream's texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategicError {
    /// A `$patch` directive that is none.
    #[error("unknown patch type: {0}")]
    UnknownDirective(String),
    /// An item lacks its list's merge key.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item.
        item: String,
        /// The key.
        key: String,
    },
    /// Something has another type than its directive needs.
    #[error("invalid patch format of {0}")]
    Format(&'static str),
    /// A list is patched by something that is no list, or the other way round.
    #[error("cannot restore slice from {0}")]
    Mismatch(String),
}

/// Applies a strategic merge patch.
///
/// # Errors
/// A directive is malformed or an item cannot be told apart.
pub fn strategic(schema: &Schema, original: &Map, patch: &Map) -> Result<Map, StrategicError> {
    let merged = merge_map(schema, Some(schema.id), original.clone(), patch)?;
    Ok(merged.unwrap_or_default())
}

/// Merges; `None` when the patch says to delete the map.
fn merge_map(
    schema: &Schema,
    id: Option<TypeId>,
    mut original: Map,
    patch: &Map,
) -> Result<Option<Map>, StrategicError> {
    match patch.get(PATCH).and_then(Value::as_str) {
        Some("replace") => {
            let mut replaced = patch.clone();
            replaced.remove(PATCH);
            return Ok(Some(clean(replaced)));
        }
        Some("delete") => return Ok(None),
        Some("merge") | None => {}
        Some(other) => return Err(StrategicError::UnknownDirective(other.to_owned())),
    }
    retain_keys(&mut original, patch)?;
    for (name, value) in patch.iter() {
        if name == PATCH || name == RETAIN_KEYS || name.starts_with(SET_ORDER) {
            continue;
        }
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_from(&mut original, list, value)?;
            continue;
        }
        if value.is_null() {
            original.remove(name);
            continue;
        }
        let field = id.and_then(|id| schema.table.field(id, name));
        let old = original.remove(name);
        let merged = merge_value(schema, field, old, value)?;
        if let Some(merged) = merged {
            original.insert(name.clone(), merged);
        }
    }
    for (name, order) in patch.iter() {
        if let Some(list) = name.strip_prefix(SET_ORDER) {
            let field = id.and_then(|id| schema.table.field(id, list));
            set_order(&mut original, list, field, order)?;
        }
    }
    Ok(Some(original))
}

fn merge_value(
    schema: &Schema,
    field: Option<&Field>,
    old: Option<Value>,
    value: &Value,
) -> Result<Option<Value>, StrategicError> {
    let strategy = |name: &str| field.is_some_and(|f| f.patch_strategy.iter().any(|s| s == name));
    Ok(match (old, value) {
        (Some(Value::Map(old)), Value::Map(patch)) if !strategy("replace") => {
            merge_map(schema, struct_of(field), old, patch)?.map(Value::Map)
        }
        (_, Value::Map(patch)) => merge_map(schema, struct_of(field), Map::new(), patch)?.map(Value::Map),
        (Some(Value::List(old)), Value::List(patch)) if strategy("merge") => {
            Some(Value::List(merge_list(schema, field, old, patch)?))
        }
        (None, Value::List(patch)) if strategy("merge") => {
            Some(Value::List(merge_list(schema, field, Vec::new(), patch)?))
        }
        (_, Value::List(patch)) => Some(Value::List(replace_list(patch))),
        (_, value) => Some(value.clone()),
    })
}

fn struct_of(field: Option<&Field>) -> Option<TypeId> {
    fn id(ty: &Ty) -> Option<TypeId> {
        match ty {
            Ty::Struct(id) => Some(*id),
            Ty::List(inner) | Ty::Map(inner) => id(inner),
            _ => None,
        }
    }
    field.and_then(|f| id(f.ty()))
}

/// `$retainKeys`: what it does not name goes.
fn retain_keys(original: &mut Map, patch: &Map) -> Result<(), StrategicError> {
    let Some(keys) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let keys = keys.as_list().ok_or(StrategicError::Format(RETAIN_KEYS))?;
    original.retain(|name, _| keys.iter().any(|k| k.as_str() == Some(name)));
    Ok(())
}

fn delete_from(original: &mut Map, list: &str, gone: &Value) -> Result<(), StrategicError> {
    let gone = gone.as_list().ok_or(StrategicError::Format("$deleteFromPrimitiveList"))?;
    if let Some(items) = original.get_mut(list).and_then(Value::as_list_mut) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

/// A patch's nulls and directives mean nothing in what it brings new.
fn clean(map: Map) -> Map {
    let kept = |(k, v): (crate::Key, Value)| {
        let directive = k.starts_with('$');
        (!directive && !v.is_null()).then(|| (k, clean_value(v)))
    };
    map.into_iter().filter_map(kept).collect()
}

fn clean_value(value: Value) -> Value {
    match value {
        Value::Map(map) => Value::Map(clean(map)),
        Value::List(items) => Value::List(items.into_iter().map(clean_value).collect()),
        other => other,
    }
}

fn replace_list(patch: &[Value]) -> Vec<Value> {
    let directive = |v: &Value| v.at(&[PATCH]).is_some();
    patch.iter().filter(|v| !directive(v)).map(|v| clean_value(v.clone())).collect()
}

fn merge_list(
    schema: &Schema,
    field: Option<&Field>,
    mut items: Vec<Value>,
    patch: &[Value],
) -> Result<Vec<Value>, StrategicError> {
    let key = field.map_or("", |f| f.merge_key.as_ref());
    if key.is_empty() {
        let before = items.clone();
        for value in patch {
            if !items.contains(value) {
                items.push(value.clone());
            }
        }
        return Ok(in_order(items, &before, patch, |value| Some(value)));
    }
    if patch.iter().any(|v| v.at(&[PATCH]).and_then(Value::as_str) == Some("replace")) {
        return Ok(replace_list(patch));
    }
    let id = struct_of(field);
    let before = items.clone();
    for value in patch {
        let Value::Map(map) = value else { return Err(StrategicError::Mismatch(key.to_owned())) };
        let wanted = map.get(key).ok_or_else(|| no_key(map, key))?;
        let at = items.iter().position(|item| item.at(&[key]) == Some(wanted));
        match map.get(PATCH).and_then(Value::as_str) {
            Some("delete") => items.retain(|item| item.at(&[key]) != Some(wanted)),
            Some("merge") | None => {
                let old = at.and_then(|at| items[at].as_map().cloned()).unwrap_or_default();
                let merged = Value::Map(merge_map(schema, id, old, map)?.unwrap_or_default());
                match at {
                    Some(at) => items[at] = merged,
                    None => items.push(merged),
                }
            }
            Some(other) => return Err(StrategicError::UnknownDirective(other.to_owned())),
        }
    }
    Ok(in_order(items, &before, patch, |item| item.at(&[key])))
}

/// The merged items in upstream's order: those of the patch as the patch has them; the others come before the first
/// one of the patch that they stood before, or else last.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/util/strategicpatch/patch.go` `normalizeElementOrder`, `mergeSortedSlice`
fn in_order(
    items: Vec<Value>,
    before: &[Value],
    patch: &[Value],
    id: impl Fn(&Value) -> Option<&Value>,
) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| id(other) == id(item));
    let (mut patched, others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| place(patch, item).is_some());
    patched.sort_by_key(|item| place(patch, item));
    let mut merged = Vec::with_capacity(patched.len() + others.len());
    let (mut patched, mut others) = (patched.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(one), Some(other)) = (patched.peek(), others.peek()) {
        let first = match (place(before, other), place(before, one)) {
            (Some(other), Some(one)) => other < one,
            _ => false,
        };
        merged.extend(if first { others.next() } else { patched.next() });
    }
    merged.extend(patched);
    merged.extend(others);
    merged
}

fn no_key(map: &Map, key: &str) -> StrategicError {
    let mut text = Vec::new();
    crate::json::encode_generic(&Value::Map(map.clone()), &mut text);
    StrategicError::NoMergeKey { item: String::from_utf8_lossy(&text).into_owned(), key: key.to_owned() }
}

/// `$setElementOrder/x`: items it names stand in its order; the others keep their place before the next named one.
fn set_order(
    original: &mut Map,
    list: &str,
    field: Option<&Field>,
    order: &Value,
) -> Result<(), StrategicError> {
    let order = order.as_list().ok_or(StrategicError::Format("$setElementOrder"))?;
    let key = field.map_or("", |f| f.merge_key.as_ref()).to_owned();
    let Some(items) = original.get_mut(list).and_then(Value::as_list_mut) else { return Ok(()) };
    let id = |v: &Value| if key.is_empty() { Some(v.clone()) } else { v.at(&[&key]).cloned() };
    let rank = |v: &Value| order.iter().position(|o| id(o) == id(v) && id(v).is_some());
    let mut named: Vec<Value> = items.iter().filter(|v| rank(v).is_some()).cloned().collect();
    named.sort_by_key(|v| rank(v));
    let mut named = named.into_iter();
    // the places of named items are filled in the asked order; unnamed items stay where they are
    for slot in items.iter_mut().filter(|v| rank(v).is_some()) {
        if let Some(next) = named.next() {
            *slot = next;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use meta::GroupVersionKind;

    use super::*;
    use crate::json;

    fn check(original: &str, patch: &str, expected: &str) {
        let schema = Schema::builtin(&GroupVersionKind::new("", "v1", "Pod")).unwrap();
        let read = |text: &str| json::generic(text.as_bytes()).unwrap().0.as_map().unwrap().clone();
        let merged = strategic(&schema, &read(original), &read(patch)).unwrap();
        let mut out = Vec::new();
        json::encode_generic(&Value::Map(merged), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn lists_follow_their_strategy() {
        let pod =
            r#"{"spec":{"containers":[{"name":"a","image":"1","args":["x"]},{"name":"b","image":"1"}]}}"#;
        check(
            pod,
            r#"{"spec":{"containers":[{"name":"b","image":"2"},{"name":"c","image":"3"}]}}"#,
            r#"{"spec":{"containers":[{"args":["x"],"image":"1","name":"a"},{"image":"2","name":"b"},{"image":"3","name":"c"}]}}"#,
        );
        check(
            pod,
            r#"{"spec":{"containers":[{"name":"n"}]}}"#,
            r#"{"spec":{"containers":[{"name":"n"},{"args":["x"],"image":"1","name":"a"},{"image":"1","name":"b"}]}}"#,
        );
        check(
            pod,
            r#"{"spec":{"containers":[{"name":"a","args":["y"]},{"name":"b","$patch":"delete"}]}}"#,
            r#"{"spec":{"containers":[{"args":["y"],"image":"1","name":"a"}]}}"#,
        );
        check(
            pod,
            r#"{"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}]}}"#,
            r#"{"spec":{"containers":[{"image":"1","name":"b"},{"args":["x"],"image":"1","name":"a"}]}}"#,
        );
        check(
            pod,
            r#"{"spec":{"containers":[{"$patch":"replace"},{"name":"z"}]}}"#,
            r#"{"spec":{"containers":[{"name":"z"}]}}"#,
        );
    }

    #[test]
    fn maps_merge_and_null_removes() {
        check(
            r#"{"metadata":{"labels":{"a":"1","b":"2"},"finalizers":["x","y"]}}"#,
            r#"{"metadata":{"labels":{"a":null,"c":"3"},"$deleteFromPrimitiveList/finalizers":["x"],"finalizers":["z"]}}"#,
            r#"{"metadata":{"finalizers":["z","y"],"labels":{"b":"2","c":"3"}}}"#,
        );
        check(
            r#"{"spec":{"volumes":[{"name":"v","emptyDir":{}}]}}"#,
            r#"{"spec":{"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/x"}}]}}"#,
            r#"{"spec":{"volumes":[{"hostPath":{"path":"/x"},"name":"v"}]}}"#,
        );
    }
}
