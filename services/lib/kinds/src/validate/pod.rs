//! Pods and pod templates.

use meta::{content, field};
use schema::{Map, Object, Value};

use super::container::{self, Scope};
use super::probe::Surroundings;
use super::{Errors, affinity, child, labels, nth, one_of, problems, resources, security};
use crate::Context;
use crate::tree::{flag, int, is_nil, is_zero, list, map, maps, maps_mut, same, text, texts};

/// A new pod.
pub(crate) fn pod(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    whole(&mut errors, object);
    let Some(s) = map(object.root(), "spec") else { return errors };
    if !list(s, "ephemeralContainers").is_empty() {
        errors.push(field::Error::forbidden("spec.ephemeralContainers", "cannot be set on create"));
    }
    if !list(s, "schedulingGates").is_empty() && !is_zero(s, "nodeName") {
        let text = "cannot be set until all schedulingGates have been cleared";
        errors.push(field::Error::forbidden("spec.nodeName", text));
    }
    errors
}

/// What is checked of every pod, new or changed.
fn whole(errors: &mut Errors, object: &Object) {
    annotations(errors, object);
    let Some(s) = map(object.root(), "spec") else { return };
    spec(errors, s, "spec", Some(object.name()));
    for (i, volume) in maps(s, "volumes").enumerate().filter(|_| is_zero(s, "serviceAccountName")) {
        let sources = map(volume, "projected").into_iter().flat_map(|p| maps(p, "sources")).enumerate();
        for (j, _) in sources.filter(|(_, source)| !is_nil(source, "serviceAccountToken")) {
            let at = format!("spec.volumes[{i}].projected.sources[{j}].serviceAccountToken");
            let text = "must not be specified when serviceAccountName is not set";
            errors.push(field::Error::forbidden(at, text));
        }
    }
    for key in ["containers", "initContainers"] {
        for (i, container) in maps(s, key).enumerate() {
            super::container::trimmed(errors, container, &format!("spec.{key}[{i}]"));
        }
    }
}

/// Annotations that mean something for pods.
fn annotations(errors: &mut Errors, object: &Object) {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    if let Some(value) = object.annotation(MIRROR)
        && object.str_at(&["spec", "nodeName"]).is_empty()
    {
        let text = "must set spec.nodeName if mirror pod annotation is set";
        errors.push(field::Error::invalid_str(format!("metadata.annotations[{MIRROR}]"), value, text));
    }
    if let Some(value) = object.annotation(COST) {
        let digits = value.strip_prefix('-').unwrap_or(value);
        let canonical = digits == "0" && value == "0" || !digits.starts_with('0');
        if !canonical || value.starts_with('+') || value.parse::<i32>().is_err() {
            let at = format!("metadata.annotations[{COST}]");
            errors.push(field::Error::invalid_str(at, value, "must be a 32bit integer"));
        }
    }
}

/// On the node's network a container has no ports but the node's; a template may leave them out.
fn node_ports(errors: &mut Errors, spec: &Map, path: &str, is_pod: bool) {
    for (i, container) in maps(spec, "containers").enumerate() {
        for (j, port) in maps(container, "ports").enumerate() {
            let (own, host) = (int(port, "containerPort"), int(port, "hostPort").unwrap_or(0));
            if (is_pod || host != 0) && own != Some(host) {
                let text = "must match `containerPort` when `hostNetwork` is true";
                let at = format!("{path}.containers[{i}].ports[{j}].hostPort");
                errors.push(field::Error::invalid(at, host, text));
            }
        }
    }
}

/// A pod template: its labels and its spec.
pub(super) fn template(errors: &mut Errors, owner: &Map, path: &str) {
    let Some(template) = map(owner, "template") else { return };
    let metadata = map(template, "metadata");
    labels(errors, metadata.and_then(|m| map(m, "labels")), &child(path, "labels"));
    for (key, _) in metadata.and_then(|m| map(m, "annotations")).into_iter().flat_map(|m| m.iter()) {
        let found = content::qualified_name(&key.to_lowercase());
        problems(errors, &child(path, "annotations"), key, found);
    }
    if let Some(s) = map(template, "spec") {
        spec(errors, s, &child(path, "spec"), None);
        if !list(s, "ephemeralContainers").is_empty() {
            let text = "ephemeral containers not allowed in pod template";
            errors.push(field::Error::forbidden(format!("{path}.spec.ephemeralContainers"), text));
        }
    }
}

