//! What the daemon is told.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Configuration;

/// The settings file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// How to reach the API server.
    pub kubeconfig: PathBuf,
    /// Whether several of these elect one by Lease.
    pub leader_elect: bool,
    /// Where health and metrics are served, when no socket is handed over.
    pub bind_address: String,
    /// A `KubeSchedulerConfiguration`, as upstream's `--config` file.
    #[serde(skip_serializing)]
    pub configuration: Configuration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kubeconfig: "/run/k3s-rs/scheduler/kubeconfig".into(),
            leader_elect: false,
            bind_address: "127.0.0.1:10259".into(),
            configuration: Configuration::default(),
        }
    }
}
