//! What is particular to a kind: defaults, validation, strategy, table columns. One folder a kind, one line in
//! the table.
//!
//! The facts about fields and resources come from `schema`; what stands here is behaviour that no table holds.

mod hooks;
pub mod names;
mod resource;

pub use hooks::{Cell, Column, Context, Hooks, Operation, RowCondition};
pub use resource::{Face, StorageResource};
