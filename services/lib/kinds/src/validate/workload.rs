//! Workloads: what owns a pod template.

use meta::field;
use schema::{Map, Object, Value};

use super::pod::template;
use super::{Errors, child, immutable, non_negative, own_selector, shown};
use crate::Context;
use crate::tree::{int, is_nil, is_zero, map, same, text};

fn spec(object: &Object) -> &Map {
    static EMPTY: Map = Map::new();
    map(object.root(), "spec").unwrap_or(&EMPTY)
}

/// Templates of long-running workloads restart always and have no deadline.
fn running_template(errors: &mut Errors, spec: &Map, kind: &str) {
    template(errors, spec, "spec.template");
    let Some(pod) = crate::tree::map_at(spec, &["template", "spec"]) else { return };
    let policy = text(pod, "restartPolicy");
    if policy != "Always" {
        errors.push(field::Error::not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    if !is_nil(pod, "activeDeadlineSeconds") {
        let text = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(field::Error::forbidden("spec.template.spec.activeDeadlineSeconds", text));
    }
}

fn selector_fixed(errors: &mut Errors, object: &Object, old: &Object) {
    immutable(errors, "spec.selector", spec(object).get("selector"), spec(old).get("selector"));
}

/// Deployment.
pub(crate) fn deployment(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    non_negative(&mut errors, s, "replicas", "spec");
    own_selector(&mut errors, s, "deployment");
    running_template(&mut errors, s, "ReplicaSet");
    strategy(&mut errors, s);
    for key in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        non_negative(&mut errors, s, key, "spec");
    }
    let ready = int(s, "minReadySeconds").unwrap_or(0);
    if let Some(deadline) = int(s, "progressDeadlineSeconds").filter(|d| *d <= ready) {
        let text = "must be greater than minReadySeconds";
        errors.push(field::Error::invalid("spec.progressDeadlineSeconds", deadline, text));
    }
    errors
}

fn strategy(errors: &mut Errors, spec: &Map) {
    let Some(strategy) = map(spec, "strategy") else { return };
    let kind = text(strategy, "type");
    let rolling = map(strategy, "rollingUpdate");
    match kind {
        "Recreate" if rolling.is_some() => {
            let text = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(field::Error::forbidden("spec.strategy.rollingUpdate", text));
        }
        "RollingUpdate" => {
            if let Some(rolling) = rolling {
                rolling_update(errors, rolling, "spec.strategy.rollingUpdate");
            }
        }
        "Recreate" => {}
        other => {
            // upstream prints its own struct here
            let value = format!("{{\"Type\":{},\"RollingUpdate\":null}}", field::quote(other));
            let detail = "supported values: \"Recreate\", \"RollingUpdate\"";
            errors.push(field::Error::new(field::ErrorKind::NotSupported, "spec.strategy", value, detail));
        }
    }
}

fn rolling_update(errors: &mut Errors, rolling: &Map, path: &str) {
    for key in ["maxUnavailable", "maxSurge"] {
        int_or_percent(errors, rolling, key, path);
    }
    let zero = |key: &str| match rolling.get(key) {
        Some(Value::Str(s)) => s.trim_end_matches('%').parse::<i64>().unwrap_or(0) == 0,
        Some(Value::Int(i)) => *i == 0,
        _ => true,
    };
    if zero("maxUnavailable") && zero("maxSurge") {
        let (at, value) = (child(path, "maxUnavailable"), shown(rolling.get("maxUnavailable")));
        errors.push(field::Error::invalid(at, value, "may not be 0 when `maxSurge` is 0"));
    }
    if let Some(percent) = rolling.get("maxUnavailable").and_then(Value::as_str)
        && percent.strip_suffix('%').and_then(|p| p.parse::<i64>().ok()).is_some_and(|p| p > 100)
    {
        errors.push(field::Error::invalid_str(
            child(path, "maxUnavailable"),
            percent,
            "must not be greater than 100%",
        ));
    }
}

/// A number that is not negative, or a percentage.
pub(super) fn int_or_percent(errors: &mut Errors, owner: &Map, key: &str, path: &str) {
    match owner.get(key) {
        Some(Value::Str(s)) => super::problems(errors, &child(path, key), s, meta::content::percent(s)),
        Some(Value::Int(_)) => non_negative(errors, owner, key, path),
        _ => {}
    }
}

/// A Deployment's update.
pub(crate) fn deployment_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return status_counts(object, &["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]);
    }
    let mut errors = deployment(cx, object);
    selector_fixed(&mut errors, object, old);
    errors
}

fn status_counts(object: &Object, keys: &[&str]) -> Errors {
    let mut errors = Errors::new();
    if let Some(status) = map(object.root(), "status") {
        keys.iter().for_each(|key| non_negative(&mut errors, status, key, "status"));
        let count = |key: &str| int(status, key).unwrap_or(0);
        for key in keys.iter().filter(|k| **k != "replicas") {
            if count(key) > count("replicas") && count("replicas") >= 0 && keys.contains(&"replicas") {
                let text = "cannot be greater than status.replicas";
                errors.push(field::Error::invalid(child("status", key), count(key), text));
            }
        }
        if keys.contains(&"availableReplicas") && count("availableReplicas") > count("readyReplicas") {
            let text = "cannot be greater than readyReplicas";
            errors.push(field::Error::invalid("status.availableReplicas", count("availableReplicas"), text));
        }
    }
    errors
}

/// ReplicaSet.
pub(crate) fn replica_set(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    non_negative(&mut errors, s, "replicas", "spec");
    non_negative(&mut errors, s, "minReadySeconds", "spec");
    own_selector(&mut errors, s, "deployment");
    running_template(&mut errors, s, "ReplicaSet");
    errors
}

/// A ReplicaSet's update.
pub(crate) fn replica_set_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return status_counts(
            object,
            &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        );
    }
    let mut errors = replica_set(cx, object);
    selector_fixed(&mut errors, object, old);
    errors
}

