//! Small moves on object trees, with Go's idea of "not set": absent, null and the zero value.

use schema::{Map, Value};

/// Absent or null: a nil pointer.
pub(crate) fn is_nil(map: &Map, key: &str) -> bool {
    map.get(key).is_none_or(Value::is_null)
}

/// Absent, null, empty or zero: the zero value of a plain field.
pub(crate) fn is_zero(map: &Map, key: &str) -> bool {
    match map.get(key) {
        None | Some(Value::Null) => true,
        Some(Value::Str(s)) => s.is_empty(),
        Some(Value::Int(i)) => *i == 0,
        Some(Value::Bool(b)) => !b,
        Some(Value::List(l)) => l.is_empty(),
        Some(Value::Map(m)) => m.is_empty(),
        Some(Value::Float(f)) => *f == 0.0,
    }
}

/// Sets a pointer field that is nil.
pub(crate) fn fill(map: &mut Map, key: &'static str, value: impl Into<Value>) {
    if is_nil(map, key) {
        map.insert(key, value);
    }
}

/// Sets a plain field that has its zero value.
pub(crate) fn fill_zero(map: &mut Map, key: &'static str, value: impl Into<Value>) {
    if is_zero(map, key) {
        map.insert(key, value);
    }
}

/// The string under a key, empty when absent.
pub(crate) fn text<'a>(map: &'a Map, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The integer under a key.
pub(crate) fn int(map: &Map, key: &str) -> Option<i64> {
    map.get(key).and_then(Value::as_int)
}

/// The boolean under a key, false when absent.
pub(crate) fn flag(map: &Map, key: &str) -> bool {
    map.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// The map under a key, to change.
pub(crate) fn map_mut<'a>(map: &'a mut Map, key: &str) -> Option<&'a mut Map> {
    map.get_mut(key)?.as_map_mut()
}

/// The map under a key.
pub(crate) fn map<'a>(map: &'a Map, key: &str) -> Option<&'a Map> {
    map.get(key)?.as_map()
}

/// The map at a path.
pub(crate) fn map_at<'a>(map: &'a Map, path: &[&str]) -> Option<&'a Map> {
    path.iter().try_fold(map, |m, key| m.get(key)?.as_map())
}

/// The map at a path, to change.
pub(crate) fn map_at_mut<'a>(map: &'a mut Map, path: &[&str]) -> Option<&'a mut Map> {
    path.iter().try_fold(map, |m, key| m.get_mut(key)?.as_map_mut())
}

/// The list under a key, empty when absent.
pub(crate) fn list<'a>(map: &'a Map, key: &str) -> &'a [Value] {
    map.get(key).and_then(Value::as_list).unwrap_or(&[])
}

/// The maps in the list under a key.
pub(crate) fn maps<'a>(map: &'a Map, key: &str) -> impl Iterator<Item = &'a Map> + Clone {
    list(map, key).iter().filter_map(Value::as_map)
}

/// The maps in the list under a key, to change.
pub(crate) fn maps_mut<'a>(map: &'a mut Map, key: &str) -> impl Iterator<Item = &'a mut Map> {
    let list = map.get_mut(key).and_then(Value::as_list_mut);
    list.into_iter().flatten().filter_map(Value::as_map_mut)
}

/// The strings in the list under a key.
pub(crate) fn texts<'a>(map: &'a Map, key: &str) -> impl Iterator<Item = &'a str> {
    list(map, key).iter().filter_map(Value::as_str)
}

/// Whether two optional values are equal when nil, absent and empty count as the same (Go's semantic equality).
pub(crate) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        // a new object is compared with itself, to learn whether its kind has a generation
        (Some(a), Some(b)) if std::ptr::eq(a, b) => true,
        (Some(Value::Map(a)), Some(Value::Map(b))) => same_map(a, b),
        (Some(Value::List(a)), Some(Value::List(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b)))
        }
        (a, b) if hollow(a) && hollow(b) => true,
        (Some(Value::Str(a)), Some(Value::Str(b))) => a == b || same_quantity(a, b),
        (a, b) => a == b,
    }
}

/// Amounts count, not spellings; only texts that start like numbers are tried.
fn same_quantity(a: &str, b: &str) -> bool {
    let number =
        |t: &str| t.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') && t.len() < 24;
    number(a)
        && number(b)
        && matches!((meta::Quantity::parse(a), meta::Quantity::parse(b)), (Ok(a), Ok(b)) if a == b)
}

fn same_map(a: &Map, b: &Map) -> bool {
    a.iter().all(|(k, v)| same(Some(v), b.get(k)))
        && b.iter().all(|(k, v)| a.contains_key(k) || hollow(Some(v)))
}

fn hollow(v: Option<&Value>) -> bool {
    match v {
        None | Some(Value::Null) => true,
        Some(Value::List(l)) => l.is_empty(),
        Some(Value::Map(m)) => m.iter().all(|(_, v)| hollow(Some(v))),
        Some(Value::Str(s)) => s.is_empty(),
        Some(Value::Bool(b)) => !b,
        _ => false,
    }
}

/// The tree as a JSON value.
pub(crate) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => (*i).into(),
        Value::Float(f) => (*f).into(),
        Value::Str(s) => s.as_str().into(),
        Value::List(l) => l.iter().map(json).collect(),
        Value::Map(m) => {
            m.iter().map(|(k, v)| (k.to_string(), json(v))).collect::<serde_json::Map<_, _>>().into()
        }
    }
}

/// A JSON value as a tree.
pub(crate) fn from_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => b.into(),
        serde_json::Value::Number(n) => {
            n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(0.0)), Value::Int)
        }
        serde_json::Value::String(s) => s.into(),
        serde_json::Value::Array(l) => Value::List(l.into_iter().map(from_json).collect()),
        serde_json::Value::Object(m) => {
            let mut map = Map::with_capacity(m.len());
            for (k, v) in m {
                map.push(k, from_json(v));
            }
            Value::Map(map)
        }
    }
}
