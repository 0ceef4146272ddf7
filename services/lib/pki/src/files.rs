//! Files that are there whole or not at all.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::PkiError;

/// Writes a file only its owner reads.
///
/// # Errors
/// It cannot be written; the old file is then untouched.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    write(path, content, 0o600)
}

/// Writes a file everybody may read.
///
/// # Errors
/// As `write_private`.
pub fn write_public(path: &Path, content: &[u8]) -> Result<(), PkiError> {
    write(path, content, 0o644)
}

/// Written beside, synced, then moved over the old one: a crash leaves one of the two.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), PkiError> {
    let error = |source| PkiError::File { action: "writing", path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(error)?;
    }
    let beside =
        path.with_extension(format!("{}.new", path.extension().unwrap_or_default().to_string_lossy()));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&beside)
        .map_err(error)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(error)?;
    std::fs::rename(&beside, path).map_err(error)
}

pub(crate) fn read(path: &Path) -> Result<Option<String>, PkiError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PkiError::File { action: "reading", path: path.to_owned(), source }),
    }
}