/// The spec of a pod of this name, or of a template, whose pods have none yet.
fn spec(errors: &mut Errors, spec: &Map, path: &str, pod: Option<&str>) {
    let volumes = super::volume::volumes(errors, spec, &child(path, "volumes"), pod);
    let claims = resources::pod_claims(errors, spec, &child(path, "resourceClaims"));
    let surroundings = Surroundings {
        grace: int(spec, "terminationGracePeriodSeconds"),
        restart: text(spec, "restartPolicy"),
        own_users: security::has_own_users(spec),
    };
    let scope = Scope { volumes: &volumes, claims: &claims, pod: surroundings };
    container::regular(errors, spec, &child(path, "containers"), scope);
    container::init(errors, spec, &child(path, "initContainers"), scope);
    container::ephemeral(errors, spec, &child(path, "ephemeralContainers"), scope);
    resources::of_pod(errors, spec, &child(path, "resources"));
    if flag(spec, "hostNetwork") {
        node_ports(errors, spec, path, pod.is_some());
    }
    one_of(errors, spec, "restartPolicy", path, &["Always", "OnFailure", "Never"]);
    one_of(errors, spec, "dnsPolicy", path, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    labels(errors, map(spec, "nodeSelector"), &child(path, "nodeSelector"));
    security::of_pod(errors, spec, &child(path, "securityContext"));
    affinity::affinity(errors, spec, &child(path, "affinity"));
    dns(errors, spec, &child(path, "dnsConfig"));
    for (i, gate) in maps(spec, "readinessGates").enumerate() {
        let (at, kind) = (format!("{path}.readinessGates[{i}].conditionType"), text(gate, "conditionType"));
        problems(errors, &at, kind, content::qualified_name(kind));
    }
    scheduling_gates(errors, spec, &child(path, "schedulingGates"));
    affinity::spread(errors, spec, &child(path, "topologySpreadConstraints"));
    security::host_users(errors, spec, path);
    names(errors, spec, path);
    tolerations(errors, spec, &child(path, "tolerations"));
    for (i, alias) in maps(spec, "hostAliases").enumerate() {
        let at = format!("{path}.hostAliases[{i}]");
        super::address::ip(errors, &child(&at, "ip"), text(alias, "ip"), &[]);
        for (j, host) in texts(alias, "hostnames").enumerate() {
            problems(errors, &format!("{at}.hostnames[{j}]"), host, content::dns1123_subdomain(host));
        }
    }
    for key in ["priorityClassName", "runtimeClassName"] {
        let name = text(spec, key);
        if !is_nil(spec, key) && (key == "runtimeClassName" || !name.is_empty()) {
            problems(errors, &child(path, key), name, content::dns1123_subdomain(name));
        }
    }
    if !is_nil(spec, "preemptionPolicy") {
        one_of(errors, spec, "preemptionPolicy", path, &["PreemptLowerPriority", "Never"]);
    }
    if let Some(overhead) = map(spec, "overhead") {
        resources::overhead(errors, overhead, &child(path, "overhead"));
    }
    security::operating_system(errors, spec, path);
    file_volumes(errors, spec, path);
}

/// The names a pod goes by, and where it runs.
fn names(errors: &mut Errors, spec: &Map, path: &str) {
    if !is_nil(spec, "hostnameOverride") {
        let (at, name) = (child(path, "hostnameOverride"), text(spec, "hostnameOverride"));
        for (key, why) in [("setHostnameAsFQDN", "setHostnameAsFQDN"), ("hostNetwork", "hostNetwork")] {
            if flag(spec, key) {
                let text = format!("may not be specified when {why} is true");
                errors.push(field::Error::forbidden(at.as_str(), text));
            }
        }
        if name.len() > 64 {
            errors.push(field::Error::too_long(at.as_str(), 64));
        }
        problems(errors, &at, name, content::dns1123_subdomain(name));
    }
    for key in ["serviceAccountName", "nodeName"] {
        let name = text(spec, key);
        if !name.is_empty() {
            problems(errors, &child(path, key), name, content::dns1123_subdomain(name));
        }
    }
    if let Some(seconds) =
        int(spec, "activeDeadlineSeconds").filter(|s| !(1..=i64::from(i32::MAX)).contains(s))
    {
        let text = format!("must be between 1 and {}, inclusive", i32::MAX);
        errors.push(field::Error::invalid(child(path, "activeDeadlineSeconds"), seconds, text));
    }
    for key in ["hostname", "subdomain"] {
        let name = text(spec, key);
        if !name.is_empty() {
            problems(errors, &child(path, key), name, content::dns1123_label(name));
        }
    }
}

/// The pod's own resolver settings.
fn dns(errors: &mut Errors, spec: &Map, path: &str) {
    let config = map(spec, "dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        let Some(config) = config else {
            errors.push(field::Error::required(path, "must provide `dnsConfig` when `dnsPolicy` is None"));
            return;
        };
        if list(config, "nameservers").is_empty() {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            errors.push(field::Error::required(child(path, "nameservers"), text));
            return;
        }
    }
    let Some(config) = config else { return };
    let mut many = |key: &str, text: &str| {
        errors.push(field::Error::invalid(child(path, key), super::shown(config.get(key)), text));
    };
    if list(config, "nameservers").len() > 3 {
        many("nameservers", "must not have more than 3 nameservers");
    }
    let searches: Vec<&str> = texts(config, "searches").collect();
    if searches.len() > 32 {
        many("searches", "must not have more than 32 search paths");
    }
    if searches.join(" ").len() > 2048 {
        many("searches", "must not have more than 2048 characters (including spaces) in the search list");
    }
    for (i, server) in texts(config, "nameservers").enumerate() {
        super::address::ip(errors, &format!("{path}.nameservers[{i}]"), server, &[]);
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, search)| **search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        let found = content::dns1123_subdomain_with_underscore(search);
        problems(errors, &format!("{path}.searches[{i}]"), search, found);
    }
    for (i, _) in maps(config, "options").enumerate().filter(|(_, option)| is_zero(option, "name")) {
        errors.push(field::Error::required(format!("{path}.options[{i}]"), "must not be empty"));
    }
}

