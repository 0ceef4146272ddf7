//! From the tree to protobuf.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::wire::{FIXED64, push_bytes, push_int, push_message, push_tag};
use super::{JSON_SCHEMA_PROPS, MAGIC};
use crate::json::encode_generic;
use crate::special;
use crate::{Field, Map, Schema, Table, Ty, TypeId, Value};

/// Appends an object with its envelope; apiVersion and kind are read from the tree.
pub fn encode(schema: &Schema, object: &Map, out: &mut Vec<u8>) {
    let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut raw = Vec::with_capacity(1024);
    message(schema, object, &mut raw);
    wrap(text("apiVersion"), text("kind"), &raw, out);
}

/// Appends an object's message without an envelope.
pub fn message(schema: &Schema, object: &Map, out: &mut Vec<u8>) {
    structure(&schema.table, schema.id, object, out);
}

/// Appends an object's message in its envelope.
pub fn wrap(api_version: &str, kind: &str, raw: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    push_message(out, 1, |out| {
        push_bytes(out, 1, api_version.as_bytes());
        push_bytes(out, 2, kind.as_bytes());
    });
    push_bytes(out, 2, raw);
    push_bytes(out, 3, b"");
    push_bytes(out, 4, b"");
}

/// Appends one frame of a watch: length, then an event whose object is enveloped already.
pub fn watch_frame(event: &str, object: &[u8], out: &mut Vec<u8>) {
    let mut raw = Vec::with_capacity(object.len() + 32);
    push_bytes(&mut raw, 1, event.as_bytes());
    push_message(&mut raw, 2, |out| push_bytes(out, 1, object));
    let mut frame = Vec::with_capacity(raw.len() + 48);
    wrap("v1", "WatchEvent", &raw, &mut frame);
    out.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    out.extend_from_slice(&frame);
}

pub(super) fn structure(table: &Table, id: TypeId, object: &Map, out: &mut Vec<u8>) {
    for field in table.wire(id) {
        if let (true, Ty::Struct(inner)) = (field.inline, field.ty()) {
            // an inlined pointer is there when any of its fields is
            let there = !field.pointer || table.fields(*inner).any(|f| object.contains_key(&f.json));
            if there {
                push_message(out, field.number, |out| structure(table, *inner, object, out));
            }
            continue;
        }
        match object.get(&field.json).filter(|v| !v.is_null()) {
            Some(value) => present(table, field, value, out),
            None if field.pointer => {}
            None => absent(table, field, out),
        }
    }
}

/// What Go writes for a value that was never set: everything but slices and maps.
pub(super) fn absent(table: &Table, field: &Field, out: &mut Vec<u8>) {
    let n = field.number;
    match field.ty() {
        Ty::Str => push_bytes(out, n, b""),
        Ty::Bool | Ty::Int32 | Ty::Int64 => push_int(out, n, 0),
        Ty::Float => push_float(out, n, 0.0),
        Ty::Struct(id) => push_message(out, n, |out| structure(table, *id, &Map::new(), out)),
        Ty::Time | Ty::MicroTime | Ty::Raw | Ty::FieldsV1 | Ty::Json => push_bytes(out, n, b""),
        Ty::Duration => push_message(out, n, |out| push_int(out, 1, 0)),
        Ty::Quantity => push_message(out, n, |out| push_bytes(out, 1, b"0")),
        Ty::IntOrString => push_message(out, n, |out| int_or_string(out, &Value::Int(0))),
        Ty::Bytes | Ty::Strings | Ty::List(_) | Ty::Map(_) => {}
        Ty::SchemaOrList | Ty::SchemaOrBool | Ty::SchemaOrStrings => {}
    }
}

