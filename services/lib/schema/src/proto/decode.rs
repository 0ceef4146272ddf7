//! From protobuf to the tree.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::{GroupVersion, GroupVersionKind};

use super::wire::{Item, Reader};
use super::{Envelope, JSON_SCHEMA_PROPS, MAGIC, ProtoError};
use crate::special;
use crate::{Field, Map, Schema, Table, Ty, TypeId, Value};

/// Opens the envelope.
///
/// # Errors
/// The magic bytes are missing, or the envelope is broken.
pub fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, ProtoError> {
    let mut reader = Reader(bytes.strip_prefix(MAGIC).ok_or(ProtoError::Magic)?);
    let mut found = Envelope::default();
    while let Some((number, item)) = reader.next()? {
        let bytes = item.bytes().unwrap_or_default();
        match number {
            1 => {
                let mut meta = Reader(bytes);
                while let Some((number, item)) = meta.next()? {
                    match number {
                        1 => found.api_version = text(item.bytes().unwrap_or_default())?,
                        2 => found.kind = text(item.bytes().unwrap_or_default())?,
                        _ => {}
                    }
                }
            }
            2 => found.raw = bytes,
            4 => found.content_type = text(bytes)?,
            _ => {}
        }
    }
    Ok(found)
}

/// Decodes an object's own message (without its envelope). Numbers the table does not know are skipped, as Go does.
///
/// # Errors
/// The bytes are no such message.
pub fn decode(schema: &Schema, raw: &[u8]) -> Result<Map, ProtoError> {
    let mut object = Map::with_capacity(8);
    structure(&schema.table, schema.id, raw, &mut object)?;
    Ok(object)
}

fn text(bytes: &[u8]) -> Result<&str, ProtoError> {
    std::str::from_utf8(bytes).map_err(|_| ProtoError::Value("invalid UTF-8 string".into()))
}

fn structure(table: &Table, id: TypeId, bytes: &[u8], object: &mut Map) -> Result<(), ProtoError> {
    let mut reader = Reader(bytes);
    while let Some((number, item)) = reader.next()? {
        let fields = &table.get(id).fields;
        let Some(field) = fields.iter().find(|f| f.number == number) else { continue };
        if let (true, Ty::Struct(inner)) = (field.inline, field.ty()) {
            structure(table, *inner, bytes_of(field, item)?, object)?;
            continue;
        }
        let value = value(table, field, field.ty(), item)?;
        match field.ty() {
            Ty::List(_) => match object.get_or_insert_with(field.json.clone(), || Value::List(Vec::new())) {
                Value::List(items) => items.push(value),
                other => *other = Value::List(vec![value]),
            },
            Ty::Map(_) => {
                if let Value::Map(entry) = value {
                    object.map_mut(field.json.clone()).merge(entry);
                }
            }
            // the zero of a value that is left out when zero says nothing
            ty if !field.pointer && says_nothing(field, ty, &value) => {}
            _ => {
                object.insert(field.json.clone(), value);
            }
        }
    }
    Ok(())
}

fn says_nothing(field: &Field, ty: &Ty, value: &Value) -> bool {
    match value {
        Value::Null => true,
        // bytes that are empty are not bytes that are not there, and are written so where both are written
        Value::Str(s) => s.is_empty() && (field.omit_empty || !matches!(ty, Ty::Bytes)),
        Value::Bool(b) => !b,
        Value::Int(i) => *i == 0 && !matches!(ty, Ty::IntOrString),
        _ => false,
    }
}

fn bytes_of<'a>(field: &Field, item: Item<'a>) -> Result<&'a [u8], ProtoError> {
    item.bytes().ok_or_else(|| ProtoError::WireType { field: field.json.to_string(), wire: item.wire() })
}

fn value(table: &Table, field: &Field, ty: &Ty, item: Item<'_>) -> Result<Value, ProtoError> {
    let wrong = || ProtoError::WireType { field: field.json.to_string(), wire: item.wire() };
    Ok(match ty {
        Ty::Str => Value::Str(text(bytes_of(field, item)?)?.to_owned()),
        Ty::Bool => Value::Bool(item.int().ok_or_else(wrong)? != 0),
        Ty::Int32 => Value::Int(i64::from(item.int().ok_or_else(wrong)? as i32)),
        Ty::Int64 => Value::Int(item.int().ok_or_else(wrong)?),
        Ty::Float => match item {
            Item::Fixed64(bits) => Value::Float(f64::from_bits(bits)),
            _ => return Err(wrong()),
        },
        Ty::Bytes => Value::Str(STANDARD.encode(bytes_of(field, item)?)),
        Ty::List(inner) => value(table, field, inner, item)?,
        Ty::Map(inner) => map_entry(table, field, inner, bytes_of(field, item)?)?,
        Ty::Struct(id) => {
            let mut object = Map::new();
            structure(table, *id, bytes_of(field, item)?, &mut object)?;
            Value::Map(object)
        }
        special => message(table, special, bytes_of(field, item)?)?,
    })
}

