//! A host port can be had once on a node.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/nodeports/node_ports.go`

use super::Cause;
use crate::model::{Class, Pod};

/// Whether a port is taken by one of the pods.
pub fn filter<'a>(class: &Class, pods: impl IntoIterator<Item = &'a Pod>) -> Option<Cause> {
    if class.ports.is_empty() {
        return None;
    }
    let taken = pods.into_iter().any(|pod| conflict(class, &pod.class));
    taken.then_some(Cause::Ports)
}

/// Whether two pods want a port both.
pub fn conflict(a: &Class, b: &Class) -> bool {
    a.ports.iter().any(|mine| b.ports.iter().any(|theirs| mine.conflicts(theirs)))
}
