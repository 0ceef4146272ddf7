//! Services.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `ValidateService`, `ValidateServiceUpdate`

use std::collections::BTreeSet;

use meta::{content, field};
use schema::{Map, Object};

use super::{Errors, address, child, labels, one_of, problems, shown};
use crate::Context;
use crate::tree::{int, is_nil, is_zero, list, map, maps, text, texts};

fn spec(object: &Object) -> &Map {
    static EMPTY: Map = Map::new();
    map(object.root(), "spec").unwrap_or(&EMPTY)
}

fn is_headless(spec: &Map) -> bool {
    texts(spec, "clusterIPs").eq(["None"])
}

/// Service.
pub(crate) fn service(_: &Context<'_>, object: &Object) -> Errors {
    checked(object, &Map::new())
}

fn checked(object: &Object, before: &Map) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    let (kind, headless) = (text(s, "type"), is_headless(s));
    topology(&mut errors, object);
    if list(s, "ports").is_empty() && !headless && kind != "ExternalName" {
        errors.push(field::Error::required("spec.ports", ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let text = format!("may not be set to 'None' for {kind} services");
            errors.push(field::Error::invalid_str("spec.clusterIPs[0]", "None", text));
        }
        "ExternalName" => external_name(&mut errors, s),
        _ => {}
    }
    let mut names = BTreeSet::new();
    let many = list(s, "ports").len() > 1;
    for (i, port) in maps(s, "ports").enumerate() {
        service_port(&mut errors, port, &format!("spec.ports[{i}]"), many, &mut names);
    }
    labels(&mut errors, map(s, "selector"), "spec.selector");
    affinity(&mut errors, s);
    if kind != "ExternalName" {
        cluster_ips(&mut errors, s, before);
    }
    let known: Vec<&str> = texts(before, "externalIPs").collect();
    for (i, ip) in texts(s, "externalIPs").enumerate() {
        let at = format!("spec.externalIPs[{i}]");
        if address::ip(&mut errors, &at, ip, &known) {
            address::endpoint(&mut errors, &at, ip);
        }
    }
    one_of(&mut errors, s, "type", "spec", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    node_ports(&mut errors, s);
    duplicate_ports(&mut errors, s);
    balancer(&mut errors, s, before);
    traffic(&mut errors, s);
    errors
}

fn topology(errors: &mut Errors, object: &Object) {
    const MODE: &str = "service.kubernetes.io/topology-mode";
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    if let (Some(mode), Some(hints)) = (object.annotation(MODE), object.annotation(HINTS))
        && mode != hints
    {
        let text = format!("must match annotations[{HINTS}] when both are specified");
        errors.push(field::Error::invalid_str(format!("metadata.annotations[{MODE}]"), mode, text));
    }
}

fn external_name(errors: &mut Errors, spec: &Map) {
    for key in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !is_zero(spec, key) {
            let text = "may not be set for ExternalName services";
            errors.push(field::Error::forbidden(child("spec", key), text));
        }
    }
    let name = text(spec, "externalName");
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errors.push(field::Error::required("spec.externalName", "")),
        name => problems(errors, "spec.externalName", name, content::dns1123_subdomain(name)),
    }
}

fn service_port<'a>(errors: &mut Errors, port: &'a Map, at: &str, many: bool, names: &mut BTreeSet<&'a str>) {
    let name = text(port, "name");
    if name.is_empty() {
        if many {
            errors.push(field::Error::required(child(at, "name"), ""));
        }
    } else {
        problems(errors, &child(at, "name"), name, content::dns1123_label(name));
        if !names.insert(name) {
            errors.push(field::Error::duplicate(child(at, "name"), name));
        }
    }
    let number = int(port, "port").unwrap_or(0);
    let bad = content::port_number(number).into_iter();
    errors.extend(bad.map(|m| field::Error::invalid(child(at, "port"), number, m)));
    one_of(errors, port, "protocol", at, &["SCTP", "TCP", "UDP"]);
    let target: Map = [("port", port.get("targetPort").cloned().unwrap_or_default())].into_iter().collect();
    super::probe::port_or_name(errors, &target, &child(at, "targetPort"));
    if !is_nil(port, "appProtocol") {
        let name = text(port, "appProtocol");
        problems(errors, &child(at, "appProtocol"), name, content::qualified_name(name));
    }
}

