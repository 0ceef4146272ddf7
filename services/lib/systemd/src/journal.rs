//! Whether logs reach the journal.

use std::os::unix::fs::MetadataExt;

/// Whether stderr is the journal's own stream, so that logging natively loses nothing.
pub fn stderr_is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    // a process without /proc or a closed stderr has no journal on it
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream.to_string_lossy() == format!("{}:{}", stderr.dev(), stderr.ino())
}
