//! The WAL at a fixed, pre-written size.
//!
//! A sync of blocks that exist is one write to the disk; a sync of a file that grew also waits for the file system's
//! journal. So the WAL file is filled with zeros to its size once, and after each checkpoint SQLite begins at its
//! front again. SQLite takes what follows the last valid frame for nothing: a frame of zeros has neither a page
//! number nor the salt.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The size the WAL is kept at.
pub(super) const SIZE_BYTES: u64 = 8 << 20;

/// The WAL of a database.
pub(super) fn file(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Fills the WAL up to its size. Nobody may be writing to the database.
pub(super) fn prepare(database: &Path) -> io::Result<()> {
    let mut wal = OpenOptions::new().append(true).create(true).open(file(database))?;
    let mut size = wal.metadata()?.len();
    let zeros = [0; 64 << 10];
    while size < SIZE_BYTES {
        let piece = usize::try_from(SIZE_BYTES - size).unwrap_or(usize::MAX).min(zeros.len());
        wal.write_all(&zeros[..piece])?;
        size += piece as u64;
    }
    wal.sync_all()
}