fn affinity(errors: &mut Errors, spec: &Map) {
    const AT: &str = "spec.sessionAffinityConfig";
    one_of(errors, spec, "sessionAffinity", "spec", &["ClientIP", "None"]);
    let config = map(spec, "sessionAffinityConfig");
    match text(spec, "sessionAffinity") {
        "ClientIP" => {
            let text = "when session affinity type is ClientIP";
            let Some(config) = config else {
                errors.push(field::Error::required(AT, text));
                return;
            };
            let Some(client) = map(config, "clientIP") else {
                errors.push(field::Error::required(child(AT, "clientIP"), text));
                return;
            };
            let at = child(AT, "clientIP.timeoutSeconds");
            match int(client, "timeoutSeconds") {
                None => errors.push(field::Error::required(at, text)),
                Some(1..=86_400) => {}
                Some(n) => {
                    let text = "must be greater than 0 and less than 86400";
                    errors.push(field::Error::invalid(at, n, text));
                }
            }
        }
        "None" if config.is_some() => {
            let text = "must not be set when session affinity is None";
            errors.push(field::Error::forbidden(AT, text));
        }
        _ => {}
    }
}

/// What a service's addresses and their families must be before addresses are allotted.
///
/// # Upstream
/// `pkg/apis/core/validation/validation.go` `ValidateServiceClusterIPsRelatedFields`
pub fn addresses(object: &Object, old: Option<&Object>) -> Vec<field::Error> {
    let mut errors = Errors::new();
    let before = old.and_then(|old| map(old.root(), "spec"));
    if text(spec(object), "type") != "ExternalName" {
        cluster_ips(&mut errors, spec(object), before.unwrap_or(&Map::new()));
    }
    errors
}

