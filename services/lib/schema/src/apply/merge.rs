//! Merging an applied object into a live one, and taking paths out of an object.
//!
//! # Upstream
//! `structured-merge-diff/v6/typed/{merge,remove}.go`

use std::collections::HashSet;

use super::items::{Place, Shape};
use super::set::Set;
use crate::{Map, Schema, Ty, Value};

/// The live object with everything the applied one says.
pub fn merge(schema: &Schema, live: &Map, applied: &Map) -> Map {
    let ty = Ty::Struct(schema.id);
    let merged = one(Place::root(schema, &ty), Some(&Value::Map(live.clone())), &Value::Map(applied.clone()));
    match merged {
        Value::Map(map) => map,
        _ => Map::new(),
    }
}

fn one(place: Place<'_>, live: Option<&Value>, applied: &Value) -> Value {
    let live_map = live.and_then(Value::as_map);
    match (place.shape(), applied) {
        (Shape::Struct(id), Value::Map(map)) => {
            let mut merged = live_map.cloned().unwrap_or_default();
            for (name, value) in map.iter() {
                let merged_value = match place.table.field(id, name) {
                    Some(field) => one(place.of_field(field), live_map.and_then(|m| m.get(name)), value),
                    None => value.clone(),
                };
                merged.insert(name.clone(), merged_value);
            }
            Value::Map(merged)
        }
        (Shape::Map(inner), Value::Map(map)) => entries(place.of_item(inner), live_map, map),
        (Shape::Deduced, Value::Map(map)) => entries(place, live_map, map),
        (Shape::Set | Shape::List(_), Value::List(items)) => {
            Value::List(list(place, live.and_then(Value::as_list).unwrap_or_default(), items))
        }
        _ => applied.clone(),
    }
}

fn entries(place: Place<'_>, live: Option<&Map>, applied: &Map) -> Value {
    let mut merged = live.cloned().unwrap_or_default();
    for (name, value) in applied.iter() {
        merged.insert(name.clone(), one(place, live.and_then(|m| m.get(name)), value));
    }
    merged.sort_keys();
    Value::Map(merged)
}

/// Applied items in their order, live ones where they stood between them.
fn list(place: Place<'_>, live: &[Value], applied: &[Value]) -> Vec<Value> {
    let inner = match place.shape() {
        Shape::List(inner) => place.of_item(inner),
        _ => place.of_item(&Ty::Str),
    };
    let live: Vec<(String, &Value)> = live.iter().map(|i| (place.step(i), i)).collect();
    let applied: Vec<(String, &Value)> = applied.iter().map(|i| (place.step(i), i)).collect();
    let shared: HashSet<&str> = applied.iter().map(|(s, _)| s.as_str()).collect();
    let mut merged = Vec::with_capacity(live.len() + applied.len());
    let mut rest = live.iter().peekable();
    for (step, item) in &applied {
        // live items that nobody applied keep their place before the next shared one
        while let Some((_, own)) = rest.next_if(|(s, _)| !shared.contains(s.as_str())) {
            merged.push((*own).clone());
        }
        if rest.peek().is_some_and(|(s, _)| s == step) {
            rest.next();
        }
        let of_live = live.iter().find(|(s, _)| s == step).map(|(_, v)| *v);
        merged.push(one(inner, of_live, item));
    }
    merged.extend(rest.filter(|(s, _)| !shared.contains(s.as_str())).map(|(_, v)| (*v).clone()));
    merged
}

/// The object without the values at some paths.
pub fn remove(schema: &Schema, object: &mut Map, paths: &Set) {
    let ty = Ty::Struct(schema.id);
    let mut root = Value::Map(std::mem::take(object));
    cut(Place::root(schema, &ty), &mut root, paths);
    if let Value::Map(map) = root {
        *object = map;
    }
}

fn cut(place: Place<'_>, value: &mut Value, paths: &Set) {
    match (place.shape(), value) {
        (Shape::Struct(id), Value::Map(map)) => {
            for (step, member, below) in paths.steps() {
                let name = step.strip_prefix("f:").unwrap_or(step);
                if member {
                    map.remove(name);
                } else if let (Some(field), Some(inner)) = (place.table.field(id, name), map.get_mut(name)) {
                    cut(place.of_field(field), inner, below);
                }
            }
        }
        (Shape::Map(inner), Value::Map(map)) => cut_entries(place.of_item(inner), map, paths),
        (Shape::Deduced, Value::Map(map)) => cut_entries(place, map, paths),
        (Shape::Set | Shape::List(_), Value::List(items)) => {
            items.retain(|item| !paths.below(&place.step(item)).is_some_and(|(member, _)| member));
            if let Shape::List(inner) = place.shape() {
                for item in items {
                    if let Some((_, below)) = paths.below(&place.step(item)) {
                        cut(place.of_item(inner), item, below);
                    }
                }
            }
        }
        _ => {}
    }
}

fn cut_entries(place: Place<'_>, map: &mut Map, paths: &Set) {
    for (step, member, below) in paths.steps() {
        let name = step.strip_prefix("f:").unwrap_or(step);
        if member {
            map.remove(name);
        } else if let Some(inner) = map.get_mut(name) {
            cut(place, inner, below);
        }
    }
}
