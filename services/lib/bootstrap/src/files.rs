//! Files and folders with modes and owners.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct FileError {
    /// `reading`, `writing`, `making`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

pub(crate) fn error(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path: path.clone(), source }
}

/// Who a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    pub(crate) const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// Makes a folder of root's with a mode, and its parents.
pub(crate) fn folder(path: &Path, mode: u32) -> Result<(), FileError> {
    owned_folder(path, mode, None)
}

/// Makes a folder with a mode and an owner; one that is there gets them.
pub(crate) fn owned_folder(path: &Path, mode: u32, owner: Option<Owner>) -> Result<(), FileError> {
    let wrong = error("making", path);
    std::fs::create_dir_all(path).map_err(&wrong)?;
    let now = std::fs::metadata(path).map_err(&wrong)?;
    if let Some(owner) = owner.filter(|o| (now.uid(), now.gid()) != (o.uid, o.gid)) {
        std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)).map_err(&wrong)?;
    }
    if now.mode() & 0o7777 != mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(&wrong)?;
    }
    Ok(())
}

/// Makes a symbolic link, or turns one round.
pub(crate) fn link(path: &Path, to: &Path) -> Result<(), FileError> {
    let wrong = error("linking", path);
    if std::fs::read_link(path).is_ok_and(|now| now == to) {
        return Ok(());
    }
    let beside = beside(path);
    remove(&beside)?;
    std::os::unix::fs::symlink(to, &beside).map_err(&wrong)?;
    std::fs::rename(&beside, path).map_err(&wrong)
}

/// The content of a file, or none.
pub(crate) fn read(path: &Path) -> Result<Option<String>, FileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(error("reading", path)(source)),
    }
}

/// The content of a file that must be there.
pub(crate) fn need(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(error("reading", path))
}

/// Puts a file in place whole, unless it is there as wanted; `true` when it was written.
pub(crate) fn put(path: &Path, content: &[u8], mode: u32, owner: Owner) -> Result<bool, FileError> {
    let wrong = error("writing", path);
    let as_wanted =
        |m: &std::fs::Metadata| m.mode() & 0o7777 == mode && (m.uid(), m.gid()) == (owner.uid, owner.gid);
    let now = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file); // missing: written below
    if now.is_some_and(|m| as_wanted(&m)) && std::fs::read(path).map_err(&wrong)? == content {
        return Ok(false);
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(&wrong)?;
    }
    let beside = beside(path);
    remove(&beside)?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
    let mut file = file.map_err(&wrong)?;
    fchown(&file, Some(owner.uid), Some(owner.gid)).map_err(&wrong)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(&wrong)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(&wrong)?;
    std::fs::rename(&beside, path).map_err(&wrong)?;
    Ok(true)
}

/// Removes a file; missing is fine.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(error("removing", path)(e)),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.crt");
        let me = Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() };
        assert!(put(&path, b"x", 0o400, me).unwrap());
        assert!(!put(&path, b"x", 0o400, me).unwrap());
        assert!(put(&path, b"y", 0o440, me).unwrap());
        assert_eq!(
            (need(&path).unwrap().as_str(), std::fs::metadata(&path).unwrap().mode() & 0o777),
            ("y", 0o440)
        );
        link(&folder.path().join("l"), Path::new("a")).unwrap();
        link(&folder.path().join("l"), Path::new("c")).unwrap();
        assert_eq!(std::fs::read_link(folder.path().join("l")).unwrap(), Path::new("c"));
    }
}
