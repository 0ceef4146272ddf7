//! Where things are.

use std::path::{Path, PathBuf};

use config::Config;

use crate::files::{self, FileError};

/// The folders of an installation; names are k3s's.
#[derive(Debug, Clone)]
pub struct Places {
    /// `/var/lib/rancher/k3s`.
    pub data: PathBuf,
    /// `/run/k3s-rs`.
    pub run: PathBuf,
    /// `/etc/rancher/node`.
    pub node: PathBuf,
}

impl Places {
    /// Of a configuration.
    pub fn new(config: &Config) -> Self {
        Self { data: config.data_dir.clone(), run: "/run/k3s-rs".into(), node: "/etc/rancher/node".into() }
    }

    /// Of this machine as it was prepared last; the data folder is k3s's where that never was.
    pub fn of_machine() -> Self {
        let run = PathBuf::from("/run/k3s-rs");
        // no link: not prepared since the last boot
        let data = std::fs::read_link(run.join("data")).unwrap_or_else(|_| "/var/lib/rancher/k3s".into());
        Self { data, run, node: "/etc/rancher/node".into() }
    }

    /// Below `server/tls`.
    pub fn tls(&self, name: &str) -> PathBuf {
        self.data.join("server/tls").join(name)
    }

    /// Below `server`.
    pub fn server(&self, name: &str) -> PathBuf {
        self.data.join("server").join(name)
    }

    /// Below `agent`.
    pub fn agent(&self, name: &str) -> PathBuf {
        self.data.join("agent").join(name)
    }

    /// A daemon's folder.
    pub fn daemon(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// The folders all else is in, and `/run/k3s-rs/data`: units name the data folder by this link, wherever it is.
    pub(crate) fn prepare(&self) -> Result<(), FileError> {
        files::folder(&self.run, 0o755)?;
        files::folder(&self.data, 0o755)?;
        files::link(&self.run.join("data"), Path::new(&self.data))
    }
}
