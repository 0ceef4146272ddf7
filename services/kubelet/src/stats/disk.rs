//! What directories take, counted by walking them; no more often than once in a while.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes and files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

impl std::ops::AddAssign for Taken {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.inodes += other.inodes;
    }
}

/// Counts by directory.
#[derive(Debug, Default)]
pub struct Counts {
    known: Mutex<HashMap<PathBuf, (Instant, Taken)>>,
}

impl Counts {
    /// What a directory takes, as counted at most `age` ago. What vanishes while it is counted counts as nothing.
    pub async fn of(&self, path: &Path, age: Duration) -> Taken {
        let fresh = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(path).filter(|(at, _)| at.elapsed() < age).map(|(_, taken)| *taken)
        };
        if let Some(taken) = fresh {
            return taken;
        }
        let at = path.to_owned();
        let counted = tokio::task::spawn_blocking(move || count(&at)).await;
        let taken = counted.unwrap_or_default(); // a walk does not panic
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(path.to_owned(), (Instant::now(), taken));
        taken
    }

    /// Forgets directories that are no more.
    pub fn sweep(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|path, _| path.exists());
    }
}

/// Walks a tree of one file system; a file with several names counts once.
fn count(root: &Path) -> Taken {
    let mut taken = Taken::default();
    let Ok(top) = std::fs::symlink_metadata(root) else { return taken };
    let mut seen = HashSet::new();
    let mut left = vec![(root.to_owned(), top)];
    let device = left[0].1.dev();
    while let Some((path, meta)) = left.pop() {
        if meta.nlink() > 1 && !meta.is_dir() && !seen.insert(meta.ino()) {
            continue;
        }
        taken += Taken { bytes: meta.blocks() * 512, inodes: 1 };
        if !meta.is_dir() {
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&path) else { continue }; // gone meanwhile
        for entry in entries.filter_map(Result::ok) {
            if let Ok(meta) = entry.metadata()
                && meta.dev() == device
            {
                left.push((entry.path(), meta));
            }
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(dir.path().join("a"), dir.path().join("b")).unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let taken = count(dir.path());
        assert_eq!(taken.inodes, 3);
        assert!(taken.bytes >= 100_000 && taken.bytes < 200_000, "{taken:?}");
    }
}
