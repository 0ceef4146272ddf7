//! Every key's versions, and the order of changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

/// Bits of an id that count the changes of one revision.
const SUB_BITS: u32 = 20;

/// One version of a key, without key and value. Its id orders all changes: revision, then place in the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    /// Revision and place in it; also where the log keeps the value.
    pub id: u64,
    /// The revision that made the key.
    pub create_revision: i64,
    /// How often it was written since; 0 is a deletion.
    pub version: i64,
    /// Its lease, or 0.
    pub lease: i64,
}

impl Version {
    /// The most changes one revision can hold.
    pub const SUB_MAX: u64 = (1 << SUB_BITS) - 1;

    /// The id of a change.
    pub fn id_of(revision: i64, sub: u64) -> u64 {
        revision.cast_unsigned() << SUB_BITS | sub
    }

    /// The revision of the change.
    pub fn revision(&self) -> i64 {
        (self.id >> SUB_BITS).cast_signed()
    }

    /// Whether the key was deleted.
    pub fn is_deletion(&self) -> bool {
        self.version == 0
    }
}

/// A key and its version as found by a read; the value is still to be fetched unless it is of this batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The key.
    pub key: Arc<[u8]>,
    /// Its version.
    pub version: Version,
    /// The value, when it is not in the log yet.
    pub value: Option<Bytes>,
}

/// A published change, for a watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Arc<[u8]>,
    /// What it became.
    pub version: Version,
    /// What it was, unless it did not exist.
    pub previous: Option<Version>,
}

/// A key's versions, oldest first. Most keys have one: no allocation for it.
#[derive(Debug)]
enum History {
    One(Version),
    Many(Vec<Version>),
}

impl History {
    fn all(&self) -> &[Version] {
        match self {
            Self::One(version) => std::slice::from_ref(version),
            Self::Many(versions) => versions,
        }
    }

    fn push(&mut self, version: Version) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, version]),
            Self::Many(versions) => versions.push(version),
        }
    }

    /// The version in force at a revision, deletions included.
    fn at(&self, revision: i64) -> Option<Version> {
        let all = self.all();
        let after = all.partition_point(|v| v.revision() <= revision);
        after.checked_sub(1).map(|at| all[at])
    }

    /// Drops what no read at `revision` or later sees, into `dropped`; true when nothing is left.
    fn compact(&mut self, revision: i64, dropped: &mut Vec<u64>) -> bool {
        let all = self.all();
        let Some(mut keep) = all.partition_point(|v| v.revision() <= revision).checked_sub(1) else {
            return false;
        };
        // a deletion at exactly this revision stays for those who watch from it
        if all[keep].is_deletion() && all[keep].revision() < revision {
            keep += 1;
        }
        dropped.extend(all[..keep].iter().map(|v| v.id));
        match &all[keep..] {
            [] => return true,
            [one] => *self = Self::One(*one),
            _ if keep == 0 => {}
            rest => *self = Self::Many(rest.to_vec()),
        }
        false
    }
}

/// All keys in order, and all changes since the compacted revision in order.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: BTreeMap<Arc<[u8]>, History>,
    timeline: VecDeque<(u64, Arc<[u8]>)>,
}

/// The bounds of a range as etcd writes them: no end is the key alone, `\0` is everything from it on.
pub(crate) fn bounds<'a>(key: &'a [u8], end: &'a [u8]) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    let to = match end {
        [] => Bound::Included(key),
        [0] => Bound::Unbounded,
        _ if end <= key => Bound::Excluded(key), // an empty range, which BTreeMap would refuse the other way round
        _ => Bound::Excluded(end),
    };
    (Bound::Included(key), to)
}

/// Whether a range as etcd writes them holds a key.
pub(crate) fn holds(key: &[u8], end: &[u8], candidate: &[u8]) -> bool {
    match end {
        [] => candidate == key,
        [0] => candidate >= key,
        _ => candidate >= key && candidate < end,
    }
}

impl Index {
    /// Adds a change; changes come in the order of their ids. Gives what the key was before.
    pub(crate) fn insert(&mut self, key: &Arc<[u8]>, version: Version, compacted: i64) -> Option<Version> {
        if version.revision() >= compacted {
            self.timeline.push_back((version.id, Arc::clone(key)));
        }
        match self.keys.get_mut(key) {
            Some(history) => {
                let before = history.all().last().copied();
                history.push(version);
                before.filter(|v| !v.is_deletion())
            }
            None => {
                self.keys.insert(Arc::clone(key), History::One(version));
                None
            }
        }
    }

    /// The newest version of a key, if it exists.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<(&Arc<[u8]>, Version)> {
        let (key, history) = self.keys.get_key_value(key)?;
        history.all().last().filter(|v| !v.is_deletion()).map(|v| (key, *v))
    }

    /// Every key of a range that exists at a revision.
    pub(crate) fn range<'a>(
        &'a self,
        key: &'a [u8],
        end: &'a [u8],
        revision: i64,
    ) -> impl Iterator<Item = (&'a Arc<[u8]>, Version)> {
        self.keys.range::<[u8], _>(bounds(key, end)).filter_map(move |(key, history)| {
            let version = history.at(revision)?;
            (!version.is_deletion()).then_some((key, version))
        })
    }

    /// The changes from an id on, in order.
    pub(crate) fn changes_from(&self, id: u64) -> impl Iterator<Item = (u64, &Arc<[u8]>)> {
        let from = self.timeline.partition_point(|(at, _)| *at < id);
        self.timeline.range(from..).map(|(id, key)| (*id, key))
    }

    /// A change with what it replaced.
    pub(crate) fn change(&self, id: u64, key: &Arc<[u8]>) -> Option<Change> {
        let all = self.keys.get(key)?.all();
        let at = all.binary_search_by_key(&id, |v| v.id).ok()?;
        let previous = at.checked_sub(1).map(|before| all[before]).filter(|v| !v.is_deletion());
        Some(Change { key: Arc::clone(key), version: all[at], previous })
    }

    /// Forgets up to `steps` changes older than a revision; the ids of versions nobody sees any more.
    pub(crate) fn compact(&mut self, revision: i64, steps: usize) -> Vec<u64> {
        let mut dropped = Vec::new();
        for _ in 0..steps {
            let Some((_, key)) = self.timeline.pop_front_if(|(id, _)| *id < Version::id_of(revision, 0))
            else {
                break;
            };
            self.compact_key(&key, revision, &mut dropped);
        }
        dropped
    }

    /// As [`Index::compact`] for every key: after a start, when what was compacted before is not known any more.
    pub(crate) fn compact_all(&mut self, revision: i64) -> Vec<u64> {
        let mut dropped = Vec::new();
        self.keys.retain(|_, history| !history.compact(revision, &mut dropped));
        dropped
    }

    fn compact_key(&mut self, key: &Arc<[u8]>, revision: i64, dropped: &mut Vec<u64>) {
        let gone = self.keys.get_mut(key).is_some_and(|history| history.compact(revision, dropped));
        if gone {
            self.keys.remove(key);
        }
    }

    /// Whether changes older than a revision wait to be forgotten.
    pub(crate) fn has_older(&self, revision: i64) -> bool {
        self.timeline.front().is_some_and(|(id, _)| *id < Version::id_of(revision, 0))
    }

    /// How many keys it knows, deleted ones included while a deletion can be seen.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
