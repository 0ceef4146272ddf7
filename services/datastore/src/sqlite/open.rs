//! Opening the database: settings, schema, integrity.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mvcc::{Head, Log, LogError, Opener};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

use super::{APPLICATION, FORMAT, SCHEMA, SqliteLog, storage, wal};

/// Pages freed are given back in steps between batches, so the file must keep track of them from its beginning.
const CREATE: &str = "PRAGMA auto_vacuum=INCREMENTAL;";
/// `locking_mode` stays normal: the reader is a connection of its own. That no other process has the file is seen to
/// by the lock file.
const SETTINGS: &str = "
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA wal_autocheckpoint=0;
PRAGMA journal_size_limit=-1;
PRAGMA cache_size=-2048;
PRAGMA temp_store=MEMORY;
";

const BUSY_TIMEOUT: Duration = Duration::from_millis(50);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// It is not ours.
    #[error("{path} is not a k3s-rs datastore (application {application:#x}, format {format})")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its application id.
        application: i64,
        /// Its format.
        format: i64,
    },
    /// Its pages contradict each other.
    #[error(
        "{path} is damaged: {problem}; restore a snapshot, or copy what can be saved with `sqlite3 .recover`"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first problem found.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite refuses.
    #[error("opening {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Opens the log in a file again and again, as the engine asks for it. The file is locked for this process first.
///
/// # Errors
/// Another process has it, or the lock file cannot be made.
pub fn opener(path: &Path) -> Result<Opener, OpenError> {
    let lock = lock(path)?;
    let path = path.to_owned();
    Ok(Box::new(move || {
        // the lock lasts as long as the opener, and that as long as the writer
        let _held = &lock;
        match open(&path) {
            Ok(log) => Ok(Box::new(log) as Box<dyn Log>),
            Err(OpenError::Damaged { problem, .. }) => Err(LogError::Damaged(problem)),
            Err(error) => Err(LogError::Storage(Box::new(error))),
        }
    }))
}

pub(crate) fn lock(path: &Path) -> Result<std::fs::File, OpenError> {
    let file = path.with_added_extension("lock");
    let failed = |source| OpenError::File { path: file.clone(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let lock =
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&file).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.into())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Opens or makes the log in a file and checks it.
///
/// # Errors
/// It is somebody else's, damaged, or cannot be read.
pub fn open(path: &Path) -> Result<SqliteLog, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.into(), source };
    let connection = connect(path).map_err(sqlite)?;
    identify(path, &connection)?;
    check(path, &connection)?;
    let head = head(&connection).map_err(sqlite)?;
    wal::prepare(path).map_err(|source| OpenError::File { path: wal::file(path), source })?;
    Ok(SqliteLog::new(path.into(), connection, head))
}

/// A connection for the writer.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // no mutex: each connection is used by one thread
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // closing must not throw the prepared WAL away
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // only the restart of the WAL ever waits, for the reader: not long, it is done again soon
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(CREATE)?;
    connection.execute_batch(SETTINGS)?;
    Ok(connection)
}

fn identify(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.into(), source };
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = number("application_id").map_err(sqlite)?;
    let format = number("user_version").map_err(sqlite)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    match (application, format, tables) {
        (APPLICATION, FORMAT, _) => Ok(()),
        (0, 0, 0) => create(connection).map_err(sqlite),
        _ => Err(OpenError::Foreign { path: path.into(), application, format }),
    }
}

/// All or nothing: a start that was cut off here begins anew.
fn create(connection: &Connection) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(SCHEMA)?;
    let Head { sequence, revision, compacted } = Head::EMPTY;
    transaction.execute("INSERT INTO head VALUES (1, ?, ?, ?)", params![sequence, revision, compacted])?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn check(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let problem: rusqlite::Result<String> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match problem.map_err(storage) {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(problem) => Err(OpenError::Damaged { path: path.into(), problem }),
        Err(error) => Err(OpenError::Damaged { path: path.into(), problem: error.to_string() }),
    }
}

fn head(connection: &Connection) -> rusqlite::Result<Head> {
    connection.query_row("SELECT sequence, revision, compacted FROM head", [], |row| {
        Ok(Head { sequence: row.get(0)?, revision: row.get(1)?, compacted: row.get(2)? })
    })
}
