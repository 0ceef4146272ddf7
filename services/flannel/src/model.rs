//! What is kept of Nodes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::subnet::Subnet;

/// Backend's name.
pub const TYPE: &str = "flannel.alpha.coreos.com/backend-type";
/// What peers must know of the backend.
pub const DATA: &str = "flannel.alpha.coreos.com/backend-data";
/// The address peers reach the node at.
pub const PUBLIC_IP: &str = "flannel.alpha.coreos.com/public-ip";
/// An administrator's word on that address.
pub const PUBLIC_IP_OVERWRITE: &str = "flannel.alpha.coreos.com/public-ip-overwrite";
/// Subnets are the cluster's to give.
pub const MANAGED: &str = "flannel.alpha.coreos.com/kube-subnet-manager";

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its pods' range.
    pub subnet: Option<Subnet>,
    /// Its address inside the cluster's network.
    pub internal_ip: Option<Ipv4Addr>,
    /// Annotations of flannel.
    pub annotations: BTreeMap<String, String>,
}

/// What a VXLAN node tells its peers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize)]
pub struct VxlanData {
    /// The network's number.
    #[serde(rename = "VNI", default)]
    pub vni: u32,
    /// The device's hardware address.
    #[serde(rename = "VtepMAC")]
    pub mac: String,
}

#[derive(Deserialize)]
struct Object {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    #[serde(rename = "podCIDR")]
    pod_cidr: String,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    addresses: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

impl Node {
    /// Reads a Node.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: Object = serde_json::from_slice(bytes)?;
        let mut annotations = object.metadata.annotations;
        annotations.retain(|key, _| key.starts_with("flannel.alpha.coreos.com/"));
        let ranges = object.spec.pod_cidrs.iter().chain([&object.spec.pod_cidr]);
        let internal = object.status.addresses.iter().filter(|a| a.kind == "InternalIP");
        Ok(Self {
            subnet: ranges.filter_map(|r| r.parse().ok()).next(),
            internal_ip: internal.filter_map(|a| a.address.parse().ok()).next(),
            annotations,
        })
    }

    /// The address peers reach it at.
    pub fn public_ip(&self) -> Option<Ipv4Addr> {
        let text = self.annotations.get(PUBLIC_IP_OVERWRITE).or_else(|| self.annotations.get(PUBLIC_IP))?;
        text.parse().ok()
    }
}

/// A hardware address as text.
pub fn mac_text(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// A hardware address from text.
pub fn mac_bytes(text: &str) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes.filter(|b| b.len() == 6)
}
