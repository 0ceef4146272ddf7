//! Values read or written lately.

use std::collections::HashMap;

use bytes::Bytes;

/// What an entry costs beside its value.
const OVERHEAD_BYTES: usize = 96;

/// Values by id under a byte budget. Two generations: what was not asked for while the young one filled up, goes.
#[derive(Debug)]
pub(crate) struct ValueCache {
    young: HashMap<u64, Bytes>,
    old: HashMap<u64, Bytes>,
    young_bytes: usize,
    budget_bytes: usize,
}

impl ValueCache {
    pub(crate) fn new(budget_bytes: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, budget_bytes }
    }

    pub(crate) fn get(&mut self, id: u64) -> Option<Bytes> {
        if let Some(value) = self.young.get(&id) {
            return Some(value.clone());
        }
        let value = self.old.remove(&id)?;
        self.insert_owned(id, value.clone());
        Some(value)
    }

    /// Keeps a copy: the bytes handed in are often a slice of a whole request.
    pub(crate) fn insert(&mut self, id: u64, value: &[u8]) {
        self.insert_owned(id, Bytes::copy_from_slice(value));
    }

    fn insert_owned(&mut self, id: u64, value: Bytes) {
        let cost = value.len() + OVERHEAD_BYTES;
        if cost > self.budget_bytes / 4 {
            return;
        }
        if self.young_bytes + cost > self.budget_bytes / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += cost;
        self.young.insert(id, value);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.budget_bytes);
    }
}