/// DaemonSet.
pub(crate) fn daemon_set(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    if map(s, "selector").is_some() {
        own_selector(&mut errors, s, "daemonset");
    } else {
        // a missing selector matches nothing, not even the template
        let labels =
            crate::tree::map_at(s, &["template", "metadata", "labels"]).map(|m| Value::Map(m.clone()));
        let text = "`selector` does not match template `labels`";
        errors.push(field::Error::invalid("spec.template.metadata.labels", shown(labels.as_ref()), text));
    }
    running_template(&mut errors, s, "DaemonSet");
    non_negative(&mut errors, s, "minReadySeconds", "spec");
    non_negative(&mut errors, s, "revisionHistoryLimit", "spec");
    errors
}

/// A DaemonSet's update.
pub(crate) fn daemon_set_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = Errors::new();
    selector_fixed(&mut errors, object, old);
    errors.extend(daemon_set(cx, object));
    errors
}

/// StatefulSet.
pub(crate) fn stateful_set(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    let policy = text(s, "podManagementPolicy");
    if !matches!(policy, "OrderedReady" | "Parallel") {
        let text = "must be 'OrderedReady' or 'Parallel'";
        errors.push(field::Error::invalid_str("spec.podManagementPolicy", policy, text));
    }
    non_negative(&mut errors, s, "replicas", "spec");
    non_negative(&mut errors, s, "minReadySeconds", "spec");
    let service = text(s, "serviceName");
    if !service.is_empty() {
        super::problems(&mut errors, "spec.serviceName", service, meta::content::dns1123_label(service));
    }
    own_selector(&mut errors, s, "statefulset");
    // claims become volumes of the pods, which mounts may name
    let mut whole = s.clone();
    if let Some(pod) = crate::tree::map_at_mut(&mut whole, &["template", "spec"]) {
        let claims: Vec<String> = crate::tree::maps(s, "volumeClaimTemplates")
            .map(|c| super::others::name_of(c).to_owned())
            .collect();
        let mut volumes: Vec<Value> = crate::tree::list(pod, "volumes").to_vec();
        volumes.retain(|v| v.as_map().is_none_or(|m| !claims.iter().any(|c| c == text(m, "name"))));
        for claim in claims {
            let source: Map = [("claimName", claim.clone())].into_iter().collect();
            let fields: [(&str, Value); 2] =
                [("name", claim.into()), ("persistentVolumeClaim", source.into())];
            volumes.push(Value::Map(fields.into_iter().collect()));
        }
        pod.insert("volumes", volumes);
    }
    running_template(&mut errors, &whole, "StatefulSet");
    errors
}

/// A StatefulSet's update: few fields may change.
pub(crate) fn stateful_set_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    const FREE: [&str; 7] = [
        "replicas",
        "template",
        "updateStrategy",
        "minReadySeconds",
        "ordinals",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
    ];
    if cx.subresource == "status" {
        return status_counts(object, &["replicas", "readyReplicas", "availableReplicas"]);
    }
    let mut errors = stateful_set(cx, object);
    let fixed = |o: &Object| {
        let mut s = spec(o).clone();
        FREE.iter().for_each(|key| {
            s.remove(key);
        });
        Value::Map(s)
    };
    if !same(Some(&fixed(object)), Some(&fixed(old))) {
        let text = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                    'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                    'minReadySeconds' are forbidden";
        errors.push(field::Error::forbidden("spec", text));
    }
    errors
}

/// ReplicationController: its selector is a set of labels.
pub(crate) fn replication_controller(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    non_negative(&mut errors, s, "minReadySeconds", "spec");
    if is_zero(s, "selector") {
        errors.push(field::Error::required("spec.selector", ""));
    }
    non_negative(&mut errors, s, "replicas", "spec");
    if map(s, "template").is_none() {
        errors.push(field::Error::required("spec.template", ""));
        return errors;
    }
    let labels = crate::tree::map_at(s, &["template", "metadata", "labels"]);
    let wanted = map(s, "selector").into_iter().flat_map(|m| m.iter());
    if wanted.into_iter().any(|(k, v)| labels.and_then(|l| l.get(k)) != Some(v)) {
        let value = shown(labels.map(|m| Value::Map(m.clone())).as_ref());
        let text = "`selector` does not match template `labels`";
        errors.push(field::Error::invalid("spec.template.metadata.labels", value, text));
    }
    running_template(&mut errors, s, "ReplicationController");
    errors
}

/// A new ControllerRevision.
pub(crate) fn controller_revision(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    non_negative(&mut errors, object.root(), "revision", "");
    match object.root().get("data") {
        Some(schema::Value::Map(_)) => {}
        None | Some(schema::Value::Null) => errors.push(field::Error::required("data", "data is mandatory")),
        Some(_) => errors.push(field::Error::required("data", "data must be a valid JSON object")),
    }
    errors
}

/// A changed ControllerRevision: its data are fixed.
pub(crate) fn controller_revision_update(_: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    non_negative(&mut errors, object.root(), "revision", "");
    immutable(&mut errors, "data", object.root().get("data"), old.root().get("data"));
    errors
}