/// The addresses, their families, and the policy of families, each and together.
fn cluster_ips(errors: &mut Errors, spec: &Map, before: &Map) {
    const AT: &str = "spec.clusterIPs";
    let ips: Vec<&str> = texts(spec, "clusterIPs").collect();
    let first = text(spec, "clusterIP");
    let all = shown(spec.get("clusterIPs"));
    let mut bad = |text: &str| errors.push(field::Error::invalid(AT, all.as_str(), text));
    match ips.first() {
        None if !first.is_empty() => errors.push(field::Error::required(AT, "")),
        Some(_) if first.is_empty() => bad("must be empty when `clusterIP` is not specified"),
        Some(ip) if *ip != first => bad("first value must match `clusterIP`"),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for (i, family) in texts(spec, "ipFamilies").enumerate() {
        let at = format!("spec.ipFamilies[{i}]");
        if !matches!(family, "IPv4" | "IPv6") {
            errors.push(field::Error::not_supported(at.as_str(), family, &["IPv4", "IPv6"]));
        }
        if !seen.insert(family) {
            errors.push(field::Error::duplicate(at, family));
        }
    }
    if !is_nil(spec, "ipFamilyPolicy") {
        let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        one_of(errors, spec, "ipFamilyPolicy", "spec", &policies);
    }
    let known: Vec<&str> = texts(before, "clusterIPs").collect();
    let mut good = true;
    for (i, ip) in ips.iter().enumerate() {
        if i == 0 && *ip == "None" {
            if ips.len() > 1 {
                good = false;
                let text = "'None' must be the first and only value";
                errors.push(field::Error::invalid(AT, all.as_str(), text));
            }
        } else {
            good &= address::ip(errors, &format!("{AT}[{i}]"), ip, &known);
        }
    }
    if ips.len() > 2 {
        errors.push(field::Error::invalid(AT, all.as_str(), "may only hold up to 2 values"));
    }
    if !good {
        return;
    }
    let six = |ip: &&str| ip.contains(':');
    if ips.len() > 1 && (ips.iter().all(six) || !ips.iter().any(six)) {
        let text = "may specify no more than one IP for each IP family";
        errors.push(field::Error::invalid(AT, all.as_str(), text));
    }
    if is_headless(spec) {
        return;
    }
    for (i, (ip, family)) in ips.iter().zip(texts(spec, "ipFamilies")).enumerate() {
        if matches!(family, "IPv4" | "IPv6") && (family == "IPv6") != six(ip) {
            let text = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.push(field::Error::invalid_str(format!("{AT}[{i}]"), ip, text));
        }
    }
}

fn node_ports(errors: &mut Errors, spec: &Map) {
    let mut seen = BTreeSet::new();
    let numbered = |p: &&Map| int(p, "nodePort").is_some_and(|n| n != 0);
    for (i, _) in maps(spec, "ports").enumerate().filter(|(_, p)| numbered(p)) {
        if text(spec, "type") == "ClusterIP" {
            let text = "may not be used when `type` is 'ClusterIP'";
            errors.push(field::Error::forbidden(format!("spec.ports[{i}].nodePort"), text));
        }
    }
    for (i, port) in maps(spec, "ports").enumerate().filter(|(_, p)| numbered(p)) {
        let number = int(port, "nodePort").unwrap_or(0);
        if !seen.insert((text(port, "protocol"), number)) {
            let at = format!("spec.ports[{i}].nodePort");
            errors.push(field::Error::new(field::ErrorKind::Duplicate, at, number.to_string(), ""));
        }
    }
}

fn duplicate_ports(errors: &mut Errors, spec: &Map) {
    let mut seen = BTreeSet::new();
    for (i, port) in maps(spec, "ports").enumerate() {
        let (protocol, number) = (text(port, "protocol"), int(port, "port").unwrap_or(0));
        if !seen.insert((protocol, number)) {
            // upstream prints its own struct here
            let value = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}",
                field::quote(protocol)
            );
            let at = format!("spec.ports[{i}]");
            errors.push(field::Error::new(field::ErrorKind::Duplicate, at, value, ""));
        }
    }
}

/// What only services with a load balancer have.
fn balancer(errors: &mut Errors, spec: &Map, before: &Map) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    const RANGES: &str = "spec.LoadBalancerSourceRanges";
    let balanced = text(spec, "type") == "LoadBalancer";
    if !list(spec, "loadBalancerSourceRanges").is_empty() {
        if !balanced {
            errors.push(field::Error::forbidden(RANGES, ONLY));
        }
        let known: Vec<&str> = texts(before, "loadBalancerSourceRanges").map(str::trim).collect();
        for (i, range) in texts(spec, "loadBalancerSourceRanges").enumerate() {
            address::cidr(errors, &format!("{RANGES}[{i}]"), range.trim(), &known);
        }
    }
    if !balanced && !is_nil(spec, "allocateLoadBalancerNodePorts") {
        errors.push(field::Error::forbidden("spec.allocateLoadBalancerNodePorts", ONLY));
    }
    if !is_nil(spec, "loadBalancerClass") {
        let class = text(spec, "loadBalancerClass");
        if balanced {
            problems(errors, "spec.loadBalancerClass", class, content::qualified_name(class));
        } else {
            errors.push(field::Error::forbidden("spec.loadBalancerClass", ONLY));
        }
    }
}

