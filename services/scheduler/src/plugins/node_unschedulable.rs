//! Cordoned nodes take nobody but who tolerates it.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go`

use super::Cause;
use crate::model::{Class, Node, Taint};

/// Whether the node refuses the pod.
pub fn filter(class: &Class, node: &Node) -> Option<Cause> {
    if !node.unschedulable {
        return None;
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        value: String::new(),
        effect: "NoSchedule".into(),
    };
    (!class.tolerates(&taint)).then_some(Cause::Unschedulable)
}
