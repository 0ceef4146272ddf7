//! Container runtimes beside runc that this machine has, each a handler of containerd under the name k3s gives it.
//!
//! # Upstream
//! k3s `pkg/agent/containerd/runtimes.go`, `pkg/agent/containerd/config_linux.go` `SetupContainerdConfig`

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where operators put runtimes outside of `PATH`; theirs win over a distribution's.
const FIRST: [&str; 2] = ["/usr/local/nvidia/toolkit", "/opt/kwasm/bin"];

/// Where NixOS has what is installed for all: a unit's own `PATH` does not name it.
const LAST: &str = "/run/current-system/sw/bin";

const RUNC: &str = "io.containerd.runc.v2";

/// Handler, type and program of each.
const KNOWN: [(&str, &str, &str); 11] = [
    ("crun", RUNC, "crun"),
    ("lunatic", "io.containerd.lunatic.v1", "containerd-shim-lunatic-v1"),
    ("nvidia", RUNC, "nvidia-container-runtime"),
    ("nvidia-cdi", RUNC, "nvidia-container-runtime.cdi"),
    ("nvidia-experimental", RUNC, "nvidia-container-runtime-experimental"),
    ("slight", "io.containerd.slight.v1", "containerd-shim-slight-v1"),
    ("spin", "io.containerd.spin.v2", "containerd-shim-spin-v2"),
    ("wasmedge", "io.containerd.wasmedge.v1", "containerd-shim-wasmedge-v1"),
    ("wasmer", "io.containerd.wasmer.v1", "containerd-shim-wasmer-v1"),
    ("wasmtime", "io.containerd.wasmtime.v1", "containerd-shim-wasmtime-v1"),
    ("wws", "io.containerd.wws.v1", "containerd-shim-wws-v1"),
];

/// A runtime this machine has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Runtime {
    /// The handler, as RuntimeClasses name it.
    pub(super) handler: &'static str,
    /// containerd's name for its type.
    pub(super) kind: &'static str,
    /// Its program.
    pub(super) program: PathBuf,
}

/// Those this machine has, by handler.
pub(super) fn of_machine() -> Vec<Runtime> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find(&folders(&path))
}

fn folders(path: &OsStr) -> Vec<PathBuf> {
    let first = FIRST.into_iter().map(PathBuf::from);
    first.chain(std::env::split_paths(path)).chain([PathBuf::from(LAST)]).collect()
}

fn find(folders: &[PathBuf]) -> Vec<Runtime> {
    let found = KNOWN.into_iter().filter_map(|(handler, kind, program)| {
        let program = folders.iter().map(|folder| folder.join(program)).find(|path| is_program(path))?;
        Some(Runtime { handler, kind, program })
    });
    found.collect()
}

fn is_program(path: &Path) -> bool {
    // one that cannot be looked at cannot be run either
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str, mode: u32) {
        let path = folder.join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn programs_are_found_in_order() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(first.path(), "crun", 0o644);
        put(second.path(), "crun", 0o755);
        put(first.path(), "containerd-shim-spin-v2", 0o755);
        put(second.path(), "containerd-shim-spin-v2", 0o755);
        std::fs::create_dir(first.path().join("nvidia-container-runtime")).unwrap();
        let found = find(&[first.path().into(), second.path().into()]);
        let spin = first.path().join("containerd-shim-spin-v2");
        assert_eq!(
            found,
            [
                Runtime { handler: "crun", kind: RUNC, program: second.path().join("crun") },
                Runtime { handler: "spin", kind: "io.containerd.spin.v2", program: spin },
            ]
        );
    }

    #[test]
    fn operators_folders_come_first() {
        let all = folders(OsStr::new("/usr/sbin:/usr/bin"));
        let expected = [FIRST[0], FIRST[1], "/usr/sbin", "/usr/bin", LAST].map(PathBuf::from);
        assert_eq!(all, expected);
    }
}
