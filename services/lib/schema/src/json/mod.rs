//! JSON both ways, by the table.

mod decode;
mod encode;
mod syntax;
mod text;

pub use decode::{Decoded, Problem, decode, decode_value, generic};
pub use encode::{encode, encode_generic, encode_ordered};
pub use text::{push_float, push_string};

/// Why a text is no object of its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The text is no JSON.
    #[error("{0}")]
    Syntax(String),
    /// A value has another type than its field.
    #[error("json: cannot unmarshal {found} into Go struct field {field} of type {wanted}")]
    Type {
        /// What stands there.
        found: &'static str,
        /// The field, `Pod.spec.hostPID`.
        field: String,
        /// The Go type wanted.
        wanted: String,
    },
    /// The whole is no object.
    #[error(
        "json: cannot unmarshal {0} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
    )]
    NoObject(&'static str),
    /// A value has the right type and no meaning.
    #[error("{0}")]
    Value(String),
}
