//! SQLite as an append-only log.
//!
//! One table of key versions by id (revision and place in it), one of leases, one row that is the head. Every batch is
//! one transaction that ends with one `fdatasync` of the WAL (`synchronous=FULL`; the library is built with
//! `HAVE_FDATASYNC`). What SQLite would do on its own at a time of its choosing, it is kept from doing: checkpoints,
//! vacuum and WAL size are steps of [`SqliteLog::tend`], taken between batches.

mod log;
mod open;
mod reader;
mod snapshot;
mod wal;

pub use log::SqliteLog;
pub use open::{OpenError, open, opener};
pub(crate) use open::{connect, lock};
pub use snapshot::restore;
pub(crate) use snapshot::{discard, publish};

use mvcc::LogError;

/// The format of the file, in SQLite's `user_version`.
const FORMAT: i64 = 1;
/// In SQLite's `application_id`: what `file` and other programs know the format by ("k3rs").
const APPLICATION: i64 = 0x6b33_7273;

/// `value` is last: a scan that does not want it does not read its overflow pages.
const SCHEMA: &str = "
CREATE TABLE log (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL,
  create_revision INTEGER NOT NULL,
  version INTEGER NOT NULL,
  lease INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  value BLOB NOT NULL
);
CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_seconds INTEGER NOT NULL);
CREATE TABLE head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  sequence INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  compacted INTEGER NOT NULL
);
";

fn storage(error: rusqlite::Error) -> LogError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            LogError::Damaged(error.to_string())
        }
        // SQLite found out while it wrote, before any sync, and took the transaction back
        Some(rusqlite::ErrorCode::DiskFull) => LogError::Full(Box::new(error)),
        _ => LogError::Storage(Box::new(error)),
    }
}
