//! The packaged manifests, filled in and written into the folder at each start: edits of them are lost, as in k3s.
//!
//! # Upstream
//! k3s `pkg/deploy/stage.go` `Stage`, `pkg/server/server.go` `stageFiles`

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::AddonSettings;

/// Why they could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{}", .path.display())]
pub(crate) struct StageError {
    path: PathBuf,
    source: std::io::Error,
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StageError {
    move |source| StageError { path: path.to_owned(), source }
}

/// Writes every template that differs from what is there. An installation without templates has none to write.
pub(crate) fn stage(settings: &AddonSettings) -> Result<(), StageError> {
    let from = &settings.packaged;
    let entries = match std::fs::read_dir(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(at(from))?,
    };
    for entry in entries {
        let path = entry.map_err(at(from))?.path();
        let Some(name) = path.file_name().filter(|_| path.is_file()) else { continue };
        let text = fill(&std::fs::read_to_string(&path).map_err(at(&path))?, settings);
        let target = settings.directory.join(name);
        if std::fs::read(&target).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        tracing::info!(path = %target.display(), "Writing manifest");
        write(&target, &text).map_err(at(&target))?;
    }
    Ok(())
}

/// Readers see the old file or the new one.
fn write(target: &Path, text: &str) -> std::io::Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let partial = target.with_file_name(format!(".{name}.partial"));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&partial, target)
}

fn fill(template: &str, settings: &AddonSettings) -> String {
    let registry = &settings.system_default_registry;
    let prefix = if registry.is_empty() { String::new() } else { format!("{registry}/") };
    let family = if settings.cluster_dns.len() > 1 { "RequireDualStack" } else { "SingleStack" };
    let variables = [
        ("CLUSTER_DNS", settings.cluster_dns.first().cloned().unwrap_or_default()),
        ("CLUSTER_DNS_LIST", format!("[{}]", settings.cluster_dns.join(","))),
        ("CLUSTER_DNS_IPFAMILYPOLICY", family.to_owned()),
        ("CLUSTER_DOMAIN", settings.cluster_domain.clone()),
        ("DEFAULT_LOCAL_STORAGE_PATH", settings.default_local_storage_path.display().to_string()),
        ("SYSTEM_DEFAULT_REGISTRY", prefix),
        ("SYSTEM_DEFAULT_REGISTRY_RAW", registry.clone()),
    ];
    variables
        .iter()
        .fold(template.to_owned(), |text, (name, value)| text.replace(&format!("%{{{name}}}%"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_filled() {
        let settings = AddonSettings {
            cluster_dns: vec!["10.43.0.10".into(), "fd00::10".into()],
            system_default_registry: "r.example".into(),
            ..AddonSettings::default()
        };
        for (template, filled) in [
            ("ip: %{CLUSTER_DNS}%", "ip: 10.43.0.10"),
            ("ips: %{CLUSTER_DNS_LIST}%", "ips: [10.43.0.10,fd00::10]"),
            ("p: %{CLUSTER_DNS_IPFAMILYPOLICY}%", "p: RequireDualStack"),
            ("i: %{SYSTEM_DEFAULT_REGISTRY}%a/b", "i: r.example/a/b"),
            ("r: %{SYSTEM_DEFAULT_REGISTRY_RAW}%", "r: r.example"),
            (
                "%{CLUSTER_DOMAIN}% %{DEFAULT_LOCAL_STORAGE_PATH}%",
                "cluster.local /var/lib/rancher/k3s/storage",
            ),
            ("%{UNKNOWN}%", "%{UNKNOWN}%"),
        ] {
            assert_eq!(fill(template, &settings), filled);
        }
    }

    #[test]
    fn staged_files_are_private_and_rewritten() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("a.yaml"), "d: %{CLUSTER_DOMAIN}%").unwrap();
        let settings = AddonSettings {
            directory: to.path().into(),
            packaged: from.path().into(),
            ..AddonSettings::default()
        };
        std::fs::write(to.path().join("a.yaml"), "edited").unwrap();
        stage(&settings).unwrap();
        assert_eq!(std::fs::read_to_string(to.path().join("a.yaml")).unwrap(), "d: cluster.local");
        assert_eq!(std::fs::read_dir(to.path()).unwrap().count(), 1);
        let none = AddonSettings { packaged: "/nowhere".into(), ..settings };
        stage(&none).unwrap();
    }
}
