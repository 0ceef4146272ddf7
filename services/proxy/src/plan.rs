//! What a Service asks of this node: pure.

use std::net::IpAddr;

use netlink::nft::Family;

use crate::model::{Endpoint, Node, Protocol, Service, ServicePort, Slice};
use crate::network::{Network, family};

/// Where traffic of a Service arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum At {
    /// At an address and port.
    Address(IpAddr, Protocol, u16),
    /// At a port of every address of this node.
    NodePort(Family, Protocol, u16),
}

impl At {
    /// The family of the traffic.
    pub fn family(self) -> Family {
        match self {
            Self::Address(address, ..) => family(address),
            Self::NodePort(family, ..) => family,
        }
    }

    /// The protocol.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Address(_, protocol, _) | Self::NodePort(_, protocol, _) => protocol,
        }
    }

    /// The port.
    pub fn port(self) -> u16 {
        match self {
            Self::Address(_, _, port) | Self::NodePort(_, _, port) => port,
        }
    }
}

/// Where traffic goes: an endpoint's address and port.
pub type Target = (IpAddr, u16);

/// How traffic is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// There is nobody: answered with "port unreachable".
    Reject,
    /// There is nobody on this node: dropped.
    Drop,
    /// To an endpoint; from outside the cluster with this node's address as source.
    Cluster,
    /// To an endpoint, always with this node's address as source.
    Masquerade,
    /// To this node's endpoints with the source kept; pods and this node itself reach all endpoints.
    Local,
}

/// One place a Service is reached at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Where.
    pub at: At,
    /// How.
    pub treatment: Treatment,
    /// Seconds for which a client stays at an endpoint.
    pub affinity: Option<u32>,
    /// Whether the address is the Service's own.
    pub cluster_ip: bool,
    /// The endpoints.
    pub targets: Vec<Target>,
    /// With [`Treatment::Local`]: the endpoints for pods and this node.
    pub cluster_targets: Vec<Target>,
    /// Who may come; empty: everybody.
    pub allowed: Vec<Network>,
    /// A load balancer's address that only some may use, however many of `allowed` are of its family.
    pub guarded: bool,
}

/// What a Service asks of this node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The places it is reached at.
    pub fronts: Vec<Front>,
    /// Endpoints on this node, which may reach themselves through the Service.
    pub local: Vec<IpAddr>,
    /// The health-check port and how many endpoints this node has.
    pub health_check: Option<(u16, usize)>,
}

/// Endpoints of one port and family, as the traffic policies see them.
#[derive(Debug, Default)]
struct Choice {
    cluster: Vec<Target>,
    local: Vec<Target>,
    /// Addresses of endpoints of either list that are on this node.
    here: Vec<IpAddr>,
}

/// Plans a Service.
///
/// # Upstream
/// `pkg/proxy/nftables/proxier.go` `syncProxyRules`
pub fn plan(service: &Service, slices: &[&Slice], node: &Node) -> Plan {
    let mut plan = Plan::default();
    for port in &service.ports {
        for family in [Family::Ip, Family::Ip6] {
            if !service.cluster_ips.iter().any(|ip| self::family(*ip) == family) {
                continue;
            }
            let choice = choose(port, family, slices, node);
            plan.local.extend(&choice.here);
            plan.fronts.extend(fronts(service, port, family, &choice, node));
        }
    }
    plan.local.sort_unstable();
    plan.local.dedup();
    if service.health_check_port != 0 && service.external_local && !service.cluster_ips.is_empty() {
        plan.health_check = Some((service.health_check_port, local_ready(slices, node)));
    }
    plan
}

/// The addresses of load balancers that are answered here. Where one of them is this node's own, nodes are the load
/// balancer: then all addresses of this node are answered, as an outer address may have been translated to an inner one.
fn balancer_ips(service: &Service, node: &Node) -> Vec<IpAddr> {
    let mut ips = service.balancer_ips.clone();
    if ips.iter().any(|ip| node.addresses.contains(ip)) {
        ips.extend(&node.addresses);
    }
    let mut seen = std::collections::HashSet::new();
    ips.retain(|ip| !service.external_ips.contains(ip) && seen.insert(*ip));
    ips
}

fn fronts(service: &Service, port: &ServicePort, family: Family, choice: &Choice, node: &Node) -> Vec<Front> {
    let of_family =
        |ips: &[IpAddr]| ips.iter().copied().filter(|ip| self::family(*ip) == family).collect::<Vec<_>>();
    let anybody = !choice.cluster.is_empty() || !choice.local.is_empty();
    let front = |at, treatment, targets: &[Target]| Front {
        at,
        treatment,
        affinity: service.affinity,
        cluster_ip: false,
        targets: targets.to_vec(),
        cluster_targets: Vec::new(),
        allowed: Vec::new(),
        guarded: false,
    };
    let nobody = if anybody { Treatment::Drop } else { Treatment::Reject };
    let internal = if service.internal_local { &choice.local } else { &choice.cluster };
    let mut fronts = Vec::new();
    for ip in of_family(&service.cluster_ips) {
        let treatment = if internal.is_empty() { nobody } else { Treatment::Cluster };
        let at = At::Address(ip, port.protocol, port.port);
        fronts.push(Front { cluster_ip: true, ..front(at, treatment, internal) });
    }
    let outside = |at| match (service.external_local, anybody) {
        (_, false) => front(at, Treatment::Reject, &[]),
        (true, true) => {
            Front { cluster_targets: choice.cluster.clone(), ..front(at, Treatment::Local, &choice.local) }
        }
        (false, true) => front(at, Treatment::Masquerade, &choice.cluster),
    };
    for ip in of_family(&service.external_ips) {
        fronts.push(outside(At::Address(ip, port.protocol, port.port)));
    }
    for ip in of_family(&balancer_ips(service, node)) {
        let allowed = service.source_ranges.iter().copied().filter(|r| r.family() == family);
        let guarded = !service.source_ranges.is_empty();
        let at = At::Address(ip, port.protocol, port.port);
        fronts.push(Front { allowed: allowed.collect(), guarded, ..outside(at) });
    }
    if port.node_port != 0 {
        fronts.push(outside(At::NodePort(family, port.protocol, port.node_port)));
    }
    fronts
}

