//! Who is asking and may they: tokens, RBAC, the node authorizer.
//!
//! Pure logic over views the API server feeds: nothing here reads a store, a clock or a file.

pub mod attributes;
pub mod bootstrap_token;
pub mod node;
pub mod rbac;
pub mod token;

pub use attributes::{Attributes, Subject};
