//! rbac, discovery, coordination, and the simple checks of the other groups.

use meta::{content, field};
use schema::{Map, Object};

use super::{Errors, child, immutable, label_selector, non_negative, one_of, problems};
use crate::Context;
use crate::tree::{int, is_nil, is_zero, list, map, map_at, maps, text, texts};

/// `metadata.name` of an embedded object.
pub(super) fn name_of(object: &Map) -> &str {
    map(object, "metadata").map_or("", |m| text(m, "name"))
}

/// Role and ClusterRole.
pub(crate) fn role(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let namespaced = object.kind() == "Role";
    for (i, rule) in maps(object.root(), "rules").enumerate() {
        let at = format!("rules[{i}]");
        if list(rule, "verbs").is_empty() {
            errors.push(field::Error::required(child(&at, "verbs"), "verbs must contain at least one value"));
        }
        if !list(rule, "nonResourceURLs").is_empty() {
            let text = if namespaced {
                "namespaced rules cannot apply to non-resource URLs"
            } else if !["apiGroups", "resources", "resourceNames"].iter().all(|k| is_zero(rule, k)) {
                "rules cannot apply to both regular resources and non-resource URLs"
            } else {
                continue;
            };
            let value = super::shown(rule.get("nonResourceURLs"));
            errors.push(field::Error::invalid(child(&at, "nonResourceURLs"), value, text));
            continue;
        }
        for (key, text) in [
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ] {
            if list(rule, key).is_empty() {
                errors.push(field::Error::required(child(&at, key), text));
            }
        }
    }
    errors
}

const RBAC: &str = "rbac.authorization.k8s.io";

/// RoleBinding and ClusterRoleBinding.
pub(crate) fn role_binding(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Map::new();
    let role = map(object.root(), "roleRef").unwrap_or(&empty);
    if text(role, "apiGroup") != RBAC {
        errors.push(field::Error::not_supported("roleRef.apiGroup", text(role, "apiGroup"), &[RBAC]));
    }
    let kinds: &[&str] =
        if object.kind() == "RoleBinding" { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&text(role, "kind")) {
        errors.push(field::Error::not_supported("roleRef.kind", text(role, "kind"), kinds));
    }
    match text(role, "name") {
        "" => errors.push(field::Error::required("roleRef.name", "")),
        name => problems(&mut errors, "roleRef.name", name, content::path_segment(name, false)),
    }
    for (i, subject) in maps(object.root(), "subjects").enumerate() {
        let at = format!("subjects[{i}]");
        if is_zero(subject, "name") {
            errors.push(field::Error::required(child(&at, "name"), ""));
        }
        let group = text(subject, "apiGroup");
        match text(subject, "kind") {
            "ServiceAccount" => {
                let name = text(subject, "name");
                if !name.is_empty() {
                    problems(&mut errors, &child(&at, "name"), name, content::dns1123_subdomain(name));
                }
                if !group.is_empty() {
                    errors.push(field::Error::not_supported(child(&at, "apiGroup"), group, &[""]));
                }
                if is_zero(subject, "namespace") && object.kind() == "ClusterRoleBinding" {
                    errors.push(field::Error::required(child(&at, "namespace"), ""));
                }
            }
            "User" | "Group" if group != RBAC => {
                errors.push(field::Error::not_supported(child(&at, "apiGroup"), group, &[RBAC]));
            }
            "User" | "Group" => {}
            kind => {
                let known = ["ServiceAccount", "User", "Group"];
                errors.push(field::Error::not_supported(child(&at, "kind"), kind, &known));
            }
        }
    }
    errors
}

/// A binding's update: its role is fixed.
pub(crate) fn role_binding_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = role_binding(cx, object);
    let (new, before) = (object.root().get("roleRef"), old.root().get("roleRef"));
    if !crate::tree::same(new, before) {
        let role = map(object.root(), "roleRef");
        let part = |key: &str| field::quote(role.map_or("", |r| text(r, key)));
        // upstream prints its own struct here
        let value = format!(
            "{{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}",
            part("apiGroup"),
            part("kind"),
            part("name")
        );
        errors.push(field::Error::invalid("roleRef", value, "cannot change roleRef"));
    }
    errors
}

