//! Defaults of the groups whose kinds need few.
//!
//! # Upstream
//! `pkg/apis/{admissionregistration,discovery,flowcontrol,networking,rbac,resource,scheduling,storage}/*/defaults.go`

use schema::{Map, Value};

use crate::core::{persistent_sources, resource_list};
use crate::tree::{fill, fill_zero, is_nil, is_zero, list, map_at_mut, map_mut, maps, maps_mut, text};

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn network_policy(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    if is_zero(spec, "policyTypes") {
        let mut types = vec![Value::from("Ingress")];
        if !list(spec, "egress").is_empty() {
            types.push("Egress".into());
        }
        spec.insert("policyTypes", types);
    }
    for direction in ["ingress", "egress"] {
        for rule in maps_mut(spec, direction) {
            maps_mut(rule, "ports").for_each(|port| fill(port, "protocol", "TCP"));
        }
    }
}

pub(super) fn ingress_class(_: &str, root: &mut Map) {
    if let Some(parameters) = map_at_mut(root, &["spec", "parameters"]) {
        fill(parameters, "scope", "Cluster");
    }
}

pub(super) fn storage_class(_: &str, root: &mut Map) {
    fill(root, "reclaimPolicy", "Delete");
    fill(root, "volumeBindingMode", "Immediate");
}

pub(super) fn csi_driver(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    fill(spec, "attachRequired", true);
    for key in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        fill(spec, key, false);
    }
    fill(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    fill_zero(spec, "volumeLifecycleModes", vec![Value::from("Persistent")]);
}

pub(super) fn volume_attachment(_: &str, root: &mut Map) {
    if let Some(volume) = map_at_mut(root, &["spec", "source", "inlineVolumeSpec"]) {
        resource_list(volume, "capacity");
        persistent_sources(volume);
    }
}

pub(super) fn binding(_: &str, root: &mut Map) {
    fill_zero(root.map_mut("roleRef"), "apiGroup", RBAC);
    for subject in maps_mut(root, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            fill_zero(subject, "apiGroup", RBAC);
        }
    }
}

pub(super) fn webhooks(mutating: bool, root: &mut Map) {
    for hook in maps_mut(root, "webhooks") {
        fill(hook, "failurePolicy", "Fail");
        fill(hook, "matchPolicy", "Equivalent");
        fill(hook, "namespaceSelector", Map::new());
        fill(hook, "objectSelector", Map::new());
        fill(hook, "timeoutSeconds", 10i64);
        if mutating {
            fill(hook, "reinvocationPolicy", "Never");
        }
        maps_mut(hook, "rules").for_each(|rule| fill(rule, "scope", "*"));
        if let Some(service) = map_at_mut(hook, &["clientConfig", "service"]) {
            fill(service, "port", 443i64);
        }
    }
}

pub(super) fn admission_policy(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    fill(spec, "failurePolicy", "Fail");
    if let Some(constraints) = map_mut(spec, "matchConstraints") {
        match_resources(constraints);
    }
}

pub(super) fn admission_binding(_: &str, root: &mut Map) {
    if let Some(resources) = map_at_mut(root, &["spec", "matchResources"]) {
        match_resources(resources);
    }
}

fn match_resources(resources: &mut Map) {
    fill(resources, "matchPolicy", "Equivalent");
    fill(resources, "namespaceSelector", Map::new());
    fill(resources, "objectSelector", Map::new());
    for rules in ["resourceRules", "excludeResourceRules"] {
        maps_mut(resources, rules).for_each(|rule| fill(rule, "scope", "*"));
    }
}

pub(super) fn priority_class(_: &str, root: &mut Map) {
    fill(root, "preemptionPolicy", "PreemptLowerPriority");
}

pub(super) fn endpoint_slice(_: &str, root: &mut Map) {
    for port in maps_mut(root, "ports") {
        fill(port, "name", "");
        fill(port, "protocol", "TCP");
    }
}

pub(super) fn flow_schema(_: &str, root: &mut Map) {
    fill_zero(root.map_mut("spec"), "matchingPrecedence", 1000i64);
}

