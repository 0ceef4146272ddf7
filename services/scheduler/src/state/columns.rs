//! The columns.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::model::{Node, Pod};

/// Where a node stands in the columns.
pub(crate) type Slot = u32;

/// Index of milli-CPU in the packed columns.
pub(crate) const CPU: usize = 0;
/// Of memory.
pub(crate) const MEMORY: usize = 1;
/// Of local storage.
pub(crate) const EPHEMERAL: usize = 2;
/// Of the number of pods.
pub(crate) const PODS: usize = 3;

/// Changes of nodes remembered; who lags further behind looks at every node.
const REMEMBERED: usize = 4096;
/// The position of a slot without a known node.
const NOWHERE: u32 = u32::MAX;

/// A resource few nodes have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Scalar {
    allocatable: Vec<i64>,
    requested: Vec<i64>,
}

/// Nodes by slot. A slot whose node is `None` is free, or holds pods of a node that is not known (yet, or any more).
#[derive(Debug, Default)]
pub(crate) struct Columns {
    nodes: Vec<Option<Arc<Node>>>,
    names: Vec<String>,
    by_name: HashMap<String, Slot>,
    free: Vec<Slot>,
    allocatable: [Vec<i64>; 4],
    requested: [Vec<i64>; 4],
    nonzero: [Vec<i64>; 2],
    scalars: BTreeMap<String, Scalar>,
    pods: Vec<Vec<Arc<Pod>>>,
    version: Vec<u64>,
    newest: u64,
    /// The slots of the last changes, up to the newest.
    touched: VecDeque<Slot>,
    order: Vec<Slot>,
    /// Where in the order a slot is.
    positions: Vec<u32>,
    /// How often the order was made.
    order_made: u64,
    /// Whether the order is no longer that of the nodes there are.
    unordered: bool,
    image_nodes: HashMap<u64, u32>,
}

fn index(slot: Slot) -> usize {
    slot as usize
}

impl Columns {
    /// How many slots there are, free ones included.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The slots of known nodes, zone by zone in turn, as of the last [`Columns::tidy`].
    pub(crate) fn order(&self) -> &[Slot] {
        &self.order
    }

    /// Changes whenever the order does.
    pub(crate) fn order_made(&self) -> u64 {
        self.order_made
    }

    /// Where in the order a slot is.
    pub(crate) fn position(&self, slot: Slot) -> Option<usize> {
        self.positions.get(index(slot)).filter(|at| **at != NOWHERE).map(|at| *at as usize)
    }

    /// The slot of a node.
    pub(crate) fn find(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied()
    }

    /// The node of a slot.
    pub(crate) fn node(&self, slot: Slot) -> Option<&Arc<Node>> {
        self.nodes.get(index(slot))?.as_ref()
    }

    /// The name a slot has, known node or not.
    pub(crate) fn name(&self, slot: Slot) -> &str {
        &self.names[index(slot)]
    }

    /// Changes whenever anything of the node does.
    pub(crate) fn version(&self, slot: Slot) -> u64 {
        self.version[index(slot)]
    }

    /// The newest of all nodes' versions.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The slots that changed after a version was the newest; `None` when that is not known any more.
    pub(crate) fn touched_since(&self, version: u64) -> Option<impl Iterator<Item = Slot>> {
        let changes = usize::try_from(self.newest - version).ok()?;
        let skip = self.touched.len().checked_sub(changes)?;
        Some(self.touched.range(skip..).copied())
    }

    /// What pods may ask for.
    pub(crate) fn allocatable(&self, which: usize, slot: Slot) -> i64 {
        self.allocatable[which][index(slot)]
    }

    /// What its pods ask for.
    pub(crate) fn requested(&self, which: usize, slot: Slot) -> i64 {
        self.requested[which][index(slot)]
    }

    /// The same with defaults for pods that ask for nothing; CPU and memory only.
    pub(crate) fn nonzero(&self, which: usize, slot: Slot) -> i64 {
        self.nonzero[which][index(slot)]
    }

    /// Allocatable and requested of a resource few nodes have.
    pub(crate) fn scalar(&self, name: &str, slot: Slot) -> (i64, i64) {
        let at = |column: &Vec<i64>| column.get(index(slot)).copied().unwrap_or(0);
        self.scalars.get(name).map_or((0, 0), |s| (at(&s.allocatable), at(&s.requested)))
    }

    /// The pods of a node.
    pub(crate) fn pods(&self, slot: Slot) -> &[Arc<Pod>] {
        &self.pods[index(slot)]
    }

    /// How many nodes have an image.
    pub(crate) fn nodes_with_image(&self, hash: u64) -> u32 {
        self.image_nodes.get(&hash).copied().unwrap_or(0)
    }

