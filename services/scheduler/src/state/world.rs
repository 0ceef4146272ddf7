//! Everything but nodes and pods that decides where a pod may go: snapshots of other kinds.

use std::collections::HashMap;
use std::sync::Arc;

use client::{Key, Snapshot};

use crate::model::{
    Attachment, Budget, Capacity, Claim, Class, CsiNode, Driver, Labels, Namespace, Selecting, Selector,
    Service, StorageClass, Volume,
};

/// Snapshots by kind.
#[derive(Debug)]
pub struct World {
    /// Namespaces.
    pub namespaces: Arc<Snapshot<Namespace>>,
    /// Services.
    pub services: Arc<Snapshot<Service>>,
    /// ReplicationControllers.
    pub replication_controllers: Arc<Snapshot<Selecting>>,
    /// ReplicaSets.
    pub replica_sets: Arc<Snapshot<Selecting>>,
    /// StatefulSets.
    pub stateful_sets: Arc<Snapshot<Selecting>>,
    /// Disruption budgets.
    pub budgets: Arc<Snapshot<Budget>>,
    /// PersistentVolumes.
    pub volumes: Arc<Snapshot<Volume>>,
    /// Their claims.
    pub claims: Arc<Snapshot<Claim>>,
    /// Storage classes.
    pub classes: Arc<Snapshot<StorageClass>>,
    /// CSINodes.
    pub csi_nodes: Arc<Snapshot<CsiNode>>,
    /// CSIDrivers.
    pub drivers: Arc<Snapshot<Driver>>,
    /// CSIStorageCapacities.
    pub capacities: Arc<Snapshot<Capacity>>,
    /// VolumeAttachments, with the index `node`.
    pub attachments: Arc<Snapshot<Attachment>>,
    /// Volumes and claims promised to pods whose binding is under way.
    pub assumed: Assumed,
    namespaces_changed: u64,
    selecting_changed: HashMap<String, u64>,
}

/// What was promised and is not written yet, or not seen yet.
#[derive(Debug, Default)]
pub struct Assumed {
    /// The claim a volume is promised to, and the volume's revision at that time.
    pub volumes: HashMap<String, (Key, String)>,
    /// The node a claim's volume shall be made for, and the claim's revision at that time.
    pub claims: HashMap<Key, (String, String)>,
}

impl Default for World {
    fn default() -> Self {
        fn none<P>() -> Arc<Snapshot<P>> {
            Arc::new(Snapshot::empty([]))
        }
        Self {
            namespaces: none(),
            services: none(),
            replication_controllers: none(),
            replica_sets: none(),
            stateful_sets: none(),
            budgets: none(),
            volumes: none(),
            claims: none(),
            classes: none(),
            csi_nodes: none(),
            drivers: none(),
            capacities: none(),
            attachments: none(),
            assumed: Assumed::default(),
            namespaces_changed: 0,
            selecting_changed: HashMap::new(),
        }
    }
}

impl World {
    /// A namespace's labels.
    pub fn namespace_labels(&self, name: &str) -> Option<&Labels> {
        self.namespaces.get(&Key::new("", name)).map(|n| &n.labels)
    }

    /// Changes when labels of namespaces do.
    pub fn namespaces_changed(&self) -> u64 {
        self.namespaces_changed
    }

    /// Says that labels of namespaces changed.
    pub fn note_namespaces(&mut self) {
        self.namespaces_changed += 1;
    }

    /// Changes when what selects pods of a namespace does.
    pub fn selecting_changed(&self, namespace: &str) -> u64 {
        self.selecting_changed.get(namespace).copied().unwrap_or(0)
    }

    /// Says that what selects pods of a namespace changed.
    pub fn note_selecting(&mut self, namespace: &str) {
        *self.selecting_changed.entry(namespace.to_owned()).or_default() += 1;
    }

    /// What selects pods like this one: its Services and its owner together.
    ///
    /// # Upstream
    /// `pkg/scheduler/framework/plugins/helper/spread.go` `DefaultSelector`
    pub fn default_selector(&self, class: &Class) -> Selector {
        let mut selector = Selector::default();
        for (_, service) in self.services.namespace(&class.namespace) {
            if let Some(labels) = &service.selector
                && labels.iter().all(|(k, v)| class.labels.get(k) == Some(v))
            {
                selector.match_labels.extend(labels.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        let Some(owner) = &class.owner else { return selector };
        let key = Key::new(class.namespace.clone(), owner.name.clone());
        let found = match (owner.api_version.as_str(), owner.kind.as_str()) {
            ("v1", "ReplicationController") => self.replication_controllers.get(&key),
            ("apps/v1", "ReplicaSet") => self.replica_sets.get(&key),
            ("apps/v1", "StatefulSet") => self.stateful_sets.get(&key),
            _ => None,
        };
        let Some(found) = found else { return selector };
        for (label, value) in &found.selector.match_labels {
            // two different demands on one label would have to hold both: no pod of this owner does
            selector.match_labels.insert(label.clone(), value.clone());
        }
        selector.match_expressions.extend(found.selector.match_expressions.iter().cloned());
        selector
    }
}
