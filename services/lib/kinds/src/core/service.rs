//! What happens to services before they are written; allocation of addresses and ports is the server's.
//!
//! # Upstream
//! `pkg/registry/core/service/strategy.go`, `pkg/registry/core/service/storage/storage.go` `patchAllocatedValues`

use schema::{Map, Object, Value};

use crate::Context;
use crate::strategy::{keep, put};
use crate::tree::{int, is_zero, map, maps, maps_mut, same, text};

pub(super) fn create(_: &Context<'_>, object: &mut Object) {
    let mut status = Map::new();
    status.insert("loadBalancer", Map::new());
    object.root_mut().insert("status", status);
    drop_traffic_policy(object.root_mut().map_mut("spec"));
}

/// Nothing is routed to an external name inside the cluster; upstream leaves the policy out whenever it reads one.
///
/// # Upstream
/// `pkg/registry/core/service/storage/storage.go` `defaultOnReadInternalTrafficPolicy`
fn drop_traffic_policy(spec: &mut Map) {
    // one that is none is for validation to refuse
    if !needs_ip(spec) && matches!(text(spec, "internalTrafficPolicy"), "Cluster" | "Local") {
        spec.remove("internalTrafficPolicy");
    }
}

pub(super) fn update(cx: &Context<'_>, object: &mut Object, old: &Object) {
    if cx.subresource == "status" {
        keep(object, old, "spec");
        return;
    }
    keep(object, old, "status");
    let empty = Map::new();
    let before = map(old.root(), "spec").unwrap_or(&empty);
    let spec = object.root_mut().map_mut("spec");
    keep_allocated(spec, before);
    drop_type_dependent(spec, before);
    drop_traffic_policy(spec);
    if text(spec, "type") != "LoadBalancer" {
        object.root_mut().map_mut("status").insert("loadBalancer", Map::new());
    }
}

fn needs_ip(spec: &Map) -> bool {
    text(spec, "type") != "ExternalName"
}

fn needs_node_port(spec: &Map) -> bool {
    matches!(text(spec, "type"), "NodePort" | "LoadBalancer")
}

fn needs_health_port(spec: &Map) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

fn external(spec: &Map) -> bool {
    needs_node_port(spec) || text(spec, "type") == "ClusterIP" && !is_zero(spec, "externalIPs")
}

/// What was allocated and is not given again stays.
fn keep_allocated(spec: &mut Map, before: &Map) {
    if needs_ip(spec) && needs_ip(before) {
        if is_zero(spec, "clusterIP") {
            put(spec, "clusterIP", before.get("clusterIP").cloned());
        }
        if is_zero(spec, "clusterIPs") && text(spec, "clusterIP") == text(before, "clusterIP") {
            put(spec, "clusterIPs", before.get("clusterIPs").cloned());
        }
    }
    if needs_node_port(spec) && needs_node_port(before) {
        let key = |p: &Map| (text(p, "protocol").to_owned(), int(p, "port"));
        let ports: Vec<_> =
            maps(before, "ports").map(|p| (key(p), int(p, "nodePort").unwrap_or(0))).collect();
        let taken: Vec<i64> = maps(spec, "ports").filter_map(|p| int(p, "nodePort")).collect();
        for port in maps_mut(spec, "ports").filter(|p| is_zero(p, "nodePort")) {
            let found = ports.iter().find(|(k, _)| *k == key(port)).map_or(0, |(_, n)| *n);
            if found != 0 && !taken.contains(&found) {
                port.insert("nodePort", found);
            }
        }
    }
    if needs_health_port(spec) && needs_health_port(before) && is_zero(spec, "healthCheckNodePort") {
        put(spec, "healthCheckNodePort", before.get("healthCheckNodePort").cloned());
    }
}

/// A change of type takes the fields of the old type along, unless the user changed them too.
fn drop_type_dependent(spec: &mut Map, before: &Map) {
    let unchanged = |spec: &Map, key: &str| same(spec.get(key), before.get(key));
    if needs_ip(before) && !needs_ip(spec) {
        if unchanged(spec, "clusterIP") && unchanged(spec, "clusterIPs") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for key in ["ipFamilies", "ipFamilyPolicy"] {
            if unchanged(spec, key) {
                spec.remove(key);
            }
        }
    }
    if needs_node_port(before) && !needs_node_port(spec) {
        let old: Vec<i64> = maps(before, "ports").filter_map(|p| int(p, "nodePort")).collect();
        if maps(spec, "ports").filter_map(|p| int(p, "nodePort")).all(|n| n == 0 || old.contains(&n)) {
            for port in maps_mut(spec, "ports") {
                port.remove("nodePort");
            }
        }
    }
    if needs_health_port(before) && !needs_health_port(spec) && unchanged(spec, "healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    let balanced = |s: &Map| text(s, "type") == "LoadBalancer";
    if balanced(before) && !balanced(spec) {
        for key in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if unchanged(spec, key) {
                spec.remove(key);
            }
        }
    }
    if external(before) && !external(spec) && unchanged(spec, "externalTrafficPolicy") {
        spec.remove("externalTrafficPolicy");
    }
}

/// The first cluster address is also the single one, and the other way round.
///
/// # Upstream
/// `pkg/registry/core/service/storage/alloc.go` `NormalizeClusterIPs`
pub fn normalize_cluster_ips(object: &mut Object, old: Option<&Object>) {
    let before = old.and_then(|o| map(o.root(), "spec"));
    let Some(spec) = object.root_mut().get_mut("spec").and_then(Value::as_map_mut) else { return };
    let ip = text(spec, "clusterIP").to_owned();
    let none = is_zero(spec, "clusterIPs");
    let Some(before) = before else {
        if !ip.is_empty() && none {
            spec.insert("clusterIPs", vec![Value::Str(ip)]);
        }
        return;
    };
    let same_list = same(spec.get("clusterIPs"), before.get("clusterIPs"));
    let old_ip = text(before, "clusterIP");
    match (ip.is_empty(), old_ip.is_empty()) {
        (true, false) if same_list => {
            spec.remove("clusterIPs");
        }
        (false, _) if ip != old_ip && (same_list || none) => {
            spec.insert("clusterIPs", vec![Value::Str(ip)]);
        }
        _ => {}
    }
}
