//! What is kept of Services, EndpointSlices and the Node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use client::Key;
use serde::Deserialize;

use crate::network::Network;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Default)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its number in IP headers.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Matched with the slices' ports.
    pub name: String,
    /// The protocol.
    pub protocol: Protocol,
    /// The port of the Service's addresses.
    pub port: u16,
    /// The port of the nodes' addresses, 0 for none.
    pub node_port: u16,
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Cluster addresses; none for headless and external-name Services and those left to other proxies.
    pub cluster_ips: Vec<IpAddr>,
    /// External addresses.
    pub external_ips: Vec<IpAddr>,
    /// Load balancers' addresses that this node answers itself.
    pub balancer_ips: Vec<IpAddr>,
    /// Who may use the load balancers' addresses; empty: everybody.
    pub source_ranges: Vec<Network>,
    /// Seconds for which a client stays at an endpoint.
    pub affinity: Option<u32>,
    /// Outside traffic goes to this node's endpoints only.
    pub external_local: bool,
    /// Cluster traffic goes to this node's endpoints only.
    pub internal_local: bool,
    /// The port that tells load balancers whether this node has endpoints, 0 for none.
    pub health_check_port: u16,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Takes new connections.
    pub ready: bool,
    /// Answers, though perhaps ending.
    pub serving: bool,
    /// Ending.
    pub terminating: bool,
    /// Its node.
    pub node: String,
    /// Zones it is meant for.
    pub for_zones: Vec<String>,
    /// Nodes it is meant for.
    pub for_nodes: Vec<String>,
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slice {
    /// The Service it belongs to.
    pub service: Key,
    /// Its ports: name, protocol, number.
    pub ports: Vec<(String, Protocol, u16)>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// This node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Whether it is being removed, so that load balancers should leave it.
    pub leaving: bool,
    /// Its addresses, inside and outside.
    pub addresses: Vec<IpAddr>,
}

const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";
/// The cluster autoscaler's taint on a node it is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

mod wire {
    //! The parts of the objects that are read.
    use super::{BTreeMap, Deserialize, Protocol};

