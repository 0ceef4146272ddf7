//! Defaults of the core group's other kinds.
//!
//! # Upstream
//! `pkg/apis/core/v1/defaults.go`, `conversion.go`

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema::{Map, Value};

use super::pod_defaults::{claim_spec, persistent_sources, pod_spec, resource_list};
use crate::tree::{fill, fill_zero, int, is_nil, is_zero, map, map_at, map_at_mut, map_mut, maps_mut, text};

pub(super) fn config_map(_: &str, root: &mut Map) {
    // an empty map is written as nothing, so there is nothing to see of upstream's default
    if root.get("data").is_some_and(Value::is_null) {
        root.remove("data");
    }
}

pub(super) fn endpoints(_: &str, root: &mut Map) {
    for subset in maps_mut(root, "subsets") {
        for port in maps_mut(subset, "ports") {
            fill_zero(port, "protocol", "TCP");
        }
    }
}

pub(super) fn limit_range(_: &str, root: &mut Map) {
    for item in map_mut(root, "spec").into_iter().flat_map(|s| maps_mut(s, "limits")) {
        if text(item, "type") == "Container" {
            merge(item, "default", "max");
            merge(item, "defaultRequest", "default");
            merge(item, "defaultRequest", "min");
        }
        for key in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            resource_list(item, key);
        }
    }
}

fn merge(item: &mut Map, into: &'static str, from: &str) {
    let Some(source) = map(item, from).cloned() else { return };
    let target = item.map_mut(into);
    for (k, v) in source {
        if !target.contains_key(&k) {
            target.push(k, v);
        }
    }
}

pub(super) fn namespace(_: &str, root: &mut Map) {
    let name = map(root, "metadata").map_or("", |m| text(m, "name")).to_owned();
    if !name.is_empty() {
        root.map_mut("metadata").map_mut("labels").insert("kubernetes.io/metadata.name", name);
    }
    fill_zero(root.map_mut("status"), "phase", "Active");
    root.map_mut("spec");
}

pub(super) fn node(_: &str, root: &mut Map) {
    if let Some(status) = map_mut(root, "status") {
        if is_nil(status, "allocatable")
            && let Some(capacity) = map(status, "capacity").cloned()
        {
            status.insert("allocatable", capacity);
        }
        resource_list(status, "capacity");
        resource_list(status, "allocatable");
    }
    let Some(spec) = map_mut(root, "spec") else { return };
    let cidr = text(spec, "podCIDR").to_owned();
    let first = crate::tree::texts(spec, "podCIDRs").next().map(str::to_owned);
    match (cidr.is_empty(), first) {
        (false, first) if first.as_deref() != Some(&cidr) => {
            spec.insert("podCIDRs", vec![Value::Str(cidr)]);
        }
        (true, Some(first)) => {
            spec.insert("podCIDR", first);
        }
        _ => {}
    }
}

pub(super) fn persistent_volume(_: &str, root: &mut Map) {
    fill_zero(root.map_mut("status"), "phase", "Pending");
    let spec = root.map_mut("spec");
    fill_zero(spec, "persistentVolumeReclaimPolicy", "Retain");
    fill(spec, "volumeMode", "Filesystem");
    resource_list(spec, "capacity");
    persistent_sources(spec);
}

pub(super) fn claim(_: &str, root: &mut Map) {
    let status = root.map_mut("status");
    fill_zero(status, "phase", "Pending");
    resource_list(status, "capacity");
    resource_list(status, "allocatedResources");
    claim_spec(root.map_mut("spec"));
}

pub(super) fn pod(_: &str, root: &mut Map) {
    super::pod_defaults::drop_old_annotations(root);
    super::pod_defaults::pod(root);
    // a pod's own is set right, of a template's the client is warned
    if map_at(root, &["spec"]).and_then(|s| int(s, "terminationGracePeriodSeconds")).is_some_and(|s| s < 0) {
        root.map_mut("spec").insert("terminationGracePeriodSeconds", 1i64);
    }
}

pub(super) fn pod_template(_: &str, root: &mut Map) {
    super::pod_defaults::template(root, "template");
}

pub(super) fn replication_controller(_: &str, root: &mut Map) {
    let labels = map_at(root, &["spec", "template", "metadata", "labels"]).cloned();
    if let Some(labels) = labels.filter(|l| !l.is_empty()) {
        fill_zero(root.map_mut("spec"), "selector", labels.clone());
        fill_zero(root.map_mut("metadata"), "labels", labels);
    }
    let spec = root.map_mut("spec");
    fill(spec, "replicas", 1i64);
    if let Some(template) = map_mut(spec, "template") {
        super::pod_defaults::drop_old_annotations(template);
        pod_spec(template.map_mut("spec"));
    }
}

pub(super) fn resource_quota(_: &str, root: &mut Map) {
    if let Some(spec) = map_mut(root, "spec") {
        resource_list(spec, "hard");
    }
    if let Some(status) = map_mut(root, "status") {
        resource_list(status, "hard");
        resource_list(status, "used");
    }
}

pub(super) fn secret(_: &str, root: &mut Map) {
    fill_zero(root, "type", "Opaque");
    let Some(Value::Map(plain)) = root.remove("stringData") else { return };
    let data = root.map_mut("data");
    for (key, value) in plain {
        data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()));
    }
    data.sort_keys();
}

pub(super) fn service(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    fill_zero(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let config = map_at(spec, &["sessionAffinityConfig", "clientIP"]);
            if config.is_none_or(|c| is_nil(c, "timeoutSeconds")) {
                let client: Map = [("timeoutSeconds", 10_800i64)].into_iter().collect();
                let config: Map = [("clientIP", client)].into_iter().collect();
                spec.insert("sessionAffinityConfig", config);
            }
        }
        _ => {}
    }
    fill_zero(spec, "type", "ClusterIP");
    for port in maps_mut(spec, "ports") {
        fill_zero(port, "protocol", "TCP");
        if is_zero(port, "targetPort") {
            let number = crate::tree::int(port, "port").unwrap_or(0);
            port.insert("targetPort", number);
        }
    }
    let kind = text(spec, "type").to_owned();
    let balanced = kind == "LoadBalancer";
    let external = balanced || kind == "NodePort" || kind == "ClusterIP" && !is_zero(spec, "externalIPs");
    if external {
        fill_zero(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        fill(spec, "internalTrafficPolicy", "Cluster");
    }
    if balanced {
        fill(spec, "allocateLoadBalancerNodePorts", true);
        for ingress in
            map_at_mut(root, &["status", "loadBalancer"]).into_iter().flat_map(|l| maps_mut(l, "ingress"))
        {
            if !is_zero(ingress, "ip") {
                fill(ingress, "ipMode", "VIP");
            }
        }
    }
}
