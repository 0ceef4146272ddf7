//! The node authorizer: a kubelet reads what its own pods refer to, and no more.

mod authorize;
mod graph;
mod rules;

pub use authorize::{authorize, node_name};
pub use graph::{Graph, PodView};
pub use rules::rules;
