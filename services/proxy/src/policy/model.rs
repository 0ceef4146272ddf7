//! What is kept of NetworkPolicies, Pods and Namespaces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meta::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

use crate::model::Protocol;
use crate::network::Network;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A NetworkPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The pods of its namespace it isolates.
    pub pods: LabelSelector,
    /// Who may reach them; `None`: it says nothing of that.
    pub ingress: Option<Vec<Rule>>,
    /// Whom they may reach; `None`: it says nothing of that.
    pub egress: Option<Vec<Rule>>,
}

/// Some peers at some ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The peers; `None`: everybody.
    pub peers: Option<Vec<Peer>>,
    /// The ports; empty: all, whatever the protocol.
    pub ports: Vec<Port>,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// Pods.
    Pods {
        /// Of these namespaces; `None`: of the policy's own.
        namespaces: Option<LabelSelector>,
        /// With these labels.
        pods: LabelSelector,
    },
    /// Addresses, without some.
    Block(Network, Vec<Network>),
}

/// Ports of the pod that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// All of a protocol.
    All(Protocol),
    /// Some, both ends included.
    Range(Protocol, u16, u16),
    /// Those the pod gives this name.
    Named(Protocol, String),
}

/// A Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// Its labels.
    pub labels: Labels,
    /// Its addresses; none if it is in the host's network or has ended.
    pub addresses: Vec<IpAddr>,
    /// Its node.
    pub node: String,
    /// Whether it is being deleted.
    pub ending: bool,
    /// When it was created, in the API's form.
    pub created: String,
    /// Its ports that have names.
    pub ports: Vec<(String, Protocol, u16)>,
}

/// A Namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace {
    /// Its labels.
    pub labels: Labels,
}