/// Where traffic from outside and from inside may go.
fn traffic(errors: &mut Errors, spec: &Map) {
    let kind = text(spec, "type");
    let external = text(spec, "externalTrafficPolicy");
    let outside = matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !list(spec, "externalIPs").is_empty());
    if outside {
        one_of(errors, spec, "externalTrafficPolicy", "spec", &["Cluster", "Local"]);
    } else if !external.is_empty() {
        let text = "may only be set for externally-accessible services";
        errors.push(field::Error::invalid_str("spec.externalTrafficPolicy", external, text));
    }
    let port = int(spec, "healthCheckNodePort").unwrap_or(0);
    if kind == "LoadBalancer" && external == "Local" {
        let bad = content::port_number(port).into_iter().filter(|_| port != 0);
        errors.extend(bad.map(|m| field::Error::invalid("spec.healthCheckNodePort", port, m)));
    } else if port != 0 {
        let text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(field::Error::invalid("spec.healthCheckNodePort", port, text));
    }
    if !is_nil(spec, "internalTrafficPolicy") {
        one_of(errors, spec, "internalTrafficPolicy", "spec", &["Cluster", "Local"]);
    }
    if !is_nil(spec, "trafficDistribution") {
        let value = text(spec, "trafficDistribution");
        let supported = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        if !supported.contains(&value) {
            errors.push(field::Error::not_supported("spec.trafficDistribution", value, &supported));
        }
    }
}

/// A Service's update: what was allocated stays.
pub(crate) fn service_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = Errors::new();
    let (new, before) = (spec(object), spec(old));
    let external = |s: &Map| text(s, "type") == "ExternalName";
    if !external(new) && !external(before) {
        if !(is_headless(new) && is_headless(before)) {
            kept(&mut errors, new, before, "clusterIPs", "clusterIP");
        }
        if !is_headless(new) && !is_headless(before) {
            kept(&mut errors, new, before, "ipFamilies", "ipFamily");
        }
    }
    let balanced = |s: &Map| text(s, "type") == "LoadBalancer";
    if balanced(new) && balanced(before) && new.get("loadBalancerClass") != before.get("loadBalancerClass") {
        let value = shown(new.get("loadBalancerClass"));
        errors.push(field::Error::invalid("spec.loadBalancerClass", value, "may not change once set"));
    }
    let checked_port = |s: &Map| {
        (balanced(s) && text(s, "externalTrafficPolicy") == "Local").then(|| int(s, "healthCheckNodePort"))
    };
    if let (Some(now), Some(then)) = (checked_port(new), checked_port(before))
        && now != then
    {
        errors.push(field::Error::forbidden("spec.healthCheckNodePort", "field is immutable"));
    }
    errors.extend(checked(object, before));
    errors
}

/// The first of a list of two may not change, and the second goes only with the policy.
fn kept(errors: &mut Errors, new: &Map, before: &Map, key: &str, one: &str) {
    let now: Vec<&str> = texts(new, key).collect();
    let then: Vec<&str> = texts(before, key).collect();
    let (at, value) = (format!("spec.{key}[0]"), shown(new.get(key)));
    if now.len() == then.len() {
        for (i, _) in now.iter().zip(&then).enumerate().filter(|(_, (now, then))| now != then) {
            let at = if key == "ipFamilies" { at.clone() } else { format!("spec.{key}[{i}]") };
            errors.push(field::Error::invalid(at, value.as_str(), "may not change once set"));
        }
        return;
    }
    if then.len() > now.len() && list(new, "clusterIPs").is_empty() {
        let text = format!("primary {one} can not be unset");
        errors.push(field::Error::invalid(at.as_str(), value.as_str(), text));
    }
    if !now.is_empty() && !then.is_empty() && now[0] != then[0] {
        // upstream prints the addresses in both cases
        let value = shown(new.get("clusterIPs"));
        errors.push(field::Error::invalid(at, value, "may not change once set"));
    }
    if then.len() > now.len() && now.len() == 1 && text(new, "ipFamilyPolicy") != "SingleStack" {
        let text = format!("must be set to 'SingleStack' when releasing the secondary {one}");
        let value = shown(new.get("ipFamilyPolicy"));
        errors.push(field::Error::invalid("spec.ipFamilyPolicy", value, text));
    }
}
