//! The store without its values: pure, deterministic, in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd::rpc::RangeRequest;
use etcd::rpc::range_request::{SortOrder, SortTarget};

use crate::draft::Draft;
use crate::index::Index;
use crate::{
    Batch, Change, Found, Head, LeaseChange, Log, LogError, Record, Refusal, Reply, Request, Version,
};

/// A lease and the keys that end with it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) ttl_seconds: i64,
    pub(crate) expires: Duration,
    pub(crate) keys: BTreeSet<Arc<[u8]>>,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The keys, in order of keys.
    pub found: Vec<Found>,
    /// How many keys the range holds, filters and limit aside.
    pub count: i64,
    /// The limit left some out.
    pub more: bool,
}

/// What a batch would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// To be made durable; may be empty.
    pub batch: Batch,
    /// One reply a request, to be sent when the batch is durable.
    pub replies: Vec<Result<Reply, Refusal>>,
    /// Leases that get their whole time again.
    pub renewed: Vec<i64>,
}

/// Every key's versions down to the compacted revision, the order of changes, leases.
#[derive(Debug)]
pub struct State {
    index: Index,
    head: Head,
    leases: BTreeMap<i64, Lease>,
    expiries: BTreeSet<(Duration, i64)>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            index: Index::default(),
            head: Head::EMPTY,
            leases: BTreeMap::new(),
            expiries: BTreeSet::new(),
        }
    }
}

impl State {
    /// Reads a log. Leases begin their time anew, as etcd's do after a change of leader. Also gives the ids of rows
    /// that no read can reach any more.
    ///
    /// # Errors
    /// The log cannot be read, or contradicts itself.
    pub fn rebuild(log: &mut dyn Log, now: Duration) -> Result<(Self, Vec<u64>), LogError> {
        let head = log.head();
        let mut state = Self { head, ..Self::default() };
        let mut last = 0;
        let mut damage = None;
        log.scan(&mut |record| match record {
            Record::Row { key, version } => {
                if version.id <= last || version.revision() > head.revision {
                    damage.get_or_insert((version, last));
                }
                last = version.id;
                state.index.insert(&key, version, head.compacted);
            }
            Record::Lease(change) => state.change_lease(change, now),
        })?;
        if let Some((version, before)) = damage {
            let (revision, newest, before) = (version.revision(), head.revision, before >> 20);
            return Err(LogError::Damaged(format!(
                "a row of revision {revision} follows one of revision {before} where the newest is {newest}"
            )));
        }
        let attached: Vec<_> = state
            .index
            .range(&[0], &[0], head.revision)
            .filter(|(_, v)| v.lease != 0)
            .map(|(k, v)| (v.lease, Arc::clone(k)))
            .collect();
        for (lease, key) in attached {
            state.leases.get_mut(&lease).map(|l| l.keys.insert(key));
        }
        let garbage = state.index.compact_all(head.compacted);
        Ok((state, garbage))
    }

    /// The newest revision.
    pub fn revision(&self) -> i64 {
        self.head.revision
    }

    /// The revision before which history is gone.
    pub fn compacted(&self) -> i64 {
        self.head.compacted
    }

    /// The log's head this state is of.
    pub fn head(&self) -> Head {
        self.head
    }

    /// How many keys it knows.
    pub fn keys(&self) -> usize {
        self.index.len()
    }

    /// What a batch would do, without doing it. `values` holds what [`crate::needs`] asked for.
    pub fn plan(&self, requests: &[Request], values: &HashMap<u64, Bytes>, now: Duration) -> Plan {
        let mut draft = Draft::new(self, values);
        for lease in self.expired(now) {
            draft.expire(lease);
        }
        let replies = requests.iter().map(|request| draft.apply(request)).collect();
        Plan { replies, ..draft.finish() }
    }

    /// Does what was planned, once it is durable: the log's new head says so.
    pub fn publish(&mut self, batch: &Batch, renewed: &[i64], head: Head, now: Duration) {
        for change in &batch.leases {
            self.change_lease(*change, now);
        }
        for row in &batch.rows {
            let before = self.index.insert(&row.key, row.version, self.head.compacted);
            if let Some(lease) = before.filter(|b| b.lease != row.version.lease).map(|b| b.lease) {
                self.leases.get_mut(&lease).map(|l| l.keys.remove(&row.key));
            }
            self.leases.get_mut(&row.version.lease).map(|l| l.keys.insert(Arc::clone(&row.key)));
        }
        self.head = head;
        for id in renewed {
            if let Some(lease) = self.leases.get_mut(id) {
                self.expiries.remove(&(lease.expires, *id));
                lease.expires = now + Duration::from_secs(lease.ttl_seconds.unsigned_abs());
                self.expiries.insert((lease.expires, *id));
            }
        }
    }

    fn change_lease(&mut self, change: LeaseChange, now: Duration) {
        if let Some(old) = self.leases.remove(&change.id) {
            self.expiries.remove(&(old.expires, change.id));
        }
        if change.ttl_seconds > 0 {
            let expires = now + Duration::from_secs(change.ttl_seconds.unsigned_abs());
            let lease = Lease { ttl_seconds: change.ttl_seconds, expires, keys: BTreeSet::new() };
            self.leases.insert(change.id, lease);
            self.expiries.insert((expires, change.id));
        }
    }

