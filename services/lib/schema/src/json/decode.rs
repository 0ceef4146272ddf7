//! From JSON to the tree: known fields by the table, unknown and repeated ones noted.
//!
//! The scanner is serde_json's; what stands here is a seed that walks the table beside it. A `serde_json::Value`
//! (YAML's way in) is walked by the same seed.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::DecodeError;
use crate::special;
use crate::{Map, Schema, Table, Ty, TypeId, Value};

/// Something a strict reader refuses and a lenient one overlooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// `unknown field "spec.foo"`
    Unknown(String),
    /// `duplicate field "spec.foo"`
    Duplicate(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field {path:?}"),
            Self::Duplicate(path) => write!(f, "duplicate field {path:?}"),
        }
    }
}

/// A decoded object and what was overlooked.
#[derive(Debug, Clone, Default)]
pub struct Decoded {
    /// The object.
    pub root: Map,
    /// Unknown and repeated fields, in the order met.
    pub problems: Vec<Problem>,
}

/// At most this many problems are kept, as upstream.
const MAX_PROBLEMS: usize = 100;

/// Decodes one object.
///
/// # Errors
/// The text is no JSON, or a value has not its field's type.
pub fn decode(schema: &Schema, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let decoded = run(schema, &mut reader);
    let decoded = decoded.and_then(|decoded| {
        reader.end().map_err(|e| DecodeError::Syntax(e.to_string()))?;
        Ok(decoded)
    });
    decoded.map_err(|error| in_words_of_go(bytes, error))
}

/// Go looks at the whole text before it looks for fields.
fn in_words_of_go(bytes: &[u8], error: DecodeError) -> DecodeError {
    super::syntax::mistake(bytes).map_or(error, DecodeError::Syntax)
}

/// Decodes one object that was read before (YAML).
///
/// # Errors
/// A value has not its field's type.
pub fn decode_value(schema: &Schema, value: &serde_json::Value) -> Result<Decoded, DecodeError> {
    run(schema, value)
}

/// Decodes any JSON without a schema.
///
/// # Errors
/// The text is no JSON.
pub fn generic(bytes: &[u8]) -> Result<(Value, Vec<Problem>), DecodeError> {
    let notes = Notes::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { table: Table::builtin(), ty: &Ty::Json, notes: &notes }.deserialize(&mut reader);
    let value = value.and_then(|v| reader.end().map(|()| v)).map_err(|e| notes.error(&e.to_string()));
    let value = value.map_err(|error| in_words_of_go(bytes, error))?;
    Ok((value, notes.problems.take()))
}

fn run<'de, D>(schema: &Schema, reader: D) -> Result<Decoded, DecodeError>
where
    D: Deserializer<'de>,
    D::Error: fmt::Display,
{
    let notes = Notes::default();
    let seed = Seed { table: &schema.table, ty: &Ty::Struct(schema.id), notes: &notes };
    let value = seed.deserialize(reader).map_err(|e| notes.error(&e.to_string()))?;
    match value {
        Value::Map(root) => Ok(Decoded { root, problems: notes.problems.take() }),
        _ => Ok(Decoded { root: Map::new(), problems: notes.problems.take() }),
    }
}

/// What is noted on the way: where we are, what was overlooked, the typed error behind serde's text.
#[derive(Default)]
struct Notes {
    path: RefCell<Vec<Step>>,
    problems: RefCell<Vec<Problem>>,
    failed: RefCell<Option<DecodeError>>,
}

#[derive(Clone)]
enum Step {
    /// A field, and the struct it is of.
    Field(Cow<'static, str>, TypeId),
    /// The key of a map.
    Key(String),
    Index(usize),
}

impl Notes {
    fn path(&self, last: &str) -> String {
        let mut text = String::new();
        for step in self.path.borrow().iter() {
            match step {
                Step::Field(name, _) if text.is_empty() => text.push_str(name),
                Step::Key(name) if text.is_empty() => text.push_str(name),
                Step::Field(name, _) => text.push_str(&format!(".{name}")),
                Step::Key(name) => text.push_str(&format!(".{name}")),
                Step::Index(i) => text.push_str(&format!("[{i}]")),
            }
        }
        if !text.is_empty() && !last.is_empty() {
            text.push('.');
        }
        text + last
    }