fn map_entry(table: &Table, field: &Field, inner: &Ty, bytes: &[u8]) -> Result<Value, ProtoError> {
    let (mut reader, mut key, mut content) = (Reader(bytes), String::new(), None);
    while let Some((number, item)) = reader.next()? {
        match number {
            1 => key = text(bytes_of(field, item)?)?.to_owned(),
            2 => content = Some(value(table, field, inner, item)?),
            _ => {}
        }
    }
    let empty = || match inner {
        Ty::Struct(_) => Value::Map(Map::new()),
        Ty::Quantity => Value::Str("0".into()),
        _ => Value::Str(String::new()),
    };
    let mut map = Map::with_capacity(1);
    map.push(key, content.unwrap_or_else(empty));
    Ok(Value::Map(map))
}

/// The special types, each a small message of its own.
fn message(table: &Table, ty: &Ty, bytes: &[u8]) -> Result<Value, ProtoError> {
    let mut items = Vec::new();
    let mut reader = Reader(bytes);
    while let Some(item) = reader.next()? {
        items.push(item);
    }
    let int = |n| items.iter().find(|(i, _)| *i == n).and_then(|(_, item)| item.int()).unwrap_or(0);
    let raw = |n| items.iter().find(|(i, _)| *i == n).and_then(|(_, item)| item.bytes()).unwrap_or_default();
    Ok(match ty {
        Ty::Time | Ty::MicroTime if items.is_empty() => Value::Null,
        Ty::Time => Value::Str(meta::time::rfc3339(special::timestamp(int(1), 0))),
        Ty::MicroTime => Value::Str(meta::time::rfc3339_micro(special::timestamp(int(1), int(2) as i32))),
        Ty::Duration => Value::Str(meta::time::duration(int(1))),
        Ty::Quantity => match text(raw(1))? {
            "" => Value::Str("0".into()),
            q => Value::Str(special::quantity(q).map_err(ProtoError::Value)?),
        },
        Ty::IntOrString if int(1) == 1 => Value::Str(text(raw(3))?.to_owned()),
        Ty::IntOrString => Value::Int(int(2)),
        Ty::Strings => {
            let strings = items.iter().filter(|(n, _)| *n == 1).filter_map(|(_, item)| item.bytes());
            Value::List(strings.map(|s| text(s).map(Value::from)).collect::<Result<_, _>>()?)
        }
        Ty::Raw | Ty::FieldsV1 | Ty::Json if raw(1).is_empty() => Value::Null,
        Ty::Raw | Ty::FieldsV1 | Ty::Json => embedded(raw(1))?,
        Ty::SchemaOrBool if items.iter().any(|(n, _)| *n == 2) => props(table, raw(2))?,
        Ty::SchemaOrBool => Value::Bool(int(1) != 0),
        Ty::SchemaOrList | Ty::SchemaOrStrings if items.iter().any(|(n, _)| *n == 1) => props(table, raw(1))?,
        Ty::SchemaOrList | Ty::SchemaOrStrings => {
            let list = items.iter().filter(|(n, _)| *n == 2).filter_map(|(_, item)| item.bytes());
            let one = |b| if *ty == Ty::SchemaOrList { props(table, b) } else { text(b).map(Value::from) };
            Value::List(list.map(one).collect::<Result<_, _>>()?)
        }
        _ => return Err(ProtoError::Value("unexpected message".into())),
    })
}

fn props(table: &Table, bytes: &[u8]) -> Result<Value, ProtoError> {
    let mut object = Map::new();
    if let Some(id) = table.find(JSON_SCHEMA_PROPS) {
        structure(table, id, bytes, &mut object)?;
    }
    Ok(Value::Map(object))
}

/// An object inside an object: JSON, or protobuf in an envelope of its own.
fn embedded(bytes: &[u8]) -> Result<Value, ProtoError> {
    if !bytes.starts_with(MAGIC) {
        let decoded = crate::json::generic(bytes);
        return decoded.map(|(value, _)| value).map_err(|e| ProtoError::Value(e.to_string()));
    }
    let inner = envelope(bytes)?;
    let version = GroupVersion::parse(inner.api_version).unwrap_or(GroupVersion::new("", ""));
    let gvk = GroupVersionKind::new(version.group, version.version, inner.kind);
    let schema = Schema::builtin(&gvk);
    let schema = schema.ok_or_else(|| ProtoError::Value(format!("no kind {:?} is known", inner.kind)))?;
    let mut object = Map::new();
    object.push("apiVersion", inner.api_version);
    object.push("kind", inner.kind);
    structure(&schema.table, schema.id, inner.raw, &mut object)?;
    Ok(Value::Map(object))
}