/// EndpointSlice.
pub(crate) fn endpoint_slice(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let root = object.root();
    one_of(&mut errors, root, "addressType", "", &["FQDN", "IPv4", "IPv6"]);
    let endpoints = list(root, "endpoints").len();
    if endpoints > 1000 {
        errors.push(field::Error::too_many("endpoints", endpoints, 1000));
        return errors;
    }
    for (i, endpoint) in maps(root, "endpoints").enumerate() {
        let at = format!("endpoints[{i}].addresses");
        match list(endpoint, "addresses").len() {
            0 => errors.push(field::Error::required(at, "must contain at least 1 address")),
            n if n > 100 => errors.push(field::Error::too_many(at, n, 100)),
            _ => {}
        }
    }
    let ports = list(root, "ports").len();
    if ports > 20_000 {
        errors.push(field::Error::too_many("ports", ports, 20_000));
        return errors;
    }
    let mut names = std::collections::BTreeSet::new();
    for (i, port) in maps(root, "ports").enumerate() {
        let name = text(port, "name");
        if !name.is_empty() {
            problems(&mut errors, &format!("ports[{i}].name"), name, content::dns1123_label(name));
        }
        if !names.insert(name) {
            errors.push(field::Error::duplicate(format!("ports[{i}].name"), name));
        }
        one_of(&mut errors, port, "protocol", &format!("ports[{i}]"), &["SCTP", "TCP", "UDP"]);
    }
    errors
}

/// A slice's update: its address type is fixed.
pub(crate) fn endpoint_slice_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = endpoint_slice(cx, object);
    immutable(&mut errors, "addressType", object.root().get("addressType"), old.root().get("addressType"));
    errors
}

/// Lease.
pub(crate) fn lease(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let Some(spec) = map(object.root(), "spec") else { return errors };
    if let Some(n) = int(spec, "leaseDurationSeconds").filter(|n| *n <= 0) {
        errors.push(field::Error::invalid("spec.leaseDurationSeconds", n, "must be greater than 0"));
    }
    non_negative(&mut errors, spec, "leaseTransitions", "spec");
    errors
}

/// PodDisruptionBudget.
pub(crate) fn disruption_budget(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let Some(spec) = map(object.root(), "spec") else { return errors };
    if !is_nil(spec, "minAvailable") && !is_nil(spec, "maxUnavailable") {
        let text = "minAvailable and maxUnavailable cannot be both set";
        let value = super::shown(object.root().get("spec"));
        errors.push(field::Error::invalid("spec", value, text));
    }
    for key in ["minAvailable", "maxUnavailable"] {
        super::workload::int_or_percent(&mut errors, spec, key, "spec");
    }
    label_selector(&mut errors, map(spec, "selector"), "spec.selector");
    errors
}

/// StorageClass.
pub(crate) fn storage_class(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let root = object.root();
    match text(root, "provisioner") {
        "" => errors.push(field::Error::required("provisioner", "")),
        name => problems(&mut errors, "provisioner", name, content::qualified_name(&name.to_lowercase())),
    }
    if !is_nil(root, "reclaimPolicy") {
        one_of(&mut errors, root, "reclaimPolicy", "", &["Delete", "Retain"]);
    }
    one_of(&mut errors, root, "volumeBindingMode", "", &["Immediate", "WaitForFirstConsumer"]);
    errors
}

/// A class's update: what it makes is fixed.
pub(crate) fn storage_class_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = storage_class(cx, object);
    for key in ["parameters", "provisioner", "reclaimPolicy"] {
        immutable(&mut errors, key, object.root().get(key), old.root().get(key));
    }
    let key = "volumeBindingMode";
    immutable(&mut errors, key, object.root().get(key), old.root().get(key));
    errors
}

/// PriorityClass.
pub(crate) fn priority_class(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let system = object.name().starts_with("system-");
    let known = matches!(object.name(), "system-node-critical" | "system-cluster-critical");
    if system && !known {
        let text = "priority class names with 'system-' prefix are reserved for system use only. error: ";
        errors.push(field::Error::forbidden("metadata.name", text.trim_end_matches(" error: ")));
    }
    if !system && int(object.root(), "value").unwrap_or(0) > 1_000_000_000 {
        let text = "maximum allowed value of a user defined priority is 1000000000";
        errors.push(field::Error::forbidden("value", text));
    }
    errors
}

/// A priority class's update: its value is fixed.
pub(crate) fn priority_class_update(_: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let value = |o: &Object| int(o.root(), "value").unwrap_or(0);
    if value(object) != value(old) {
        errors.push(field::Error::forbidden("value", "may not be changed in an update."));
    }
    let key = "preemptionPolicy";
    immutable(&mut errors, key, object.root().get(key), old.root().get(key));
    errors
}

