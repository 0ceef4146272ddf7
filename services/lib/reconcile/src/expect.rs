//! Reading one's own writes: what the caches must show before a key is planned again.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use client::Key;
use tokio::time::Instant;

use crate::Caches;

/// After this the caches are believed though they show less (upstream: 5 minutes).
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) enum Expect {
    /// The kind's cache has seen this revision.
    Seen { kind: TypeId, key: Key, revision: u64 },
    /// The object is gone or going.
    Gone { kind: TypeId, key: Key, uid: String },
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

#[derive(Debug, Default)]
pub(crate) struct Expectations(Mutex<HashMap<Key, (Instant, Vec<Expect>)>>);

impl Expectations {
    pub(crate) fn set(&self, root: &Key, expects: Vec<Expect>) {
        if expects.is_empty() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(root.clone(), (Instant::now() + LIMIT, expects));
    }

    /// Whether the caches show what the key's last plan wrote.
    pub(crate) fn met(&self, root: &Key, caches: &Caches, seen: &Seen) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((until, expects)) = known.get_mut(root) else { return true };
        expects.retain(|expect| !is_met(expect, caches, seen));
        let met = expects.is_empty() || *until <= Instant::now();
        if met {
            known.remove(root);
        }
        met
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