    fn problem(&self, make: fn(String) -> Problem, field: &str) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(make(self.path(field)));
        }
    }

    /// The typed error noted when it was met, or the scanner's own text.
    fn error(&self, text: &str) -> DecodeError {
        self.failed.take().unwrap_or_else(|| DecodeError::Syntax(text.to_owned()))
    }

    fn fail<E: de::Error>(&self, error: DecodeError) -> E {
        let text = error.to_string();
        self.failed.replace(Some(error));
        E::custom(text)
    }

    fn mismatch<E: de::Error>(&self, found: &'static str, table: &Table, ty: &Ty) -> E {
        // Go names the innermost struct, and its field by the path from the root, without keys and indexes
        let steps = self.path.borrow();
        let fields = steps.iter().filter_map(|s| match s {
            Step::Field(name, owner) => Some((name.as_ref(), *owner)),
            Step::Key(_) | Step::Index(_) => None,
        });
        let (names, owners): (Vec<&str>, Vec<TypeId>) = fields.unzip();
        let error = match owners.last() {
            None => DecodeError::NoObject(found),
            Some(owner) => {
                let owner = table.get(*owner).name.rsplit('.').next().unwrap_or_default().to_owned();
                let field = format!("{owner}.{}", names.join("."));
                DecodeError::Type { found, field, wanted: go_name(table, ty) }
            }
        };
        drop(steps);
        self.fail(error)
    }
}

/// A type as Go's `reflect` prints it.
fn go_name(table: &Table, ty: &Ty) -> String {
    let plain = match ty {
        Ty::Struct(id) => {
            let mut parts = table.get(*id).name.rsplitn(3, '.');
            let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            return format!("{version}.{name}");
        }
        Ty::List(inner) => return format!("[]{}", go_name(table, inner)),
        Ty::Map(inner) => return format!("map[string]{}", go_name(table, inner)),
        Ty::Str => "string",
        Ty::Bool => "bool",
        Ty::Int32 => "int32",
        Ty::Int64 => "int64",
        Ty::Float => "float64",
        Ty::Bytes => "[]uint8",
        Ty::Time => "v1.Time",
        Ty::MicroTime => "v1.MicroTime",
        Ty::Duration => "v1.Duration",
        Ty::Quantity => "resource.Quantity",
        Ty::IntOrString => "intstr.IntOrString",
        Ty::Strings => "[]string",
        _ => "struct",
    };
    plain.to_owned()
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    table: &'a Table,
    ty: &'a Ty,
    notes: &'a Notes,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Seed<'a> {
    fn with(self, ty: &'a Ty) -> Self {
        Self { ty, ..self }
    }

    fn free(self) -> bool {
        matches!(self.ty, Ty::Json | Ty::Raw | Ty::FieldsV1)
    }

    fn schema_props(self) -> Option<TypeId> {
        self.table.find(crate::proto::JSON_SCHEMA_PROPS)
    }

    fn structure<'de, A: MapAccess<'de>>(self, id: TypeId, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::with_capacity(map.size_hint().unwrap_or(8));
        while let Some(name) = map.next_key_seed(Name)? {
            let Some(field) = self.table.field(id, &name) else {
                self.notes.problem(Problem::Unknown, &name);
                map.next_value::<de::IgnoredAny>()?;
                continue;
            };
            self.notes.path.borrow_mut().push(Step::Field(field.json.clone(), id));
            let value = map.next_value_seed(self.with(field.ty()))?;
            self.notes.path.borrow_mut().pop();
            if object.contains_key(&name) {
                self.notes.problem(Problem::Duplicate, &name);
                object.insert(field.json.clone(), value);
            } else if !value.is_null() {
                object.push(field.json.clone(), value);
            }
        }
        Ok(Value::Map(object))
    }

    /// A map of strings to anything: kept in key order, as Go writes it.
    fn entries<'de, A: MapAccess<'de>>(self, inner: &'a Ty, mut map: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(String, Value)> = Vec::with_capacity(map.size_hint().unwrap_or(4));
        while let Some(name) = map.next_key::<String>()? {
            self.notes.path.borrow_mut().push(Step::Key(name.clone()));
            let value = map.next_value_seed(self.with(inner))?;
            self.notes.path.borrow_mut().pop();
            let value = if value.is_null() { null_element(inner) } else { value };
            entries.push((name, value));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0)); // stable: of equal keys the last one stands last and wins
        let mut object = Map::with_capacity(entries.len());
        let mut entries = entries.into_iter().peekable();
        while let Some((name, value)) = entries.next() {
            if entries.peek().is_some_and(|(next, _)| *next == name) {
                self.notes.problem(Problem::Duplicate, &name);
                continue;
            }
            object.push(name, value);
        }
        Ok(Value::Map(object))
    }

    fn text<E: de::Error>(self, text: Cow<'_, str>) -> Result<Value, E> {
        let checked = match self.ty {
            Ty::Str | Ty::IntOrString | Ty::Json | Ty::Raw | Ty::FieldsV1 => Ok(text.into_owned()),
            Ty::Bytes => special::check_base64(&text).map(|()| text.into_owned()),
            Ty::Time => special::time(&text),
            Ty::MicroTime => special::micro_time(&text),
            Ty::Duration => special::duration(&text),
            Ty::Quantity => special::quantity(&text),
            other => return Err(self.notes.mismatch("string", self.table, other)),
        };
        checked.map(Value::Str).map_err(|text| self.notes.fail(DecodeError::Value(text)))
    }

    fn number<E: de::Error>(self, value: Value) -> Result<Value, E> {
        let in_range = |i: i64| i32::try_from(i).is_ok();
        match (self.ty, &value) {
            (Ty::Int64 | Ty::Json | Ty::Raw | Ty::FieldsV1, Value::Int(_)) => Ok(value),
            (Ty::Int32 | Ty::IntOrString, Value::Int(i)) if in_range(*i) => Ok(value),
            (Ty::Float, Value::Int(i)) => Ok(Value::Float(*i as f64)),
            (Ty::Float | Ty::Json | Ty::Raw | Ty::FieldsV1, Value::Float(_)) => Ok(value),
            // whole numbers written as floats are taken, as upstream's decoder takes 1.0
            (Ty::Int32 | Ty::Int64, Value::Float(f)) if f.fract() == 0.0 && f.abs() < 2e9 => {
                Ok(Value::Int(*f as i64))
            }
            (Ty::Quantity, Value::Int(i)) => self.text(Cow::Owned(i.to_string())),
            (Ty::Quantity, Value::Float(f)) => self.text(Cow::Owned(f.to_string())),
            _ => Err(self.notes.mismatch("number", self.table, self.ty)),
        }
    }
}

