//! Who owns whom, and what follows from it.
//!
//! # Upstream
//! `pkg/controller/garbagecollector/{graph,graph_builder,garbagecollector}.go`

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use client::{Key, Propagation, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use reconcile::{Owners, Word, owners, word};
use serde::Deserialize;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// The metadata of any object.
#[derive(Deserialize)]
pub(super) struct Item {
    pub(super) metadata: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
    finalizers: Vec<String>,
    owner_references: Vec<OwnerReference>,
}

/// An object. There is one for every object of the cluster: what many have in common is shared, see [`word`].
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) resource: Arc<Resource>,
    namespace: Word,
    name: Box<str>,
    pub(super) uid: Uid,
    pub(super) revision: Box<str>,
    deleting: bool,
    finalizers: Box<[Word]>,
    owners: Owners,
}

/// A uid, shared by all that refer to the object.
pub(super) type Uid = Arc<str>;

/// What shall be done.
#[derive(Debug)]
pub(super) enum Action {
    Delete { node: Node, policy: Propagation },
    Owners { node: Node, owners: Vec<OwnerReference> },
    Finalizers { node: Node, finalizers: Vec<String> },
}

/// What follows for an object.
#[derive(Debug)]
pub(super) enum Decision {
    Nothing,
    /// An owner is not in the graph: does it exist?
    Ask(OwnerReference),
    Do(Vec<Action>),
    /// Others have to go first.
    Wait(Vec<Uid>),
}

impl Node {
    pub(super) fn new(resource: Arc<Resource>, item: Item) -> Self {
        let meta = item.metadata;
        Self {
            resource,
            namespace: word(&meta.namespace),
            name: meta.name.into(),
            uid: meta.uid.into(),
            revision: meta.resource_version.into(),
            deleting: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.iter().map(|finalizer| word(finalizer)).collect(),
            owners: owners(meta.owner_references),
        }
    }

    pub(super) fn key(&self) -> Key {
        Key::new(&*self.namespace, &*self.name)
    }

    /// The policy its finalizers ask for.
    pub(super) fn policy(&self) -> Propagation {
        if self.has(ORPHAN) {
            Propagation::Orphan
        } else if self.has(FOREGROUND) {
            Propagation::Foreground
        } else {
            Propagation::Background
        }
    }

    fn has(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| **f == *finalizer)
    }

    fn waits_for_dependents(&self) -> bool {
        self.deleting && self.has(FOREGROUND)
    }

    fn without(&self, finalizer: &str) -> Action {
        let finalizers =
            self.finalizers.iter().filter(|f| ***f != *finalizer).map(|f| f.to_string()).collect();
        Action::Finalizers { node: self.clone(), finalizers }
    }

    fn blocks(&self, owner: &str) -> bool {
        self.owners.iter().any(|o| o.uid == owner && o.block_owner_deletion == Some(true))
    }
}

