//! What is mounted where.

use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

/// Undoes the octal escapes of the kernel's mount table.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |t, (from, to)| t.replace(from, to))
}

/// Mount points below a directory, in the order they were made.
pub(super) fn below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|l| l.split(' ').nth(4)).map(|p| PathBuf::from(unescape(p)));
    Ok(points.filter(|p| p.starts_with(dir) && p != dir).collect())
}

/// Unmounts everything below a directory, the newest first.
pub(super) fn unmount_below(dir: &Path) -> io::Result<()> {
    for point in below(dir)?.into_iter().rev() {
        umount2(&point, MntFlags::MNT_DETACH)?;
    }
    match below(dir)?.first() {
        None => Ok(()),
        Some(left) => Err(io::Error::other(format!("{} is still mounted", left.display()))),
    }
}
