//! Pods for which room is being made on a node.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::Pod;

/// Pods by the node they are to get.
#[derive(Debug, Default)]
pub struct Nominated {
    nodes: HashMap<String, Vec<Arc<Pod>>>,
    by_uid: HashMap<Arc<str>, String>,
}

impl Nominated {
    /// Puts a pod where it is to go; nowhere for an empty name.
    pub fn set(&mut self, pod: &Arc<Pod>, node: &str) {
        self.remove(&pod.uid);
        if !node.is_empty() {
            self.nodes.entry(node.to_owned()).or_default().push(Arc::clone(pod));
            self.by_uid.insert(Arc::clone(&pod.uid), node.to_owned());
        }
    }

    /// Forgets a pod.
    pub fn remove(&mut self, uid: &str) {
        let Some(node) = self.by_uid.remove(uid) else { return };
        if let Some(pods) = self.nodes.get_mut(&node) {
            pods.retain(|p| &*p.uid != uid);
            if pods.is_empty() {
                self.nodes.remove(&node);
            }
        }
    }

    /// The node a pod is to get.
    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.by_uid.get(uid).map(String::as_str)
    }

    /// Pods that are to get a node.
    pub fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.nodes.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.nodes.values().flatten()
    }

    /// Whether there is none: most of the time.
    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }
}
