//! Whether the node can take a pod it was given. Pure.
//!
//! # Upstream
//! `pkg/kubelet/lifecycle/predicate.go`, `pkg/kubelet/sysctl`, `pkg/scheduler/framework/plugins/noderesources/fit.go`

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod};

use super::facts::{PodFacts, pod_request};
use super::status::Verdict;
use crate::quantity::{Amounts, counted};

/// What is decided upon.
#[derive(Debug)]
pub struct Facts<'a> {
    /// This node, if it is known.
    pub node: Option<&'a Node>,
    /// The pods taken in before.
    pub others: &'a [Arc<Pod>],
    /// What pods may use.
    pub allocatable: &'a Amounts,
    /// Sysctls allowed beside the safe ones.
    pub allowed_sysctls: &'a [String],
}

fn refuse(reason: &str, message: impl std::fmt::Display) -> Box<Verdict> {
    Box::new(Verdict::rejected(reason, message))
}

/// The decision.
///
/// # Errors
/// Why not, as the pod's status shows it.
pub fn admit(f: &Facts<'_>, pod: &Pod) -> Result<(), Box<Verdict>> {
    if pod.facts().os.as_ref().is_some_and(|os| os.name != "linux") {
        return Err(refuse("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"));
    }
    sysctls(f, pod)?;
    if let Some(node) = f.node.filter(|n| !matches(n, pod)) {
        tracing::debug!(node = node.metadata.name, "Node does not match the pod's affinity");
        let text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return Err(refuse("NodeAffinity", text));
    }
    if f.others.iter().any(|o| ports_clash(o, pod)) {
        let text = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Err(refuse("NodePorts", text));
    }
    resources(f.others, pod, f.allocatable)
}

/// Whether there is room beside the others.
///
/// # Errors
/// What there is too little of.
pub fn resources(others: &[Arc<Pod>], pod: &Pod, allocatable: &Amounts) -> Result<(), Box<Verdict>> {
    let short = |name: &str, requested: i64, used: i64, capacity: i64| {
        refuse(
            &format!("OutOf{name}"),
            format!(
                "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
            ),
        )
    };
    let room = |name: &str| allocatable.get(name).map_or(0, |q| counted(name, q));
    let count = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if count + 1 > room("pods") {
        return Err(short("pods", 1, count, room("pods")));
    }
    let mut names: Vec<&str> = vec!["cpu", "memory", "ephemeral-storage"];
    let containers = pod.facts().containers.iter().chain(pod.facts().init_containers.iter().flatten());
    let asked =
        containers.flat_map(|c| c.resources.iter().flat_map(|r| r.requests.iter().flat_map(|q| q.keys())));
    names.extend(asked.map(String::as_str));
    // what this node knows nothing of is somebody else's to count
    let foreign = |name: &str| name.contains('/') && !allocatable.contains_key(name);
    for name in names.into_iter().filter(|n| !foreign(n)) {
        let requested = pod_request(pod.facts(), name);
        let used: i64 = others.iter().map(|o| pod_request(o.facts(), name)).sum();
        if requested > 0 && used + requested > room(name) {
            return Err(short(name, requested, used, room(name)));
        }
    }
    Ok(())
}

fn ports_clash(a: &Pod, b: &Pod) -> bool {
    let ports = |pod: &Pod| -> Vec<(i32, String, String)> {
        let containers = pod.containers();
        let all = containers.iter().flat_map(|(_, c)| c.ports.iter().flatten());
        let taken = all.filter(|p| p.host_port.unwrap_or(0) != 0).map(|p| {
            let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".into());
            (p.host_port.unwrap_or(0), protocol, p.host_ip.clone().unwrap_or_default())
        });
        taken.collect()
    };
    let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
    let theirs = ports(a);
    ports(b).iter().any(|(port, protocol, ip)| {
        theirs.iter().any(|(p, q, i)| p == port && q == protocol && (any(i) || any(ip) || i == ip))
    })
}

/// Sysctls that are the pod's own business.
const SAFE: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn sysctls(f: &Facts<'_>, pod: &Pod) -> Result<(), Box<Verdict>> {
    let own = pod.facts().security_context.as_ref().and_then(|s| s.sysctls.as_ref());
    for sysctl in own.into_iter().flatten() {
        let name = sysctl.name.replace('/', ".");
        let allowed = SAFE.contains(&name.as_str())
            || f.allowed_sysctls.iter().any(|a| match a.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => *a == name,
            });
        if !allowed {
            return Err(refuse(
                "SysctlForbidden",
                format_args!("forbidden sysctl: \"{name}\" not allowlisted"),
            ));
        }
        if name.starts_with("net.") && pod.host_network() {
            return Err(refuse(
                "SysctlForbidden",
                format_args!("forbidden sysctl: \"{name}\" not allowed with host net enabled"),
            ));
        }
        if name.starts_with("kernel.") && pod.facts().host_ipc == Some(true) {
            return Err(refuse(
                "SysctlForbidden",
                format_args!("forbidden sysctl: \"{name}\" not allowed with host ipc enabled"),
            ));
        }
    }
    Ok(())
}

fn matches(node: &Node, pod: &Pod) -> bool {
    let empty = std::collections::BTreeMap::new();
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let selector = pod.facts().node_selector.iter().flatten();
    if selector.into_iter().any(|(k, v)| labels.get(k) != Some(v)) {
        return false;
    }
    let affinity = pod.facts().affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let Some(required) =
        affinity.and_then(|n| n.required_during_scheduling_ignored_during_execution.as_ref())
    else {
        return true;
    };
    let name = node.metadata.name.as_deref().unwrap_or_default();
    required.node_selector_terms.iter().any(|term| term_matches(term, labels, name))
}

fn term_matches(
    term: &NodeSelectorTerm,
    labels: &std::collections::BTreeMap<String, String>,
    name: &str,
) -> bool {
    let holds = |value: Option<&str>, operator: &str, values: &[String]| match operator {
        "In" => value.is_some_and(|v| values.iter().any(|x| x == v)),
        "NotIn" => value.is_none_or(|v| values.iter().all(|x| x != v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" | "Lt" => {
            let number = value.and_then(|v| v.parse::<i64>().ok()); // a label that is no number compares with none
            let bound = values.first().and_then(|v| v.parse::<i64>().ok());
            matches!((number, bound), (Some(n), Some(b)) if if operator == "Gt" { n > b } else { n < b })
        }
        _ => false,
    };
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let by_label = expressions.iter().all(|e| {
        holds(labels.get(&e.key).map(String::as_str), &e.operator, e.values.as_deref().unwrap_or_default())
    });
    by_label
        && fields.iter().all(|e| {
            e.key == "metadata.name"
                && holds(Some(name), &e.operator, e.values.as_deref().unwrap_or_default())
        })
}
