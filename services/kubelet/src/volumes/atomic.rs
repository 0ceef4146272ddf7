//! Writing a volume's files so that a reader sees all of the old or all of the new: a directory per state, and one
//! symlink that moves.
//!
//! # Upstream
//! `pkg/volume/util/atomic_writer.go`

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::payload::Payload;

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// Brings a volume to a state; true when it had to change. Files keep the group `group`, if there is one.
///
/// # Errors
/// The file system refuses.
pub fn write(root: &Path, payload: &Payload, group: Option<u32>) -> io::Result<bool> {
    let data = root.join(DATA);
    let old = fs::read_link(&data).ok(); // absent before the first write
    if let Some(old) = &old
        && same(&root.join(old), payload)?
    {
        return Ok(false);
    }
    let fresh = fresh_dir(root)?;
    for (path, file) in payload {
        let at = fresh.join(path);
        if let Some(parent) = at.parent() {
            make_dirs(&fresh, parent, group)?;
        }
        fs::write(&at, &file.data)?;
        if file.owner.is_some() || group.is_some() {
            chown(&at, file.owner, group)?;
        }
        // these volumes are for reading: the group may, as upstream's mask for read-only volumes says
        let shared = if group.is_some() { file.mode | 0o440 } else { file.mode };
        fs::set_permissions(&at, fs::Permissions::from_mode(shared))?;
    }
    if let Some(group) = group {
        chown(&fresh, None, Some(group))?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o2775))?;
    }
    let moving = root.join(NEW_DATA);
    match fs::remove_file(&moving) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    symlink(fresh.file_name().unwrap_or_default(), &moving)?;
    fs::rename(&moving, &data)?;
    show(root, payload)?;
    if let Some(old) = old {
        match fs::remove_dir_all(root.join(old)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(true)
}

fn make_dirs(root: &Path, dir: &Path, group: Option<u32>) -> io::Result<()> {
    if dir == root || dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_dirs(root, parent, group)?;
    }
    fs::create_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    if let Some(group) = group {
        chown(dir, None, Some(group))?;
    }
    Ok(())
}

fn fresh_dir(root: &Path) -> io::Result<PathBuf> {
    let now = jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S").to_string();
    for i in 0u32.. {
        let dir = root.join(format!("..{now}.{i}"));
        match fs::create_dir(&dir) {
            Ok(()) => {
                fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
                return Ok(dir);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn files_below(dir: &Path, prefix: &Path, out: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = prefix.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            files_below(&entry.path(), &name, out)?;
        } else {
            out.insert(name.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

fn same(dir: &Path, payload: &Payload) -> io::Result<bool> {
    let mut present = BTreeSet::new();
    match files_below(dir, Path::new(""), &mut present) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    }
    if !present.iter().eq(payload.keys()) {
        return Ok(false);
    }
    for (path, file) in payload {
        if fs::read(dir.join(path))? != file.data {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What readers see: a link for each first component of the paths, through `..data`.
fn show(root: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<&str> = payload.keys().filter_map(|p| p.split('/').next()).collect();
    for name in &wanted {
        let link = root.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::payload::File;

    #[test]
    fn states_follow_each_other() {
        let root = std::env::temp_dir().join(format!("atomic-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let file = |text: &str| File { data: text.into(), mode: 0o640, owner: None };
        let first: Payload = [("a".to_owned(), file("1")), ("d/b".to_owned(), file("2"))].into();
        assert!(write(&root, &first, None).unwrap());
        assert!(!write(&root, &first, None).unwrap());
        assert_eq!(fs::read_to_string(root.join("d/b")).unwrap(), "2");
        assert_eq!(fs::metadata(root.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        let second: Payload = [("a".to_owned(), file("3"))].into();
        assert!(write(&root, &second, None).unwrap());
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "3");
        assert!(fs::symlink_metadata(root.join("d")).is_err());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 3);
        fs::remove_dir_all(&root).unwrap();
    }
}
