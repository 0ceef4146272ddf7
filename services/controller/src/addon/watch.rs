//! Knowing at once that something in the folder changed.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

use super::scan;

/// What tokio can wait for.
#[derive(Debug)]
struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// inotify over the folder and what is below it. Where it cannot be had there is only the regular look.
#[derive(Debug)]
pub(crate) struct Watch(Option<AsyncFd<Descriptor>>);

impl Watch {
    /// Watches nothing as yet.
    pub(crate) fn new() -> Self {
        let made = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(std::io::Error::from)
            .and_then(|inotify| AsyncFd::new(Descriptor(inotify)));
        match made {
            Ok(descriptor) => Self(Some(descriptor)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "No inotify: changes are seen late");
                Self(None)
            }
        }
    }

    /// Watches the folder and all folders below it; those already watched stay so.
    pub(crate) fn follow(&mut self, base: &Path) {
        let Some(descriptor) = &self.0 else { return };
        let Ok(folders) = scan::folders(base) else { return }; // the look that follows says why
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        for folder in folders {
            if let Err(error) = descriptor.get_ref().0.add_watch(&folder, flags) {
                let folder = folder.display().to_string();
                tracing::debug!(folder, error = &error as &dyn std::error::Error, "Not watched");
            }
        }
    }

    /// Completes when something has changed.
    pub(crate) async fn changed(&mut self) {
        let Some(descriptor) = &self.0 else { return std::future::pending().await };
        loop {
            let Ok(mut guard) = descriptor.readable().await else { return std::future::pending().await };
            match guard.try_io(|inner| inner.get_ref().0.read_events().map_err(std::io::Error::from)) {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "Reading inotify failed");
                    return std::future::pending().await;
                }
                Err(_would_block) => {}
            }
        }
    }
}
