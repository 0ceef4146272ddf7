//! Sockets handed over by socket units.

use std::collections::BTreeMap;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Why handed-over sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// The environment that describes them is broken.
    #[error("reading the sockets handed over by the service manager")]
    Environment(#[source] systemd::Error),
    /// They were taken before.
    #[error("the handed-over sockets were already taken")]
    Taken,
}

/// The sockets this process was handed, by `FileDescriptorName=`.
#[derive(Debug, Default)]
pub struct Sockets {
    by_name: BTreeMap<String, Vec<OwnedFd>>,
}

impl Sockets {
    /// Takes ownership of all of them; once in a process, before anything else opens descriptors.
    ///
    /// # Errors
    /// The environment is broken, or they were taken before.
    pub fn take() -> Result<Self, SocketsError> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(SocketsError::Taken);
        }
        let handed = systemd::daemon::listen_fds_with_names().map_err(SocketsError::Environment)?;
        let mut by_name: BTreeMap<String, Vec<OwnedFd>> = BTreeMap::new();
        for (fd, name) in handed.iter() {
            #[expect(unsafe_code, reason = "descriptors passed by number can be owned in no other way")]
            // SAFETY: the service manager passed `fd` to this process for its own use, and TAKEN makes sure that
            // each is wrapped once only.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            by_name.entry(name.to_string_lossy().into_owned()).or_default().push(owned);
        }
        Ok(Self { by_name })
    }

    /// The sockets of a name; none when that unit handed none over.
    pub fn named(&mut self, name: &str) -> Vec<OwnedFd> {
        self.by_name.remove(name).unwrap_or_default()
    }

    /// Names nobody asked for: a unit that does not fit this daemon.
    pub fn unclaimed(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}
