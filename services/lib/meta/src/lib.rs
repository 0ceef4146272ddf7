//! Nouns of the Kubernetes API without behaviour: names, selectors, quantities, times, Status.

pub mod content;
pub mod cron;
pub mod field;
pub mod names;
pub mod quantity;
pub mod selector;
pub mod status;
pub mod time;

pub use names::{GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use quantity::Quantity;
pub use selector::{FieldSelector, LabelSelector};
pub use status::{Cause, Reason, Status};
