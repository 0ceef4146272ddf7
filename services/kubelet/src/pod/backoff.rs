//! Waiting longer after each failure. Pure: the caller brings the clock.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

/// Back-off by key, as upstream's `flowcontrol.Backoff`.
#[derive(Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    entries: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    wait: Duration,
    updated: Timestamp,
}

impl Backoff {
    /// Starting at `initial`, doubling up to `max`; forgotten after twice `max` without a failure.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial: initial.min(max), max, entries: HashMap::new() }
    }

    /// How long the key has to wait after `since`, and until when, if that is not over.
    pub fn waiting(&self, key: &str, since: Timestamp, now: Timestamp) -> Option<(Duration, Timestamp)> {
        let entry = self.entries.get(key)?;
        if self.forgotten(entry, since) {
            return None;
        }
        let until = since.checked_add(entry.wait).ok()?; // beyond all time: no wait can end then
        (now < until).then_some((entry.wait, until))
    }

    /// The key failed (again): its next wait is longer.
    pub fn next(&mut self, key: &str, since: Timestamp) {
        let forgotten = self.entries.get(key).is_none_or(|e| self.forgotten(e, since));
        let (initial, max) = (self.initial, self.max);
        let entry = self.entries.entry(key.to_owned()).or_insert(Entry { wait: initial, updated: since });
        entry.wait = if forgotten { initial } else { (entry.wait * 2).min(max) };
        entry.updated = since;
    }

    fn forgotten(&self, entry: &Entry, at: Timestamp) -> bool {
        let quiet = at.duration_since(entry.updated);
        !quiet.is_negative() && quiet.unsigned_abs() > self.max * 2
    }
}