pub(super) fn priority_level(_: &str, root: &mut Map) {
    let Some(spec) = map_mut(root, "spec") else { return };
    if let Some(exempt) = map_mut(spec, "exempt") {
        fill(exempt, "nominalConcurrencyShares", 0i64);
        fill(exempt, "lendablePercent", 0i64);
    }
    let Some(limited) = map_mut(spec, "limited") else { return };
    fill(limited, "nominalConcurrencyShares", 30i64);
    fill(limited, "lendablePercent", 0i64);
    if let Some(queuing) = map_at_mut(limited, &["limitResponse", "queuing"]) {
        fill_zero(queuing, "handSize", 8i64);
        fill_zero(queuing, "queues", 64i64);
        fill_zero(queuing, "queueLengthLimit", 50i64);
    }
}

pub(super) fn claim(_: &str, root: &mut Map) {
    if let Some(devices) = map_at_mut(root, &["status", "allocation", "devices"]) {
        maps_mut(devices, "results").for_each(tolerations);
    }
    device_requests(root.map_mut("spec"));
}

pub(super) fn claim_template(_: &str, root: &mut Map) {
    device_requests(root.map_mut("spec").map_mut("spec"));
}

fn device_requests(spec: &mut Map) {
    for request in map_mut(spec, "devices").into_iter().flat_map(|d| maps_mut(d, "requests")) {
        if let Some(exactly) = map_mut(request, "exactly") {
            count(exactly);
        }
        maps_mut(request, "firstAvailable").for_each(count);
    }
}

/// Tolerations and taints of devices default on their own.
fn tolerations(owner: &mut Map) {
    maps_mut(owner, "tolerations").for_each(|t| fill_zero(t, "operator", "Equal"));
}

fn count(request: &mut Map) {
    tolerations(request);
    fill_zero(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" {
        fill_zero(request, "count", 1i64);
    }
}

pub(super) fn custom_resource_definition(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    let names = spec.map_mut("names");
    let kind = text(names, "kind").to_owned();
    fill_zero(names, "singular", kind.to_lowercase());
    if !kind.is_empty() {
        fill_zero(names, "listKind", format!("{kind}List"));
    }
    let none: Map = [("strategy", "None")].into_iter().collect();
    fill(spec, "conversion", none);
    if let Some(service) = map_at_mut(spec, &["conversion", "webhook", "clientConfig", "service"]) {
        fill(service, "port", 443i64);
    }
    let storage =
        maps(spec, "versions").find(|v| crate::tree::flag(v, "storage")).map(|v| text(v, "name").to_owned());
    let status = root.map_mut("status");
    if let (true, Some(version)) = (is_zero(status, "storedVersions"), storage) {
        status.insert("storedVersions", vec![Value::Str(version)]);
    }
}

pub(super) fn api_service(_: &str, root: &mut Map) {
    if let Some(service) = map_at_mut(root, &["spec", "service"]) {
        fill(service, "port", 443i64);
    }
}

pub(super) fn autoscaler(version: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    fill(spec, "minReplicas", 1i64);
    if version == "v1" {
        return;
    }
    if is_zero(spec, "metrics") {
        spec.insert("metrics", vec![super::autoscaling::cpu_target(80)]);
    }
    if let Some(behavior) = map_mut(spec, "behavior") {
        scaling_rules(behavior.map_mut("scaleUp"), true);
        scaling_rules(behavior.map_mut("scaleDown"), false);
    }
}

fn scaling_rules(rules: &mut Map, up: bool) {
    let policy = |kind: &str, value: i64| {
        let fields: [(&str, Value); 3] =
            [("type", kind.into()), ("value", value.into()), ("periodSeconds", 15i64.into())];
        Value::Map(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    };
    if up {
        fill(rules, "stabilizationWindowSeconds", 0i64);
    }
    fill(rules, "selectPolicy", "Max");
    if is_nil(rules, "policies") {
        let mut policies = if up { vec![policy("Pods", 4)] } else { Vec::new() };
        policies.push(policy("Percent", 100));
        rules.insert("policies", policies);
    }
}

pub(super) fn pod_group(_: &str, root: &mut Map) {
    fill(root.map_mut("spec"), "disruptionMode", "Pod");
}

pub(super) fn pod_certificate_request(_: &str, root: &mut Map) {
    fill(root.map_mut("spec"), "maxExpirationSeconds", 86_400i64);
}
