//! Pods that wait for a node: ready ones by importance, others until a time, an event or a gate.
//!
//! # Upstream
//! `pkg/scheduler/backend/queue/{scheduling_queue,active_queue,backoff_queue}.go`

mod event;
mod hints;

pub(crate) use event::{Event, NodeChange, PodChange};

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Pod;
use crate::plugins::PluginSet;
use crate::state::World;

/// A pod is put back after this long, event or not.
const UNSCHEDULABLE_MOST: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Ready,
    Backoff(Instant),
    Unschedulable,
    Gated,
    Out,
}

/// A pod that waits.
#[derive(Debug)]
struct Waiting {
    pod: Arc<Pod>,
    place: Place,
    since: Instant,
    first: Instant,
    attempts: u32,
    refusals: u32,
    errors: u32,
    rejected_by: PluginSet,
    number: u64,
}

/// A pod taken out to be placed.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The pod.
    pub(crate) pod: Arc<Pod>,
    /// How many attempts there were, this one included.
    pub(crate) attempts: u32,
    /// When it came.
    pub(crate) first: Instant,
}

type ReadyKey = (Reverse<i32>, Instant, u64, Arc<str>);

/// See the module.
#[derive(Debug)]
pub(crate) struct Queue {
    pods: HashMap<Arc<str>, Waiting>,
    ready: BTreeSet<ReadyKey>,
    backoff: BTreeSet<(Instant, u64, Arc<str>)>,
    /// By the time they were refused.
    unschedulable: BTreeSet<(Instant, Arc<str>)>,
    gated: usize,
    initial: Duration,
    most: Duration,
    count: u64,
}

/// How many pods wait where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Depths {
    /// Ready.
    pub(crate) active: usize,
    /// Until a time.
    pub(crate) backoff: usize,
    /// For an event.
    pub(crate) unschedulable: usize,
    /// For a gate.
    pub(crate) gated: usize,
}

impl Queue {
    /// An empty queue with these shortest and longest times before another attempt.
    pub(crate) fn new(initial: Duration, most: Duration) -> Self {
        Self {
            pods: HashMap::new(),
            ready: BTreeSet::new(),
            backoff: BTreeSet::new(),
            unschedulable: BTreeSet::new(),
            gated: 0,
            initial,
            most,
            count: 0,
        }
    }

    /// A pod without a node appeared or changed.
    pub(crate) fn set(&mut self, old: Option<&Arc<Pod>>, pod: &Arc<Pod>, world: &World, now: Instant) {
        let Some(waiting) = self.pods.get_mut(&pod.uid) else {
            self.count += 1;
            let waiting = Waiting {
                pod: Arc::clone(pod),
                place: Place::Out,
                since: now,
                first: now,
                attempts: 0,
                refusals: 0,
                errors: 0,
                rejected_by: PluginSet::default(),
                number: self.count,
            };
            self.pods.insert(Arc::clone(&pod.uid), waiting);
            self.put(&pod.uid, if pod.gates.is_empty() { Place::Ready } else { Place::Gated });
            return;
        };
        let place = waiting.place;
        if place == Place::Ready && waiting.pod.priority != pod.priority {
            let uid = Arc::clone(&pod.uid);
            self.put(&uid, Place::Out);
            if let Some(waiting) = self.pods.get_mut(&uid) {
                waiting.pod = Arc::clone(pod);
            }
            self.put(&uid, Place::Ready);
            return;
        }
        waiting.pod = Arc::clone(pod);
        match place {
            Place::Gated if pod.gates.is_empty() => self.put(&pod.uid, Place::Ready),
            Place::Unschedulable => {
                let Some(old) = old else { return };
                let changes = PodChange::between(old, pod);
                let event = Event::Pod { old: Some(Arc::clone(old)), new: Some(Arc::clone(pod)), changes };
                if waiting.is_worth(&event, world) {
                    self.requeue(&pod.uid, now);
                }
            }
            _ => {}
        }
    }

    /// A pod is gone, or has a node.
    pub(crate) fn remove(&mut self, uid: &str) {
        let Some((uid, _)) = self.pods.get_key_value(uid) else { return };
        let uid = Arc::clone(uid);
        self.put(&uid, Place::Out);
        self.pods.remove(&uid);
    }

