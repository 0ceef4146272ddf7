//! The nodes that make a load balancer.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service, Taint};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use reconcile::{Kind, Pod, View};

use super::{DAEMON_NAME, SERVICE_NAME, ingress, is_ours};
use crate::common::{created, is_terminal};

const ENABLED: &str = "svccontroller.k3s.cattle.io/enablelb";
const POOL: &str = "svccontroller.k3s.cattle.io/lbpool";
/// Taints that k3s's forwarding pods tolerate: their own, and those every daemon pod does.
const TOLERATED: [(&str, &str); 9] = [
    ("node-role.kubernetes.io/master", "NoSchedule"),
    ("node-role.kubernetes.io/control-plane", "NoSchedule"),
    ("CriticalAddonsOnly", ""),
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// A protocol and a port of a node.
type HostPort = (String, i32);

/// The ports of its node a pod takes. K3s's forwarding pods are about to go.
pub(super) fn host_ports(pod: &Pod) -> impl Iterator<Item = HostPort> {
    let counts = !is_terminal(pod) && pod.label(DAEMON_NAME).is_none();
    let spec = Some(&pod.spec).filter(|_| counts);
    let containers = spec.into_iter().flat_map(|s| s.containers.iter().chain(&s.init_containers));
    let ports = containers.flat_map(|c| &c.ports);
    ports.filter_map(|p| {
        Some((p.protocol.clone().unwrap_or_else(|| "TCP".into()), p.host_port.filter(|n| *n > 0)?))
    })
}

fn wanted_ports(service: &Service) -> BTreeSet<HostPort> {
    let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    ports.map(|p| (p.protocol.clone().unwrap_or_else(|| "TCP".into()), p.port)).collect()
}

/// The addresses of the nodes a Service is reached at, sorted, by its families' order.
pub(super) fn addresses(view: &View, service: &Arc<Service>) -> Vec<String> {
    let selecting = view.all::<Node>().any(|n| n.label(ENABLED).is_some());
    let ready = ready_nodes(view, service);
    let rivals = rivals(view, service);
    let (mut outer, mut inner) = (BTreeSet::new(), BTreeSet::new());
    for node in view.all::<Node>().filter(|n| is_eligible(n, service, selecting)) {
        let has_endpoint = ready.as_ref().is_none_or(|r| r.contains(node.name()));
        if !has_endpoint || !wins(view, node, service, &rivals, selecting) {
            continue;
        }
        for address in node.status.iter().flat_map(|s| s.addresses.iter().flatten()) {
            match address.type_.as_str() {
                "ExternalIP" => drop(outer.insert(address.address.clone())),
                "InternalIP" => drop(inner.insert(address.address.clone())),
                _ => {}
            }
        }
    }
    let addresses = if outer.is_empty() { inner } else { outer };
    let families = service.spec.iter().flat_map(|s| s.ip_families.iter().flatten());
    let of_family = |family: &String| {
        let v6 = family == "IPv6";
        addresses.iter().filter(move |a| a.contains(':') == v6).cloned().collect::<Vec<_>>()
    };
    families.flat_map(of_family).collect()
}

/// With the local traffic policy: the nodes with a ready pod.
fn ready_nodes<'a>(view: &'a View, service: &'a Service) -> Option<BTreeSet<&'a str>> {
    let spec = service.spec.as_ref()?;
    if spec.external_traffic_policy.as_deref() != Some("Local") {
        return None;
    }
    let own = |slice: &&Arc<EndpointSlice>| slice.label(SERVICE_NAME) == Some(service.name());
    let slices = view.list::<EndpointSlice>(service.namespace()).filter(own);
    let endpoints = slices.flat_map(|s| s.endpoints.iter().flatten());
    let is_ready = |e: &&k8s_openapi::api::discovery::v1::Endpoint| {
        let is_pod = e.target_ref.as_ref().is_some_and(|t| t.kind.as_deref() == Some("Pod"));
        is_pod && e.conditions.as_ref().and_then(|c| c.ready) == Some(true)
    };
    Some(endpoints.filter(is_ready).filter_map(|e| e.node_name.as_deref()).collect())
}

fn is_eligible(node: &Node, service: &Service, selecting: bool) -> bool {
    let pool = service.label(POOL).filter(|p| !p.is_empty());
    let selected = !selecting
        || node.label(ENABLED) == Some("true") && pool.is_none_or(|pool| node.label(POOL) == Some(pool));
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let is_ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    selected && is_ready && taints.into_iter().all(is_tolerated) && !node.deleting()
}

fn is_tolerated(taint: &Taint) -> bool {
    let fits =
        |(key, effect): &(&str, &str)| taint.key == *key && (effect.is_empty() || taint.effect == *effect);
    taint.effect == "PreferNoSchedule" || TOLERATED.iter().any(fits)
}

/// All load balancers in the order in which they choose ports: who has addresses keeps them, then the older.
fn rivals<'a>(view: &'a View, service: &Service) -> Vec<&'a Arc<Service>> {
    let wanted = wanted_ports(service);
    // a rival of a rival decides too: everybody who shares a port with somebody who does
    let mut all: Vec<&Arc<Service>> = view.all::<Service>().filter(|s| is_ours(s) && !s.deleting()).collect();
    let clash = all.iter().filter(|s| !wanted_ports(s).is_disjoint(&wanted)).count();
    if clash <= 1 {
        all.retain(|s| s.key() == service.key());
    }
    all.sort_by_key(|s| (Reverse(!ingress(s).is_empty()), created(s.as_ref()), s.key()));
    all
}

/// Whether all ports of a Service are its own on a node.
fn wins(view: &View, node: &Node, service: &Service, rivals: &[&Arc<Service>], selecting: bool) -> bool {
    let pods = view.indexed::<Pod>(node.name());
    let mut taken: BTreeSet<HostPort> = pods.flat_map(|p| host_ports(p)).collect();
    for rival in rivals {
        let wanted = wanted_ports(rival);
        let free = is_eligible(node, rival, selecting) && wanted.iter().all(|p| !taken.contains(p));
        if rival.key() == service.key() {
            return free;
        }
        if free {
            taken.extend(wanted);
        }
    }
    false
}
