//! Reading one's own writes: what the caches must show before a key is planned again.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use client::Key;
use tokio::time::Instant;

use crate::Caches;

/// After this the API server is asked why the caches show less, and after as long again they are believed
/// (upstream: believed after 5 minutes).
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) enum Expect {
    /// The kind's cache has seen this revision.
    Seen { kind: TypeId, key: Key, revision: u64 },
    /// The object is gone or going.
    Gone { kind: TypeId, key: Key, uid: String },
}

impl Expect {
    fn unsure(self) -> Unsure {
        match self {
            Self::Seen { kind, key, .. } | Self::Gone { kind, key, .. } => Unsure { kind, key },
        }
    }
}

/// The newest revision each cache has shown.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<TypeId, u64>>);

impl Seen {
    pub(crate) fn note(&self, kind: TypeId, revision: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = seen.entry(kind).or_default();
        *newest = revision.max(*newest);
    }

    fn newest(&self, kind: TypeId) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&kind).copied().unwrap_or(0)
    }
}

/// An object of which only the API server knows whether it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unsure {
    pub(crate) kind: TypeId,
    pub(crate) key: Key,
}

/// Whether a key may be planned.
#[derive(Debug, PartialEq)]
pub(crate) enum Stand {
    /// The caches show what its last plan wrote.
    Met,
    /// Not yet.
    Behind,
    /// The API server has to be asked for these first.
    Unsure(Vec<Unsure>),
}

#[derive(Debug)]
struct Wait {
    until: Instant,
    asked: bool,
    expects: Vec<Expect>,
    unsure: Vec<Unsure>,
}

/// What keys wait for.
#[derive(Debug, Default)]
pub(crate) struct Expectations(Mutex<HashMap<Key, Wait>>);

impl Expectations {
    pub(crate) fn set(&self, root: &Key, expects: Vec<Expect>, unsure: Vec<Unsure>) {
        if expects.is_empty() && unsure.is_empty() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(root.clone(), Wait { until: Instant::now() + LIMIT, asked: false, expects, unsure });
    }

    /// The API server was asked for all a key is unsure of: what it has, the caches must show too.
    pub(crate) fn told(&self, root: &Key, there: Vec<Expect>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = known.get_mut(root) {
            wait.unsure.clear();
            wait.expects.extend(there);
            wait.until = Instant::now() + LIMIT;
            wait.asked = true;
        }
    }

    /// Whether the caches show what the key's last plan wrote.
    pub(crate) fn stand(&self, root: &Key, caches: &Caches, seen: &Seen) -> Stand {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(wait) = known.get_mut(root) else { return Stand::Met };
        // answers come in the order of revisions, about: as long as the last is not seen, the others need no look
        while wait.expects.pop_if(|expect| is_met(expect, caches, seen)).is_some() {}
        let late = wait.until <= Instant::now();
        if late {
            wait.expects.retain(|expect| !is_met(expect, caches, seen));
        }
        if late && !wait.asked {
            wait.unsure.extend(wait.expects.drain(..).map(Expect::unsure));
        }
        if !wait.unsure.is_empty() {
            return Stand::Unsure(wait.unsure.clone());
        }
        if !wait.expects.is_empty() && !late {
            return Stand::Behind;
        }
        known.remove(root);
        Stand::Met
    }
}

fn is_met(expect: &Expect, caches: &Caches, seen: &Seen) -> bool {
    match expect {
        Expect::Seen { kind, key, revision } => {
            seen.newest(*kind) >= *revision
                || caches.presence(*kind, key).is_some_and(|p| p.revision >= *revision)
        }
        Expect::Gone { kind, key, uid } => {
            caches.presence(*kind, key).is_none_or(|p| p.deleting || p.uid != *uid)
        }
    }
}
