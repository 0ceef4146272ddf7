//! The node's part: who it is, the kernel, the container runtime, and what its daemons get.

mod containerd;
mod identity;
mod kernel;
mod kubelet;
mod registries;
mod resolver;
mod runtimes;

pub(crate) use identity::{Identity, identity, own_address};

use config::{Agent, Component, Config, apply_arguments};
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::handover::{Handover, withdraw};
use crate::{BootstrapError, Options, Places, Report};

/// What the steps of a node share.
pub(super) struct Step<'a> {
    pub(super) agent: &'a Agent,
    pub(super) identity: &'a Identity,
    pub(super) cluster: &'a Cluster,
    pub(super) places: &'a Places,
}

/// Makes everything a node has, once its certificates are under `agent/`.
pub(crate) fn run(
    config: &Config,
    agent: &Agent,
    identity: &Identity,
    cluster: &Cluster,
    places: &Places,
    options: &Options,
    report: &mut Report,
) -> Result<(), BootstrapError> {
    let step = Step { agent, identity, cluster, places };
    if !options.renew {
        let v6 = cluster.cluster_cidrs.iter().any(|r| !r.is_ipv4());
        kernel::prepare(agent.protect_kernel_defaults, v6, &mut report.warnings)?;
    }
    if agent.runtime_endpoint.is_some() {
        withdraw(places, "containerd")?
    } else {
        containerd::run(&step, report)?
    }
    kubelet::run(&step, config, report)?;
    if cluster.disable_proxy {
        withdraw(places, "proxy")?
    } else {
        proxy(&step, report)?
    }
    if cluster.flannel_backend == "none" { withdraw(places, "flannel") } else { flannel(&step, report) }
}

pub(super) fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn proxy(step: &Step<'_>, report: &mut Report) -> Result<(), BootstrapError> {
    let places = step.places;
    let mut hand = Handover::begin(places, "proxy")?;
    let (authority, client) = (places.agent("server-ca.crt"), places.agent("client-kube-proxy"));
    let kubeconfig = hand.kubeconfig(&step.cluster.api, &authority, &client, report)?;
    let mut settings = map(json!({
        "kubeconfig": kubeconfig,
        "hostnameOverride": step.identity.name,
        "clusterCIDR": Cluster::cidrs(&step.cluster.cluster_cidrs),
        "healthzBindAddress": "127.0.0.1:10256",
        "networkPolicy": !step.cluster.disable_network_policy,
    }));
    apply_arguments(Component::Proxy, &step.agent.arguments, &mut settings, &mut report.warnings)?;
    hand.finish(settings)
}

fn flannel(step: &Step<'_>, report: &mut Report) -> Result<(), BootstrapError> {
    let places = step.places;
    let mut hand = Handover::begin(places, "flannel")?;
    let (authority, client) = (places.agent("server-ca.crt"), places.agent("client-k3s-controller"));
    let kubeconfig = hand.kubeconfig(&step.cluster.api, &authority, &client, report)?;
    let folder = places.agent("etc/cni/net.d");
    crate::files::owned_folder(&folder, 0o755, Some(crate::handover::owner_of("flannel")?))?;
    hand.finish(map(json!({
        "kubeconfig": kubeconfig,
        "nodeName": step.identity.name,
        "clusterCIDR": Cluster::cidrs(&step.cluster.cluster_cidrs),
        "backend": step.cluster.flannel_backend,
        "iface": step.agent.flannel_iface,
        // through the link its unit names
        "cniFile": places.run.join("data/agent/etc/cni/net.d/10-flannel.conflist"),
        "subnetFile": "/run/flannel/subnet.env",
    })))
}
