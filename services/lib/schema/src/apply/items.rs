//! How the parts of a value belong together, and how a list's items are told apart.

use std::borrow::Cow;

use crate::json::{encode_generic, push_string};
use crate::{Field, Map, Schema, Table, Topology, Ty, TypeId, Value};

/// What a value is to ownership.
pub(super) enum Shape<'a> {
    /// One whole: scalars and everything atomic.
    Leaf,
    /// Fields of a struct.
    Struct(TypeId),
    /// Entries of a map.
    Map(&'a Ty),
    /// Items told apart by their value.
    Set,
    /// Items told apart by keys.
    List(&'a Ty),
    /// Nobody described it: maps by entry, lists whole.
    Deduced,
}

/// A value's place: what it holds and, for a list, by what its items are told apart.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) table: &'a Table,
    pub(super) ty: &'a Ty,
    pub(super) field: Option<&'a Field>,
}

impl<'a> Place<'a> {
    pub(super) fn root(schema: &'a Schema, ty: &'a Ty) -> Self {
        Self { table: &schema.table, ty, field: None }
    }

    pub(super) fn shape(&self) -> Shape<'a> {
        let topology = self.field.map_or(Topology::Default, |f| f.topology);
        match self.ty {
            Ty::Struct(id)
                if topology != Topology::Atomic && self.table.get(*id).topology != Topology::Atomic =>
            {
                Shape::Struct(*id)
            }
            Ty::Map(inner) if topology != Topology::Atomic => Shape::Map(inner),
            Ty::List(_) if topology == Topology::Set => Shape::Set,
            Ty::List(inner) if topology == Topology::Map => Shape::List(inner),
            // what stands in a raw extension has one owner, as upstream reads its OpenAPI
            Ty::Json if topology != Topology::Atomic => Shape::Deduced,
            _ => Shape::Leaf,
        }
    }

    /// The place of a struct's field.
    pub(super) fn of_field(&self, field: &'a Field) -> Self {
        Self { table: self.table, ty: field.ty(), field: Some(field) }
    }

    /// The place of a list's items or a map's values.
    pub(super) fn of_item(&self, ty: &'a Ty) -> Self {
        Self { table: self.table, ty, field: None }
    }

    /// The step to a list's item: `v:…` in a set, `k:{…}` in a map list. Keys that are missing and have a default
    /// count with it.
    pub(super) fn step(&self, item: &Value) -> String {
        let keys = self.field.map_or(&[][..], |f| &f.keys);
        if keys.is_empty() {
            return format!("v:{}", text(item));
        }
        let inner = match self.ty {
            Ty::List(inner) => match inner.as_ref() {
                Ty::Struct(id) => Some(*id),
                _ => None,
            },
            _ => None,
        };
        let mut parts: Vec<(&str, Cow<'_, Value>)> = Vec::with_capacity(keys.len());
        for key in keys {
            let given = item.as_map().and_then(|m| m.get(key)).filter(|v| !v.is_null()).map(Cow::Borrowed);
            let value = given.or_else(|| default(self.table, inner?, key).map(Cow::Owned));
            parts.extend(value.map(|value| (key.as_ref(), value)));
        }
        parts.sort_by_key(|(key, _)| *key);
        keyed(&parts)
    }
}

/// `k:` and the object of an item's keys, which are in order.
fn keyed(parts: &[(&str, Cow<'_, Value>)]) -> String {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(b"k:{");
    for (i, (key, value)) in parts.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(&mut out, key);
        out.push(b':');
        encode_generic(value, &mut out);
    }
    out.push(b'}');
    String::from_utf8(out).unwrap_or_default() // JSON is UTF-8
}

fn default(table: &Table, id: TypeId, key: &str) -> Option<Value> {
    let json = table.field(id, key)?.default.as_ref()?;
    crate::json::generic(json.as_bytes()).ok().map(|(value, _)| value) // the table's own text
}

fn text(value: &Value) -> String {
    let mut out = Vec::new();
    encode_generic(value, &mut out);
    String::from_utf8(out).unwrap_or_default() // JSON is UTF-8
}

/// A struct field's value. With `filled`, what Go always writes is there even when nobody set it: a value struct as
/// empty, a list or map that is not left out as null.
pub(super) fn field_value<'v>(field: &Field, map: &'v Map, filled: bool) -> Option<&'v Value> {
    static EMPTY: Value = Value::Map(Map::new());
    static NULL: Value = Value::Null;
    let found = map.get(&field.json).filter(|v| !v.is_null());
    if found.is_some() || !filled || field.pointer || field.omit_zero {
        return found;
    }
    match field.ty() {
        Ty::Struct(_) => Some(&EMPTY),
        Ty::List(_) | Ty::Map(_) if !field.omit_empty => Some(&NULL),
        _ => None,
    }
}
