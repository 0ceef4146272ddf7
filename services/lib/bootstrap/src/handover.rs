//! What one daemon gets: a folder of its user's, with its settings and its keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::files::{self, Owner, error};
use crate::{BootstrapError, Places, Report};

/// Daemons that run as root; the others have a user of their own.
const ROOTS: [&str; 2] = ["kubelet", "containerd"];

/// The user a daemon runs as.
pub(crate) fn owner_of(daemon: &str) -> Result<Owner, BootstrapError> {
    if ROOTS.contains(&daemon) {
        return Ok(Owner::ROOT);
    }
    let name = format!("k3s-rs-{daemon}");
    match nix::unistd::User::from_name(&name) {
        Ok(Some(user)) => Ok(Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() }),
        Ok(None) | Err(_) => Err(BootstrapError::User(name)),
    }
}

/// A daemon's folder while it is filled; what is not put again is removed at the end.
pub(crate) struct Handover {
    folder: PathBuf,
    owner: Owner,
    names: BTreeSet<String>,
}

impl Handover {
    /// Opens a daemon's folder.
    pub(crate) fn begin(places: &Places, daemon: &str) -> Result<Self, BootstrapError> {
        let (folder, owner) = (places.daemon(daemon), owner_of(daemon)?);
        files::owned_folder(&folder, 0o700, Some(owner))?;
        Ok(Self { folder, owner, names: BTreeSet::new() })
    }

    /// Puts a file; gives its path.
    pub(crate) fn put(&mut self, name: &str, content: &str) -> Result<PathBuf, BootstrapError> {
        let path = self.folder.join(name);
        files::put(&path, content.as_bytes(), 0o400, self.owner)?;
        self.names.insert(name.to_owned());
        Ok(path)
    }

    /// Copies a file; gives the copy's path.
    pub(crate) fn copy(&mut self, name: &str, from: &Path) -> Result<PathBuf, BootstrapError> {
        let content = files::need(from)?;
        self.put(name, &content)
    }

    /// Copies a certificate and its key as `<name>.crt` and `<name>.key`. A certificate that is new is noted.
    pub(crate) fn pair(
        &mut self,
        name: &str,
        from: &Path,
        report: &mut Report,
    ) -> Result<(PathBuf, PathBuf), BootstrapError> {
        let file = |end: &str| PathBuf::from(format!("{}.{end}", from.display()));
        // the key first: whoever sees the new certificate finds its key
        let key = self.copy(&format!("{name}.key"), &file("key"))?;
        let text = files::need(&file("crt"))?;
        let path = self.folder.join(format!("{name}.crt"));
        let before = files::read(&path)?;
        if before.is_some_and(|before| before != text) {
            let ends = pki::facts(&text).map_or(0, |f| f.not_after.as_microsecond());
            report.renewed.push((path.display().to_string(), ends));
        }
        Ok((self.put(&format!("{name}.crt"), &text)?, key))
    }

    /// A kubeconfig with an identity; gives its path.
    pub(crate) fn kubeconfig(
        &mut self,
        server: &str,
        authority: &Path,
        identity: &Path,
        report: &mut Report,
    ) -> Result<PathBuf, BootstrapError> {
        self.kubeconfig_named("kubeconfig", "client", server, authority, identity, report)
    }

    /// A further kubeconfig, for what the daemon does as somebody else.
    pub(crate) fn kubeconfig_named(
        &mut self,
        name: &str,
        pair: &str,
        server: &str,
        authority: &Path,
        identity: &Path,
        report: &mut Report,
    ) -> Result<PathBuf, BootstrapError> {
        let (certificate, key) = self.pair(pair, identity, report)?;
        let authority = self.copy("server-ca.crt", authority)?;
        let text = pki::kubeconfig_of_files(server, &authority, &certificate, &key);
        self.put(name, &text)
    }

    /// Writes the settings, last, and removes what was not put.
    pub(crate) fn finish(mut self, settings: Map<String, Value>) -> Result<(), BootstrapError> {
        let text = serde_json::to_string_pretty(&Value::Object(settings)).unwrap_or_default(); // a map of JSON is JSON
        self.put("config.json", &text)?;
        let wrong = error("reading", &self.folder);
        for entry in std::fs::read_dir(&self.folder).map_err(&wrong)? {
            let entry = entry.map_err(&wrong)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !self.names.contains(&name) && entry.path().is_file() {
                files::remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Takes a daemon's settings away: it is not to run here.
pub(crate) fn withdraw(places: &Places, daemon: &str) -> Result<(), BootstrapError> {
    Ok(files::remove(&places.daemon(daemon).join("config.json"))?)
}
