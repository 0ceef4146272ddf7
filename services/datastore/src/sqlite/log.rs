//! The log's writing side.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mvcc::{Batch, Head, LeaseChange, Log, LogError, Reader, Record, Row, SizeBytes, Version};
use rusqlite::{Connection, params};

use super::reader::SqliteReader;
use super::{storage, wal};

/// What a batch writes to the WAL beside its values: the leaf, the head's page, now and then an inner page.
const BATCH_OVERHEAD_BYTES: u64 = 3 * 4096;
/// A value takes this much more in pages and frames, generously.
const OVERHEAD_PERCENT: u64 = 130;
/// The WAL is checkpointed and begun anew when about this much of it is used.
const RESTART_BYTES: u64 = wal::SIZE_BYTES / 2;
/// Free pages are left for reuse until there are this many, and given back in steps of as many as the second says.
const FREE_PAGES: i64 = 256;
const VACUUM_PAGES: i64 = 64;

/// A log in a SQLite database, and its one writer.
#[derive(Debug)]
pub struct SqliteLog {
    path: PathBuf,
    connection: Connection,
    head: Head,
    /// About how much of the WAL is used since it was begun anew.
    wal_bytes: u64,
    /// Rows were trimmed since free pages were looked at.
    trimmed: bool,
}

impl SqliteLog {
    pub(super) fn new(path: PathBuf, connection: Connection, head: Head) -> Self {
        connection.set_prepared_statement_cache_capacity(16);
        // what a run before left in the WAL is not known: begin with a checkpoint
        Self { path, connection, head, wal_bytes: RESTART_BYTES, trimmed: true }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, batch: &Batch, head: Head) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)")?;
            for Row { key, version, previous, value } in &batch.rows {
                let Version { id, create_revision, version, lease } = version;
                let (id, previous) = (id.cast_signed(), previous.cast_signed());
                insert.execute(params![
                    id,
                    &key[..],
                    create_revision,
                    version,
                    lease,
                    previous,
                    &value[..]
                ])?;
            }
            for LeaseChange { id, ttl_seconds } in &batch.leases {
                if *ttl_seconds == 0 {
                    transaction.prepare_cached("DELETE FROM lease WHERE id = ?")?.execute([id])?;
                } else {
                    let mut lease =
                        transaction.prepare_cached("INSERT OR REPLACE INTO lease VALUES (?, ?)")?;
                    lease.execute([id, ttl_seconds])?;
                }
            }
            let mut update =
                transaction.prepare_cached("UPDATE head SET sequence = ?, revision = ?, compacted = ?")?;
            update.execute([head.sequence, head.revision, head.compacted])?;
        }
        // one fdatasync of the WAL
        transaction.commit()
    }

    /// Copies the WAL into the database and begins it anew; put off while a reader is in the middle of something.
    fn restart_wal(&mut self) -> rusqlite::Result<()> {
        let busy: i64 = self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get(0))?;
        // after a busy one, try again when a quarter more is used
        self.wal_bytes = if busy == 0 { 0 } else { RESTART_BYTES - RESTART_BYTES / 4 };
        Ok(())
    }

    /// Gives some free pages back to the file system; true when more wait.
    fn give_back(&mut self) -> rusqlite::Result<bool> {
        let free: i64 = self.connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free <= FREE_PAGES {
            self.trimmed = false;
            return Ok(false);
        }
        // the pragma does its work row by row
        let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        self.wal_bytes += VACUUM_PAGES.unsigned_abs() * 4096;
        Ok(true)
    }

    /// Runs `work` without a sync of its own: a later batch's sync makes it durable, or the next start does it again.
    fn unsynced<T>(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> Result<T, LogError> {
        self.connection.pragma_update(None, "synchronous", "NORMAL").map_err(storage)?;
        let done = work(self);
        self.connection.pragma_update(None, "synchronous", "FULL").map_err(storage)?;
        done.map_err(storage)
    }

    fn scan_all(&self, visit: &mut dyn FnMut(Record)) -> rusqlite::Result<()> {
        let mut log = self
            .connection
            .prepare("SELECT id, key, create_revision, version, lease FROM log ORDER BY id")?;
        let mut rows = log.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get::<_, i64>(0)?.cast_unsigned();
            let key: Arc<[u8]> = Arc::from(row.get_ref(1)?.as_blob()?);
            let (create_revision, version, lease) = (row.get(2)?, row.get(3)?, row.get(4)?);
            visit(Record::Row { key, version: Version { id, create_revision, version, lease } });
        }
        let mut leases = self.connection.prepare("SELECT id, ttl_seconds FROM lease ORDER BY id")?;
        let mut rows = leases.query([])?;
        while let Some(row) = rows.next()? {
            visit(Record::Lease(LeaseChange { id: row.get(0)?, ttl_seconds: row.get(1)? }));
        }
        Ok(())
    }
}

impl Log for SqliteLog {
    fn head(&self) -> Head {
        self.head
    }

    fn append(&mut self, expected: Head, batch: &Batch) -> Result<Head, LogError> {
        if self.head != expected {
            return Err(LogError::Moved { expected, found: self.head });
        }
        let head = batch.head_after(expected);
        self.write(batch, head).map_err(storage)?;
        let bytes: usize = batch.rows.iter().map(|row| row.key.len() + row.value.len() + 64).sum();
        self.wal_bytes += BATCH_OVERHEAD_BYTES + bytes as u64 * OVERHEAD_PERCENT / 100;
        self.head = head;
        Ok(head)
    }

    fn scan(&mut self, visit: &mut dyn FnMut(Record)) -> Result<(), LogError> {
        self.scan_all(visit).map_err(storage)
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(SqliteReader::open(&self.path).map_err(storage)?))
    }

    fn trim(&mut self, ids: &[u64]) -> Result<(), LogError> {
        self.unsynced(|log| {
            let transaction = log.connection.unchecked_transaction()?;
            {
                let mut delete = transaction.prepare_cached("DELETE FROM log WHERE id = ?")?;
                for id in ids {
                    delete.execute([id.cast_signed()])?;
                }
            }
            transaction.commit()?;
            // each may touch a page of its own
            log.wal_bytes += ids.len() as u64 * 4096;
            log.trimmed = true;
            Ok(())
        })
    }

    fn tend(&mut self) -> Result<bool, LogError> {
        if self.wal_bytes >= RESTART_BYTES {
            self.restart_wal().map_err(storage)?;
            return Ok(self.trimmed);
        }
        if self.trimmed {
            return self.unsynced(Self::give_back);
        }
        Ok(false)
    }

    fn size(&self) -> SizeBytes {
        let number = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let sizes = number("page_count").and_then(|pages| Ok((pages, number("freelist_count")?)));
        match sizes {
            Ok((pages, free)) => {
                let bytes = |pages: i64| pages.unsigned_abs() * 4096;
                SizeBytes { total: bytes(pages), used: bytes(pages - free) }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "Reading the size of the database");
                SizeBytes::default()
            }
        }
    }
}
