//! Logs to the journal.

use std::os::unix::fs::MetadataExt;

/// Whether stderr is the journal's own stream, so that logging natively loses nothing.
pub fn stderr_is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else { return false };
    // a process without /proc or a closed stderr has no journal on it
    let Ok(stderr) = std::fs::metadata("/proc/self/fd/2") else { return false };
    stream.to_string_lossy() == format!("{}:{}", stderr.dev(), stderr.ino())
}

/// Sends one entry; each field is `NAME=value`, a value may have several lines and any length.
///
/// # Errors
/// A field has no name, or the socket of the journal takes nothing. Without a journal nothing is sent.
pub fn send_to_journal(fields: &[String]) -> std::io::Result<()> {
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    systemd::journal::send(&fields).map_err(Into::into)
}
