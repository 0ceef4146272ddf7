//! A batch in the making: the state as it will be, over the state as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use etcd::rpc::{DeleteRangeRequest, PutRequest, RangeRequest};

use crate::state::collect;
use crate::{
    Answer, Batch, Found, LeaseChange, Plan, Refusal, Reply, ReplyOp, Request, Row, State, Version, index,
};

/// The shortest time to live a lease gets.
///
/// # Upstream
/// `go.etcd.io/etcd/server/v3/lease/lessor.go` `minLeaseTTL` with the default election timeout
const TTL_MIN_SECONDS: i64 = 2;
/// # Upstream
/// `go.etcd.io/etcd/server/v3/lease/lessor.go` `MaxLeaseTTL`
const TTL_MAX_SECONDS: i64 = 9_000_000_000;

pub(crate) struct Draft<'a> {
    state: &'a State,
    values: &'a HashMap<u64, Bytes>,
    batch: Batch,
    /// Keys this batch wrote: their newest version and value.
    pending: BTreeMap<Arc<[u8]>, (Version, Bytes)>,
    /// Leases this batch made (with their time) or ended.
    leases: BTreeMap<i64, Option<i64>>,
    renewed: Vec<i64>,
    revision: i64,
    /// Changes of the request under way; its revision begins with the first.
    sub: u64,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(state: &'a State, values: &'a HashMap<u64, Bytes>) -> Self {
        Self {
            state,
            values,
            batch: Batch::default(),
            pending: BTreeMap::new(),
            leases: BTreeMap::new(),
            renewed: Vec::new(),
            revision: state.revision(),
            sub: 0,
        }
    }

    pub(crate) fn finish(self) -> Plan {
        Plan { batch: self.batch, replies: Vec::new(), renewed: self.renewed }
    }

    pub(crate) fn apply(&mut self, request: &Request) -> Result<Reply, Refusal> {
        self.sub = 0;
        let op = match request {
            Request::Put(put) => {
                self.check_put(put)?;
                self.put(put)
            }
            Request::Delete(delete) => {
                self.check_delete(delete)?;
                self.delete(delete)
            }
            Request::Txn(txn) => self.txn(txn)?,
            Request::Compact(revision) => self.compact(*revision)?,
            Request::Grant { id, ttl_seconds } => self.grant(*id, *ttl_seconds)?,
            Request::Revoke(id) => self.revoke(*id)?,
            Request::KeepAlive(id) => self.keep_alive(*id)?,
        };
        Ok(Reply { revision: self.revision, op })
    }

    /// Ends a lease whose time is over: a revision of its own, as if somebody had revoked it.
    pub(crate) fn expire(&mut self, id: i64) {
        self.sub = 0;
        self.end_lease(id);
    }

    pub(crate) fn newest(&self, key: &[u8]) -> Option<Found> {
        match self.pending.get_key_value(key) {
            Some((_, (version, _))) if version.is_deletion() => None,
            Some((key, (version, value))) => {
                Some(Found { key: Arc::clone(key), version: *version, value: Some(value.clone()) })
            }
            None => self.state.newest(key),
        }
    }

    /// The newest state of a range, this batch included.
    pub(crate) fn scan(&self, key: &[u8], end: &[u8]) -> Vec<Found> {
        let stored = self.state.scan(key, end, self.state.revision());
        let stored = stored.filter(|(key, _)| !self.pending.contains_key(*key));
        let found =
            |(key, version): (&Arc<[u8]>, Version)| Found { key: Arc::clone(key), version, value: None };
        let mut all: Vec<Found> = stored.map(found).collect();
        let written = self.pending.range::<[u8], _>(index::bounds(key, end));
        let before = all.len();
        all.extend(written.filter(|(_, (version, _))| !version.is_deletion()).map(
            |(key, (version, value))| Found {
                key: Arc::clone(key),
                version: *version,
                value: Some(value.clone()),
            },
        ));
        if all.len() > before {
            all.sort_by(|a, b| a.key.cmp(&b.key));
        }
        all
    }

    pub(crate) fn value(&self, found: &Found) -> Bytes {
        // the engine fetched what `needs` named before planning
        found.value.clone().or_else(|| self.values.get(&found.version.id).cloned()).unwrap_or_default()
    }

    pub(crate) fn check_range(&self, range: &RangeRequest) -> Result<(), Refusal> {
        if range.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        self.state.readable(range.revision, self.revision).map(drop)
    }

    pub(crate) fn range(&self, range: &RangeRequest) -> Answer {
        // a revision this batch made is this batch's newest state: only the newest one can be read so
        if range.revision <= 0 || range.revision > self.state.revision() {
            let all = self.scan(&range.key, &range.range_end);
            return collect(range, all.iter().map(|f| (&f.key, f.version, f.value.clone())));
        }
        let stored = self.state.scan(&range.key, &range.range_end, range.revision);
        collect(range, stored.map(|(key, version)| (key, version, None)))
    }

    pub(crate) fn check_put(&self, put: &PutRequest) -> Result<(), Refusal> {
        if put.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        if put.ignore_value && !put.value.is_empty() {
            return Err(Refusal::ValueProvided);
        }
        if put.ignore_lease && put.lease != 0 {
            return Err(Refusal::LeaseProvided);
        }
        if (put.ignore_value || put.ignore_lease) && self.newest(&put.key).is_none() {
            return Err(Refusal::KeyNotFound);
        }
        if put.lease != 0 && !self.has_lease(put.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        Ok(())
    }

    pub(crate) fn put(&mut self, put: &PutRequest) -> ReplyOp {
        let before = self.newest(&put.key);
        let value = match &before {
            Some(found) if put.ignore_value => self.value(found),
            _ => put.value.clone(),
        };
        let lease = match &before {
            Some(found) if put.ignore_lease => found.version.lease,
            _ => put.lease,
        };
        let id = self.next_id();
        let (create_revision, version) = match &before {
            Some(found) => (found.version.create_revision, found.version.version + 1),
            None => (self.revision, 1),
        };
        let key = before.as_ref().map_or_else(|| Arc::from(&put.key[..]), |found| Arc::clone(&found.key));
        let previous = before.as_ref().map_or(0, |found| found.version.id);
        self.write(Row { key, version: Version { id, create_revision, version, lease }, previous, value });
        ReplyOp::Put { previous: before.filter(|_| put.prev_kv) }
    }

    pub(crate) fn check_delete(&self, delete: &DeleteRangeRequest) -> Result<(), Refusal> {
        if delete.key.is_empty() {
            return Err(Refusal::EmptyKey);
        }
        let most = usize::try_from(Version::SUB_MAX).unwrap_or(usize::MAX);
        if !delete.range_end.is_empty() && self.scan(&delete.key, &delete.range_end).len() > most {
            return Err(Refusal::RangeTooLarge);
        }
        Ok(())
    }

    pub(crate) fn delete(&mut self, delete: &DeleteRangeRequest) -> ReplyOp {
        let found = match &delete.range_end[..] {
            [] => self.newest(&delete.key).into_iter().collect(),
            end => self.scan(&delete.key, end),
        };
        for found in &found {
            self.remove(found);
        }
        let deleted = i64::try_from(found.len()).unwrap_or(i64::MAX);
        ReplyOp::Delete { deleted, previous: if delete.prev_kv { found } else { Vec::new() } }
    }

    fn remove(&mut self, found: &Found) {
        let version = Version { id: self.next_id(), ..Version::default() };
        let (key, previous) = (Arc::clone(&found.key), found.version.id);
        self.write(Row { key, version, previous, value: Bytes::new() });
    }

    fn compact(&mut self, revision: i64) -> Result<ReplyOp, Refusal> {
        if revision <= self.batch.compacted.unwrap_or(self.state.compacted()) {
            return Err(Refusal::Compacted);
        }
        if revision > self.revision {
            return Err(Refusal::FutureRevision);
        }
        self.batch.compacted = Some(revision);
        Ok(ReplyOp::Compact)
    }

    fn grant(&mut self, id: i64, ttl_seconds: i64) -> Result<ReplyOp, Refusal> {
        if ttl_seconds > TTL_MAX_SECONDS {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if id != 0 && self.has_lease(id) {
            return Err(Refusal::LeaseExists);
        }
        // unique without chance: the log's sequence never returns
        let first = (self.state.head().sequence + 1) << 16;
        let id = if id != 0 { Some(id) } else { (first..).find(|id| !self.has_lease(*id)) };
        let (id, ttl_seconds) = (id.ok_or(Refusal::LeaseExists)?, ttl_seconds.max(TTL_MIN_SECONDS));
        self.leases.insert(id, Some(ttl_seconds));
        self.batch.leases.push(LeaseChange { id, ttl_seconds });
        Ok(ReplyOp::Lease { id, ttl_seconds })
    }

    fn revoke(&mut self, id: i64) -> Result<ReplyOp, Refusal> {
        if !self.has_lease(id) {
            return Err(Refusal::LeaseNotFound);
        }
        self.end_lease(id);
        Ok(ReplyOp::Lease { id, ttl_seconds: 0 })
    }

    fn end_lease(&mut self, id: i64) {
        let stored = self.state.lease(id).into_iter().flat_map(|lease| lease.keys.iter());
        let candidates: BTreeSet<Arc<[u8]>> = stored.chain(self.pending.keys()).cloned().collect();
        for key in candidates {
            if let Some(found) = self.newest(&key).filter(|found| found.version.lease == id) {
                self.remove(&found);
            }
        }
        self.leases.insert(id, None);
        self.batch.leases.push(LeaseChange { id, ttl_seconds: 0 });
    }

    fn keep_alive(&mut self, id: i64) -> Result<ReplyOp, Refusal> {
        let ttl_seconds = match self.leases.get(&id) {
            Some(changed) => *changed,
            None => self.state.lease(id).map(|lease| lease.ttl_seconds),
        };
        let ttl_seconds = ttl_seconds.ok_or(Refusal::LeaseNotFound)?;
        self.renewed.push(id);
        Ok(ReplyOp::Lease { id, ttl_seconds })
    }

    fn has_lease(&self, id: i64) -> bool {
        self.leases.get(&id).map_or_else(|| self.state.lease(id).is_some(), Option::is_some)
    }

    /// The id of the request's next change; the first makes a revision.
    fn next_id(&mut self) -> u64 {
        if self.sub == 0 {
            self.revision += 1;
        }
        let id = Version::id_of(self.revision, self.sub);
        self.sub += 1;
        id
    }

    fn write(&mut self, row: Row) {
        self.pending.insert(Arc::clone(&row.key), (row.version, row.value.clone()));
        self.batch.rows.push(row);
    }
}
