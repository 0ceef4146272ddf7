//! A queue of keys: each once, never handed out twice at a time, with delays and backoff.
//!
//! # Upstream
//! `k8s.io/client-go/util/workqueue`: delaying and rate limiting queues (5 ms doubling to 1000 s)

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::Key;
use tokio::sync::Notify;
use tokio::time::Instant;

const BACKOFF_FIRST: Duration = Duration::from_millis(5);
const BACKOFF_MOST: Duration = Duration::from_secs(1000);

#[derive(Default, Debug)]
struct State {
    ready: VecDeque<Key>,
    queued: HashSet<Key>,
    running: HashSet<Key>,
    delayed: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

/// The queue of one controller. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct Queue {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a key; one that runs is queued again when it is done.
    pub fn add(&self, key: Key) {
        let mut state = self.lock();
        if state.queued.insert(key.clone()) && !state.running.contains(&key) {
            state.ready.push_back(key);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Queues a key after a time; the earliest of several counts.
    pub fn add_after(&self, key: Key, after: Duration) {
        let at = Instant::now() + after;
        let mut state = self.lock();
        if state.delayed.get(&key).is_some_and(|known| *known <= at) {
            return;
        }
        state.delayed.insert(key, at);
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
        let after = BACKOFF_FIRST.saturating_mul(1 << (failures - 1).min(20)).min(BACKOFF_MOST);
        self.add_after(key, after);
        after
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
                let due: Vec<Key> =
                    state.delayed.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
                for key in due {
                    state.delayed.remove(&key);
                    if state.queued.insert(key.clone()) && !state.running.contains(&key) {
                        state.ready.push_back(key);
                    }
                }
                if let Some(key) = state.ready.pop_front() {
                    state.queued.remove(&key);
                    state.running.insert(key.clone());
                    return key;
                }
                state.delayed.values().min().copied()
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
        state.running.remove(key);
        if state.queued.contains(key) {
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
