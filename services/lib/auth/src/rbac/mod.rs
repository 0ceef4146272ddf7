//! Role-based access control: rules, bindings, and what follows from them.

pub mod bootstrap;
mod cover;
mod policy;
mod rule;

pub use cover::{compact, covers};
pub use policy::{Binding, Policy, Role, RoleRef, Verdict};
pub use rule::{PolicyRule, RbacSubject};
