//! The pod network of one node.
//!
//! Observe, plan, apply: a cache of Nodes; [`plan::peers`] says how their pods are reached (pure); differences become
//! routes, neighbours and forwarding entries. The node's own part is announced in its annotations, as upstream's flannel
//! does. An existing device is adopted, so that a restart loses no packet; nothing is taken away on stop.

mod app;
mod files;
mod masquerade;
pub mod model;
pub mod plan;
mod settings;
pub mod subnet;

pub use app::run;
pub use settings::{Backend, Settings};
