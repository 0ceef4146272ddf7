//! State, queue and decisions in one: what happened goes in, what is to be done comes out.

use std::collections::HashMap;
use std::sync::Arc;

use client::Change;
use tokio::time::Instant;

use crate::config::{Profile, Rules};
use crate::decide::{Decider, Decision, Placement, Refusal};
use crate::model::{Node, Pod};
use crate::plugins::volume_binding::Promises;
use crate::queue::{Attempt, Event, NodeChange, PodChange, Queue};
use crate::state::{State, World};

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) state: State,
    pub(crate) world: World,
    pub(crate) queue: Queue,
    pub(crate) rules: Rules,
    decider: Decider,
    /// Pods others are being displaced for, and whether something spoke for another attempt meanwhile.
    displacing: HashMap<Arc<str>, bool>,
}

/// What is to be done about a pod.
#[derive(Debug)]
pub(crate) enum Step {
    /// Bind it: the pod with its node.
    Bind(Arc<Pod>, Attempt, Promises, usize),
    /// Tell it why it has no node.
    Refuse(Attempt, Refusal, usize),
}

impl Core {
    pub(crate) fn new(rules: Rules, seed: u64) -> Self {
        Self {
            state: State::default(),
            world: World::default(),
            queue: Queue::new(rules.initial_backoff, rules.max_backoff),
            decider: Decider::new(seed),
            displacing: HashMap::new(),
            rules,
        }
    }

    /// The profile of a pod of ours.
    pub(crate) fn profile(&self, pod: &Pod) -> Option<usize> {
        self.rules.profiles.iter().position(|p| p.name == pod.scheduler)
    }

    /// A node changed.
    pub(crate) fn node_changed(&mut self, change: &Change<Node>, now: Instant) {
        let (old, new) = (change.old.clone(), change.new.clone());
        match (&old, &new) {
            (_, Some(node)) => self.state.set_node(node),
            (Some(_), None) => self.state.remove_node(&change.key.name),
            (None, None) => return,
        }
        let changes = match (&old, &new) {
            (Some(old), Some(new)) => NodeChange::between(old, new),
            _ => NodeChange::default(),
        };
        if old.is_some() && new.is_some() && changes.is_none() {
            return;
        }
        self.queue.happened(&Event::Node { old, new, changes }, &self.world, now);
    }

    /// A pod changed.
    pub(crate) fn pod_changed(&mut self, change: &Change<Pod>, now: Instant) {
        match (&change.old, &change.new) {
            (Some(old), Some(new)) if old.uid != new.uid => {
                self.pod_gone(old, now);
                self.pod_set(None, new, now);
            }
            (old, Some(new)) => self.pod_set(old.as_ref(), new, now),
            (Some(old), None) => self.pod_gone(old, now),
            (None, None) => {}
        }
    }

    fn pod_gone(&mut self, pod: &Arc<Pod>, now: Instant) {
        let was_nominated = self.state.nominated.node_of(&pod.uid).is_some();
        let assumed = self.state.assumed(&pod.uid).cloned();
        self.state.nominated.remove(&pod.uid);
        self.state.remove_pod(&pod.uid);
        self.queue.remove(&pod.uid);
        self.displacing.remove(&pod.uid);
        if !pod.node.is_empty() || was_nominated || assumed.is_some() {
            self.left(&assumed.unwrap_or_else(|| Arc::clone(pod)), now);
        }
    }

    /// A pod leaves room behind.
    fn left(&mut self, pod: &Arc<Pod>, now: Instant) {
        let event = Event::Pod { old: Some(Arc::clone(pod)), new: None, changes: PodChange::default() };
        self.happened(&event, now);
    }

    /// Something happened that may concern waiting pods.
    pub(crate) fn happened(&mut self, event: &Event, now: Instant) {
        self.queue.happened(event, &self.world, now);
    }

