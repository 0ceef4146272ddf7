//! The schema's encodings as the API server uses them: a type is a schema with its place in the API.

mod envelope;
mod managed;
pub mod wire;

use bytes::Bytes;
use meta::GroupVersionKind;
use schema::{Map, Object, Schema, Value};

use crate::request::accept::{Media, PROTOBUF};

pub use envelope::{ENVELOPE_TAIL, envelope, envelope_head, open};
pub use managed::{ApplyError, Conflict, Writer};

/// Why bytes are no object.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    /// They are malformed, or a value has the wrong type.
    #[error("{0}")]
    Malformed(String),
    /// It is JSON, and a value in it is not what its field holds.
    #[error("{0}")]
    Shape(String),
    /// Nobody knows the kind.
    #[error("no kind {0:?} is registered")]
    Unknown(String),
}

impl DecodeError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A decoded object and what a strict reader would refuse.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The object.
    pub object: Object,
    /// Unknown and duplicate fields, one sentence each.
    pub problems: Vec<String>,
}

/// A served or stored type.
#[derive(Debug, Clone)]
pub struct Type {
    pub(crate) schema: Schema,
    gvk: GroupVersionKind,
}

impl Type {
    /// The type of a built-in kind.
    pub fn of(gvk: &GroupVersionKind) -> Option<Self> {
        Schema::builtin(gvk).map(|schema| Self { schema, gvk: gvk.clone() })
    }

    /// A type made at run time, from a table of its own.
    pub fn at_run_time(schema: Schema, gvk: GroupVersionKind) -> Self {
        Self { schema, gvk }
    }

    /// Whether it is built in: protobuf, strategic merge, list items without their type.
    pub fn is_built_in(&self) -> bool {
        std::sync::Arc::ptr_eq(&self.schema.table, schema::Table::builtin())
    }

    /// Whether it has a protobuf form.
    pub fn has_protobuf(&self) -> bool {
        self.is_built_in()
    }

    /// Its kind.
    pub fn gvk(&self) -> &GroupVersionKind {
        &self.gvk
    }

    /// Decodes a body.
    ///
    /// # Errors
    /// The bytes are no object of this type.
    pub fn decode(&self, media: Media, body: &[u8]) -> Result<Decoded, DecodeError> {
        match media {
            Media::Json => self.read(schema::json::decode(&self.schema, body)),
            Media::Yaml => {
                let text = std::str::from_utf8(body).map_err(DecodeError::new)?;
                let value = yaml::parse(text).map_err(DecodeError::new)?;
                self.read(schema::json::decode_value(&self.schema, &value))
            }
            Media::Protobuf => {
                let unknown = open(body)?;
                let root = schema::proto::decode(&self.schema, unknown.raw).map_err(DecodeError::new)?;
                let mut object = Object::new(root);
                object.set(&["apiVersion"], unknown.api_version);
                object.set(&["kind"], unknown.kind);
                Ok(Decoded { object, problems: Vec::new() })
            }
        }
    }

    fn read(
        &self,
        decoded: Result<schema::json::Decoded, schema::json::DecodeError>,
    ) -> Result<Decoded, DecodeError> {
        let decoded = decoded.map_err(|error| match error {
            schema::json::DecodeError::Syntax(text) => DecodeError::Malformed(text),
            whole @ schema::json::DecodeError::NoObject(_) => DecodeError::new(whole),
            other => DecodeError::Shape(other.to_string()),
        })?;
        let problems = decoded.problems.iter().map(ToString::to_string).collect();
        Ok(Decoded { object: Object::new(decoded.root), problems })
    }

    /// Decodes stored bytes, JSON or protobuf.
    ///
    /// # Errors
    /// The bytes are no object of this type.
    pub fn decode_stored(&self, value: &[u8]) -> Result<Object, DecodeError> {
        let media = if value.starts_with(b"k8s\0") { Media::Protobuf } else { Media::Json };
        Ok(self.decode(media, value)?.object)
    }

    /// Decodes what this server encoded.
    ///
    /// # Errors
    /// The bytes are no object of this type.
    pub fn decode_normal(&self, bytes: &[u8]) -> Result<Object, DecodeError> {
        Ok(self.decode(Media::Json, bytes)?.object)
    }

    /// Makes a tree (a patched object) an object of this type.
    ///
    /// # Errors
    /// A value has the wrong type.
    pub fn decode_tree(&self, tree: &Value) -> Result<Decoded, DecodeError> {
        let mut json = Vec::new();
        schema::json::encode_generic(tree, &mut json);
        self.decode(Media::Json, &json)
    }

    /// Encodes as Go would.
    pub fn encode_json(&self, object: &Object) -> Vec<u8> {
        let mut out = Vec::with_capacity(2048); // a pod and what owns it
        schema::json::encode(&self.schema, object.root(), &mut out);
        out
    }

    /// Encodes as protobuf, without envelope.
    pub fn encode_protobuf(&self, object: &Object) -> Vec<u8> {
        message(&self.schema, object.root())
    }

    /// What this server encoded, as protobuf without envelope; `None` when that needs the object.
    pub fn protobuf_of_normal(&self, json: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(json.len());
        schema::proto::direct(&self.schema, json, &mut out).then_some(out)
    }

    /// Merges a strategic merge patch into an object; gives the merged tree.
    ///
    /// # Errors
    /// A bad directive.
    pub fn strategic_merge(&self, old: &Object, patch: &Value) -> Result<Value, PatchError> {
        let Value::Map(patch) = patch else {
            return Err(PatchError::Malformed("a strategic merge patch is an object".into()));
        };
        let merged = schema::patch::strategic(&self.schema, old.root(), patch);
        merged.map(Value::Map).map_err(|e| PatchError::Malformed(e.to_string()))
    }
}

