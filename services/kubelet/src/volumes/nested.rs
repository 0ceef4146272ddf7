//! Places inside a volume for what is mounted below it: a container's runtime cannot make them in a read-only mount.
//!
//! # Upstream
//! `pkg/volume/util/nested_volumes.go` `MakeNestedMountpoints`

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::VolumeMount;

/// Makes the folders in `at`, the files of volume `name`, on which the same container mounts something else.
///
/// # Errors
/// A folder cannot be made.
pub(super) fn make<'a>(
    at: &Path,
    name: &str,
    containers: impl IntoIterator<Item = &'a [VolumeMount]>,
) -> io::Result<()> {
    for place in containers.into_iter().flat_map(|mounts| places(name, mounts)) {
        std::fs::create_dir_all(at.join(place))?;
    }
    Ok(())
}

/// Relative paths below where the volume is mounted at which one container mounts something; only the outermost.
fn places(name: &str, mounts: &[VolumeMount]) -> Vec<PathBuf> {
    let all: BTreeSet<&Path> = mounts.iter().map(|mount| Path::new(&mount.mount_path)).collect();
    let mut found: Vec<PathBuf> = Vec::new();
    for own in mounts.iter().filter(|mount| mount.name == name) {
        for other in &all {
            let Ok(inside) = other.strip_prefix(&own.mount_path) else { continue };
            let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
            let empty = inside.as_os_str().is_empty();
            if plain && !empty && !found.iter().any(|outer| inside.starts_with(outer)) {
                found.push(inside.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(name: &str, path: &str) -> VolumeMount {
        VolumeMount { name: name.into(), mount_path: path.into(), ..VolumeMount::default() }
    }

    #[test]
    fn what_is_mounted_below_gets_a_place() {
        for (others, wanted) in [
            (vec![], vec![]),
            (vec![mount("b", "/etc/a/custom")], vec!["custom"]),
            (vec![mount("b", "/etc/a/x/y"), mount("c", "/etc/a/x")], vec!["x"]),
            (vec![mount("b", "/etc/ab"), mount("c", "/etc")], vec![]),
        ] {
            let mut mounts = vec![mount("a", "/etc/a")];
            mounts.extend(others);
            assert_eq!(places("a", &mounts), wanted.iter().map(PathBuf::from).collect::<Vec<_>>());
        }
    }
}
