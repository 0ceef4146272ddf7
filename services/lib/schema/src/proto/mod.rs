//! Kubernetes' protobuf both ways, by the table.
//!
//! Objects travel and are stored in an envelope: four magic bytes, then `runtime.Unknown` with apiVersion, kind and
//! the object's own message. Inside, Go's generated code is followed to the byte: fields by number, value fields
//! written even when zero, pointers only when set, maps by key.

mod decode;
mod direct;
mod encode;
pub(crate) mod wire;

pub use decode::{decode, envelope};
pub use direct::direct;
pub use encode::{encode, message, watch_frame, wrap};

/// What every object begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// The one type that refers to itself through special types.
pub(crate) const JSON_SCHEMA_PROPS: &str =
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// Why bytes are no object of their schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtoError {
    /// The magic bytes are missing.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// The bytes end within a value.
    #[error("unexpected EOF")]
    Eof,
    /// A field has another wire type than its number stands for.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WireType {
        /// The field's JSON name.
        field: String,
        /// What stands there.
        wire: u8,
    },
    /// A value means nothing.
    #[error("proto: {0}")]
    Value(String),
}

/// What the envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Envelope<'a> {
    /// `apiVersion`.
    pub api_version: &'a str,
    /// `kind`.
    pub kind: &'a str,
    /// The object's own message, or JSON when the content type says so.
    pub raw: &'a [u8],
    /// Empty for protobuf.
    pub content_type: &'a str,
}
