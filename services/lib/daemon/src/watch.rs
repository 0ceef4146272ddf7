//! Knowing at once that something in a folder changed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Folders watched at most: links are followed and may lead in circles.
const FOLDERS: usize = 1000;

/// What tokio can wait for.
#[derive(Debug)]
struct Descriptor(Inotify);

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

fn register(inotify: Inotify) -> io::Result<AsyncFd<Descriptor>> {
    #[expect(unsafe_code, reason = "tokio registers descriptors by number in no other way")]
    // SAFETY: the descriptor is owned by what is registered, and nothing takes that out or replaces it.
    let registered = unsafe { AsyncFd::register_with_interest(Descriptor(inotify), Interest::READABLE) };
    Ok(registered?)
}

/// inotify over a folder and the folders below it. It only hastens a regular look: where it cannot be had, it never
/// tells of a change.
#[derive(Debug)]
pub struct FolderWatch(Option<AsyncFd<Descriptor>>);

impl Default for FolderWatch {
    /// Watches nothing as yet.
    fn default() -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        match Inotify::init(flags).map_err(io::Error::from).and_then(register) {
            Ok(descriptor) => Self(Some(descriptor)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "No inotify: changes are seen late");
                Self(None)
            }
        }
    }
}

impl FolderWatch {
    /// Watches the folder and all folders below it; those already watched stay so.
    pub fn follow(&self, folder: &Path) {
        let Some(descriptor) = &self.0 else { return };
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        let mut all = vec![folder.to_owned()];
        let mut next = 0;
        while let Some(folder) = all.get(next).cloned() {
            next += 1;
            if let Err(error) = descriptor.get_ref().0.add_watch(&folder, flags) {
                let folder = folder.display().to_string();
                tracing::debug!(folder, error = &error as &dyn std::error::Error, "Not watched");
            }
            let Ok(entries) = std::fs::read_dir(&folder) else { continue }; // the look that follows says why
            let inner = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir());
            let room = FOLDERS.saturating_sub(all.len());
            all.extend(inner.take(room));
        }
    }

    /// Completes when something has changed.
    pub async fn changed(&mut self) {
        let Some(descriptor) = &self.0 else { return std::future::pending().await };
        loop {
            let Ok(mut guard) = descriptor.readable().await else { return std::future::pending().await };
            match guard.try_io(|inner| inner.get_ref().0.read_events().map_err(io::Error::from)) {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_file_in_a_folder_below_is_told() {
        let base = std::env::temp_dir().join(format!("k3s-rs-watch-{}", std::process::id()));
        let below = base.join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let mut watch = FolderWatch::default();
        watch.follow(&base);
        std::fs::write(below.join("file"), "text").unwrap();
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
        std::fs::remove_dir_all(&base).unwrap();
    }
}
