//! A queue of keys: each once, never handed out twice at a time, with delays and backoff.
//!
//! # Upstream
//! `k8s.io/client-go/util/workqueue`: delaying and rate limiting queues (5 ms doubling to 1000 s)

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::Key;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::QueueMetrics;

const BACKOFF_FIRST: Duration = Duration::from_millis(5);
const BACKOFF_MOST: Duration = Duration::from_secs(1000);
/// Room for this many keys is kept by a queue that is empty: at the start every object may be queued at once.
const ROOM: usize = 1024;

#[derive(Default, Debug)]
struct State {
    ready: VecDeque<Key>,
    /// Since when, by key: in `ready`, or running and to be run again.
    queued: HashMap<Key, Instant>,
    running: HashMap<Key, Instant>,
    delayed: HashMap<Key, Instant>,
    /// `delayed` in order.
    timeline: BTreeSet<(Instant, Key)>,
    failures: HashMap<Key, u32>,
}

impl State {
    /// Queues a key; whether somebody can take it now.
    fn add(&mut self, key: Key, metrics: &QueueMetrics) -> bool {
        if self.queued.contains_key(&key) {
            return false;
        }
        self.queued.insert(key.clone(), Instant::now());
        metrics.adds.inc();
        metrics.depth.inc();
        let free = !self.running.contains_key(&key);
        if free {
            self.ready.push_back(key);
        }
        free
    }

    /// Gives back what a long queue took.
    fn shrink(&mut self) {
        if self.queued.is_empty() && self.queued.capacity() > 2 * ROOM {
            self.queued.shrink_to(ROOM);
            self.ready.shrink_to(ROOM);
        }
    }
}

/// The queue of one controller. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct Queue {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
    metrics: QueueMetrics,
}

impl Queue {
    /// A queue that is counted.
    pub(crate) fn counted(metrics: QueueMetrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a key; one that runs is queued again when it is done.
    pub fn add(&self, key: Key) {
        if self.lock().add(key, &self.metrics) {
            self.wake.notify_one();
        }
    }

    /// Queues a key after a time; the earliest of several counts.
    pub fn add_after(&self, key: Key, after: Duration) {
        let at = Instant::now() + after;
        let mut state = self.lock();
        match state.delayed.get(&key).copied() {
            Some(known) if known <= at => return,
            Some(known) => {
                state.timeline.remove(&(known, key.clone()));
            }
            None => {}
        }
        state.delayed.insert(key.clone(), at);
        state.timeline.insert((at, key));
        drop(state);
        self.wake.notify_one();
    }

    /// Queues a key that failed, later each time.
    pub fn add_failed(&self, key: Key) -> Duration {
        let failures = {
            let mut state = self.lock();
            let count = state.failures.entry(key.clone()).or_default();
            *count += 1;
            *count
        };
        self.metrics.retries.inc();
        let after = BACKOFF_FIRST.saturating_mul(1 << (failures - 1).min(20)).min(BACKOFF_MOST);
        self.add_after(key, after);
        after
    }

    /// How often in a row a key has failed.
    pub fn failures(&self, key: &Key) -> u32 {
        self.lock().failures.get(key).copied().unwrap_or(0)
    }

    /// Forgets a key's failures.
    pub fn forget(&self, key: &Key) {
        self.lock().failures.remove(key);
    }

    /// The next key to work on; say [`Queue::done`] afterwards.
    pub async fn next(&self) -> Key {
        loop {
            let wait = {
                let mut state = self.lock();
                let now = Instant::now();
                while state.timeline.first().is_some_and(|(at, _)| *at <= now) {
                    if let Some((_, key)) = state.timeline.pop_first() {
                        state.delayed.remove(&key);
                        state.add(key, &self.metrics);
                    }
                }
                if let Some(key) = state.ready.pop_front() {
                    if let Some(since) = state.queued.remove(&key) {
                        self.metrics.waited.observe((now - since).as_secs_f64());
                        self.metrics.depth.dec();
                    }
                    state.running.insert(key.clone(), now);
                    state.shrink();
                    return key;
                }
                state.timeline.first().map(|(at, _)| *at)
            };
            match wait {
                Some(at) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// Work on a key has ended.
    pub fn done(&self, key: &Key) {
        let mut state = self.lock();
        if let Some(since) = state.running.remove(key) {
            self.metrics.worked.observe(since.elapsed().as_secs_f64());
        }
        if state.queued.contains_key(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Keys that are ready or wait for a running one.
    pub fn depth(&self) -> usize {
        self.lock().queued.len()
    }
}
