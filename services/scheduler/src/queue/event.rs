//! What happens in the cluster that may make room for a pod.

use std::sync::Arc;

use crate::model::{Capacity, Claim, CsiNode, Node, Pod, StorageClass, Volume};

/// Something happened. Of `old` and `new` the first is `None` for what appeared, the second for what vanished.
#[derive(Debug, Clone)]
pub enum Event {
    /// To a pod that has a node, or to the waiting pod itself.
    Pod {
        /// Before.
        old: Option<Arc<Pod>>,
        /// After.
        new: Option<Arc<Pod>>,
        /// In what it differs.
        changes: PodChange,
    },
    /// To a node.
    Node {
        /// Before.
        old: Option<Arc<Node>>,
        /// After.
        new: Option<Arc<Node>>,
        /// In what it differs.
        changes: NodeChange,
    },
    /// A claim appeared or changed; the flag is for appeared.
    Claim(Arc<Claim>, bool),
    /// A volume appeared or changed.
    Volume(Option<Arc<Volume>>, Arc<Volume>),
    /// A storage class appeared or changed.
    Class(Option<Arc<StorageClass>>, Arc<StorageClass>),
    /// A CSINode appeared or changed.
    CsiNode(Option<Arc<CsiNode>>, Arc<CsiNode>),
    /// A CSIDriver changed.
    Driver,
    /// A CSIStorageCapacity appeared or changed.
    Capacity(Option<Arc<Capacity>>, Arc<Capacity>),
    /// A VolumeAttachment vanished.
    Detached,
}

/// In what a pod differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PodChange {
    /// Labels.
    pub labels: bool,
    /// It asks for less.
    pub shrunk: bool,
    /// Its gates are gone.
    pub ungated: bool,
    /// Tolerations.
    pub tolerations: bool,
}

/// In what a node differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeChange {
    /// What pods may ask for.
    pub allocatable: bool,
    /// Labels.
    pub labels: bool,
    /// Taints, or it is no longer cordoned.
    pub taints: bool,
}

impl PodChange {
    /// # Upstream
    /// `pkg/scheduler/framework/events.go` `PodSchedulingPropertiesChange`
    pub fn between(old: &Pod, new: &Pod) -> Self {
        let (before, after) = (&old.class.demand.requests, &new.class.demand.requests);
        let less = |name: &str| before.amount(name) > after.amount(name);
        Self {
            labels: old.class.labels != new.class.labels,
            shrunk: ["cpu", "memory", "ephemeral-storage"].into_iter().any(less)
                || before.scalars.keys().any(|name| less(name)),
            ungated: new.gates.is_empty() && !old.gates.is_empty(),
            tolerations: old.class.tolerations.len() != new.class.tolerations.len(),
        }
    }
}

impl NodeChange {
    /// # Upstream
    /// `pkg/scheduler/framework/events.go` `NodeSchedulingPropertiesChange`
    pub fn between(old: &Node, new: &Node) -> Self {
        Self {
            allocatable: old.allocatable != new.allocatable || old.pods != new.pods,
            labels: old.labels != new.labels,
            taints: old.taints != new.taints || old.unschedulable && !new.unschedulable,
        }
    }

    /// Whether nothing that matters differs.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}
