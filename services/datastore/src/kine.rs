//! To and from k3s: kine's table in SQLite, where k3s keeps what others keep in etcd.
//!
//! A row of kine is a change of one key, its id the revision. Imported is the newest row of every key that is not
//! deleted, with its revisions; the history before counts as compacted, so whoever watched before begins anew.
//! Values stay as they are (protobuf, as kube-apiserver wrote them): the API server reads both forms. The original is
//! only read. Kine's leases are times to live, written beside each key: every such key gets a lease of its own.

use std::path::{Path, PathBuf};

use mvcc::Version;
use rusqlite::{Connection, OpenFlags, params};

use crate::sqlite::{self, OpenError};

/// Rows kine keeps for itself.
const OWN: &str = "name != 'compact_rev_key' AND name NOT LIKE 'gap-%'";

/// Kine's own table, as it makes it.
const SCHEMA: &str = "
CREATE TABLE kine (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT,
  created INTEGER,
  deleted INTEGER,
  create_revision INTEGER,
  prev_revision INTEGER,
  lease INTEGER,
  value BLOB,
  old_value BLOB
);
CREATE INDEX kine_name_index ON kine (name);
CREATE INDEX kine_name_id_index ON kine (name,id);
CREATE INDEX kine_id_deleted_index ON kine (id,deleted);
CREATE INDEX kine_prev_revision_index ON kine (prev_revision);
CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision);
";

/// Why nothing was brought over.
#[derive(Debug, thiserror::Error)]
pub enum KineError {
    /// The file has no table of kine's.
    #[error("{0} is no database of k3s: it has no table `kine`")]
    NotKine(PathBuf),
    /// The target is there already.
    #[error("{0} exists")]
    Exists(PathBuf),
    /// There is nothing to export.
    #[error("there is no database {0}")]
    Missing(PathBuf),
    /// A key is no text, which kine's table wants.
    #[error("key {0:?} is no text: kine cannot hold it")]
    Key(Vec<u8>),
    /// One of the two databases cannot be used.
    #[error("{path}")]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// Our own database cannot be made or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

fn sqlite_error(path: &Path) -> impl Fn(rusqlite::Error) -> KineError + '_ {
    move |source| KineError::Sqlite { path: path.into(), source }
}

/// How much was brought over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Keys.
    pub keys: u64,
    /// The newest revision.
    pub revision: i64,
}

/// Makes `database`, which does not exist yet, from k3s's at `original`: whole or not at all.
///
/// # Errors
/// The original is no such database, or a file cannot be read or written.
pub fn import(original: &Path, database: &Path) -> Result<Moved, KineError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(original, flags).map_err(sqlite_error(original))?;
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'kine'";
    let found: i64 = source.query_row(tables, [], |row| row.get(0)).map_err(sqlite_error(original))?;
    if found == 0 {
        return Err(KineError::NotKine(original.into()));
    }
    let staged = database.with_added_extension("importing");
    sqlite::discard(&staged)?;
    drop(sqlite::open(&staged)?);
    let target = sqlite::connect(&staged).map_err(sqlite_error(&staged))?;
    let moved = fill(&source, &target).map_err(sqlite_error(&staged))?;
    sqlite::publish(target, &staged, database)?;
    Ok(moved)
}

fn fill(source: &Connection, target: &Connection) -> rusqlite::Result<Moved> {
    // one snapshot of a database that may still be in use
    let reading = source.unchecked_transaction()?;
    let newest: i64 = reading.query_row("SELECT coalesce(max(id), 1) FROM kine", [], |row| row.get(0))?;
    let query = format!(
        "SELECT id, name, created, create_revision, lease, value FROM kine \
         WHERE id IN (SELECT max(id) FROM kine WHERE {OWN} GROUP BY name) AND deleted = 0 ORDER BY id"
    );
    let mut select = reading.prepare(&query)?;
    let mut rows = select.query([])?;
    let writing = target.unchecked_transaction()?;
    let mut keys = 0;
    while let Some(row) = rows.next()? {
        let (id, created): (i64, bool) = (row.get(0)?, row.get(2)?);
        let name: String = row.get(1)?;
        let create_revision: i64 = if created { id } else { row.get(3)? };
        let ttl: i64 = row.get::<_, Option<i64>>(4)?.unwrap_or(0);
        let lease = if ttl > 0 { id } else { 0 };
        let value = row.get::<_, Option<Vec<u8>>>(5)?.unwrap_or_default();
        // how often a key was changed is not known; that it was, is
        let version: i64 = if created { 1 } else { 2 };
        let key = Version::id_of(id, 0).cast_signed();
        writing.prepare_cached("INSERT INTO log VALUES (?, ?, ?, ?, ?, 0, ?)")?.execute(params![
            key,
            name.as_bytes(),
            create_revision,
            version,
            lease,
            value
        ])?;
        if lease > 0 {
            writing.prepare_cached("INSERT INTO lease VALUES (?, ?)")?.execute([lease, ttl])?;
        }
        keys += 1;
    }
    let head = "UPDATE head SET sequence = 1, revision = ?, compacted = ?";
    writing.execute(head, [newest, newest])?;
    writing.commit()?;
    Ok(Moved { keys, revision: newest })
}