/// The name of a field, read where it stands: serde would copy it into a string of its own.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_string<E: de::Error>(self, name: String) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name))
    }
}

/// What Go has for a null in a list or map.
fn null_element(ty: &Ty) -> Value {
    match ty {
        Ty::Struct(_) | Ty::Map(_) => Value::Map(Map::new()),
        Ty::Str => Value::Str(String::new()),
        Ty::Bool => Value::Bool(false),
        Ty::Int32 | Ty::Int64 | Ty::IntOrString => Value::Int(0),
        Ty::Quantity => Value::Str("0".into()),
        _ => Value::Null,
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&go_name(self.table, self.ty))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, b: bool) -> Result<Value, E> {
        match self.ty {
            Ty::Bool | Ty::SchemaOrBool => Ok(Value::Bool(b)),
            _ if self.free() => Ok(Value::Bool(b)),
            ty => Err(self.notes.mismatch("bool", self.table, ty)),
        }
    }

    fn visit_i64<E: de::Error>(self, i: i64) -> Result<Value, E> {
        self.number(Value::Int(i))
    }

    fn visit_u64<E: de::Error>(self, u: u64) -> Result<Value, E> {
        self.number(i64::try_from(u).map_or(Value::Float(u as f64), Value::Int))
    }

    fn visit_f64<E: de::Error>(self, f: f64) -> Result<Value, E> {
        self.number(Value::Float(f))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        self.text(Cow::Owned(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = match self.ty {
            Ty::List(inner) => inner.as_ref(),
            Ty::Strings | Ty::SchemaOrStrings => &Ty::Str,
            Ty::SchemaOrList => &Ty::SchemaOrList,
            _ if self.free() => self.ty,
            ty => return Err(self.notes.mismatch("array", self.table, ty)),
        };
        let mut items = Vec::with_capacity(seq.size_hint().unwrap_or(0));
        loop {
            self.notes.path.borrow_mut().push(Step::Index(items.len()));
            let item = seq.next_element_seed(self.with(inner))?;
            self.notes.path.borrow_mut().pop();
            match item {
                None => return Ok(Value::List(items)),
                Some(Value::Null) => items.push(null_element(inner)),
                Some(item) => items.push(item),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        match self.ty {
            Ty::Struct(id) => self.structure(*id, map),
            Ty::Map(inner) => self.entries(inner, map),
            Ty::SchemaOrBool | Ty::SchemaOrList | Ty::SchemaOrStrings => match self.schema_props() {
                Some(id) => self.structure(id, map),
                None => self.entries(&Ty::Json, map),
            },
            _ if self.free() => self.with(&Ty::Json).entries(&Ty::Json, map),
            ty => Err(self.notes.mismatch("object", self.table, ty)),
        }
    }
}
