//! What is known of nodes and of the pods on them, in columns by node slot, kept current change by change.
//!
//! # Invariants
//! * Every change of a node or of the pods on it gives its slot a new, never repeated `version`: whatever is computed
//!   from one node alone is kept until the version differs.
//! * Every pod that comes or goes is an entry of the [`Log`]: whatever counts pods over many nodes follows it.
//! * A change of nodes' labels or taints, or of the set of nodes, changes `topology`: what follows the log starts anew.
//! * Applying changes one by one gives what building from the end state gives (`tests::incremental_equals_rebuilt`).

mod columns;
mod log;
mod nominated;
mod topology;
mod world;

pub use columns::{CPU, Columns, EPHEMERAL, MEMORY, PODS, Slot};
pub use log::{Entry, Log};
pub use nominated::Nominated;
pub use topology::{KeyId, NO_DOMAIN, Topology};
pub use world::{Assumed, World};

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Node, Pod};

/// See the module.
#[derive(Debug, Default)]
pub struct State {
    /// The columns.
    pub nodes: Columns,
    /// Domains of the topology keys that are asked for.
    pub topology: Topology,
    /// Pods that came and went.
    pub log: Log,
    /// Pods for which room is being made.
    pub nominated: Nominated,
    /// Claims in use, by namespace and name, and how many pods use them.
    pub claims: HashMap<(String, String), usize>,
    placed: HashMap<Arc<str>, Slot>,
    assumed: HashMap<Arc<str>, Arc<Pod>>,
}

impl State {
    /// A node appeared or changed.
    pub fn set_node(&mut self, node: &Arc<Node>) {
        let slot = self.nodes.slot(&node.name);
        let before = self.nodes.node(slot).cloned();
        let same = |b: &Arc<Node>| b.labels == node.labels && b.taints == node.taints;
        self.nodes.set(slot, Some(Arc::clone(node)));
        if !before.as_ref().is_some_and(same) {
            self.topology.set(slot, Some(&node.labels));
            self.log.start_anew();
        }
        if before.is_none_or(|b| b.zone() != node.zone()) {
            self.nodes.reorder();
        }
    }

    /// A node is gone. Its pods stay known until they go.
    pub fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.nodes.find(name) else { return };
        self.nodes.set(slot, None);
        self.topology.set(slot, None);
        self.log.start_anew();
        self.nodes.reorder();
    }

    /// A pod is on a node, as far as the API server says.
    pub fn set_pod(&mut self, pod: &Arc<Pod>) {
        self.assumed.remove(&pod.uid);
        self.place(pod);
    }

    /// A pod will be on a node: its binding is under way.
    pub fn assume(&mut self, pod: &Arc<Pod>) {
        self.assumed.insert(Arc::clone(&pod.uid), Arc::clone(pod));
        self.place(pod);
    }

    /// A pod that was assumed will not be there after all; does nothing once the API server has confirmed it.
    pub fn forget(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let pod = self.assumed.remove(uid)?;
        self.take_off(uid);
        Some(pod)
    }

    /// Whether a pod's binding is under way.
    pub fn assumed(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.assumed.get(uid)
    }

    /// A pod is gone.
    pub fn remove_pod(&mut self, uid: &str) {
        self.assumed.remove(uid);
        self.take_off(uid);
    }

    /// Starts following a topology key.
    pub fn key(&mut self, name: &str) -> KeyId {
        let nodes = &self.nodes;
        self.topology.key(name, |slot| nodes.node(slot).and_then(|n| n.labels.get(name)), nodes.len())
    }

    fn place(&mut self, pod: &Arc<Pod>) {
        let slot = self.nodes.slot(&pod.node);
        if self.placed.get(&pod.uid) == Some(&slot) {
            let same = |known: &Arc<Pod>| {
                Arc::ptr_eq(&known.class, &pod.class)
                    && known.deleting == pod.deleting
                    && known.volumes == pod.volumes
            };
            if let Some(known) = self.nodes.pod_mut(slot, &pod.uid).filter(|known| same(known)) {
                *known = Arc::clone(pod);
                return;
            }
        }
        self.take_off(&pod.uid);
        self.placed.insert(Arc::clone(&pod.uid), slot);
        self.nodes.add(slot, Arc::clone(pod));
        self.count_claims(pod, true);
        self.log.push(pod, slot, 1);
    }

    fn take_off(&mut self, uid: &str) {
        let Some(slot) = self.placed.remove(uid) else { return };
        let Some(pod) = self.nodes.remove(slot, uid) else { return };
        self.count_claims(&pod, false);
        self.log.push(&pod, slot, -1);
        self.nodes.release(slot);
    }

    fn count_claims(&mut self, pod: &Pod, more: bool) {
        for volume in &pod.volumes {
            let key = (pod.namespace().to_owned(), volume.claim.clone());
            let count = self.claims.get(&key).copied().unwrap_or(0);
            match if more { count + 1 } else { count.saturating_sub(1) } {
                0 => self.claims.remove(&key),
                used => self.claims.insert(key, used),
            };
        }
    }
}

#[cfg(test)]
mod tests;
