//! Nouns of the Kubernetes API without behaviour: names, selectors, quantities, times, Status.

pub mod field;
pub mod names;
pub mod status;

pub use names::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use status::{Cause, Reason, Status};
