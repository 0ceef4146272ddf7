//! Which files there are, and what shall become of each.
//!
//! # Upstream
//! k3s `pkg/deploy/controller.go` `walkFiles`, `shouldSkipFile`, `shouldDisableFile`

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells a file from what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(data: &Metadata) -> Self {
        Self {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
        }
    }

    /// Files of the Nix store all are of 1970: their content has to be looked at.
    pub(crate) fn is_timeless(&self) -> bool {
        self.modified.0 <= 1
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    /// Not reached through a linked folder: may be removed when it is disabled.
    pub(crate) removable: bool,
}

/// What shall become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    Apply,
    Remove,
    Ignore,
}

/// Every file below a folder, by path; links to folders are followed where they are not behind another.
pub(crate) fn scan(base: &Path) -> io::Result<BTreeMap<PathBuf, Found>> {
    let mut found = BTreeMap::new();
    walk(base, false, &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, linked: bool, found: &mut BTreeMap<PathBuf, Found>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let link = entry.file_type()?.is_symlink();
        let data = match std::fs::metadata(&path) {
            // gone since it was listed, or a link to nothing
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if !data.is_dir() {
            let file = Found { path: path.clone(), identity: Identity::of(&data), removable: !linked };
            found.insert(path, file);
        } else if !(link && linked) {
            walk(&path, linked || link, found)?;
        }
    }
    Ok(())
}

/// What shall become of each file. A disabled one is removed even if it is to be skipped.
pub(crate) fn treat<'a>(
    base: &Path,
    found: &'a BTreeMap<PathBuf, Found>,
    disabled: &[String],
) -> Vec<(&'a Found, Treatment)> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = found.keys().map(|path| name(path));
    let skips: Vec<String> = names.filter_map(|n| n.strip_suffix(".skip").map(str::to_owned)).collect();
    let treatment = |path: &Path| {
        let name = name(path);
        if is_disabled(path.strip_prefix(base).unwrap_or(path), disabled) {
            Treatment::Remove
        } else if name.starts_with('.') || skips.contains(&name) || stem(&name).is_none() {
            Treatment::Ignore
        } else {
            Treatment::Apply
        }
    };
    found.iter().map(|(path, file)| (file, treatment(path))).collect()
}

/// The name without its ending, if it is a manifest's.
fn stem(name: &str) -> Option<&str> {
    let (stem, ending) = name.rsplit_once('.')?;
    ["yaml", "yml", "json"].iter().any(|e| ending.eq_ignore_ascii_case(e)).then_some(stem)
}

fn is_disabled(relative: &Path, disabled: &[String]) -> bool {
    let listed = |name: &str| disabled.iter().any(|d| d == name);
    let mut folders = relative.ancestors().skip(1).filter(|f| !f.as_os_str().is_empty());
    if folders.any(|folder| listed(&folder.to_string_lossy())) {
        return true;
    }
    let name = relative.file_name().unwrap_or_default().to_string_lossy();
    stem(&name).is_some_and(|stem| listed(&name) || listed(stem))
}

/// The Addon's name: the file's up to its first dot.
pub(crate) fn addon_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_treated_as_k3s_does() {
        let identity = Identity { device: 0, inode: 0, size: 0, modified: (5, 0) };
        let base = Path::new("/m");
        let cases = [
            ("coredns.yaml", Treatment::Apply),
            ("UPPER.YML", Treatment::Apply),
            ("x.json", Treatment::Apply),
            ("note.txt", Treatment::Ignore),
            (".hidden.yaml", Treatment::Ignore),
            ("skipped.yaml", Treatment::Ignore),
            ("skipped.yaml.skip", Treatment::Ignore),
            ("traefik.yaml", Treatment::Remove),
            ("traefik.txt", Treatment::Ignore),
            ("both.yaml", Treatment::Remove),
            ("both.yaml.skip", Treatment::Ignore),
            ("metrics-server/deployment.yaml", Treatment::Remove),
            ("deep/er/a.yaml", Treatment::Remove),
            ("deep/a.yaml", Treatment::Apply),
        ];
        let found = cases.iter().map(|(name, _)| {
            let path = base.join(name);
            (path.clone(), Found { path, identity, removable: true })
        });
        let found: BTreeMap<PathBuf, Found> = found.collect();
        let disabled = ["traefik", "both.yaml", "metrics-server", "deep/er"].map(str::to_owned);
        let treated = treat(base, &found, &disabled);
        for (name, wanted) in cases {
            let (_, treatment) = treated.iter().find(|(f, _)| f.path == base.join(name)).unwrap();
            assert_eq!(*treatment, wanted, "{name}");
        }
    }

    #[test]
    fn links_to_folders_are_followed_once() {
        let (base, other, third) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(base.path().join("a.yaml"), "").unwrap();
        std::fs::write(other.path().join("b.yaml"), "").unwrap();
        std::fs::write(third.path().join("c.yaml"), "").unwrap();
        std::os::unix::fs::symlink(other.path(), base.path().join("linked")).unwrap();
        std::os::unix::fs::symlink(third.path(), other.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/nowhere", base.path().join("dangling.yaml")).unwrap();
        let found = scan(base.path()).unwrap();
        let names: Vec<(&Path, bool)> =
            found.values().map(|f| (f.path.strip_prefix(base.path()).unwrap(), f.removable)).collect();
        assert_eq!(names, [(Path::new("a.yaml"), true), (Path::new("linked/b.yaml"), false)]);
    }

    #[test]
    fn names_end_at_the_first_dot() {
        assert_eq!(addon_name(Path::new("/m/x/my.app.yaml")), "my");
    }
}