    /// Forgets up to `steps` changes older than the compacted revision; the ids of rows to trim.
    pub fn forget(&mut self, steps: usize) -> Vec<u64> {
        self.index.compact(self.head.compacted, steps)
    }

    /// Whether [`State::forget`] has something to do.
    pub fn must_forget(&self) -> bool {
        self.index.has_older(self.head.compacted)
    }

    /// When the next lease ends.
    pub fn next_expiry(&self) -> Option<Duration> {
        self.expiries.first().map(|(at, _)| *at)
    }

    fn expired(&self, now: Duration) -> impl Iterator<Item = i64> {
        self.expiries.range(..=(now, i64::MAX)).map(|(_, id)| *id)
    }

    pub(crate) fn lease(&self, id: i64) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// A lease's whole and remaining time in seconds.
    pub fn lease_times(&self, id: i64, now: Duration) -> Option<(i64, i64)> {
        let lease = self.leases.get(&id)?;
        let left = i64::try_from(lease.expires.saturating_sub(now).as_secs()).unwrap_or(i64::MAX);
        Some((lease.ttl_seconds, left))
    }

    /// The keys that end with a lease.
    pub fn lease_keys(&self, id: i64) -> Vec<Arc<[u8]>> {
        self.leases.get(&id).map(|lease| lease.keys.iter().cloned().collect()).unwrap_or_default()
    }

    /// All leases.
    pub fn leases(&self) -> Vec<i64> {
        self.leases.keys().copied().collect()
    }

    /// The newest version of a key, if it exists.
    pub fn newest(&self, key: &[u8]) -> Option<Found> {
        self.index.newest(key).map(|(key, version)| Found { key: Arc::clone(key), version, value: None })
    }

    pub(crate) fn scan<'a>(
        &'a self,
        key: &'a [u8],
        end: &'a [u8],
        revision: i64,
    ) -> impl Iterator<Item = (&'a Arc<[u8]>, Version)> {
        self.index.range(key, end, revision)
    }

    /// Checks the revision of a read against what there is; gives the one to read at.
    ///
    /// # Errors
    /// It is compacted or in the future.
    pub fn readable(&self, revision: i64, newest: i64) -> Result<i64, Refusal> {
        match revision {
            r if r <= 0 => Ok(newest),
            r if r > newest => Err(Refusal::FutureRevision),
            r if r < self.head.compacted => Err(Refusal::Compacted),
            r => Ok(r),
        }
    }

    /// A read.
    ///
    /// # Errors
    /// The key is empty, or the revision is compacted or in the future.
    pub fn range(&self, request: &RangeRequest) -> Result<Answer, Refusal> {
        if request.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        let revision = self.readable(request.revision, self.revision())?;
        let found = self.scan(&request.key, &request.range_end, revision);
        Ok(collect(request, found.map(|(key, version)| (key, version, None))))
    }

    /// The changes from an id on to keys that are `wanted`: whole revisions, about `limit` of them; and the id to go
    /// on from.
    ///
    /// # Errors
    /// They are compacted.
    pub fn changes(
        &self,
        from: u64,
        limit: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<(Vec<Change>, u64), Refusal> {
        if from < Version::id_of(self.compacted(), 0) {
            return Err(Refusal::Compacted);
        }
        let mut changes: Vec<Change> = Vec::new();
        let mut revision = 0;
        for (id, key) in self.index.changes_from(from) {
            let at = (Version { id, ..Version::default() }).revision();
            if at != revision && changes.len() >= limit {
                return Ok((changes, Version::id_of(at, 0)));
            }
            revision = at;
            if wanted(key) {
                changes.extend(self.index.change(id, key));
            }
        }
        Ok((changes, Version::id_of(self.revision() + 1, 0).max(from)))
    }
}

/// Applies a read's filters and, where the order allows it, its limit.
pub(crate) fn collect<'a>(
    request: &RangeRequest,
    all: impl Iterator<Item = (&'a Arc<[u8]>, Version, Option<Bytes>)>,
) -> Answer {
    let outside = |at: i64, min: i64, max: i64| (min != 0 && at < min) || (max != 0 && at > max);
    // an order by anything but the key needs all of them before the limit
    let ascending = request.sort_target() == SortTarget::Key && request.sort_order() != SortOrder::Descend;
    let limit = match usize::try_from(request.limit) {
        Ok(limit) if limit > 0 && ascending => limit,
        _ => usize::MAX,
    };
    let mut answer = Answer { found: Vec::new(), count: 0, more: false };
    for (key, version, value) in all {
        answer.count += 1;
        if request.count_only
            || outside(version.revision(), request.min_mod_revision, request.max_mod_revision)
            || outside(version.create_revision, request.min_create_revision, request.max_create_revision)
        {
            continue;
        }
        if answer.found.len() == limit {
            answer.more = true;
        } else {
            answer.found.push(Found { key: Arc::clone(key), version, value });
        }
    }
    answer
}