/// Variables come out of files of empty directories only.
fn file_volumes(errors: &mut Errors, spec: &Map, path: &str) {
    for key in security::CONTAINERS {
        for (i, container) in maps(spec, key).enumerate() {
            for (j, variable) in maps(container, "env").enumerate() {
                let Some(file) = crate::tree::map_at(variable, &["valueFrom", "fileKeyRef"]) else {
                    continue;
                };
                let (at, name) = (
                    format!("{path}.{key}[{i}].env[{j}].valueFrom.fileKeyRef.volumeName"),
                    text(file, "volumeName"),
                );
                match maps(spec, "volumes").filter(|v| text(v, "name") == name).last() {
                    None => errors.push(field::Error::not_found(at, name)),
                    Some(volume) if is_nil(volume, "emptyDir") => {
                        let text = "referenced volume must be of type emptyDir";
                        errors.push(field::Error::invalid_str(at, name, text));
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

fn scheduling_gates(errors: &mut Errors, spec: &Map, path: &str) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, gate) in maps(spec, "schedulingGates").enumerate() {
        let name = text(gate, "name");
        problems(errors, &nth(path, i), name, content::qualified_name(name));
        if !seen.insert(name) {
            errors.push(field::Error::duplicate(nth(path, i), name));
        }
    }
}

fn tolerations(errors: &mut Errors, spec: &Map, path: &str) {
    for (i, t) in maps(spec, "tolerations").enumerate() {
        let at = nth(path, i);
        let (key, operator, value, effect) =
            (text(t, "key"), text(t, "operator"), text(t, "value"), text(t, "effect"));
        if !key.is_empty() {
            problems(errors, &child(&at, "key"), key, content::qualified_name(key));
        } else if operator != "Exists" {
            let text =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(field::Error::invalid_str(child(&at, "operator"), operator, text));
        }
        if !is_nil(t, "tolerationSeconds") && effect != "NoExecute" {
            let text = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(field::Error::invalid_str(child(&at, "effect"), effect, text));
        }
        match operator {
            "Equal" | "" => problems(errors, &child(&at, "operator"), value, content::label_value(value)),
            "Exists" if !value.is_empty() => {
                let text = "value must be empty when `operator` is 'Exists'";
                errors.push(field::Error::invalid_str(child(&at, "operator"), value, text));
            }
            "Exists" => {}
            other => {
                errors.push(field::Error::not_supported(child(&at, "operator"), other, &["Equal", "Exists"]));
            }
        }
        if !effect.is_empty() {
            one_of(errors, t, "effect", &at, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        }
    }
}

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set \
to 1 if it was previously negative)";

/// An update of a pod: nearly everything in the spec is fixed.
pub(crate) fn pod_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = Errors::new();
    whole(&mut errors, object);
    let empty = Map::new();
    let (new, before) =
        (map(object.root(), "spec").unwrap_or(&empty), map(old.root(), "spec").unwrap_or(&empty));
    if cx.subresource == "resize" {
        let (class, was) = (crate::core::qos_class(object.root()), crate::core::qos_class(old.root()));
        if class != was {
            let text = "Pod QOS Class may not change as a result of resizing";
            errors.push(field::Error::invalid_str("spec", was, text));
        }
    }
    if matches!(cx.subresource, "resize" | "ephemeralcontainers") {
        return errors;
    }
    for key in ["containers", "initContainers"] {
        if list(new, key).len() != list(before, key).len() {
            errors.push(field::Error::forbidden(
                format!("spec.{key}"),
                "pod updates may not add or remove containers",
            ));
            return errors;
        }
    }
    match (int(new, "activeDeadlineSeconds"), int(before, "activeDeadlineSeconds")) {
        (Some(now), Some(then)) if then < now => {
            let text = "must be less than or equal to previous value";
            errors.push(field::Error::invalid("spec.activeDeadlineSeconds", now, text));
            return errors;
        }
        (None, Some(_)) => {
            let text = "must not update from a positive integer to nil value";
            errors.push(field::Error::invalid("spec.activeDeadlineSeconds", "null", text));
        }
        _ => {}
    }
    only_additions(&mut errors, new, before);
    let munged = munged(new, before);
    if !same(Some(&Value::Map(munged)), Some(&Value::Map(before.clone()))) {
        let text = format!("pod updates may not change fields other than {UPDATABLE}\n");
        errors.push(field::Error::forbidden("spec", text));
    }
    errors
}

fn only_additions(errors: &mut Errors, new: &Map, before: &Map) {
    for old in maps(before, "tolerations") {
        let kept =
            |t: &Map| ["key", "operator", "value", "effect"].iter().all(|k| same(t.get(k), old.get(k)));
        if !maps(new, "tolerations").any(kept) {
            let text = "existing toleration can not be modified except its tolerationSeconds";
            errors.push(field::Error::forbidden("spec.tolerations", text));
            break;
        }
    }
    for (i, gate) in maps(new, "schedulingGates").enumerate() {
        if !maps(before, "schedulingGates").any(|g| text(g, "name") == text(gate, "name")) {
            let text =
                format!("only deletion is allowed, but found new scheduling gate '{}'", text(gate, "name"));
            errors.push(field::Error::forbidden(format!("spec.schedulingGates[{i}].name"), text));
        }
    }
}

/// The new spec with everything that may change put back.
fn munged(new: &Map, before: &Map) -> Map {
    let mut spec = new.clone();
    for key in ["containers", "initContainers"] {
        let images: Vec<Option<Value>> = maps(before, key).map(|c| c.get("image").cloned()).collect();
        for (container, image) in maps_mut(&mut spec, key).zip(images) {
            crate::strategy::put(container, "image", image);
        }
    }
    for key in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        crate::strategy::put(&mut spec, key, before.get(key).cloned());
    }
    let grace = |s: &Map| int(s, "terminationGracePeriodSeconds");
    if grace(before).is_some_and(|g| g < 0) && grace(new) == Some(1) {
        crate::strategy::put(&mut spec, "terminationGracePeriodSeconds", grace(before).map(Value::Int));
    }
    if !list(before, "schedulingGates").is_empty() {
        // a gated pod's node selector and node affinity may still be narrowed
        crate::strategy::put(&mut spec, "nodeSelector", before.get("nodeSelector").cloned());
        crate::strategy::put(&mut spec, "affinity", before.get("affinity").cloned());
    }
    spec
}
