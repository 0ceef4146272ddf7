//! Field ownership and server-side apply.
//!
//! A field set is what `metadata.managedFields` holds; typed walks make sets from objects, compare two objects, and
//! merge one into another. `manager` puts them together for the two operations: an update that takes what it
//! changes, and an apply that owns what it says.
//!
//! # Upstream
//! `sigs.k8s.io/structured-merge-diff/v6`, `k8s.io/apimachinery/pkg/util/managedfields`
//! # Differs
//! Managers of other versions of the kind are compared in the request's version, not converted to theirs.

mod compare;
mod items;
mod manager;
mod merge;
mod record;
mod set;
mod steps;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, compare, owned};
pub use manager::{ApplyError, Conflict, Request, apply, update};
pub use merge::{merge, remove};
pub use set::Set;
