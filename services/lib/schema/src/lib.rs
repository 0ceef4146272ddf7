//! The one description of the API: the compact table, the object tree, and the encodings derived from them.
//!
//! Everything the API server knows about the shape of an object comes from here: routing facts, discovery,
//! OpenAPI, field validation, patches, server-side apply, JSON and protobuf. Nothing else in the repository
//! describes a field.

pub mod apply;
pub mod describe;
pub mod discovery;
pub mod json;
mod object;
pub mod openapi;
pub mod patch;
pub mod proto;
mod special;
pub mod table;
mod value;
mod view;

pub use object::Object;
pub use table::{Field, Schema, Table, Topology, Ty, Type, TypeId};
pub use value::{Key, Map, Value};
pub use view::ViewError;
