//! Directories: empty ones, the node's own, and whom they belong to.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::Path;

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, HostPathVolumeSource, Pod};
use nix::mount::{MsFlags, mount};

use crate::pod::facts::{PodFacts, pod_limit};
use crate::quantity::value;

/// Sets permissions, special bits included.
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes a directory with these permissions, whatever the umask; one that is there keeps its own.
pub(super) fn ensure_dir(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(path)?;
    set_mode(path, mode)
}

/// Whether something is mounted there.
pub(super) fn mounted(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    Ok(fs::metadata(path)?.dev() != fs::metadata(parent)?.dev())
}

/// Mounts memory on a directory, unless it is.
pub(super) fn ensure_tmpfs(path: &Path, size: Option<i64>) -> io::Result<()> {
    if mounted(path)? {
        return Ok(());
    }
    let options = size.map(|s| format!("size={s}"));
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), options.as_deref())?;
    set_mode(path, 0o777)
}

/// # Upstream
/// `pkg/volume/emptydir/empty_dir.go`
pub(super) fn empty_dir(
    path: &Path,
    source: &EmptyDirVolumeSource,
    pod: &Pod,
    node_memory: i64,
    group: Option<u32>,
) -> io::Result<()> {
    let fresh = !path.is_dir();
    ensure_dir(path, 0o777)?;
    match source.medium.as_deref().unwrap_or_default() {
        "" => {}
        "Memory" => {
            let limit = source.size_limit.as_ref().map(value).filter(|v| *v > 0);
            let of_pod = pod_limit(pod.facts(), "memory").filter(|v| *v > 0).unwrap_or(node_memory);
            ensure_tmpfs(path, Some(limit.map_or(of_pod, |l| l.min(of_pod))))?;
        }
        other => {
            let text = format!("emptyDir medium {other:?} is not supported by this node");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
    }
    if let (true, Some(group)) = (fresh, group) {
        chown(path, None, Some(group))?;
        set_mode(path, 0o2777)?;
    }
    Ok(())
}

/// Checks the path's type, and makes what may be made.
///
/// # Upstream
/// `pkg/volume/hostpath/host_path.go` `checkType`
pub(super) fn host_path(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let made = match kind {
        "DirectoryOrCreate" if !path.exists() => {
            fs::create_dir_all(path).and_then(|()| set_mode(path, 0o755))
        }
        "FileOrCreate" if !path.exists() => fs::File::create(path).and_then(|_| set_mode(path, 0o644)),
        _ => Ok(()),
    };
    made.map_err(|e| e.to_string())?;
    let what = match kind {
        "" => return Ok(()),
        "Directory" | "DirectoryOrCreate" => "a directory",
        "File" | "FileOrCreate" => "a file",
        "Socket" => "a socket file",
        "CharDevice" => "a character device",
        "BlockDevice" => "a block device",
        other => return Err(format!("{other} is an invalid volume type")),
    };
    let fits = fs::metadata(path).is_ok_and(|m| {
        let t = m.file_type();
        match what {
            "a directory" => t.is_dir(),
            "a file" => t.is_file(),
            "a socket file" => t.is_socket(),
            "a character device" => t.is_char_device(),
            _ => t.is_block_device(),
        }
    });
    if fits { Ok(()) } else { Err(format!("hostPath type check failed: {} is not {what}", source.path)) }
}

/// Gives a tree to a group: it owns and may write everything, and what is made in it later.
///
/// # Upstream
/// `pkg/volume/volume_linux.go` `SetVolumeOwnership`
pub(super) fn share(path: &Path, group: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.file_type().is_symlink() {
        return Ok(());
    }
    if meta.gid() != group {
        chown(path, None, Some(group))?;
    }
    let dir = meta.is_dir();
    let wanted = meta.mode() & 0o7777 | if dir { 0o2770 } else { 0o660 };
    if meta.mode() & 0o7777 != wanted {
        set_mode(path, wanted)?;
    }
    if dir {
        for entry in fs::read_dir(path)? {
            share(&entry?.path(), group)?;
        }
    }
    Ok(())
}
