//! Writes: one compare-and-put each; an update starts from the cache and is final only once the store agrees.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/storage/etcd3/store.go` `GuaranteedUpdate`

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use schema::Object;

use super::Store;
use super::cache::ResourceCache;
use super::entry::Entry;
use super::kv::{Row, Written};
use crate::errors::{self, Result};

/// What an attempt wants done.
#[derive(Debug)]
pub enum Next {
    /// Store this object.
    Put(Object),
    /// Remove the key; the object is what the client is shown.
    Delete(Object),
}

/// What was done.
#[derive(Debug, Clone)]
pub enum Done {
    /// Stored.
    Put(Arc<Entry>),
    /// Nothing differed.
    Unchanged(Arc<Entry>),
    /// Removed, at the revision of the entry.
    Deleted(Arc<Entry>),
}

impl Done {
    /// The object as the client sees it.
    pub fn entry(&self) -> &Arc<Entry> {
        match self {
            Done::Put(e) | Done::Unchanged(e) | Done::Deleted(e) => e,
        }
    }
}

/// A write computed from the present object; run again when somebody else wrote meanwhile.
pub trait Attempt: Send {
    /// Computes the write. `None`: there is no such object.
    fn run(&mut self, current: Option<&Arc<Entry>>) -> impl Future<Output = Result<Next>> + Send;
}

impl Store {
    /// Stores a new object; `None` when the key is taken.
    pub async fn create(
        &self,
        cache: &ResourceCache,
        key: &str,
        object: &Object,
    ) -> Result<Option<Arc<Entry>>> {
        let value = Bytes::from(cache.resource.encode(object));
        let lease = self.lease_for(cache).await?;
        match self.kv.put(key, value.clone(), 0, lease).await? {
            Written::Done(revision) => Ok(Some(self.written(cache, key, &value, revision)?)),
            Written::Changed(_) => Ok(None),
        }
    }

    async fn lease_for(&self, cache: &ResourceCache) -> Result<i64> {
        match cache.resource.ttl_seconds {
            Some(ttl) => Ok(self.leases.get(ttl).await?),
            None => Ok(0),
        }
    }

    fn entry(&self, cache: &ResourceCache, key: &str, value: &[u8], revision: i64) -> Result<Arc<Entry>> {
        let entry = cache.resource.take_in(key, value, revision);
        entry.map(Arc::new).map_err(errors::internal)
    }

    /// The entry of what was just put, shared with the feed.
    fn written(&self, cache: &ResourceCache, key: &str, value: &[u8], revision: i64) -> Result<Arc<Entry>> {
        cache.take_written(key, value, revision).map_err(errors::internal)
    }

    fn row_entry(&self, cache: &ResourceCache, row: Option<Row>) -> Result<Option<Arc<Entry>>> {
        row.map(|r| self.entry(cache, &r.key, &r.value, r.revision)).transpose()
    }

    /// Changes an object. An error, or a result equal to the object, that was computed from the cache counts only
    /// after the store has confirmed that object.
    pub async fn update(&self, cache: &ResourceCache, key: &str, attempt: &mut impl Attempt) -> Result<Done> {
        let mut current = cache.get(key);
        let mut confirmed = false;
        if current.is_none() {
            current = self.get_stored(cache, key, 0).await?;
            confirmed = true;
        }
        loop {
            let next = match attempt.run(current.as_ref()).await {
                Ok(next) => next,
                Err(error) if confirmed => return Err(error),
                Err(error) => {
                    let stored = self.get_stored(cache, key, 0).await?;
                    let same = stored.as_ref().map(|e| e.revision) == current.as_ref().map(|e| e.revision);
                    if same {
                        return Err(error);
                    }
                    (current, confirmed) = (stored, true);
                    continue;
                }
            };
            let outcome = match next {
                Next::Put(object) => {
                    let value = Bytes::from(cache.resource.encode(&object));
                    if let Some(old) = &current
                        && self.unchanged(cache, old, &value)?
                    {
                        if confirmed {
                            return Ok(Done::Unchanged(old.clone()));
                        }
                        let stored = self.get_stored(cache, key, 0).await?;
                        if stored.as_ref().map(|e| e.revision) == Some(old.revision) {
                            return Ok(Done::Unchanged(old.clone()));
                        }
                        (current, confirmed) = (stored, true);
                        continue;
                    }
                    let lease = self.lease_for(cache).await?;
                    let expected = current.as_ref().map_or(0, |e| e.revision);
                    match self.kv.put(key, value.clone(), expected, lease).await? {
                        Written::Done(revision) => {
                            return Ok(Done::Put(self.written(cache, key, &value, revision)?));
                        }
                        Written::Changed(row) => row,
                    }
                }
                Next::Delete(object) => {
                    let Some(old) = &current else {
                        return Err(errors::internal("deleting what is not there"));
                    };
                    match self.kv.delete(key, old.revision).await? {
                        Written::Done(revision) => {
                            let value = cache.resource.encode(&object);
                            return Ok(Done::Deleted(self.entry(cache, key, &value, revision)?));
                        }
                        Written::Changed(row) => row,
                    }
                }
            };
            (current, confirmed) = (self.row_entry(cache, outcome)?, true);
        }
    }

    /// Whether storing `value` would change nothing. Never so when the stored form is not what this build writes.
    fn unchanged(&self, cache: &ResourceCache, old: &Entry, value: &[u8]) -> Result<bool> {
        if !old.current {
            return Ok(false);
        }
        let new = cache.resource.take_in(&old.key, value, old.revision).map_err(errors::internal)?;
        Ok(new.bytes == old.bytes)
    }
}