/// NetworkPolicy.
pub(crate) fn network_policy(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let Some(spec) = map(object.root(), "spec") else { return errors };
    label_selector(&mut errors, map(spec, "podSelector"), "spec.podSelector");
    for direction in ["ingress", "egress"] {
        for (i, rule) in maps(spec, direction).enumerate() {
            let at = format!("spec.{direction}[{i}]");
            for (j, port) in maps(rule, "ports").enumerate() {
                one_of(&mut errors, port, "protocol", &format!("{at}.ports[{j}]"), &["SCTP", "TCP", "UDP"]);
                if !is_nil(port, "port") {
                    super::probe::port_or_name(&mut errors, port, &format!("{at}.ports[{j}].port"));
                }
            }
            let peers = if direction == "ingress" { "from" } else { "to" };
            for (j, peer) in maps(rule, peers).enumerate() {
                let at = format!("{at}.{peers}[{j}]");
                for key in ["podSelector", "namespaceSelector"] {
                    label_selector(&mut errors, map(peer, key), &child(&at, key));
                }
                if ["podSelector", "namespaceSelector", "ipBlock"].iter().all(|k| is_nil(peer, k)) {
                    errors.push(field::Error::required(at, "must specify a peer"));
                }
            }
        }
    }
    if list(spec, "policyTypes").len() > 2 {
        let text = "may not specify more than two policyTypes";
        let value = super::shown(spec.get("policyTypes"));
        errors.push(field::Error::invalid("spec.policyTypes", value, text));
        return errors;
    }
    for (i, kind) in
        texts(spec, "policyTypes").enumerate().filter(|(_, k)| !matches!(*k, "Ingress" | "Egress"))
    {
        errors.push(field::Error::not_supported(
            format!("spec.policyTypes[{i}]"),
            kind,
            &["Egress", "Ingress"],
        ));
    }
    errors
}

/// HorizontalPodAutoscaler.
pub(crate) fn autoscaler(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let Some(spec) = map(object.root(), "spec") else { return errors };
    let (least, most) = (int(spec, "minReplicas"), int(spec, "maxReplicas").unwrap_or(0));
    if let Some(n) = least.filter(|n| *n < 1) {
        errors.push(field::Error::invalid("spec.minReplicas", n, "must be greater than or equal to 1"));
    }
    if most < 1 {
        errors.push(field::Error::required("spec.maxReplicas", "must be set and greater than 0"));
    }
    if least.is_some_and(|n| most < n) {
        let text = "must be greater than or equal to `minReplicas`";
        errors.push(field::Error::invalid("spec.maxReplicas", most, text));
    }
    let empty = Map::new();
    let target = map_at(spec, &["scaleTargetRef"]).unwrap_or(&empty);
    for key in ["kind", "name"] {
        let at = format!("spec.scaleTargetRef.{key}");
        match text(target, key) {
            "" => errors.push(field::Error::required(at, "")),
            value => problems(&mut errors, &at, value, content::path_segment(value, false)),
        }
    }
    // the core group's kinds are no target, except ReplicationController, whose version is written alone
    let version = text(target, "apiVersion");
    if !version.contains('/') && text(target, "kind") != "ReplicationController" {
        let text = "apiVersion must specify API group";
        errors.push(field::Error::invalid_str("spec.scaleTargetRef.apiVersion", version, text));
    }
    errors
}

/// An autoscaler's update: a target that stays is not checked again.
pub(crate) fn autoscaler_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = autoscaler(cx, object);
    let part = |o: &Object, key: &str| o.str_at(&["spec", "scaleTargetRef", key]).to_owned();
    if ["apiVersion", "kind"].iter().all(|k| part(object, k) == part(old, k)) {
        errors.retain(|e| e.path != "spec.scaleTargetRef.apiVersion");
    }
    errors
}

/// RuntimeClass.
pub(crate) fn runtime_class(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let handler = text(object.root(), "handler");
    if handler.is_empty() {
        errors.push(field::Error::required("handler", ""));
        return errors;
    }
    problems(&mut errors, "handler", handler, content::dns1123_label(handler));
    errors
}

/// A runtime class's update: its handler is fixed.
pub(crate) fn runtime_class_update(_: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    immutable(&mut errors, "handler", object.root().get("handler"), old.root().get("handler"));
    errors
}

/// IngressClass.
pub(crate) fn ingress_class(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let controller = map(object.root(), "spec").map_or("", |s| text(s, "controller"));
    if controller.is_empty() {
        errors.push(field::Error::required("spec.controller", ""));
    } else if !controller.contains('/') {
        let text = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(field::Error::invalid_str("spec.controller", controller, text));
    }
    errors
}

/// An ingress class's update: its controller is fixed.
pub(crate) fn ingress_class_update(_: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let at = ["spec", "controller"];
    immutable(&mut errors, "spec.controller", object.at(&at), old.at(&at));
    errors
}
