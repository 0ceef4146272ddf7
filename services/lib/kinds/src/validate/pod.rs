//! Pods and pod templates.

use meta::{content, field};
use schema::{Map, Object, Value};

use super::{Errors, child, labels, one_of, problems};
use crate::Context;
use crate::tree::{flag, int, is_nil, is_zero, list, map, maps, maps_mut, same, text};

/// A new pod.
pub(crate) fn pod(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    if let Some(s) = map(object.root(), "spec") {
        spec(&mut errors, s, "spec");
        if !list(s, "schedulingGates").is_empty() && !is_zero(s, "nodeName") {
            let text = "cannot be set until all schedulingGates have been cleared";
            errors.push(field::Error::forbidden("spec.nodeName", text));
        }
    }
    errors
}

/// On the node's network a container has no ports but the node's.
fn node_ports(errors: &mut Errors, spec: &Map, path: &str) {
    for (i, container) in maps(spec, "containers").enumerate() {
        for (j, port) in maps(container, "ports").enumerate() {
            let (own, host) = (int(port, "containerPort"), int(port, "hostPort").unwrap_or(0));
            if own != Some(host) {
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
    labels(errors, metadata.and_then(|m| map(m, "labels")), &format!("{path}.metadata.labels"));
    for (key, _) in metadata.and_then(|m| map(m, "annotations")).into_iter().flat_map(|m| m.iter()) {
        let found = content::qualified_name(&key.to_lowercase());
        problems(errors, &format!("{path}.metadata.annotations"), key, found);
    }
    if let Some(s) = map(template, "spec") {
        spec(errors, s, &child(path, "spec"));
        if !list(s, "ephemeralContainers").is_empty() {
            let text = "ephemeral containers not allowed in pod template";
            errors.push(field::Error::forbidden(format!("{path}.spec.ephemeralContainers"), text));
        }
    }
}

fn spec(errors: &mut Errors, spec: &Map, path: &str) {
    let volumes = super::volume::volumes(errors, spec, &child(path, "volumes"));
    for key in ["containers", "initContainers", "ephemeralContainers"] {
        super::container::containers(errors, spec, key, path, &volumes);
    }
    if flag(spec, "hostNetwork") {
        node_ports(errors, spec, path);
    }
    if let Some(resources) = map(spec, "resources") {
        super::container::requirements(errors, resources, &child(path, "resources"));
    }
    one_of(errors, spec, "restartPolicy", path, &["Always", "OnFailure", "Never"]);
    one_of(errors, spec, "dnsPolicy", path, &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    labels(errors, map(spec, "nodeSelector"), &child(path, "nodeSelector"));
    for (i, gate) in maps(spec, "readinessGates").enumerate() {
        let kind = text(gate, "conditionType");
        problems(
            errors,
            &format!("{path}.readinessGates[{i}].conditionType"),
            kind,
            content::qualified_name(kind),
        );
    }
    scheduling_gates(errors, spec, &child(path, "schedulingGates"));
    for key in ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] {
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
    sysctls(errors, spec, &format!("{path}.securityContext.sysctls"));
    tolerations(errors, spec, &child(path, "tolerations"));
    for (i, constraint) in maps(spec, "topologySpreadConstraints").enumerate() {
        let at = format!("{path}.topologySpreadConstraints[{i}]");
        if let skew @ ..=0 = int(constraint, "maxSkew").unwrap_or(0) {
            errors.push(field::Error::invalid(child(&at, "maxSkew"), skew, "must be greater than zero"));
        }
        if is_zero(constraint, "topologyKey") {
            errors.push(field::Error::required(child(&at, "topologyKey"), "can not be empty"));
        }
        let when = text(constraint, "whenUnsatisfiable");
        if !matches!(when, "DoNotSchedule" | "ScheduleAnyway") {
            let supported = ["DoNotSchedule", "ScheduleAnyway"];
            errors.push(field::Error::not_supported(child(&at, "whenUnsatisfiable"), when, &supported));
        }
    }
}

/// Kernel parameters of a pod: well named, each once, and not those of a namespace it shares with the node.
///
/// # Upstream
/// `pkg/apis/core/validation/validation.go` `validateSysctls`
fn sysctls(errors: &mut Errors, spec: &Map, path: &str) {
    const FORM: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let on = |key: &str| spec.get(key).and_then(Value::as_bool) == Some(true);
    let mut seen = std::collections::BTreeSet::new();
    let all = map(spec, "securityContext").into_iter().flat_map(|context| maps(context, "sysctls"));
    for (i, sysctl) in all.enumerate() {
        let (at, name) = (format!("{path}[{i}].name"), text(sysctl, "name"));
        if name.is_empty() {
            errors.push(field::Error::required(at.as_str(), ""));
        } else if !is_sysctl(name) {
            errors.push(field::Error::invalid_str(at.as_str(), name, FORM));
        } else if seen.contains(name) {
            errors.push(field::Error::duplicate(at.as_str(), name));
        }
        let dotted = if slash_first(name) { name.replace('/', ".") } else { name.to_owned() };
        let of_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|start| dotted.starts_with(start))
            || dotted == "kernel.sem";
        if on("hostNetwork") && dotted.starts_with("net.") {
            let detail = "may not be specified when 'hostNetwork' is true";
            errors.push(field::Error::invalid_str(at.as_str(), name, detail));
        }
        if on("hostIPC") && of_ipc {
            let detail = "may not be specified when 'hostIPC' is true";
            errors.push(field::Error::invalid_str(at.as_str(), name, detail));
        }
        seen.insert(name);
    }
}

/// Whether slashes separate the parts; dots are then part of a name.
fn slash_first(name: &str) -> bool {
    name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'/')
}

fn is_sysctl(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|c| plain(*c))
            && bytes.last().is_some_and(|c| plain(*c))
            && bytes.iter().all(|c| plain(*c) || matches!(c, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}

fn scheduling_gates(errors: &mut Errors, spec: &Map, path: &str) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, gate) in maps(spec, "schedulingGates").enumerate() {
        let name = text(gate, "name");
        problems(errors, &format!("{path}[{i}]"), name, content::qualified_name(name));
        if !seen.insert(name) {
            errors.push(field::Error::duplicate(format!("{path}[{i}]"), name));
        }
    }
}

fn tolerations(errors: &mut Errors, spec: &Map, path: &str) {
    for (i, t) in maps(spec, "tolerations").enumerate() {
        let at = format!("{path}[{i}]");
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
    let mut errors = pod(cx, object);
    let empty = Map::new();
    let (new, before) =
        (map(object.root(), "spec").unwrap_or(&empty), map(old.root(), "spec").unwrap_or(&empty));
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
