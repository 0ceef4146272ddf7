//! The settings file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::network::Network;

/// Settings of the proxy; names are those of upstream's configuration file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// How to reach the API server.
    pub kubeconfig: PathBuf,
    /// This node's name.
    pub hostname_override: String,
    /// The pods' address ranges, comma separated, at most one per family. Empty: no traffic counts as the pods' own.
    #[serde(default, rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// Ranges whose local addresses answer node ports; empty: every local address but loopback.
    #[serde(default)]
    pub node_port_addresses: Vec<Network>,
    /// Where `/healthz` and `/livez` are served.
    #[serde(default = "healthz")]
    pub healthz_bind_address: String,
    /// Where `/metrics` is served.
    #[serde(default = "metrics")]
    pub metrics_bind_address: String,
    /// Whether NetworkPolicies are enforced. Where they were and are not any more, rules stay until the next boot.
    #[serde(default = "yes")]
    pub network_policy: bool,
    /// Addresses that health-check node ports listen on.
    #[serde(default = "any")]
    pub health_check_bind_address: String,
}

fn healthz() -> String {
    "0.0.0.0:10256".into()
}

fn metrics() -> String {
    "127.0.0.1:10249".into()
}

fn any() -> String {
    "[::]".into()
}

fn yes() -> bool {
    true
}
