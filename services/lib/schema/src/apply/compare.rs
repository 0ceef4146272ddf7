//! What an object says, and in what two objects differ.
//!
//! # Upstream
//! `structured-merge-diff/v6/typed/{tofieldset,compare}.go`

use super::items::{Place, Shape, field_value};
use super::set::Set;
use crate::{Map, Schema, Ty, Value};

/// The paths an object says something at.
pub fn owned(schema: &Schema, object: &Map) -> Set {
    let (ty, mut set) = (Ty::Struct(schema.id), Set::default());
    say(Place::root(schema, &ty), &Value::Map(object.clone()), &mut Vec::new(), &mut set);
    set
}

fn say(place: Place<'_>, value: &Value, path: &mut Vec<String>, set: &mut Set) {
    let hollow = |v: &Value| v.is_null() || v.as_map().is_some_and(Map::is_empty);
    match (place.shape(), value) {
        (Shape::Struct(id), Value::Map(map)) => {
            for (name, value) in map.iter() {
                let Some(field) = place.table.field(id, name) else { continue };
                path.push(format!("f:{name}"));
                say(place.of_field(field), value, path, set);
                if hollow(value) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        (Shape::Map(inner), Value::Map(map)) => entries(place.of_item(inner), map, path, set),
        (Shape::Deduced, Value::Map(map)) => entries(place, map, path, set),
        (Shape::Set, Value::List(items)) => {
            for item in items {
                path.push(place.step(item));
                set.insert(path);
                path.pop();
            }
        }
        (Shape::List(inner), Value::List(items)) => {
            for item in items {
                path.push(place.step(item));
                set.insert(path);
                say(place.of_item(inner), item, path, set);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
}

fn entries(place: Place<'_>, map: &Map, path: &mut Vec<String>, set: &mut Set) {
    for (name, value) in map.iter() {
        path.push(format!("f:{name}"));
        set.insert(path);
        if !value.as_map().is_some_and(Map::is_empty) {
            say(place, value, path, set);
        }
        path.pop();
    }
}

/// In what two objects differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the new one.
    pub added: Set,
    /// In both, with other values.
    pub modified: Set,
    /// Only in the old one.
    pub removed: Set,
}

/// Compares two objects of a type.
pub fn compare(schema: &Schema, old: &Map, new: &Map) -> Comparison {
    let (ty, mut found) = (Ty::Struct(schema.id), Comparison::default());
    let (old, new) = (Value::Map(old.clone()), Value::Map(new.clone()));
    differ(Place::root(schema, &ty), Some(&old), Some(&new), &mut Vec::new(), &mut found);
    found
}

fn differ(
    place: Place<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<String>,
    out: &mut Comparison,
) {
    if old.is_none() && new.is_none() {
        return;
    }
    let maps = || (old.and_then(Value::as_map), new.and_then(Value::as_map));
    let fits = |is: fn(&Value) -> bool| old.is_none_or(is) && new.is_none_or(is);
    let map_like = fits(|v| matches!(v, Value::Map(_) | Value::Null));
    let list_like = fits(|v| matches!(v, Value::List(_) | Value::Null));
    match place.shape() {
        Shape::Struct(id) if map_like => {
            let (a, b) = maps();
            for field in place.table.fields(id) {
                let value = |m: Option<&'_ Map>| m.and_then(|m| field_value(field, m, true)).cloned();
                let (x, y) = (value(a), value(b));
                path.push(format!("f:{}", field.json));
                differ(place.of_field(field), x.as_ref(), y.as_ref(), path, out);
                path.pop();
            }
        }
        Shape::Map(inner) if map_like => each_entry(place.of_item(inner), maps(), path, out),
        Shape::Deduced if map_like => each_entry(place, maps(), path, out),
        Shape::Set | Shape::List(_) if list_like => each_item(place, old, new, path, out),
        _ => {
            match (old, new) {
                (None, _) => out.added.insert(path),
                (_, None) => out.removed.insert(path),
                (Some(a), Some(b)) if a != b => out.modified.insert(path),
                _ => {}
            }
            return;
        }
    }
    if old.is_none() {
        out.added.insert(path);
    } else if new.is_none() {
        out.removed.insert(path);
    }
}

fn each_entry(
    place: Place<'_>,
    maps: (Option<&Map>, Option<&Map>),
    path: &mut Vec<String>,
    out: &mut Comparison,
) {
    let (a, b) = maps;
    let keys =
        |m: Option<&Map>| m.map(|m| m.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>()).unwrap_or_default();
    let mut names = keys(a);
    names.extend(keys(b).into_iter().filter(|k| a.is_none_or(|a| !a.contains_key(k))));
    for name in names {
        path.push(format!("f:{name}"));
        differ(place, a.and_then(|m| m.get(&name)), b.and_then(|m| m.get(&name)), path, out);
        path.pop();
    }
}

fn each_item(
    place: Place<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    path: &mut Vec<String>,
    out: &mut Comparison,
) {
    let steps = |v: Option<&Value>| -> Vec<(String, Value)> {
        let items = v.and_then(Value::as_list).unwrap_or_default();
        items.iter().map(|i| (place.step(i), i.clone())).collect()
    };
    let (a, b) = (steps(old), steps(new));
    let find =
        |list: &[(String, Value)], step: &str| list.iter().find(|(s, _)| s == step).map(|(_, v)| v.clone());
    let inner = match place.shape() {
        Shape::List(inner) => place.of_item(inner),
        _ => place.of_item(&Ty::Str),
    };
    let mut seen = std::collections::HashSet::new();
    for step in a.iter().chain(&b).map(|(s, _)| s).filter(|s| seen.insert((*s).clone())) {
        path.push(step.clone());
        differ(inner, find(&a, step).as_ref(), find(&b, step).as_ref(), path, out);
        path.pop();
    }
}
