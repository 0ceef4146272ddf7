//! What a pod's worker remembers between two looks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use super::backoff::Backoff;
use super::observed::Ended;
use super::plan::Waiting;
use super::resize;
use super::start::{self, Refusal};
use crate::probes::Probes;

/// What a worker knows beside what it can look up; all of it can be lost.
#[derive(Debug)]
pub struct Memory {
    /// Containers that ended.
    pub ended: Ended,
    /// Why containers wait.
    pub waiting: Waiting,
    /// Restarts of containers.
    pub restarts: Backoff,
    /// Pulls of images.
    pub pulls: Backoff,
    /// Containers whose failure is to be seen until then, rather than that they wait for their next try; by a clock
    /// nobody sets.
    shown: HashMap<String, Instant>,
    /// Why the last pull of an image failed.
    pub pull_errors: HashMap<String, String>,
    /// Probes.
    pub probes: Probes,
    /// The pod's cgroup and directories were made.
    pub prepared: bool,
    /// Resizing.
    pub resize: resize::State,
    /// Containers whose preStop hook has run.
    pub stopped: HashSet<String>,
    /// When something has to be looked at again.
    pub wake: Option<Timestamp>,
    /// Failures in a row of what is not a container's (volumes, sandbox).
    pub failures: u32,
    /// Times of failed volumes already told in events.
    pub said: HashMap<String, Timestamp>,
}

impl Memory {
    /// Nothing yet; `restart` is the longest wait between two restarts, `wake` wakes the worker.
    pub fn new(restart: Duration, wake: Arc<Notify>) -> Self {
        let ten = Duration::from_secs(10);
        Self {
            ended: Ended::new(),
            waiting: Waiting::new(),
            restarts: Backoff::new(ten, restart),
            pulls: Backoff::new(ten, Duration::from_secs(300)),
            shown: HashMap::new(),
            pull_errors: HashMap::new(),
            probes: Probes::new(wake),
            prepared: false,
            resize: resize::State::default(),
            stopped: HashSet::new(),
            wake: None,
            failures: 0,
            said: HashMap::new(),
        }
    }

    /// Looks again at this time at the latest.
    pub fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }

    /// Whether a container's failed pull is still to be seen: until then it is not tried again.
    pub fn pull_shown(&self, name: &str) -> bool {
        let failed = self.waiting.get(name).is_some_and(|(reason, _)| reason == start::PULL_FAILED);
        failed && self.shown_for(name).is_some()
    }

    /// How much longer a container's failure is to be seen.
    fn shown_for(&self, name: &str) -> Option<Duration> {
        let until = self.shown.get(name).filter(|_| self.waiting.contains_key(name))?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Keeps why a container did not start. What the runtime or a hook refused says more than that the next
    /// try is waited for, so it is told for a while, as with upstream, which looks again only then.
    pub fn refused(&mut self, name: &str, refusal: Refusal) {
        if refusal.reason == start::BACK_OFF
            && let Some(left) = self.shown_for(name)
        {
            self.wake_in(left);
            return;
        }
        let stays = match refusal.reason {
            start::PULL_FAILED => Some(start::PULL_SEEN),
            _ if refusal.changed => Some(start::START_SEEN),
            _ => None,
        };
        match stays {
            Some(time) => self.shown.insert(name.to_owned(), Instant::now() + time),
            None => self.shown.remove(name),
        };
        self.waiting.insert(name.to_owned(), (refusal.reason.to_owned(), refusal.message));
    }

    /// A container started.
    pub fn started(&mut self, name: &str) {
        self.waiting.remove(name);
        self.shown.remove(name);
    }

    /// Looks again after a pause that grows with each failure.
    pub fn retry(&mut self) {
        let pause = Duration::from_millis(500 << self.failures.min(7));
        self.failures += 1;
        self.wake_in(pause);
    }

    fn wake_in(&mut self, pause: Duration) {
        self.wake_at(
            Timestamp::now() + SignedDuration::try_from(pause).unwrap_or(SignedDuration::from_secs(1)),
        );
    }
}