fn present(table: &Table, field: &Field, value: &Value, out: &mut Vec<u8>) {
    match (field.ty(), value) {
        (Ty::List(inner), Value::List(items)) => {
            items.iter().for_each(|item| one(table, inner, field.number, item, out));
        }
        (Ty::Map(inner), Value::Map(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            for (key, item) in entries {
                push_message(out, field.number, |out| {
                    push_bytes(out, 1, key.as_bytes());
                    one(table, inner, 2, item, out);
                });
            }
        }
        (ty, value) => one(table, ty, field.number, value, out),
    }
}

pub(super) fn push_float(out: &mut Vec<u8>, number: u32, f: f64) {
    push_tag(out, number, FIXED64);
    out.extend_from_slice(&f.to_le_bytes());
}

fn one(table: &Table, ty: &Ty, number: u32, value: &Value, out: &mut Vec<u8>) {
    match (ty, value) {
        (Ty::Struct(id), Value::Map(m)) => push_message(out, number, |out| structure(table, *id, m, out)),
        (Ty::Struct(id), _) => push_message(out, number, |out| structure(table, *id, &Map::new(), out)),
        (Ty::Str, Value::Str(s)) => push_bytes(out, number, s.as_bytes()),
        (Ty::Bool, Value::Bool(b)) => push_int(out, number, i64::from(*b)),
        (Ty::Int32 | Ty::Int64, Value::Int(i)) => push_int(out, number, *i),
        (Ty::Float, Value::Float(f)) => push_float(out, number, *f),
        (Ty::Float, Value::Int(i)) => push_float(out, number, *i as f64),
        (Ty::Bytes, Value::Str(s)) => {
            // base64 was checked when it was decoded
            push_bytes(out, number, &STANDARD.decode(s.replace(['\n', '\r'], "")).unwrap_or_default());
        }
        (Ty::Time | Ty::MicroTime, Value::Null) => push_bytes(out, number, b""),
        (Ty::Time | Ty::MicroTime, Value::Str(s)) => push_message(out, number, |out| {
            let (seconds, nanoseconds) = special::seconds(s);
            push_int(out, 1, seconds);
            push_int(out, 2, i64::from(nanoseconds));
        }),
        (Ty::Duration, Value::Str(s)) => {
            push_message(out, number, |out| push_int(out, 1, special::duration_nanoseconds(s)));
        }
        (Ty::Quantity, Value::Str(s)) => push_message(out, number, |out| push_bytes(out, 1, s.as_bytes())),
        (Ty::IntOrString, _) => push_message(out, number, |out| int_or_string(out, value)),
        (Ty::Strings, Value::List(items)) => push_message(out, number, |out| strings(out, 1, items)),
        // Go reads a null as JSON without bytes
        (Ty::Json, Value::Null) => push_bytes(out, number, b""),
        (Ty::Raw | Ty::FieldsV1 | Ty::Json, _) => push_message(out, number, |out| json(out, value)),
        (Ty::SchemaOrList | Ty::SchemaOrBool | Ty::SchemaOrStrings, _) => {
            push_message(out, number, |out| schema_or(table, ty, value, out));
        }
        _ => {}
    }
}

fn json(out: &mut Vec<u8>, value: &Value) {
    let mut text = Vec::new();
    encode_generic(value, &mut text);
    push_bytes(out, 1, &text);
}

fn strings(out: &mut Vec<u8>, number: u32, items: &[Value]) {
    items.iter().filter_map(Value::as_str).for_each(|s| push_bytes(out, number, s.as_bytes()));
}

fn int_or_string(out: &mut Vec<u8>, value: &Value) {
    let (kind, int, text) = match value {
        Value::Str(s) => (1, 0, s.as_str()),
        other => (0, other.as_int().unwrap_or(0), ""),
    };
    push_int(out, 1, kind);
    push_int(out, 2, int);
    push_bytes(out, 3, text.as_bytes());
}

/// The three unions of JSON schema: a schema, or a boolean, a list of schemas, or a list of strings.
fn schema_or(table: &Table, ty: &Ty, value: &Value, out: &mut Vec<u8>) {
    let props = |number, m: &Map, out: &mut Vec<u8>| {
        if let Some(id) = table.find(JSON_SCHEMA_PROPS) {
            push_message(out, number, |out| structure(table, id, m, out));
        }
    };
    match (ty, value) {
        (_, Value::Bool(b)) => push_int(out, 1, i64::from(*b)),
        (Ty::SchemaOrBool, Value::Map(m)) => {
            push_int(out, 1, 1);
            props(2, m, out);
        }
        (_, Value::Map(m)) => props(1, m, out),
        (Ty::SchemaOrStrings, Value::List(items)) => strings(out, 2, items),
        (_, Value::List(items)) => items.iter().filter_map(Value::as_map).for_each(|m| props(2, m, out)),
        _ => {}
    }
}
