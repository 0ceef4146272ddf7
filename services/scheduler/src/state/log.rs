//! Pods that came and went, for whatever counts them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Slot;
use crate::model::{Class, Pod};

/// Who lags further behind than this counts anew.
const KEPT: usize = 1 << 14;

/// A pod came to a node or left it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What kind of pod.
    pub class: Arc<Class>,
    /// Whether it is on its way out.
    pub deleting: bool,
    /// The node.
    pub slot: Slot,
    /// 1 or −1.
    pub sign: i64,
}

/// The last changes; a reader's cursor is the number of the next entry it has not seen.
#[derive(Debug, Default)]
pub struct Log {
    first: u64,
    entries: VecDeque<Entry>,
}

impl Log {
    /// The cursor of who has seen everything.
    pub fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// What came after a cursor; `None` when that is not known any more.
    pub fn since(&self, cursor: u64) -> Option<impl Iterator<Item = &Entry>> {
        let skip = usize::try_from(cursor.checked_sub(self.first)?).ok()?;
        (skip <= self.entries.len()).then(|| self.entries.range(skip..))
    }

    pub(super) fn push(&mut self, pod: &Pod, slot: Slot, sign: i64) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
            self.first += 1;
        }
        self.entries.push_back(Entry { class: Arc::clone(&pod.class), deleting: pod.deleting, slot, sign });
    }

    /// Makes every cursor invalid.
    pub(super) fn start_anew(&mut self) {
        self.first = self.end() + 1;
        self.entries.clear();
    }
}