    fn pod_set(&mut self, old: Option<&Arc<Pod>>, new: &Arc<Pod>, now: Instant) {
        if !new.node.is_empty() {
            self.queue.remove(&new.uid);
            self.state.nominated.remove(&new.uid);
            self.displacing.remove(&new.uid);
            self.state.set_pod(new);
            let old = old.filter(|o| !o.node.is_empty());
            let changes = old.map(|o| PodChange::between(o, new)).unwrap_or_default();
            if old.is_none() || changes != PodChange::default() {
                let event = Event::Pod { old: old.cloned(), new: Some(Arc::clone(new)), changes };
                self.happened(&event, now);
            }
            return;
        }
        if self.profile(new).is_none() {
            return;
        }
        if self.state.assumed(&new.uid).is_some() {
            let goes = new.deleting && !old.is_some_and(|o| o.deleting);
            if goes && let Some(assumed) = self.state.forget(&new.uid) {
                self.left(&assumed, now);
            }
            return;
        }
        let node = match self.state.nominated.node_of(&new.uid) {
            // what was decided here is not written yet
            Some(node) if new.nominated.is_empty() && old.is_some_and(|o| o.nominated.is_empty()) => {
                node.to_owned()
            }
            _ => new.nominated.clone(),
        };
        self.state.nominated.set(new, &node);
        self.queue.set(old, new, &self.world, now);
    }

    /// Takes the next pod and decides about it.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Step> {
        loop {
            let attempt = self.queue.pop(now)?;
            let pod = Arc::clone(&attempt.pod);
            if let Some(again) = self.displacing.get_mut(&pod.uid) {
                *again = true;
                continue;
            }
            let Some(which) = self.profile(&pod).filter(|_| !pod.deleting) else { continue };
            let profile: &Profile = &self.rules.profiles[which];
            match self.decider.decide(&pod, which, profile, &mut self.state, &self.world) {
                Decision::Place(placement) => return Some(self.place(attempt, placement, which)),
                Decision::Refuse(refusal) => {
                    self.refused(&pod, &refusal, now);
                    return Some(Step::Refuse(attempt, refusal, which));
                }
            }
        }
    }

    fn place(&mut self, attempt: Attempt, placement: Placement, which: usize) -> Step {
        let Placement { node, promises, feasible } = placement;
        tracing::debug!(pod = %attempt.pod.key(), node, feasible, "Placed pod");
        let placed = Arc::new(Pod { node, ..(*attempt.pod).clone() });
        self.state.assume(&placed);
        self.state.nominated.remove(&placed.uid);
        for (volume, claim) in &promises.bindings {
            let key = client::Key::new(claim.namespace.clone(), claim.name.clone());
            self.world.assumed.volumes.insert(volume.name.clone(), (key, volume.revision.clone()));
        }
        for claim in &promises.provisions {
            let key = client::Key::new(claim.namespace.clone(), claim.name.clone());
            self.world.assumed.claims.insert(key, (placed.node.clone(), claim.revision.clone()));
        }
        Step::Bind(placed, attempt, promises, which)
    }

    fn refused(&mut self, pod: &Arc<Pod>, refusal: &Refusal, now: Instant) {
        self.queue.put_back(&pod.uid, refusal.plugins, now);
        if let Some(node) = &refusal.nominate {
            self.state.nominated.set(pod, node);
        }
        if refusal.preemption.as_ref().is_some_and(|p| p.victims.iter().any(|v| !v.deleting)) {
            self.displacing.insert(Arc::clone(&pod.uid), false);
        }
    }

    /// Others were told to go for a pod, or could not be told.
    pub(crate) fn displaced(&mut self, uid: &str, told: bool) {
        let again = self.displacing.remove(uid).unwrap_or(false);
        if again {
            // it was taken out of the queue meanwhile
            self.queue.put_back(uid, crate::plugins::PluginSet::default(), Instant::now());
        }
        if again || !told {
            self.queue.activate(uid);
        }
    }

    /// A placement came to nothing: the room is free again, and the pod is back.
    pub(crate) fn unbound(&mut self, pod: &Arc<Pod>, promises: &Promises, now: Instant) -> bool {
        for (volume, _) in &promises.bindings {
            self.world.assumed.volumes.remove(&volume.name);
        }
        for claim in &promises.provisions {
            self.world.assumed.claims.remove(&client::Key::new(claim.namespace.clone(), claim.name.clone()));
        }
        let Some(assumed) = self.state.forget(&pod.uid) else { return false };
        self.left(&assumed, now);
        self.queue.put_back(&pod.uid, crate::plugins::PluginSet::default(), now);
        true
    }
}