    /// The next pod to place.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Attempt> {
        self.wake(now);
        let uid = match self.ready.first() {
            Some((.., uid)) => Arc::clone(uid),
            // nothing better to do: a pod that was refused need not wait for its time
            None => {
                let refused = |uid: &Arc<str>| self.pods.get(uid).is_some_and(|w| w.errors == 0);
                Arc::clone(self.backoff.iter().map(|(.., uid)| uid).find(|uid| refused(uid))?)
            }
        };
        self.put(&uid, Place::Out);
        let waiting = self.pods.get_mut(&uid)?;
        waiting.attempts += 1;
        Some(Attempt { pod: Arc::clone(&waiting.pod), attempts: waiting.attempts, first: waiting.first })
    }

    /// A pod could not be placed: it waits for what its refusers wait for, or for a time after an error.
    pub(crate) fn put_back(&mut self, uid: &str, rejected_by: PluginSet, now: Instant) {
        let Some(waiting) = self.pods.get_mut(uid).filter(|w| w.place == Place::Out) else { return };
        waiting.since = now;
        waiting.rejected_by = rejected_by;
        if rejected_by.is_empty() {
            waiting.errors += 1;
        } else {
            waiting.refusals += 1;
            waiting.errors = 0;
        }
        let uid = Arc::clone(&waiting.pod.uid);
        let place = if rejected_by.is_empty() {
            Place::Backoff(self.backoff_end(&uid, now))
        } else {
            Place::Unschedulable
        };
        self.put(&uid, place);
    }

    /// Something happened: pods that may fit now become ready, or do so after their time.
    pub(crate) fn happened(&mut self, event: &Event, world: &World, now: Instant) {
        if self.unschedulable.is_empty() {
            return;
        }
        let worth = |uid: &&Arc<str>| self.pods.get(*uid).is_some_and(|w| w.is_worth(event, world));
        let uids: Vec<Arc<str>> =
            self.unschedulable.iter().map(|(_, uid)| uid).filter(worth).cloned().collect();
        for uid in uids {
            self.requeue(&uid, now);
        }
    }

    /// Makes a pod ready at once.
    pub(crate) fn activate(&mut self, uid: &str) {
        if let Some(waiting) =
            self.pods.get(uid).filter(|w| matches!(w.place, Place::Unschedulable | Place::Backoff(_)))
        {
            let uid = Arc::clone(&waiting.pod.uid);
            self.put(&uid, Place::Ready);
        }
    }

    /// When `pop` may give a pod that it does not give now.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let backoff = self.backoff.first().map(|(at, ..)| *at);
        let flush = self.unschedulable.first().map(|(since, _)| *since + UNSCHEDULABLE_MOST);
        backoff.into_iter().chain(flush).min()
    }

    /// How many wait where.
    pub(crate) fn depths(&self) -> Depths {
        let (active, backoff, unschedulable) =
            (self.ready.len(), self.backoff.len(), self.unschedulable.len());
        Depths { active, backoff, unschedulable, gated: self.gated }
    }

    /// What becomes ready by time alone.
    fn wake(&mut self, now: Instant) {
        while let Some((_, _, uid)) = self.backoff.first().filter(|(at, ..)| *at <= now) {
            let uid = Arc::clone(uid);
            self.put(&uid, Place::Ready);
        }
        if self.ready.is_empty() {
            let old = self.unschedulable.iter().take_while(|(since, _)| *since + UNSCHEDULABLE_MOST <= now);
            let uids: Vec<Arc<str>> = old.map(|(_, uid)| Arc::clone(uid)).collect();
            for uid in uids {
                self.requeue(&uid, now);
            }
        }
    }

    fn requeue(&mut self, uid: &Arc<str>, now: Instant) {
        let end = self.backoff_end(uid, now);
        self.put(uid, if end <= now { Place::Ready } else { Place::Backoff(end) });
    }

    /// # Upstream
    /// `backoff_queue.go` `calculateBackoffDuration`
    fn backoff_end(&self, uid: &str, now: Instant) -> Instant {
        let Some(waiting) = self.pods.get(uid) else { return now };
        let count = if waiting.errors > 0 { waiting.errors } else { waiting.refusals };
        match count {
            0 => now,
            n => waiting.since + self.initial.saturating_mul(1 << (n - 1).min(20)).min(self.most),
        }
    }

    fn put(&mut self, uid: &Arc<str>, place: Place) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        let ready = |w: &Waiting| (Reverse(w.pod.priority), w.since, w.number, Arc::clone(uid));
        match waiting.place {
            Place::Ready => drop(self.ready.remove(&ready(waiting))),
            Place::Backoff(at) => drop(self.backoff.remove(&(at, waiting.number, Arc::clone(uid)))),
            Place::Unschedulable => drop(self.unschedulable.remove(&(waiting.since, Arc::clone(uid)))),
            Place::Gated => self.gated -= 1,
            Place::Out => {}
        }
        waiting.place = place;
        match place {
            Place::Ready => drop(self.ready.insert(ready(waiting))),
            Place::Backoff(at) => drop(self.backoff.insert((at, waiting.number, Arc::clone(uid)))),
            Place::Unschedulable => drop(self.unschedulable.insert((waiting.since, Arc::clone(uid)))),
            Place::Gated => self.gated += 1,
            Place::Out => {}
        }
    }
}

impl Waiting {
    /// # Upstream
    /// `scheduling_queue.go` `isPodWorthRequeuing`
    fn is_worth(&self, event: &Event, world: &World) -> bool {
        self.rejected_by.is_empty()
            || self.rejected_by.iter().any(|p| hints::hint(p, &self.pod, event, world))
    }
}

#[cfg(test)]
mod tests;
