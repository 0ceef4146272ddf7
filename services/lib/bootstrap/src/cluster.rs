//! What a node needs to know of its cluster: taken from the configuration on a server, from the server on an agent.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::{Network, Server};
use serde_json::{Value, json};

/// The cluster as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Where this node finds the API.
    pub(crate) api: String,
    pub(crate) cluster_cidrs: Vec<Network>,
    pub(crate) service_cidrs: Vec<Network>,
    pub(crate) dns: Vec<IpAddr>,
    pub(crate) domain: String,
    pub(crate) flannel_backend: String,
    pub(crate) disable_proxy: bool,
    pub(crate) disable_network_policy: bool,
    pub(crate) disable_servicelb: bool,
    pub(crate) default_registry: String,
}

impl Cluster {
    pub(crate) fn of_server(server: &Server, api: String) -> Self {
        Self {
            api,
            cluster_cidrs: server.cluster_cidrs.clone(),
            service_cidrs: server.service_cidrs.clone(),
            dns: server.cluster_dns.clone(),
            domain: server.cluster_domain.clone(),
            flannel_backend: server.flannel_backend.clone(),
            disable_proxy: server.disable_proxy,
            disable_network_policy: server.disable_network_policy,
            disable_servicelb: server.disable.iter().any(|d| d == "servicelb"),
            default_registry: server.default_registry.clone(),
        }
    }

    pub(crate) fn cidrs(ranges: &[Network]) -> String {
        ranges.iter().map(Network::to_string).collect::<Vec<_>>().join(",")
    }

    /// The document of `/v1-k3s/config`.
    ///
    /// # Upstream
    /// k3s `pkg/daemons/config/types.go` `Control`
    pub(crate) fn document(&self, server: &Server, data_dir: &str) -> Value {
        let (first, last) = server.node_ports.split_once('-').unwrap_or(("30000", "32767"));
        let number = |text: &str| text.trim().parse::<u32>().unwrap_or(30000); // checked with the configuration
        let ranges = |ranges: &[Network]| ranges.iter().map(ip_net).collect::<Vec<_>>();
        let disables = |name: &str| server.disable.iter().any(|d| d == name);
        json!({
            "ClusterDNSs": self.dns, "ClusterDNS": self.dns.first(),
            "ClusterIPRanges": ranges(&self.cluster_cidrs), "ClusterIPRange": self.cluster_cidrs.first().map(ip_net),
            "ServiceIPRanges": ranges(&self.service_cidrs), "ServiceIPRange": self.service_cidrs.first().map(ip_net),
            "ClusterDomain": self.domain,
            "DisableCCM": server.disable_cloud_controller, "DisableHelmController": server.disable_helm,
            "DisableNPC": server.disable_network_policy, "DisableServiceLB": self.disable_servicelb,
            "DisableKubeProxy": self.disable_proxy, "DisableScheduler": server.disable_scheduler,
            "DisableControllerManager": server.disable_controllers, "DisableAPIServer": false, "DisableETCD": true,
            "EncryptSecrets": false, "EmbeddedRegistry": false,
            "FlannelBackend": self.flannel_backend, "FlannelIPv6Masq": false, "FlannelExternalIP": false,
            // there is no tunnel: agents need not dial one
            "EgressSelectorMode": "disabled",
            "HTTPSPort": server.port, "SupervisorPort": server.port, "APIServerPort": server.port,
            "ServiceNodePortRange": {"Base": number(first), "Size": number(last).saturating_sub(number(first)) + 1},
            "SystemDefaultRegistry": self.default_registry, "DataDir": data_dir,
            "Disables": server.disable.iter().map(|d| (d.clone(), Value::Bool(true))).collect::<serde_json::Map<_, _>>(),
            "Skips": {"coredns": disables("coredns"), "traefik": disables("traefik")},
        })
    }

    /// Reads the document of a server, ours or k3s's.
    pub(crate) fn of_document(document: &Value, api: String) -> Self {
        let texts = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let ranges = |many: &str, one: &str| {
            let mut found: Vec<Network> = texts(&document[many]).iter().filter_map(network).collect();
            if found.is_empty() {
                found.extend(network(&document[one]));
            }
            found
        };
        let mut dns: Vec<IpAddr> = texts(&document["ClusterDNSs"]).iter().filter_map(address).collect();
        if dns.is_empty() {
            dns.extend(address(&document["ClusterDNS"]));
        }
        let text = |key: &str, default: &str| {
            document[key].as_str().filter(|t| !t.is_empty()).unwrap_or(default).to_owned()
        };
        let switch = |key: &str| document[key].as_bool().unwrap_or(false);
        Self {
            api,
            cluster_cidrs: ranges("ClusterIPRanges", "ClusterIPRange"),
            service_cidrs: ranges("ServiceIPRanges", "ServiceIPRange"),
            dns,
            domain: text("ClusterDomain", "cluster.local"),
            flannel_backend: text("FlannelBackend", "none"),
            disable_proxy: switch("DisableKubeProxy"),
            disable_network_policy: switch("DisableNPC"),
            disable_servicelb: switch("DisableServiceLB"),
            default_registry: text("SystemDefaultRegistry", ""),
        }
    }
}

/// Go's `net.IPNet` as its JSON: the mask is bytes.
fn ip_net(range: &Network) -> Value {
    let length = if range.is_ipv4() { 4 } else { 16 };
    let bits = |byte: usize| {
        let left = usize::from(range.prefix).saturating_sub(byte * 8).min(8);
        u8::MAX.checked_shl(u32::try_from(8 - left).unwrap_or(8)).unwrap_or(0)
    };
    let mask: Vec<u8> = (0..length).map(bits).collect();
    json!({"IP": range.address, "Mask": STANDARD.encode(mask)})
}

fn network(value: &Value) -> Option<Network> {
    let mask = STANDARD.decode(value["Mask"].as_str()?).ok()?;
    let prefix = mask.iter().map(|b| b.count_ones()).sum::<u32>();
    format!("{}/{prefix}", value["IP"].as_str()?).parse().ok()
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_travel_as_go_writes_them() {
        for (text, mask) in [
            ("10.42.0.0/16", "//8AAA=="),
            ("10.43.0.0/12", "//AAAA=="),
            ("fd00:42::/56", "/////////wAAAAAAAAAAAA=="),
        ] {
            let range: Network = text.parse().unwrap();
            let value = ip_net(&range);
            assert_eq!(value["Mask"], mask, "{text}");
            assert_eq!(network(&value), Some(range));
        }
    }
}
