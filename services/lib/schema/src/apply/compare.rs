//! What an object says, and in what two objects differ.
//!
//! # Upstream
//! `structured-merge-diff/v6/typed/{tofieldset,compare}.go`

use super::items::{Place, Shape, field_value};
use super::set::Set;
use crate::{Map, Schema, Ty, TypeId, Value};

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

/// What became of a value as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Added,
    Modified,
    Removed,
}

impl Comparison {
    /// Takes out a path and everything below it.
    pub(super) fn exclude(&mut self, path: &[&str]) {
        for set in [&mut self.added, &mut self.modified, &mut self.removed] {
            set.exclude(path);
        }
    }

    /// Takes in what was found of the value at a step and below it. Mostly nothing: then no step is spelled.
    fn put(&mut self, step: impl Fn() -> String, change: Option<Change>, below: Comparison) {
        let found = [
            (&mut self.added, Change::Added, below.added),
            (&mut self.modified, Change::Modified, below.modified),
            (&mut self.removed, Change::Removed, below.removed),
        ];
        for (set, kind, below) in found {
            let member = change == Some(kind);
            if member || !below.is_empty() {
                set.graft(step(), member, below);
            }
        }
    }
}

/// Compares two objects of a type.
pub fn compare(schema: &Schema, old: &Map, new: &Map) -> Comparison {
    let (ty, mut found) = (Ty::Struct(schema.id), Comparison::default());
    let place = Place::root(schema, &ty);
    if let Shape::Struct(id) = place.shape() {
        each_field(place, id, (Some(old), Some(new)), &mut found);
    }
    found
}

/// Says what became of a value, and adds to `below` what became of its parts.
fn differ(
    place: Place<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    below: &mut Comparison,
) -> Option<Change> {
    let maps = || (old.and_then(Value::as_map), new.and_then(Value::as_map));
    let fits = |is: fn(&Value) -> bool| old.is_none_or(is) && new.is_none_or(is);
    let map_like = || fits(|v| matches!(v, Value::Map(_) | Value::Null));
    let list_like = || fits(|v| matches!(v, Value::List(_) | Value::Null));
    match place.shape() {
        Shape::Struct(id) if map_like() => each_field(place, id, maps(), below),
        Shape::Map(inner) if map_like() => each_entry(place.of_item(inner), maps(), below),
        Shape::Deduced if map_like() => each_entry(place, maps(), below),
        Shape::Set | Shape::List(_) if list_like() => each_item(place, old, new, below),
        _ if old.is_some() && new.is_some() && old != new => return Some(Change::Modified),
        _ => {}
    }
    match (old, new) {
        (None, Some(_)) => Some(Change::Added),
        (Some(_), None) => Some(Change::Removed),
        _ => None,
    }
}

type Maps<'a> = (Option<&'a Map>, Option<&'a Map>);

fn each_field<'m>(place: Place<'_>, id: TypeId, (a, b): Maps<'m>, out: &mut Comparison) {
    for field in place.table.fields(id) {
        let value = |m: Option<&'m Map>| m.and_then(|m| field_value(field, m, true));
        let (x, y) = (value(a), value(b));
        if x.is_none() && y.is_none() {
            continue;
        }
        let mut below = Comparison::default();
        let change = differ(place.of_field(field), x, y, &mut below);
        out.put(|| step(&field.json), change, below);
    }
}

fn each_entry<'m>(place: Place<'_>, (a, b): Maps<'m>, out: &mut Comparison) {
    let entries = |m: Option<&'m Map>| m.into_iter().flat_map(Map::iter);
    let both = entries(a).map(|(name, x)| (name, Some(x), b.and_then(|m| m.get(name))));
    let only = entries(b).filter(|(name, _)| a.is_none_or(|a| !a.contains_key(name)));
    for (name, x, y) in both.chain(only.map(|(name, y)| (name, None, Some(y)))) {
        let mut below = Comparison::default();
        let change = differ(place, x, y, &mut below);
        out.put(|| step(name), change, below);
    }
}

fn each_item<'v>(place: Place<'_>, old: Option<&'v Value>, new: Option<&'v Value>, out: &mut Comparison) {
    let items = |v: Option<&'v Value>| v.and_then(Value::as_list).unwrap_or_default();
    let of_side =
        |items: &'v [Value], is_new: bool| items.iter().map(move |item| (place.step(item), is_new, item));
    let mut all: Vec<_> = of_side(items(old), false).chain(of_side(items(new), true)).collect();
    // of items that are told apart by the same, the first counts: the order among them stays
    all.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let inner = match place.shape() {
        Shape::List(inner) => place.of_item(inner),
        _ => place.of_item(&Ty::Str),
    };
    for same in all.chunk_by(|(a, ..), (b, ..)| a == b) {
        let first = |wanted| same.iter().find(|(_, is_new, _)| *is_new == wanted).map(|(.., item)| *item);
        let mut below = Comparison::default();
        let change = differ(inner, first(false), first(true), &mut below);
        out.put(|| same[0].0.clone(), change, below);
    }
}

/// The step to a field or to a map's entry.
fn step(name: &str) -> String {
    ["f:", name].concat()
}
