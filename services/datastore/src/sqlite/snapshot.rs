//! Snapshots: a database of their own with every row up to a head.

use std::io::Read;
use std::path::Path;

use mvcc::{Head, LogError, Version};
use rusqlite::{Connection, params};

use super::open::{OpenError, connect, open};
use super::storage;

/// Rows copied in one transaction: the reader never holds the source's WAL for long.
const ROWS_AT_ONCE: i64 = 1000;

/// Copies what `source` held at `head` to the new file `target`. Nothing may be trimmed meanwhile.
pub(super) fn write(source: &Path, head: Head, target: &Path) -> Result<(), LogError> {
    discard(target).map_err(|error| LogError::Storage(Box::new(error)))?;
    drop(open(target).map_err(|error| LogError::Storage(Box::new(error)))?);
    let connection = connect(target).map_err(storage)?;
    copy(&connection, source, head).map_err(storage)?;
    // one file, whole and synced, without a WAL beside it
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE;")
        .map_err(storage)?;
    drop(connection);
    let synced = std::fs::File::open(target).and_then(|file| file.sync_all());
    synced.map_err(|error| LogError::Storage(Box::new(error)))
}

fn copy(target: &Connection, source: &Path, head: Head) -> rusqlite::Result<()> {
    target.execute("ATTACH DATABASE ? AS source", [source.to_string_lossy()])?;
    let end = Version::id_of(head.revision + 1, 0).cast_signed();
    let mut after = 0_i64;
    loop {
        let copied = target.execute(
            "INSERT INTO main.log SELECT * FROM source.log WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
            params![after, end, ROWS_AT_ONCE],
        )?;
        if copied == 0 {
            break;
        }
        after = target.query_row("SELECT max(id) FROM main.log", [], |row| row.get(0))?;
    }
    // leases are as of now: one made since the head ends on its own, one ended since has no keys' worth of harm
    target.execute_batch("INSERT INTO main.lease SELECT * FROM source.lease;")?;
    let Head { sequence, revision, compacted } = head;
    target.execute(
        "UPDATE main.head SET sequence = ?, revision = ?, compacted = ?",
        params![sequence, revision, compacted],
    )?;
    target.execute_batch("DETACH DATABASE source;")
}

/// A SQLite file has whole pages: what is beyond them is the SHA-256 that `etcdctl snapshot save` wrote after it.
const SECTOR_BYTES: u64 = 512;
const DIGEST_BYTES: usize = 32;

/// Takes the checksum off a copy of a snapshot and checks it; a snapshot without one is left as it is.
fn check_digest(staged: &Path) -> std::io::Result<bool> {
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(staged)?;
    let size = file.metadata()?.len();
    if size % SECTOR_BYTES != DIGEST_BYTES as u64 {
        return Ok(true);
    }
    let mut rest = size - DIGEST_BYTES as u64;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let mut piece = vec![0; 1 << 16];
    while rest > 0 {
        let part = piece.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        file.read_exact(&mut piece[..part])?;
        digest.update(&piece[..part]);
        rest -= part as u64;
    }
    let mut said = [0; DIGEST_BYTES];
    file.read_exact(&mut said)?;
    file.set_len(size - DIGEST_BYTES as u64)?;
    Ok(digest.finish().as_ref() == said)
}

/// Puts a snapshot in the place of a database that does not exist; checked before and whole or not at all. The snapshot
/// is one that `etcdctl snapshot save` fetched from a datastore.
///
/// # Errors
/// The snapshot is damaged or not one, or a file cannot be written.
pub fn restore(snapshot: &Path, database: &Path) -> Result<(), OpenError> {
    let staged = database.with_added_extension("restoring");
    let failed = |source| OpenError::File { path: staged.clone(), source };
    if let Some(folder) = database.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    discard(&staged)?;
    std::fs::copy(snapshot, &staged).map_err(|source| OpenError::File { path: snapshot.into(), source })?;
    if !check_digest(&staged).map_err(failed)? {
        let problem = "its checksum is not that of its contents".to_owned();
        return Err(OpenError::Damaged { path: snapshot.into(), problem });
    }
    let log = open(&staged)?;
    drop(log);
    let sqlite = |source| OpenError::Sqlite { path: staged.clone(), source };
    publish(connect(&staged).map_err(sqlite)?, &staged, database)
}

/// Removes what a run before left of a database that was being made.
///
/// # Errors
/// A file is there and stays.
pub(crate) fn discard(database: &Path) -> Result<(), OpenError> {
    for stale in [database.to_owned(), super::wal::file(database), database.with_added_extension("lock")] {
        match std::fs::remove_file(&stale) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(OpenError::File { path: stale, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Puts a finished database in its place: one file without a WAL, synced, and there as a whole or not at all.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn publish(connection: Connection, staged: &Path, database: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: staged.into(), source };
    let failed = |source| OpenError::File { path: staged.into(), source };
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE;")
        .map_err(sqlite)?;
    drop(connection);
    std::fs::File::open(staged).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(staged, database).map_err(failed)?;
    let folder = database.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