/// Writes what `database` holds now to the new file `target`, as k3s's kine keeps it.
///
/// # Errors
/// Another process has the database, the target exists, or a file cannot be read or written.
pub fn export(database: &Path, target: &Path) -> Result<Moved, KineError> {
    if target.exists() {
        return Err(KineError::Exists(target.into()));
    }
    if !database.exists() {
        return Err(KineError::Missing(database.into()));
    }
    // the lock keeps a running datastore out; opening checks the file
    let _held = sqlite::lock(database)?;
    drop(sqlite::open(database)?);
    let source = sqlite::connect(database).map_err(sqlite_error(database))?;
    let staged = target.with_added_extension("exporting");
    sqlite::discard(&staged)?;
    let kine = Connection::open(&staged).map_err(sqlite_error(&staged))?;
    kine.execute_batch(SCHEMA).map_err(sqlite_error(&staged))?;
    let moved = empty(&source, &kine, &staged)?;
    sqlite::publish(kine, &staged, target)?;
    Ok(moved)
}

fn empty(source: &Connection, kine: &Connection, path: &Path) -> Result<Moved, KineError> {
    let failed = sqlite_error(path);
    let writing = kine.unchecked_transaction().map_err(&failed)?;
    let query = "SELECT l.id, l.key, l.create_revision, l.value, coalesce(t.ttl_seconds, 0) FROM log l \
         LEFT JOIN lease t ON t.id = l.lease \
         WHERE l.id IN (SELECT max(id) FROM log GROUP BY key) AND l.version > 0 ORDER BY l.id";
    let mut select = source.prepare(query).map_err(&failed)?;
    let mut rows = select.query([]).map_err(&failed)?;
    let (mut last, mut keys) = (0, 0);
    while let Some(row) = rows.next().map_err(&failed)? {
        let one = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(i64, Vec<u8>, i64, Vec<u8>, i64)> {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let (id, key, create_revision, value, ttl) = one(row).map_err(&failed)?;
        let version = Version { id: id.cast_unsigned(), ..Version::default() };
        let name = String::from_utf8(key).map_err(|error| KineError::Key(error.into_bytes()))?;
        // keys of one transaction share a revision with us; in kine each has its own
        let revision = version.revision().max(last + 1);
        let created = create_revision == version.revision();
        let (create, previous) = if created { (0, 0) } else { (create_revision, create_revision) };
        let insert = "INSERT INTO kine VALUES (?, ?, ?, 0, ?, ?, ?, ?, NULL)";
        let values = params![revision, name, created, create, previous, ttl, value];
        writing.prepare_cached(insert).and_then(|mut insert| insert.execute(values)).map_err(&failed)?;
        (last, keys) = (revision, keys + 1);
    }
    let head: i64 = source.query_row("SELECT revision FROM head", [], |row| row.get(0)).map_err(&failed)?;
    let newest = last.max(head);
    if last < newest {
        // kine holds a revision without a change like this: the next write comes after it
        let gap = "INSERT INTO kine VALUES (?, ?, 0, 1, 0, 0, 0, NULL, NULL)";
        writing.execute(gap, params![newest, format!("gap-{newest}")]).map_err(&failed)?;
    }
    // kine's own row, its first: how far it is compacted. Our revisions begin with the second
    let compaction = "INSERT INTO kine VALUES (1, 'compact_rev_key', 1, 0, 0, ?, 0, '', '')";
    writing.execute(compaction, params![newest]).map_err(&failed)?;
    drop(rows);
    writing.commit().map_err(&failed)?;
    Ok(Moved { keys, revision: newest })
}
