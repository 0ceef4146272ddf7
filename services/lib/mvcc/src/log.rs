//! The seam: what keeps batches durable.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::Version;

/// How far a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Batches appended so far; moves with every batch, revision or not.
    pub sequence: i64,
    /// The newest revision.
    pub revision: i64,
    /// The compacted revision.
    pub compacted: i64,
}

impl Head {
    /// The head of an empty log. Revisions begin with 1, as etcd's do: the first write is 2.
    pub const EMPTY: Self = Self { sequence: 0, revision: 1, compacted: 0 };
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Arc<[u8]>,
    /// Revision, place in it, and the counters.
    pub version: Version,
    /// The id of the version before, 0 when the key did not exist.
    pub previous: u64,
    /// What it holds; empty for a deletion.
    pub value: Bytes,
}

/// A lease made or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseChange {
    /// The lease.
    pub id: i64,
    /// Its time to live in seconds; 0 ends it.
    pub ttl_seconds: i64,
}

/// What is made durable at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Key versions in order.
    pub rows: Vec<Row>,
    /// Leases in order.
    pub leases: Vec<LeaseChange>,
    /// The compacted revision, if the batch moves it.
    pub compacted: Option<i64>,
}

impl Batch {
    /// Nothing to make durable.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.leases.is_empty() && self.compacted.is_none()
    }

    /// The head after this batch.
    pub fn head_after(&self, head: Head) -> Head {
        Head {
            sequence: head.sequence + 1,
            revision: self.rows.last().map_or(head.revision, |row| row.version.revision()),
            compacted: self.compacted.unwrap_or(head.compacted),
        }
    }
}

/// What a scan finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A key version, without its value. They come in the order of their ids.
    Row {
        /// The key.
        key: Arc<[u8]>,
        /// The version.
        version: Version,
    },
    /// A lease that has not ended.
    Lease(LeaseChange),
}

/// How large a log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeBytes {
    /// On disk.
    pub total: u64,
    /// Of that, in use.
    pub used: u64,
}

/// Why a log did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Somebody else appended: the head is not the one expected.
    #[error("the log's head moved: expected {expected:?}, found {found:?}")]
    Moved {
        /// What the writer had last seen.
        expected: Head,
        /// What is there.
        found: Head,
    },
    /// The log's contents contradict themselves.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// The medium has no room: nothing was appended, and the log is as it was.
    #[error("the log's storage is full")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The medium failed; whether an append happened is not known.
    #[error("the log's storage failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Durable batches, in order. One writer owns it.
pub trait Log: Send {
    /// Where it ends.
    fn head(&self) -> Head;

    /// Appends a batch; returns when it is durable.
    ///
    /// # Errors
    /// After any error but `Full` the log must not be used again: whether the batch is in it shows when it is opened anew.
    fn append(&mut self, expected: Head, batch: &Batch) -> Result<Head, LogError>;

    /// Visits everything that is in it.
    ///
    /// # Errors
    /// Reading fails.
    fn scan(&mut self, visit: &mut dyn FnMut(Record)) -> Result<(), LogError>;

    /// Something that reads values, for another thread.
    ///
    /// # Errors
    /// It cannot be opened.
    fn reader(&self) -> Result<Box<dyn Reader>, LogError>;

    /// Removes superseded rows. It need not be durable: what comes back is found again by the next start.
    ///
    /// # Errors
    /// Writing fails.
    fn trim(&mut self, ids: &[u64]) -> Result<(), LogError>;

    /// One small step of housekeeping between batches; true when more waits to be done.
    ///
    /// # Errors
    /// Writing fails.
    fn tend(&mut self) -> Result<bool, LogError>;

    /// How large it is.
    fn size(&self) -> SizeBytes;
}

/// Reads values by the ids of their versions.
pub trait Reader: Send {
    /// The values in the order asked for; `None` where a row was trimmed meanwhile.
    ///
    /// # Errors
    /// Reading fails.
    fn read(&mut self, ids: &[u64]) -> Result<Vec<Option<Bytes>>, LogError>;

    /// Writes a log of its own to `path` that holds what this one held at `head`, in bounded steps. Nothing may be
    /// trimmed meanwhile.
    ///
    /// # Errors
    /// Reading or writing fails.
    fn snapshot(&mut self, head: Head, path: &Path) -> Result<(), LogError>;
}

/// Opens the log: at start, and again after it failed.
pub type Opener = Box<dyn FnMut() -> Result<Box<dyn Log>, LogError> + Send>;
