//! A log in memory: for tests and for the simulation.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::{Batch, Head, LeaseChange, Log, LogError, Reader, Record, Row, SizeBytes};

#[derive(Debug)]
struct Contents {
    head: Head,
    rows: BTreeMap<u64, Row>,
    leases: BTreeMap<i64, i64>,
    /// Appends to fail, for tests of what follows.
    failing: bool,
}

/// A log that lasts as long as one of its clones.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    contents: Arc<RwLock<Contents>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        let contents =
            Contents { head: Head::EMPTY, rows: BTreeMap::new(), leases: BTreeMap::new(), failing: false };
        Self { contents: Arc::new(RwLock::new(contents)) }
    }
}

impl MemoryLog {
    /// Makes appends fail from now on, or work again.
    pub fn fail(&self, failing: bool) {
        self.contents.write().unwrap_or_else(PoisonError::into_inner).failing = failing;
    }
}

impl Log for MemoryLog {
    fn head(&self) -> Head {
        self.contents.read().unwrap_or_else(PoisonError::into_inner).head
    }

    fn append(&mut self, expected: Head, batch: &Batch) -> Result<Head, LogError> {
        let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        if contents.failing {
            return Err(LogError::Storage("told to fail".into()));
        }
        if contents.head != expected {
            return Err(LogError::Moved { expected, found: contents.head });
        }
        contents.rows.extend(batch.rows.iter().map(|row| (row.version.id, row.clone())));
        for LeaseChange { id, ttl_seconds } in &batch.leases {
            match ttl_seconds {
                0 => contents.leases.remove(id),
                ttl => contents.leases.insert(*id, *ttl),
            };
        }
        contents.head = batch.head_after(expected);
        Ok(contents.head)
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Record)) -> Result<(), LogError> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        for row in contents.rows.values() {
            visit(Record::Row { key: Arc::clone(&row.key), version: row.version });
        }
        for (id, ttl_seconds) in &contents.leases {
            visit(Record::Lease(LeaseChange { id: *id, ttl_seconds: *ttl_seconds }));
        }
        Ok(())
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(self.clone()))
    }

    fn trim(&mut self, ids: &[u64]) -> Result<(), LogError> {
        let mut contents = self.contents.write().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            contents.rows.remove(id);
        }
        Ok(())
    }

    fn tend(&mut self) -> Result<bool, LogError> {
        Ok(false)
    }

    fn size(&self) -> SizeBytes {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        let total = contents.rows.values().map(|row| row.key.len() + row.value.len()).sum::<usize>() as u64;
        SizeBytes { total, used: total }
    }
}

impl Reader for MemoryLog {
    fn read(&mut self, ids: &[u64]) -> Result<Vec<Option<Bytes>>, LogError> {
        let contents = self.contents.read().unwrap_or_else(PoisonError::into_inner);
        Ok(ids.iter().map(|id| contents.rows.get(id).map(|row| row.value.clone())).collect())
    }

    fn snapshot(&mut self, _head: Head, _path: &Path) -> Result<(), LogError> {
        Err(LogError::Storage("a log in memory has no snapshots".into()))
    }
}