    /// The slot of a name, made when there is none.
    pub(super) fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.names.push(String::new());
            self.pods.push(Vec::new());
            self.version.push(0);
            self.allocatable
                .iter_mut()
                .chain(&mut self.requested)
                .chain(&mut self.nonzero)
                .for_each(|c| c.push(0));
            // slots are counted in u32: there are not as many nodes
            (self.nodes.len() - 1) as Slot
        });
        name.clone_into(&mut self.names[index(slot)]);
        self.by_name.insert(name.to_owned(), slot);
        slot
    }

    /// Frees a slot with neither node nor pods.
    pub(super) fn release(&mut self, slot: Slot) {
        if self.nodes[index(slot)].is_none() && self.pods[index(slot)].is_empty() {
            let name = std::mem::take(&mut self.names[index(slot)]);
            if self.by_name.remove(&name).is_some() {
                self.free.push(slot);
            }
        }
    }

    pub(super) fn set(&mut self, slot: Slot, node: Option<Arc<Node>>) {
        let i = index(slot);
        let before = std::mem::replace(&mut self.nodes[i], node);
        for (hash, _) in before.iter().flat_map(|n| &n.images) {
            match self.image_nodes.get_mut(hash) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.image_nodes.remove(hash)),
            }
        }
        let after = self.nodes[i].clone();
        for (hash, _) in after.iter().flat_map(|n| &n.images) {
            *self.image_nodes.entry(*hash).or_default() += 1;
        }
        for scalar in self.scalars.values_mut() {
            set_at(&mut scalar.allocatable, i, 0);
        }
        let (amounts, pods) = after.as_ref().map(|n| (n.allocatable.clone(), n.pods)).unwrap_or_default();
        self.allocatable[CPU][i] = amounts.cpu;
        self.allocatable[MEMORY][i] = amounts.memory;
        self.allocatable[EPHEMERAL][i] = amounts.ephemeral;
        self.allocatable[PODS][i] = pods;
        for (name, amount) in amounts.scalars {
            set_at(&mut self.scalars.entry(name).or_default().allocatable, i, amount);
        }
        self.touch(slot);
        self.release(slot);
    }

    pub(super) fn add(&mut self, slot: Slot, pod: Arc<Pod>) {
        self.count(slot, &pod, 1);
        self.pods[index(slot)].push(pod);
    }

    pub(super) fn remove(&mut self, slot: Slot, uid: &str) -> Option<Arc<Pod>> {
        let at = self.pods[index(slot)].iter().position(|p| &*p.uid == uid)?;
        let pod = self.pods[index(slot)].swap_remove(at);
        self.count(slot, &pod, -1);
        Some(pod)
    }

    pub(super) fn pod_mut(&mut self, slot: Slot, uid: &str) -> Option<&mut Arc<Pod>> {
        self.pods[index(slot)].iter_mut().find(|p| &*p.uid == uid)
    }

    fn count(&mut self, slot: Slot, pod: &Pod, sign: i64) {
        let (i, demand) = (index(slot), &pod.class.demand);
        self.requested[CPU][i] += sign * demand.requests.cpu;
        self.requested[MEMORY][i] += sign * demand.requests.memory;
        self.requested[EPHEMERAL][i] += sign * demand.requests.ephemeral;
        self.requested[PODS][i] += sign;
        self.nonzero[CPU][i] += sign * demand.nonzero_cpu;
        self.nonzero[MEMORY][i] += sign * demand.nonzero_memory;
        for (name, amount) in &demand.requests.scalars {
            let column = &mut self.scalars.entry(name.clone()).or_default().requested;
            let before = column.get(i).copied().unwrap_or(0);
            set_at(column, i, before + sign * amount);
        }
        self.touch(slot);
    }

    fn touch(&mut self, slot: Slot) {
        self.newest += 1;
        self.version[index(slot)] = self.newest;
        if self.touched.len() == REMEMBERED {
            self.touched.pop_front();
        }
        self.touched.push_back(slot);
    }

    /// Nodes came, went or moved to another zone: the order is made anew before the next look at it, not for each of
    /// thousands that come at once.
    pub(super) fn reorder(&mut self) {
        self.unordered = true;
    }

    /// Brings the order up to date: nodes in turn from every zone, so that the first found are spread.
    ///
    /// # Upstream
    /// `pkg/scheduler/backend/cache/node_tree.go`
    pub(crate) fn tidy(&mut self) {
        if !std::mem::take(&mut self.unordered) {
            return;
        }
        let mut zones: BTreeMap<(&str, &str), Vec<Slot>> = BTreeMap::new();
        for (i, node) in self.nodes.iter().enumerate() {
            if let Some(node) = node {
                zones.entry(node.zone()).or_default().push(i as Slot);
            }
        }
        self.order.clear();
        let longest = zones.values().map(Vec::len).max().unwrap_or(0);
        self.order.extend((0..longest).flat_map(|i| zones.values().filter_map(move |z| z.get(i))));
        self.positions.clear();
        self.positions.resize(self.nodes.len(), NOWHERE);
        for (at, slot) in self.order.iter().enumerate() {
            // slots are counted in u32, and so are their positions
            self.positions[index(*slot)] = at as u32;
        }
        self.order_made += 1;
    }
}

fn set_at(column: &mut Vec<i64>, i: usize, value: i64) {
    if column.len() <= i {
        if value == 0 {
            return;
        }
        column.resize(i + 1, 0);
    }
    column[i] = value;
}
