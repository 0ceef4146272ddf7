//! A part of a volume, handed to a container by a mount no symlink in the volume can turn elsewhere.
//!
//! # Upstream
//! `pkg/volume/util/subpath/subpath_linux.go`

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};

fn beneath(root: &OwnedFd, path: &Path) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_BENEATH);
    openat2(root, path, how)
}

/// Makes what is missing of a path in a volume, never following a link out of it.
fn make(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut at = PathBuf::new();
    let mut parent: Option<OwnedFd> = None;
    for part in path.components() {
        at.push(part);
        let next = match beneath(root, &at) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => {
                let name = Path::new(part.as_os_str());
                let mode = Mode::from_bits_truncate(0o750);
                match &parent {
                    Some(dir) => mkdirat(dir, name, mode)?,
                    None => mkdirat(root, name, mode)?,
                }
                beneath(root, &at)?
            }
            Err(e) => return Err(e.into()),
        };
        parent = Some(next);
    }
    parent.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Mounts `path` of the volume at `volume` on `target`, and gives `target`.
pub(super) fn bind(volume: &Path, path: &str, target: &Path) -> io::Result<PathBuf> {
    let relative = Path::new(path);
    if relative.is_absolute() || relative.components().any(|c| c.as_os_str() == "..") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid subPath {path:?}")));
    }
    let real = fs::canonicalize(volume)?;
    let root = open(&real, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let fd = match beneath(&root, relative) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => make(&root, relative)?,
        Err(e) => return Err(e.into()),
    };
    let through = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let source = fs::metadata(&through)?;
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if let Ok(now) = fs::metadata(target) {
        if now.ino() == source.ino() && now.dev() == source.dev() {
            return Ok(target.to_owned());
        }
        match umount2(target, MntFlags::MNT_DETACH) {
            Ok(()) | Err(Errno::EINVAL) => {} // EINVAL: nothing is mounted there
            Err(e) => return Err(e.into()),
        }
    }
    if source.is_dir() {
        fs::create_dir_all(target)?;
    } else if !target.exists() {
        fs::write(target, b"")?;
    }
    mount(Some(&through), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(target.to_owned())
}
