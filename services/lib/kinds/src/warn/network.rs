//! Services, what stands behind them and what lets traffic through.
//!
//! # Upstream
//! `pkg/api/service/warnings.go`, `pkg/registry/{core,discovery,networking}/*/strategy.go`

use schema::{Map, Object};

use super::{Warnings, address};
use crate::tree::{is_nil, is_zero, map, maps, text, texts};

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
/// Objects of controllers, whose addresses are written well.
const ENDPOINTS_OF: (&str, [&str; 1]) = ("endpoints.kubernetes.io/managed-by", ["endpoint-controller"]);
const SLICES_OF: (&str, [&str; 2]) = (
    "endpointslice.kubernetes.io/managed-by",
    ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"],
);

/// A Service.
pub(crate) fn service(object: &Object, _: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    if object.annotation(HINTS).is_some() {
        let mode = "service.kubernetes.io/topology-mode";
        warnings.push(format!("annotation {HINTS} is deprecated, please use {mode} instead"));
    }
    let Some(spec) = map(object.root(), "spec") else { return warnings };
    if !matches!(text(spec, "clusterIP"), "" | "None") {
        addresses(&mut warnings, spec, "clusterIPs");
    }
    let headless = text(spec, "type") == "ClusterIP" && text(spec, "clusterIP") == "None";
    if headless {
        ignored(&mut warnings, spec);
    }
    addresses(&mut warnings, spec, "externalIPs");
    if !is_zero(spec, "externalIPs") && !headless && text(spec, "type") != "ExternalName" {
        let text = "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
        warnings.push(text.to_owned());
    }
    // one that is not given is no address, of which nothing is said
    address::ip(&mut warnings, format_args!("spec.loadBalancerIP"), text(spec, "loadBalancerIP"));
    for (i, range) in texts(spec, "loadBalancerSourceRanges").enumerate() {
        address::cidr(&mut warnings, format_args!("spec.loadBalancerSourceRanges[{i}]"), range);
    }
    external_name(&mut warnings, spec);
    if text(spec, "trafficDistribution") == "PreferClose" {
        let text = r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#;
        warnings.push(text.to_owned());
    }
    warnings
}

fn addresses(warnings: &mut Warnings, spec: &Map, key: &str) {
    for (i, ip) in texts(spec, key).enumerate() {
        address::ip(warnings, format_args!("spec.{key}[{i}]"), ip);
    }
}

/// What means nothing without an address of the Service's own.
fn ignored(warnings: &mut Warnings, spec: &Map) {
    let given = [
        (!is_zero(spec, "loadBalancerIP"), "loadBalancerIP"),
        (!is_zero(spec, "externalIPs"), "externalIPs"),
        (text(spec, "sessionAffinity") != "None", "SessionAffinity"),
    ];
    for (_, field) in given.into_iter().filter(|(given, _)| *given) {
        warnings.push(format!("spec.{field} is ignored for headless services"));
    }
}

fn external_name(warnings: &mut Warnings, spec: &Map) {
    match text(spec, "type") {
        "ExternalName" if !is_zero(spec, "externalIPs") => {
            warnings.push(r#"spec.externalIPs is ignored when spec.type is "ExternalName""#.to_owned());
        }
        "ExternalName" => {}
        _ if !is_zero(spec, "externalName") => {
            warnings.push(r#"spec.externalName is ignored when spec.type is not "ExternalName""#.to_owned());
        }
        _ => {}
    }
}

/// The addresses under which a load balancer answers.
fn balancer(object: &Object) -> Warnings {
    let mut warnings = Warnings::new();
    let Some(balancer) = object.map_at(&["status", "loadBalancer"]) else { return warnings };
    for (i, ingress) in maps(balancer, "ingress").enumerate() {
        address::ip(&mut warnings, format_args!("status.loadBalancer.ingress[{i}]"), text(ingress, "ip"));
    }
    warnings
}

/// A Service's status.
pub(crate) fn service_status(object: &Object) -> Warnings {
    balancer(object)
}

/// An Ingress.
pub(crate) fn ingress(object: &Object, old: Option<&Object>) -> Warnings {
    let named = map(object.root(), "spec").is_some_and(|spec| !is_nil(spec, "ingressClassName"));
    if old.is_some() || named || object.annotation(INGRESS_CLASS).is_none() {
        return Warnings::new();
    }
    vec![format!("annotation \"{INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead")]
}

/// An Ingress' status.
pub(crate) fn ingress_status(object: &Object) -> Warnings {
    balancer(object)
}

/// A NetworkPolicy.
pub(crate) fn network_policy(object: &Object, _: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    let Some(spec) = map(object.root(), "spec") else { return warnings };
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in maps(spec, direction).enumerate() {
            for (j, peer) in maps(rule, peers).enumerate() {
                let Some(block) = map(peer, "ipBlock") else { continue };
                let path = format_args!("spec.{direction}[{i}].{peers}[{j}].ipBlock");
                address::cidr(&mut warnings, format_args!("{path}.cidr"), text(block, "cidr"));
                for (k, except) in texts(block, "except").enumerate() {
                    address::cidr(&mut warnings, format_args!("{path}.except[{k}]"), except);
                }
            }
        }
    }
    warnings
}

/// Endpoints.
pub(crate) fn endpoints(object: &Object, _: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    let (label, managers) = ENDPOINTS_OF;
    if object.label(label).is_some_and(|by| managers.contains(&by)) {
        return warnings;
    }
    for (i, subset) in maps(object.root(), "subsets").enumerate() {
        for key in ["addresses", "notReadyAddresses"] {
            for (j, owner) in maps(subset, key).enumerate() {
                address::ip(&mut warnings, format_args!("subsets[{i}].{key}[{j}].ip"), text(owner, "ip"));
            }
        }
    }
    warnings
}

/// An EndpointSlice.
pub(crate) fn endpoint_slice(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    if old.is_none() && text(object.root(), "addressType") == "FQDN" {
        warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let (label, managers) = SLICES_OF;
    if object.label(label).is_some_and(|by| managers.contains(&by)) {
        return warnings;
    }
    for (i, endpoint) in maps(object.root(), "endpoints").enumerate() {
        for (j, ip) in texts(endpoint, "addresses").enumerate() {
            address::ip(&mut warnings, format_args!("endpoints[{i}].addresses[{j}]"), ip);
        }
    }
    warnings
}