/// Every object there is.
#[derive(Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Box<Node>>,
    dependents: HashMap<Uid, HashSet<Uid>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid).map(|node| &**node)
    }

    pub(super) fn of(&self, resource: &Resource) -> Vec<Uid> {
        self.nodes.values().filter(|n| *n.resource == *resource).map(|n| n.uid.clone()).collect()
    }

    fn dependents(&self, uid: &str) -> impl Iterator<Item = &Node> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|d| self.get(d))
    }

    /// Takes an object in; gives the objects to look at.
    pub(super) fn put(&mut self, node: Node) -> Vec<Uid> {
        let mut touched = Vec::new();
        let old = self.nodes.get(&node.uid);
        for owner in old.iter().flat_map(|o| o.owners.iter()) {
            if let Some(set) = self.dependents.get_mut(&*owner.uid) {
                set.remove(&node.uid);
            }
            // an owner that waits for its dependents may have lost one
            touched.extend(
                self.nodes.get(&*owner.uid).filter(|o| o.waits_for_dependents()).map(|o| o.uid.clone()),
            );
        }
        for owner in node.owners.iter() {
            let uid = self.nodes.get(&*owner.uid).map_or_else(|| word(&owner.uid), |owner| owner.uid.clone());
            self.dependents.entry(uid).or_default().insert(node.uid.clone());
        }
        let orphaned =
            node.owners.iter().any(|o| self.nodes.get(&*o.uid).is_none_or(|o| o.waits_for_dependents()));
        if orphaned || (node.deleting && (node.has(FOREGROUND) || node.has(ORPHAN))) {
            touched.push(node.uid.clone());
        }
        if node.waits_for_dependents() {
            touched.extend(self.dependents.get(&node.uid).into_iter().flatten().cloned());
        }
        self.nodes.insert(node.uid.clone(), Box::new(node));
        touched
    }

    /// Takes an object out; gives the objects to look at.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Uid> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut touched: Vec<Uid> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        for owner in node.owners.iter() {
            if let Some(set) = self.dependents.get_mut(&*owner.uid) {
                set.remove(uid);
                if set.is_empty() && !self.nodes.contains_key(&*owner.uid) {
                    self.dependents.remove(&*owner.uid);
                }
            }
            touched.extend(self.nodes.get(&*owner.uid).filter(|o| o.deleting).map(|o| o.uid.clone()));
        }
        touched
    }

    /// What follows for an object, given owners known not to exist.
    pub(super) fn decide(&self, uid: &str, absent: &HashSet<String>) -> Decision {
        let Some(node) = self.get(uid) else { return Decision::Nothing };
        if node.deleting && node.has(ORPHAN) {
            return self.orphan(node);
        }
        if node.waits_for_dependents() {
            if !self.dependents(uid).any(|d| d.blocks(uid)) {
                return Decision::Do(vec![node.without(FOREGROUND)]);
            }
            let idle = self.dependents(uid).filter(|d| !d.deleting).map(|d| d.uid.clone()).collect();
            return Decision::Wait(idle);
        }
        if node.deleting || node.owners.is_empty() {
            return Decision::Nothing;
        }
        self.by_owners(node, absent)
    }

    fn by_owners(&self, node: &Node, absent: &HashSet<String>) -> Decision {
        let (mut solid, mut gone, mut waiting) = (Vec::new(), false, false);
        for owner in node.owners.iter() {
            match self.get(&owner.uid) {
                Some(known) if !self.coordinates_fit(known, node, owner) => gone = true,
                Some(known) if known.waits_for_dependents() => waiting = true,
                Some(_) => solid.push(owner.clone()),
                None if absent.contains(&owner.uid) => gone = true,
                None => return Decision::Ask(owner.clone()),
            }
        }
        if !solid.is_empty() {
            if !gone && !waiting {
                return Decision::Nothing;
            }
            return Decision::Do(vec![Action::Owners { node: node.clone(), owners: solid }]);
        }
        let has_dependents = self.dependents(&node.uid).next().is_some();
        // a dependent that waits for its own dependents may wait for this one: a circle is opened first
        let circle = waiting && self.dependents(&node.uid).any(Node::waits_for_dependents);
        if circle && node.owners.iter().any(|o| o.block_owner_deletion == Some(true)) {
            let open = |o: &OwnerReference| OwnerReference { block_owner_deletion: Some(false), ..o.clone() };
            let owners = node.owners.iter().map(open).collect();
            return Decision::Do(vec![Action::Owners { node: node.clone(), owners }]);
        }
        let policy = if waiting && has_dependents { Propagation::Foreground } else { node.policy() };
        Decision::Do(vec![Action::Delete { node: node.clone(), policy }])
    }

    /// Whether a reference means the object that has its uid.
    fn coordinates_fit(&self, known: &Node, dependent: &Node, owner: &OwnerReference) -> bool {
        let same_place = known.namespace.is_empty() || known.namespace == dependent.namespace;
        same_place && *known.name == *owner.name && *known.resource.kind == owner.kind
    }

    fn orphan(&self, node: &Node) -> Decision {
        let mut actions: Vec<Action> = self
            .dependents(&node.uid)
            .map(|d| Action::Owners {
                node: d.clone(),
                owners: d.owners.iter().filter(|o| *o.uid != *node.uid).cloned().collect(),
            })
            .collect();
        actions.push(node.without(ORPHAN));
        Decision::Do(actions)
    }
}
