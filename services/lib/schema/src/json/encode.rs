//! From the tree to JSON: struct order, omitted fields and zero values as Go's encoder has them.

use crate::json::text::{push_float, push_string};
use crate::{Field, Key, Map, Schema, Table, Ty, TypeId, Value};

/// Appends an object as Go would write it. Fields the table does not know are not written.
pub fn encode(schema: &Schema, object: &Map, out: &mut Vec<u8>) {
    structure(&schema.table, schema.id, object, out);
}

/// Appends a tree without a schema: keys sorted, as Go writes maps.
pub fn encode_generic(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(i) => out.extend_from_slice(i.to_string().as_bytes()),
        Value::Float(f) => push_float(out, *f),
        Value::Str(s) => push_string(out, s),
        Value::List(items) => list(out, items, |out, item| encode_generic(item, out)),
        Value::Map(map) => sorted(out, map, |out, item| encode_generic(item, out)),
    }
}

/// Appends a tree without a schema, keys in the order they have: for what Go writes from a struct of its own.
pub fn encode_ordered(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::List(items) => list(out, items, |out, item| encode_ordered(item, out)),
        Value::Map(map) => {
            out.push(b'{');
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                push_string(out, key);
                out.push(b':');
                encode_ordered(value, out);
            }
            out.push(b'}');
        }
        other => encode_generic(other, out),
    }
}

fn structure(table: &Table, id: TypeId, object: &Map, out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    members(table, id, object, start, out);
    out.push(b'}');
}

fn members(table: &Table, id: TypeId, object: &Map, start: usize, out: &mut Vec<u8>) {
    for field in &table.get(id).fields {
        if let (true, Ty::Struct(inner)) = (field.inline, field.ty()) {
            members(table, *inner, object, start, out);
            continue;
        }
        let present = object.get(&field.json);
        if omitted(table, field, present) {
            continue;
        }
        if out.len() > start {
            out.push(b',');
        }
        push_string(out, &field.json);
        out.push(b':');
        match present {
            Some(value) if !value.is_null() => one(table, field.ty(), value, out),
            _ => zero(table, field, out),
        }
    }
}

fn omitted(table: &Table, field: &Field, value: Option<&Value>) -> bool {
    let value = value.filter(|v| !v.is_null());
    if field.pointer {
        return value.is_none() && (field.omit_empty || field.omit_zero);
    }
    (field.omit_empty && value.is_none_or(|v| is_empty(field.ty(), v)) && can_be_empty(field.ty()))
        || (field.omit_zero && value.is_none_or(|v| is_zero(table, field.ty(), v)))
}

/// Go's `omitempty` never drops a struct, and these are structs in Go.
fn can_be_empty(ty: &Ty) -> bool {
    !matches!(
        ty,
        Ty::Struct(_)
            | Ty::Time
            | Ty::MicroTime
            | Ty::Duration
            | Ty::Quantity
            | Ty::IntOrString
            | Ty::Raw
            | Ty::FieldsV1
            | Ty::Json
            | Ty::SchemaOrList
            | Ty::SchemaOrBool
            | Ty::SchemaOrStrings
    )
}

fn is_empty(ty: &Ty, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Int(i) => *i == 0,
        Value::Float(f) => *f == 0.0,
        Value::Str(s) => s.is_empty(),
        Value::List(l) => l.is_empty(),
        Value::Map(m) => m.is_empty() && matches!(ty, Ty::Map(_)),
    }
}

fn is_zero(table: &Table, ty: &Ty, value: &Value) -> bool {
    match (ty, value) {
        (Ty::Struct(id), Value::Map(m)) => {
            table.fields(*id).all(|f| m.get(&f.json).is_none_or(|v| !f.pointer && is_zero(table, f.ty(), v)))
        }
        // a slice or map that is there is not nil, even when it is empty
        (_, Value::List(_) | Value::Map(_)) => false,
        (Ty::Time | Ty::MicroTime | Ty::Quantity, _) => value.is_null(),
        _ => is_empty(ty, value),
    }
}

/// What Go writes for a field that was never set and may not be left out.
fn zero(table: &Table, field: &Field, out: &mut Vec<u8>) {
    match field.ty() {
        _ if field.pointer => out.extend_from_slice(b"null"),
        Ty::Struct(id) => structure(table, *id, &Map::new(), out),
        ty => out.extend_from_slice(zero_value(ty).as_bytes()),
    }
}

/// The JSON of a Go zero value that is no struct.
fn zero_value(ty: &Ty) -> &'static str {
    match ty {
        Ty::Str => "\"\"",
        Ty::Bool => "false",
        Ty::Int32 | Ty::Int64 | Ty::Float | Ty::IntOrString => "0",
        Ty::Duration => "\"0s\"",
        Ty::Quantity => "\"0\"",
        Ty::Struct(_) => "{}",
        _ => "null",
    }
}

fn one(table: &Table, ty: &Ty, value: &Value, out: &mut Vec<u8>) {
    match (ty, value) {
        (Ty::Struct(id), Value::Map(m)) => structure(table, *id, m, out),
        (Ty::List(inner), Value::List(items)) => {
            list(out, items, |out, item| element(table, inner, item, out))
        }
        (Ty::Map(inner), Value::Map(map)) => sorted(out, map, |out, item| element(table, inner, item, out)),
        (Ty::Float, Value::Int(i)) => push_float(out, *i as f64),
        (Ty::SchemaOrBool | Ty::SchemaOrList | Ty::SchemaOrStrings, _) => schema_or(table, value, out),
        _ => encode_generic(value, out),
    }
}

fn element(table: &Table, ty: &Ty, value: &Value, out: &mut Vec<u8>) {
    match (ty, value) {
        (Ty::Struct(id), Value::Null) => structure(table, *id, &Map::new(), out),
        (_, Value::Null) => out.extend_from_slice(zero_value(ty).as_bytes()),
        _ => one(table, ty, value, out),
    }
}

fn schema_or(table: &Table, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Map(m) => match table.find(crate::proto::JSON_SCHEMA_PROPS) {
            Some(id) => structure(table, id, m, out),
            None => encode_generic(value, out),
        },
        Value::List(items) => list(out, items, |out, item| schema_or(table, item, out)),
        other => encode_generic(other, out),
    }
}

fn list(out: &mut Vec<u8>, items: &[Value], mut item: impl FnMut(&mut Vec<u8>, &Value)) {
    out.push(b'[');
    for (i, value) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        item(out, value);
    }
    out.push(b']');
}

fn sorted(out: &mut Vec<u8>, map: &Map, item: impl FnMut(&mut Vec<u8>, &Value)) {
    if map.iter().is_sorted_by(|a, b| a.0 <= b.0) {
        return entries(out, map.iter(), item); // as decoders leave them
    }
    let mut all: Vec<_> = map.iter().collect();
    all.sort_by(|a, b| a.0.cmp(b.0));
    entries(out, all.into_iter(), item);
}

fn entries<'m>(
    out: &mut Vec<u8>,
    all: impl Iterator<Item = (&'m Key, &'m Value)>,
    mut item: impl FnMut(&mut Vec<u8>, &Value),
) {
    out.push(b'{');
    for (i, (key, value)) in all.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(out, key);
        out.push(b':');
        item(out, value);
    }
    out.push(b'}');
}
