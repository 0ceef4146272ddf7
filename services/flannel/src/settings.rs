//! The settings file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How packets get to other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// In UDP.
    #[default]
    Vxlan,
    /// By routes alone: all nodes are on one link.
    HostGw,
    /// Encrypted. Not supported yet.
    WireguardNative,
}

/// Settings of flannel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// How to reach the API server.
    pub kubeconfig: PathBuf,
    /// This node's name.
    pub node_name: String,
    /// The pods' range, of all nodes.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// How packets get to other nodes.
    #[serde(default)]
    pub backend: Backend,
    /// The device towards other nodes; empty: the one that has the node's internal address.
    #[serde(default)]
    pub iface: String,
    /// VXLAN's network number.
    #[serde(default = "vni")]
    pub vni: u32,
    /// VXLAN's UDP port.
    #[serde(default = "port")]
    pub port: u16,
    /// Whether what leaves the pods' range gets the node's address as source.
    #[serde(default = "yes")]
    pub ip_masq: bool,
    /// Where the CNI chain is written.
    #[serde(default = "cni_file")]
    pub cni_file: PathBuf,
    /// Where the subnet is written for other programs.
    #[serde(default = "subnet_file")]
    pub subnet_file: PathBuf,
}

fn vni() -> u32 {
    1
}

fn port() -> u16 {
    8472
}

fn yes() -> bool {
    true
}

fn cni_file() -> PathBuf {
    "/etc/cni/net.d/10-flannel.conflist".into()
}

fn subnet_file() -> PathBuf {
    "/run/flannel/subnet.env".into()
}
