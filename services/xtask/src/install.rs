//! The layout of an installation: what Nix, packagers and the test machines all call.
//!
//! Nothing is listed by name: the tool people type goes to `usr/bin`, every daemon cargo knows to `usr/libexec/k3s-rs`, every
//! file under `units/` where its kind belongs, man pages and completions come from the tool itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::binaries;
use crate::command::{command, run};
use crate::repository::Repository;

const TOOLS: &str = "usr/bin";
/// Where the daemons are, under the root.
pub(crate) const DAEMONS: &str = "usr/libexec/k3s-rs";
/// The packaged components, as templates.
const MANIFESTS: &str = "services/controller/manifests";

/// Folders of `units/` whose content goes, as it is, under another folder.
const FOLDERS: [(&str, &str); 8] = [
    ("dbus-1", "usr/share/dbus-1"),
    ("polkit-1", "usr/share/polkit-1"),
    ("sysusers.d", "usr/lib/sysusers.d"),
    ("tmpfiles.d", "usr/lib/tmpfiles.d"),
    ("modules-load.d", "usr/lib/modules-load.d"),
    ("sysctl.d", "usr/lib/sysctl.d"),
    ("catalog", "usr/lib/systemd/catalog"),
    ("system-preset", "usr/lib/systemd/system-preset"),
];

/// Kinds of files directly in `units/`, by the end of their names.
const KINDS: [(&str, &str); 13] = [
    (".service", "usr/lib/systemd/system"),
    (".socket", "usr/lib/systemd/system"),
    (".target", "usr/lib/systemd/system"),
    (".timer", "usr/lib/systemd/system"),
    (".slice", "usr/lib/systemd/system"),
    (".path", "usr/lib/systemd/system"),
    (".mount", "usr/lib/systemd/system"),
    (".preset", "usr/lib/systemd/system-preset"),
    (".catalog", "usr/lib/systemd/catalog"),
    (".policy", "usr/share/polkit-1/actions"),
    (".rules", "usr/share/polkit-1/rules.d"),
    (".xml", "usr/share/dbus-1/interfaces"),
    (".md", ""),
];

/// Builds everything and lays it out under a folder.
pub(crate) fn install(repository: &Repository, profile: &str, destdir: &Path) -> Result<()> {
    let names = binaries::all(repository)?.into_iter();
    let (tools, daemons): (Vec<String>, Vec<String>) = names.partition(|name| name == binaries::PREFIX);
    binaries::build(repository, profile, &[daemons, tools.clone()].concat(), &destdir.join(DAEMONS))?;
    fs::create_dir_all(destdir.join(TOOLS)).with_context(|| destdir.join(TOOLS).display().to_string())?;
    for tool in tools {
        let (from, to) = (destdir.join(DAEMONS).join(&tool), destdir.join(TOOLS).join(&tool));
        fs::rename(&from, &to).with_context(|| format!("moving {} to {}", from.display(), to.display()))?;
    }
    units(&repository.path("units"), destdir)?;
    copy(&repository.path(MANIFESTS), &destdir.join("usr/share/k3s-rs/manifests"))?;
    let tool = destdir.join(TOOLS).join(binaries::PREFIX);
    let share = destdir.join("usr/share").display().to_string();
    run(&mut command(repository, tool, ["generate", &share]))
}

/// Copies a folder's own files.
fn copy(source: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(target).with_context(|| target.display().to_string())?;
    for file in files(source)? {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, target.join(name)).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Lays out the files of `units/`; a checkout without that folder has none.
fn units(source: &Path, destdir: &Path) -> Result<()> {
    for file in files(source)? {
        let relative = file.strip_prefix(source).context("a file outside the folder it was found in")?;
        let Some(target) = target(relative)? else { continue };
        let target = destdir.join(target);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        fs::copy(&file, &target).with_context(|| target.display().to_string())?;
        let mode = fs::metadata(&file).with_context(|| file.display().to_string())?.permissions().mode();
        let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))
            .with_context(|| target.display().to_string())?;
    }
    Ok(())
}

/// Where a file of `units/` belongs; none for files that are not installed.
fn target(relative: &Path) -> Result<Option<PathBuf>> {
    let mut parts = relative.components();
    let first = parts.next().map(|part| part.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
    let rest = parts.as_path();
    if rest.as_os_str().is_empty() {
        let kind = KINDS.iter().find(|(end, _)| first.ends_with(end));
        return match kind {
            Some((_, "")) => Ok(None),
            Some((_, folder)) => Ok(Some(Path::new(folder).join(&first))),
            None => bail!("units/{first}: no rule says where this kind of file is installed"),
        };
    }
    if let Some((_, folder)) = FOLDERS.iter().find(|(name, _)| *name == first) {
        return Ok(Some(Path::new(folder).join(rest)));
    }
    if first.ends_with(".d") {
        return Ok(Some(Path::new("usr/lib/systemd/system").join(relative)));
    }
    bail!("units/{}: no rule says where this folder is installed", relative.display())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_place() {
        for (file, wanted) in [
            ("k3s-rs-apiserver.service", Some("usr/lib/systemd/system/k3s-rs-apiserver.service")),
            (
                "k3s-rs-kubelet.service.d/limits.conf",
                Some("usr/lib/systemd/system/k3s-rs-kubelet.service.d/limits.conf"),
            ),
            ("dbus-1/system.d/org.k3s_rs.conf", Some("usr/share/dbus-1/system.d/org.k3s_rs.conf")),
            ("sysusers.d/k3s-rs.conf", Some("usr/lib/sysusers.d/k3s-rs.conf")),
            ("k3s-rs.catalog", Some("usr/lib/systemd/catalog/k3s-rs.catalog")),
            ("README.md", None),
        ] {
            assert_eq!(target(Path::new(file)).unwrap().as_deref(), wanted.map(Path::new), "{file}");
        }
        assert!(target(Path::new("stray.bin")).is_err());
    }

    #[test]
    fn files_are_copied_with_plain_modes() {
        let folder = tempfile::tempdir().unwrap();
        let (source, destdir) = (folder.path().join("units"), folder.path().join("root"));
        fs::create_dir_all(source.join("tmpfiles.d")).unwrap();
        fs::write(source.join("tmpfiles.d/k3s-rs.conf"), "d /run/k3s-rs\n").unwrap();
        fs::set_permissions(source.join("tmpfiles.d/k3s-rs.conf"), fs::Permissions::from_mode(0o600))
            .unwrap();
        units(&source, &destdir).unwrap();
        let copied = destdir.join("usr/lib/tmpfiles.d/k3s-rs.conf");
        assert_eq!(fs::read_to_string(&copied).unwrap(), "d /run/k3s-rs\n");
        assert_eq!(fs::metadata(&copied).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
