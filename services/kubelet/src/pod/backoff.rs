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
        if now < since {
            return None; // the clock was set back: nobody knows how long it has waited
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_forgotten() {
        let at = |s: i64| Timestamp::from_second(1_000_000 + s).unwrap();
        let mut all = Backoff::new(Duration::from_secs(10), Duration::from_secs(30));
        let wait = |all: &Backoff, since: i64, now: i64| {
            all.waiting("k", at(since), at(now)).map(|(_, until)| until.as_second() - 1_000_000)
        };
        assert_eq!(wait(&all, 0, 0), None, "never failed");
        for (since, until) in [(0, 10), (20, 40), (60, 90), (100, 130)] {
            all.next("k", at(since));
            assert_eq!(wait(&all, since, since), Some(until));
            assert_eq!(wait(&all, since, until), None, "it is over");
        }
        assert_eq!(wait(&all, 100, 50), None, "the clock was set back");
        all.next("k", at(161));
        assert_eq!(wait(&all, 161, 161), Some(171), "it is forgotten");
    }
}
