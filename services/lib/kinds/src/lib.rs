//! What is particular to a kind: defaults, validation, strategy, table columns. One folder a kind, one line in
//! the table.
//!
//! The facts about fields and resources come from `schema`; what stands here is behaviour that no table holds.

mod apps;
mod batch;
mod core;
#[cfg(test)]
mod goldens;
mod hooks;
mod kind;
pub mod names;
mod others;
mod resource;
mod rows;
mod strategy;
mod table;
mod tree;
mod validate;
mod warn;

pub use core::{normalize_cluster_ips, qos_class};
pub use hooks::{Cell, Column, Context, Description, Hooks, Operation, RowCondition};
pub use resource::{Face, StorageResource};
pub use table::kinds;
pub use validate::service_addresses;