/// An object's protobuf message without its envelope.
fn message(schema: &Schema, object: &Map) -> Vec<u8> {
    let mut raw = Vec::with_capacity(1024);
    schema::proto::message(schema, object, &mut raw);
    raw
}

/// Why a patch cannot be applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PatchError {
    /// It is no patch.
    #[error("{0}")]
    Malformed(String),
    /// It does not fit the object.
    #[error("{0}")]
    Failed(String),
    /// It is larger than allowed.
    #[error("{0}")]
    TooLarge(String),
}

/// Where upstream made the scheme of built-in kinds; it says so in messages.
pub const SCHEME: &str = "pkg/runtime/scheme.go:111";

/// Parses JSON without a schema.
///
/// # Errors
/// The text is no JSON.
pub fn parse_json(body: &[u8]) -> Result<Value, DecodeError> {
    schema::json::generic(body).map(|(value, _)| value).map_err(DecodeError::new)
}

/// Parses YAML or JSON without a schema.
///
/// # Errors
/// The text is neither.
pub fn parse_yaml_or_json(body: &[u8]) -> Result<Value, DecodeError> {
    let text = std::str::from_utf8(body).map_err(DecodeError::new)?;
    if text.trim_start().starts_with('{') {
        return parse_json(body);
    }
    let value = yaml::parse(text).map_err(DecodeError::new)?;
    parse_json(&serde_json::to_vec(&value).map_err(DecodeError::new)?)
}

/// The media type of a body; `None` when it is not supported.
pub fn body_media(content_type: &str) -> Option<Media> {
    match content_type.split(';').next().unwrap_or("").trim() {
        "" | "application/json" => Some(Media::Json),
        "application/yaml" => Some(Media::Yaml),
        PROTOBUF => Some(Media::Protobuf),
        _ => None,
    }
}

/// The body of a DELETE as JSON: options of a named kind.
///
/// # Errors
/// The body is no such thing.
pub fn decode_options(
    content_type: &str,
    body: &[u8],
    kind: &str,
) -> Result<serde_json::Map<String, serde_json::Value>, DecodeError> {
    let media = body_media(content_type).unwrap_or(Media::Json);
    let gvk = GroupVersionKind::new("meta.k8s.io", "v1", kind);
    let schema = Type::of(&gvk).ok_or_else(|| DecodeError::Unknown(kind.to_owned()))?;
    let object = schema.decode(media, body)?.object;
    if !matches!(object.kind(), "" | "DeleteOptions") {
        let version = Some(object.api_version()).filter(|v| !v.is_empty()).unwrap_or("meta.k8s.io/v1");
        return Err(DecodeError::Malformed(format!(
            "no kind {:?} is registered for version {version:?} in scheme {SCHEME:?}",
            object.kind()
        )));
    }
    serde_json::from_slice(&schema.encode_json(&object)).map_err(DecodeError::new)
}

/// The type of stored bytes.
///
/// # Errors
/// The bytes name none.
pub fn stored_type(value: &[u8]) -> Result<GroupVersionKind, DecodeError> {
    let (api_version, kind) = if value.starts_with(b"k8s\0") {
        let unknown = open(value)?;
        (unknown.api_version.to_owned(), unknown.kind.to_owned())
    } else {
        let text = |key: &str| crate::store::scan::find_str(value, &[key]).map(|t| t.into_owned());
        (text("apiVersion").unwrap_or_default(), text("kind").unwrap_or_default())
    };
    let group_version = meta::GroupVersion::parse(&api_version)
        .ok_or_else(|| DecodeError::Malformed(format!("no apiVersion in stored object of kind {kind:?}")))?;
    Ok(GroupVersionKind::new(group_version.group, group_version.version, kind))
}

/// The metadata of JSON as a `PartialObjectMetadata` in protobuf, without envelope.
///
/// # Errors
/// It is no metadata.
pub fn partial_protobuf(metadata: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let schema = Schema::named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
        .ok_or_else(|| DecodeError::Unknown("ObjectMeta".into()))?;
    let decoded = schema::json::decode(&schema, metadata).map_err(DecodeError::new)?;
    let raw = message(&schema, &decoded.root);
    let mut out = Vec::with_capacity(raw.len() + 8);
    wire::bytes(&mut out, 1, &raw);
    Ok(out)
}

/// A `Status` in its protobuf envelope.
///
/// # Errors
/// It is no status.
pub fn status_protobuf(json: &[u8]) -> Result<Bytes, DecodeError> {
    let gvk = GroupVersionKind::new("meta.k8s.io", "v1", "Status");
    let schema = Type::of(&gvk).ok_or_else(|| DecodeError::Unknown("Status".into()))?;
    let object = schema.decode(Media::Json, json)?.object;
    Ok(envelope("v1", "Status", &schema.encode_protobuf(&object)))
}

/// A fingerprint of the schema and of how this build encodes: what carries it was normalised by the same rules.
pub fn fingerprint() -> u16 {
    use std::hash::{Hash, Hasher};
    // the standard hasher with fixed keys: the same in every process of a build
    let mut hasher = std::hash::DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    FORMAT.hash(&mut hasher);
    for (_, kind) in schema::Table::builtin().types() {
        kind.name.hash(&mut hasher);
        for field in &kind.fields {
            field.json.hash(&mut hasher);
            field.number.hash(&mut hasher);
            field.omit_empty.hash(&mut hasher);
            field.omit_zero.hash(&mut hasher);
            field.pointer.hash(&mut hasher);
        }
    }
    hasher.finish() as u16
}

/// Raised when defaulting or encoding changes without the table: stored bytes are then read anew.
const FORMAT: u32 = 1;

/// An empty object's tree.
pub fn empty() -> Map {
    Map::new()
}
