//! What a daemon needs of systemd: readiness, watchdog, sockets handed over, credentials, the journal.
//!
//! Everything works without systemd too: nothing is notified, no socket is handed over, logs go to stderr.

mod journal;
mod notify;
mod sockets;

pub use journal::{send_to_journal, stderr_is_journal};
pub use notify::{Notify, watchdog_interval};
pub use sockets::{Sockets, SocketsError};

use std::path::PathBuf;

/// The directory of this unit's credentials (`LoadCredential=`), if it has any.
pub fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}