/// The endpoints of a port.
///
/// # Upstream
/// `pkg/proxy/topology.go` `CategorizeEndpoints`
fn choose(port: &ServicePort, family: Family, slices: &[&Slice], node: &Node) -> Choice {
    let mut all: Vec<(&Endpoint, Target)> = Vec::new();
    for slice in slices {
        let wanted =
            |(name, protocol, _): &&(String, Protocol, u16)| *name == port.name && *protocol == port.protocol;
        let Some((_, _, number)) = slice.ports.iter().find(wanted) else { continue };
        let of_family = slice.endpoints.iter().filter_map(|e| Some((e, (e.address?, *number))));
        all.extend(of_family.filter(|(_, (ip, _))| self::family(*ip) == family));
    }
    all.sort_unstable_by_key(|(endpoint, target)| (*target, !endpoint.ready));
    all.dedup_by_key(|(_, target)| *target);
    let ending = |e: &Endpoint| e.serving && e.terminating;
    let here = |e: &Endpoint| !e.node.is_empty() && e.node == node.name;
    let pick = |test: &dyn Fn(&Endpoint) -> bool| {
        all.iter().filter(|(e, _)| test(e)).map(|(_, t)| *t).collect::<Vec<Target>>()
    };
    let ready: Vec<&Endpoint> = all.iter().map(|(e, _)| *e).filter(|e| e.ready).collect();
    let hint = Hint::of(&ready, node);
    let mut cluster = pick(&|e| e.ready && hint.allows(e, node));
    if cluster.is_empty() {
        cluster = pick(&ending);
    }
    let mut local = pick(&|e| e.ready && here(e));
    if local.is_empty() {
        local = pick(&|e| ending(e) && here(e));
    }
    let mine = all.iter().filter(|(e, t)| here(e) && (cluster.contains(t) || local.contains(t)));
    let here = mine.map(|(_, (ip, _))| *ip).collect();
    Choice { cluster, local, here }
}

/// Which of the slices' topology hints count.
///
/// # Upstream
/// `pkg/proxy/topology.go` `topologyModeFromHints`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    Ignore,
    Zone,
    Node,
}

impl Hint {
    fn of(ready: &[&Endpoint], node: &Node) -> Self {
        let usable = |hints: fn(&Endpoint) -> &Vec<String>, own: &String| {
            !own.is_empty()
                && ready.iter().all(|e| !hints(e).is_empty())
                && ready.iter().any(|e| hints(e).contains(own))
        };
        if usable(|e| &e.for_nodes, &node.name) {
            Self::Node
        } else if usable(|e| &e.for_zones, &node.zone) {
            Self::Zone
        } else {
            Self::Ignore
        }
    }

    fn allows(self, endpoint: &Endpoint, node: &Node) -> bool {
        match self {
            Self::Ignore => true,
            Self::Zone => endpoint.for_zones.contains(&node.zone),
            Self::Node => endpoint.for_nodes.contains(&node.name),
        }
    }
}

/// Distinct ready addresses on this node.
fn local_ready(slices: &[&Slice], node: &Node) -> usize {
    let endpoints = slices.iter().flat_map(|s| &s.endpoints).filter(|e| e.ready && e.node == node.name);
    let mut addresses: Vec<IpAddr> = endpoints.filter_map(|e| e.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.len()
}

/// Puts `new` targets into the places the same targets had in `old`, so that a change of one moves at most one other.
pub fn keep_places(old: &[Target], new: &[Target]) -> Vec<Target> {
    let wanted: std::collections::HashSet<&Target> = new.iter().collect();
    let kept: std::collections::HashSet<&Target> = old.iter().filter(|t| wanted.contains(t)).collect();
    let mut fresh: Vec<Target> = new.iter().filter(|t| !kept.contains(t)).copied().collect();
    fresh.reverse();
    let mut places: Vec<Option<Target>> = old.iter().map(|t| wanted.contains(t).then_some(*t)).collect();
    places.resize(places.len().max(new.len()), None);
    for place in places.iter_mut().take(new.len()).filter(|p| p.is_none()) {
        *place = fresh.pop();
    }
    let mut tail: Vec<Target> = places.split_off(new.len()).into_iter().flatten().collect();
    for place in places.iter_mut().filter(|p| p.is_none()) {
        *place = tail.pop();
    }
    places.into_iter().flatten().collect()
}