mod wire {
    //! The parts of the objects that are read.
    use super::{Deserialize, Labels, Protocol, Value};

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(super) struct Object<S, T> {
        pub metadata: Meta,
        pub spec: S,
        pub status: T,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Meta {
        pub labels: Option<Labels>,
        pub deletion_timestamp: Option<String>,
        pub creation_timestamp: Option<String>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(super) struct Nothing {}

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Policy {
        pub pod_selector: Value,
        pub policy_types: Option<Vec<String>>,
        pub ingress: Option<Vec<Rule>>,
        pub egress: Option<Vec<Rule>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(default)]
    pub(super) struct Rule {
        #[serde(alias = "from", alias = "to")]
        pub peers: Option<Vec<Peer>>,
        pub ports: Option<Vec<Port>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Peer {
        pub pod_selector: Option<Value>,
        pub namespace_selector: Option<Value>,
        pub ip_block: Option<Block>,
    }

    #[derive(Deserialize)]
    pub(super) struct Block {
        pub cidr: String,
        pub except: Option<Vec<String>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Port {
        pub protocol: Option<Protocol>,
        pub port: Option<Value>,
        pub end_port: Option<u16>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Pod {
        pub node_name: Option<String>,
        pub host_network: bool,
        pub containers: Vec<Container>,
        pub init_containers: Option<Vec<Container>>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct Container {
        pub ports: Option<Vec<ContainerPort>>,
        pub restart_policy: Option<String>,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct ContainerPort {
        pub name: String,
        pub protocol: Protocol,
        pub container_port: u16,
    }

    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    pub(super) struct PodStatus {
        pub phase: String,
        #[serde(rename = "podIP")]
        pub pod_ip: String,
        #[serde(rename = "podIPs")]
        pub pod_ips: Option<Vec<Address>>,
    }

    #[derive(Deserialize)]
    pub(super) struct Address {
        pub ip: String,
    }
}

fn bad(error: impl std::fmt::Display) -> serde_json::Error {
    serde::de::Error::custom(error)
}

fn selector(value: &Value) -> Result<LabelSelector, serde_json::Error> {
    if value.is_null() {
        Ok(LabelSelector::everything())
    } else {
        LabelSelector::from_json(value).map_err(bad)
    }
}

fn peer(peer: wire::Peer) -> Result<Peer, serde_json::Error> {
    if let Some(block) = peer.ip_block {
        let except: Result<Vec<Network>, _> = block.except.iter().flatten().map(|e| e.parse()).collect();
        return Ok(Peer::Block(block.cidr.parse().map_err(bad)?, except.map_err(bad)?));
    }
    let namespaces = peer.namespace_selector.as_ref().map(selector).transpose()?;
    let pods = selector(peer.pod_selector.as_ref().unwrap_or(&Value::Null))?;
    Ok(Peer::Pods { namespaces, pods })
}

fn port(port: wire::Port) -> Result<Port, serde_json::Error> {
    let protocol = port.protocol.unwrap_or_default();
    match port.port {
        None => Ok(Port::All(protocol)),
        Some(Value::String(name)) => Ok(Port::Named(protocol, name)),
        Some(value) => {
            let first: u16 = serde_json::from_value(value)?;
            Ok(Port::Range(protocol, first, port.end_port.unwrap_or(first)))
        }
    }
}

fn rule(rule: wire::Rule) -> Result<Rule, serde_json::Error> {
    let peers = rule.peers.filter(|p| !p.is_empty());
    let peers = peers.map(|list| list.into_iter().map(peer).collect()).transpose()?;
    let ports: Result<Vec<Port>, _> = rule.ports.into_iter().flatten().map(port).collect();
    Ok(Rule { peers, ports: ports? })
}

impl Policy {
    /// Reads a NetworkPolicy.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: wire::Object<wire::Policy, wire::Nothing> = serde_json::from_slice(bytes)?;
        let spec = object.spec;
        let types = spec.policy_types.unwrap_or_default();
        let has_egress = spec.egress.as_ref().is_some_and(|e| !e.is_empty());
        let named = |name: &str, default: bool| {
            if types.is_empty() { default } else { types.iter().any(|t| t == name) }
        };
        let rules = |wanted: bool, list: Option<Vec<wire::Rule>>| {
            let rules = wanted.then(|| list.into_iter().flatten().map(rule).collect::<Result<Vec<_>, _>>());
            rules.transpose()
        };
        Ok(Self {
            pods: selector(&spec.pod_selector)?,
            ingress: rules(named("Ingress", true), spec.ingress)?,
            egress: rules(named("Egress", has_egress), spec.egress)?,
        })
    }
}

impl Pod {
    /// Reads a Pod.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: wire::Object<wire::Pod, wire::PodStatus> = serde_json::from_slice(bytes)?;
        let (meta, spec, status) = (object.metadata, object.spec, object.status);
        if spec.host_network || matches!(status.phase.as_str(), "Succeeded" | "Failed") {
            return Ok(Self::default());
        }
        let mut addresses: Vec<IpAddr> =
            status.pod_ips.iter().flatten().filter_map(|a| a.ip.parse().ok()).collect();
        if addresses.is_empty() {
            addresses.extend(status.pod_ip.parse::<IpAddr>().ok());
        }
        let always = |c: &&wire::Container| c.restart_policy.as_deref() == Some("Always");
        let sidecars = spec.init_containers.iter().flatten().filter(always);
        let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
        let named = ports.filter(|p| !p.name.is_empty());
        Ok(Self {
            labels: meta.labels.unwrap_or_default(),
            addresses,
            node: spec.node_name.unwrap_or_default(),
            ending: meta.deletion_timestamp.is_some(),
            created: meta.creation_timestamp.unwrap_or_default(),
            ports: named.map(|p| (p.name.clone(), p.protocol, p.container_port)).collect(),
        })
    }

    /// The values it is indexed by.
    pub fn index(&self) -> Vec<String> {
        self.addresses.iter().map(IpAddr::to_string).collect()
    }
}

impl Namespace {
    /// Reads a Namespace.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: wire::Object<wire::Nothing, wire::Nothing> = serde_json::from_slice(bytes)?;
        Ok(Self { labels: object.metadata.labels.unwrap_or_default() })
    }
}
