//! What the AddOn controller is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The folder and what templates are filled with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AddonSettings {
    /// Who applies; the controllers' own identity where it is not set. Manifests may hold anything, so it may do anything.
    pub kubeconfig: Option<PathBuf>,
    /// The folder of manifests; nothing is applied where it is empty.
    pub directory: PathBuf,
    /// The templates that come with the installation, written into the folder at each start.
    pub packaged: PathBuf,
    /// Names of files, with or without ending, and of folders, that shall not be there.
    pub disable: Vec<String>,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// Addresses of the cluster's DNS, the first one first.
    #[serde(rename = "clusterDNS")]
    pub cluster_dns: Vec<String>,
    /// A registry images are taken from in place of their own.
    pub system_default_registry: String,
    /// Where local volumes are.
    pub default_local_storage_path: PathBuf,
}

impl Default for AddonSettings {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            directory: PathBuf::new(),
            packaged: "/usr/share/k3s-rs/manifests".into(),
            disable: Vec::new(),
            cluster_domain: "cluster.local".into(),
            cluster_dns: vec!["10.43.0.10".into()],
            system_default_registry: String::new(),
            default_local_storage_path: "/var/lib/rancher/k3s/storage".into(),
        }
    }
}
