//! Taints keep pods off, or make a node less welcome.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go`

use super::Cause;
use crate::model::{Class, Node};

/// Whether a taint keeps the pod off.
pub fn filter(class: &Class, node: &Node) -> Option<Cause> {
    let refused = node.taints.iter().any(|t| t.is_hard() && !class.tolerates(t));
    refused.then_some(Cause::Taint)
}

/// Taints that the pod would rather not bear; fewer are better.
pub fn score(class: &Class, node: &Node) -> i64 {
    let soft = node.taints.iter().filter(|t| t.effect == "PreferNoSchedule" && !class.tolerates(t));
    soft.count() as i64
}