    #[derive(Deserialize)]
    pub(super) struct Object<S> {
        pub metadata: Meta,
        #[serde(default)]
        pub spec: S,
        #[serde(default)]
        pub status: Status,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Meta {
        pub name: String,
        pub namespace: String,
        pub labels: BTreeMap<String, String>,
        pub deletion_timestamp: Option<String>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Service {
        #[serde(rename = "type")]
        pub kind: String,
        pub ports: Vec<Port>,
        #[serde(rename = "clusterIP")]
        pub cluster_ip: String,
        #[serde(rename = "clusterIPs")]
        pub cluster_ips: Vec<String>,
        #[serde(rename = "externalIPs")]
        pub external_ips: Vec<String>,
        pub load_balancer_source_ranges: Vec<String>,
        pub session_affinity: String,
        pub session_affinity_config: Option<Affinity>,
        pub external_traffic_policy: String,
        pub internal_traffic_policy: String,
        pub health_check_node_port: u16,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Affinity {
        #[serde(rename = "clientIP")]
        pub client_ip: Option<ClientIp>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct ClientIp {
        pub timeout_seconds: Option<u32>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Port {
        pub name: Option<String>,
        pub protocol: Protocol,
        pub port: Option<u16>,
        pub node_port: u16,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Status {
        pub load_balancer: Balancer,
        pub addresses: Vec<Address>,
    }

    #[derive(Deserialize)]
    pub(super) struct Address {
        #[serde(rename = "type")]
        pub kind: String,
        pub address: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(super) struct Balancer {
        pub ingress: Vec<Ingress>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Ingress {
        pub ip: String,
        pub ip_mode: String,
    }

    #[derive(Deserialize)]
    pub(super) struct Slice {
        pub metadata: Meta,
        #[serde(default, deserialize_with = "null_as_default")]
        pub endpoints: Vec<Endpoint>,
        #[serde(default, deserialize_with = "null_as_default")]
        pub ports: Vec<Port>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Endpoint {
        pub addresses: Vec<String>,
        pub conditions: Conditions,
        pub node_name: Option<String>,
        pub hints: Option<Hints>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(super) struct Conditions {
        pub ready: Option<bool>,
        pub serving: Option<bool>,
        pub terminating: Option<bool>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Hints {
        pub for_zones: Vec<Hint>,
        pub for_nodes: Vec<Hint>,
    }

    #[derive(Deserialize)]
    pub(super) struct Hint {
        pub name: String,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(super) struct Node {
        pub taints: Vec<Taint>,
    }

    #[derive(Deserialize)]
    pub(super) struct Taint {
        pub key: String,
    }

    fn null_as_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
        d: D,
    ) -> Result<T, D::Error> {
        Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
    }
}

fn addresses(texts: &[String]) -> Vec<IpAddr> {
    texts.iter().filter_map(|t| t.parse().ok()).collect()
}

impl Service {
    /// Reads a Service; one this proxy has nothing to do with has no addresses.
    ///
    /// # Upstream
    /// `pkg/proxy/util/utils.go` `ShouldSkipService`, `pkg/proxy/serviceport.go` `newBaseServiceInfo`
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: wire::Object<wire::Service> = serde_json::from_slice(bytes)?;
        let (labels, spec) = (&object.metadata.labels, object.spec);
        let headless = spec.cluster_ip == "None" || spec.cluster_ip.is_empty();
        if headless
            || spec.kind == "ExternalName"
            || labels.contains_key(PROXY_NAME)
            || labels.contains_key(HEADLESS)
        {
            return Ok(Self::default());
        }
        let mut cluster_ips = addresses(&spec.cluster_ips);
        if cluster_ips.is_empty() {
            cluster_ips.extend(spec.cluster_ip.parse::<IpAddr>().ok());
        }
        let ports = spec.ports.into_iter().map(|p| ServicePort {
            name: p.name.unwrap_or_default(),
            protocol: p.protocol,
            port: p.port.unwrap_or_default(),
            node_port: p.node_port,
        });
        let ingress = object.status.load_balancer.ingress.iter().filter(|i| i.ip_mode != "Proxy");
        let affinity = (spec.session_affinity == "ClientIP").then(|| {
            let seconds =
                spec.session_affinity_config.and_then(|c| c.client_ip).and_then(|c| c.timeout_seconds);
            seconds.unwrap_or(10800)
        });
        Ok(Self {
            ports: ports.collect(),
            cluster_ips,
            external_ips: addresses(&spec.external_ips),
            balancer_ips: ingress.filter_map(|i| i.ip.parse().ok()).collect(),
            source_ranges: spec
                .load_balancer_source_ranges
                .iter()
                .filter_map(|r| r.trim().parse().ok())
                .collect(),
            affinity,
            external_local: spec.external_traffic_policy == "Local",
            internal_local: spec.internal_traffic_policy == "Local",
            health_check_port: spec.health_check_node_port,
        })
    }
}

impl Slice {
    /// Reads an EndpointSlice.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let slice: wire::Slice = serde_json::from_slice(bytes)?;
        let service = slice.metadata.labels.get("kubernetes.io/service-name").cloned().unwrap_or_default();
        let endpoints = slice.endpoints.into_iter().map(|e| {
            let ready = e.conditions.ready.unwrap_or(true);
            let hints = e.hints.unwrap_or_default();
            Endpoint {
                address: e.addresses.first().and_then(|a| a.parse().ok()),
                ready,
                serving: e.conditions.serving.unwrap_or(ready),
                terminating: e.conditions.terminating.unwrap_or(false),
                node: e.node_name.unwrap_or_default(),
                for_zones: hints.for_zones.into_iter().map(|h| h.name).collect(),
                for_nodes: hints.for_nodes.into_iter().map(|h| h.name).collect(),
            }
        });
        let ports =
            slice.ports.into_iter().filter_map(|p| Some((p.name.unwrap_or_default(), p.protocol, p.port?)));
        Ok(Self {
            service: Key::new(slice.metadata.namespace, service),
            ports: ports.collect(),
            endpoints: endpoints.collect(),
        })
    }

    /// The value it is indexed by.
    pub fn index(&self) -> Vec<String> {
        vec![self.service.to_string()]
    }
}

impl Node {
    /// Reads a Node.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: wire::Object<wire::Node> = serde_json::from_slice(bytes)?;
        let leaving = object.metadata.deletion_timestamp.is_some()
            || object.spec.taints.iter().any(|t| t.key == TO_BE_DELETED);
        Ok(Self {
            zone: object.metadata.labels.get(ZONE).cloned().unwrap_or_default(),
            addresses: (object.status.addresses.iter().filter(|a| a.kind.ends_with("IP")))
                .filter_map(|a| a.address.parse().ok())
                .collect(),
            name: object.metadata.name,
            leaving,
        })
    }
}
