//! The log's reading side: a connection of its own, for one thread.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use mvcc::{Head, LogError, Reader};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{snapshot, storage};

/// Reads values by id, each in a transaction as short as the read: a long one would keep the WAL from being begun anew.
#[derive(Debug)]
pub(super) struct SqliteReader {
    path: PathBuf,
    connection: Connection,
}

impl SqliteReader {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.execute_batch("PRAGMA cache_size=-1024; PRAGMA query_only=ON;")?;
        Ok(Self { path: path.into(), connection })
    }

    fn values(&self, ids: &[u64]) -> rusqlite::Result<Vec<Option<Bytes>>> {
        // one snapshot for all of them: cheaper than one each
        let transaction = self.connection.unchecked_transaction()?;
        let mut select = transaction.prepare_cached("SELECT value FROM log WHERE id = ?")?;
        ids.iter()
            .map(|id| {
                let value = |row: &rusqlite::Row<'_>| Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?));
                select.query_row([id.cast_signed()], value).optional()
            })
            .collect()
    }
}

impl Reader for SqliteReader {
    fn read(&mut self, ids: &[u64]) -> Result<Vec<Option<Bytes>>, LogError> {
        self.values(ids).map_err(storage)
    }

    fn snapshot(&mut self, head: Head, path: &Path) -> Result<(), LogError> {
        snapshot::write(&self.path, head, path)
    }
}
