//! Knowing at once that a socket came or went.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What tokio can wait for.
#[derive(Debug)]
struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

fn register(inotify: Inotify) -> std::io::Result<AsyncFd<Descriptor>> {
    #[expect(unsafe_code, reason = "tokio registers descriptors by number in no other way")]
    // SAFETY: the descriptor is owned by what is registered, and nothing takes that out or replaces it.
    let registered = unsafe { AsyncFd::register_with_interest(Descriptor(inotify), Interest::READABLE) };
    Ok(registered?)
}

/// inotify over a folder and the folders in it; without inotify there is only the regular look.
#[derive(Debug)]
pub(super) struct Watch(Option<AsyncFd<Descriptor>>);

impl Watch {
    pub(super) fn new() -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        match Inotify::init(flags).map_err(std::io::Error::from).and_then(register) {
            Ok(descriptor) => Self(Some(descriptor)),
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "No inotify: plugins are seen late");
                Self(None)
            }
        }
    }

    /// Watches the folder and those below it; those already watched stay so.
    pub(super) fn follow(&self, folder: &Path) {
        let Some(descriptor) = &self.0 else { return };
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ONLYDIR;
        if let Err(error) = descriptor.get_ref().0.add_watch(folder, flags) {
            tracing::debug!(folder = %folder.display(), error = crate::chain(&error), "Not watched");
        }
        let Ok(entries) = std::fs::read_dir(folder) else { return }; // the look that follows says why
        for entry in entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            self.follow(&entry.path());
        }
    }

    /// Completes when something has changed.
    pub(super) async fn changed(&mut self) {
        let Some(descriptor) = &self.0 else { return std::future::pending().await };
        loop {
            let Ok(mut guard) = descriptor.readable().await else { return std::future::pending().await };
            match guard.try_io(|inner| inner.get_ref().0.read_events().map_err(std::io::Error::from)) {
                Ok(Ok(_)) => return,
                Ok(Err(error)) => {
                    tracing::warn!(error = crate::chain(&error), "Reading inotify");
                    return std::future::pending().await;
                }
                Err(_would_block) => {}
            }
        }
    }
}
