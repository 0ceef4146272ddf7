//! What happens to pods before they are written.
//!
//! # Upstream
//! `pkg/registry/core/pod/strategy.go`, `pkg/apis/core/helper/qos/qos.go`

use std::borrow::Cow;
use std::collections::BTreeMap;

use meta::Quantity;
use schema::{Map, Object, Value};

use crate::Context;
use crate::strategy::{keep, keep_metadata, put};
use crate::tree::{flag, is_zero, list, map, map_at, maps, maps_mut, text, texts};

pub(super) const LABELS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "spec.host",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];

/// The value of one of `LABELS`.
pub(super) fn field(object: &Object, label: &str) -> Option<Cow<'static, str>> {
    let plain = |path: &[&str]| Some(Cow::Owned(object.str_at(path).to_owned()));
    match label {
        "spec.nodeName" | "spec.host" => plain(&["spec", "nodeName"]),
        "spec.restartPolicy" => plain(&["spec", "restartPolicy"]),
        "spec.schedulerName" => plain(&["spec", "schedulerName"]),
        "spec.serviceAccountName" => plain(&["spec", "serviceAccountName"]),
        "status.phase" => plain(&["status", "phase"]),
        "status.nominatedNodeName" => plain(&["status", "nominatedNodeName"]),
        "status.podIP" | "status.podIPs" => {
            let first = object.list_at(&["status", "podIPs"]).first().and_then(Value::as_map);
            Some(Cow::Owned(first.map_or(String::new(), |m| text(m, "ip").to_owned())))
        }
        "spec.hostNetwork" => {
            let host = map(object.root(), "spec").is_some_and(|s| flag(s, "hostNetwork"));
            Some(Cow::Borrowed(if host { "true" } else { "false" }))
        }
        _ => None,
    }
}

/// A new pod starts Pending, with its class and no other status.
pub(super) fn create(cx: &Context<'_>, object: &mut Object) {
    let mut status = Map::new();
    status.insert("phase", "Pending");
    status.insert("qosClass", qos_class(object.root()));
    let gated = !object.list_at(&["spec", "schedulingGates"]).is_empty();
    if gated {
        let condition: [(&str, &str); 4] = [
            ("type", "PodScheduled"),
            ("status", "False"),
            ("reason", "SchedulingGated"),
            ("message", "Scheduling is blocked due to non-empty scheduling gates"),
        ];
        status.insert("conditions", vec![Value::Map(condition.into_iter().collect())]);
    }
    object.root_mut().insert("status", status);
    merge_match_label_keys(object);
    super::apparmor::annotations_to_fields(cx, object);
}

/// An update through one endpoint keeps what belongs to the others.
pub(super) fn update(cx: &Context<'_>, object: &mut Object, old: &Object) {
    match cx.subresource {
        "status" => {
            keep(object, old, "spec");
            object.metadata_mut().remove("deletionTimestamp");
            keep_metadata(object, old, "ownerReferences");
            let class = old.str_at(&["status", "qosClass"]).to_owned();
            let status = object.root_mut().map_mut("status");
            if is_zero(status, "qosClass") && !class.is_empty() {
                status.insert("qosClass", class);
            }
        }
        "ephemeralcontainers" => {
            let added = object.remove(&["spec", "ephemeralContainers"]);
            only_metadata_for_status(object, old);
            put(object.root_mut().map_mut("spec"), "ephemeralContainers", added);
        }
        "resize" => resize(object, old),
        _ => keep(object, old, "status"),
    }
}

/// All but the resource version and managed fields come from `old`.
fn only_metadata_for_status(object: &mut Object, old: &Object) {
    keep(object, old, "spec");
    keep(object, old, "status");
    for key in ["labels", "annotations", "finalizers", "ownerReferences", "deletionTimestamp"] {
        keep_metadata(object, old, key);
    }
}

/// `/resize` changes resources and resize policies, nothing else.
fn resize(object: &mut Object, old: &Object) {
    const LISTS: [&str; 2] = ["containers", "initContainers"];
    let count = |o: &Object, l: &str| o.list_at(&["spec", l]).len();
    if LISTS.iter().any(|l| count(object, l) != count(old, l)) {
        return; // left for validation to refuse
    }
    let merged = LISTS.map(|l| resized(object.list_at(&["spec", l]), old.list_at(&["spec", l])));
    let pod_level = object.at(&["spec", "resources"]).cloned();
    only_metadata_for_status(object, old);
    let spec = object.root_mut().map_mut("spec");
    for (l, containers) in LISTS.into_iter().zip(merged) {
        if !containers.is_empty() {
            spec.insert(l, containers);
        }
    }
    put(spec, "resources", pod_level);
}

fn resized(new: &[Value], old: &[Value]) -> Vec<Value> {
    let mut merged = old.to_vec();
    for (slot, new) in merged.iter_mut().zip(new) {
        let (Some(slot), Some(new_map)) = (slot.as_map_mut(), new.as_map()) else { continue };
        if text(slot, "name") != text(new_map, "name") {
            return std::iter::once(new.clone()).chain(merged).collect(); // refused by validation
        }
        put(slot, "resources", new_map.get("resources").cloned());
        put(slot, "resizePolicy", new_map.get("resizePolicy").cloned());
    }
    merged
}

/// `matchLabelKeys` and `mismatchLabelKeys` become part of each affinity term's selector.
fn merge_match_label_keys(object: &mut Object) {
    let labels = map(object.metadata(), "labels").cloned().unwrap_or_default();
    let Some(affinity) = object.at_mut(&["spec", "affinity"]).and_then(Value::as_map_mut) else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(owner) = affinity.get_mut(kind).and_then(Value::as_map_mut) else { continue };
        for term in maps_mut(owner, "requiredDuringSchedulingIgnoredDuringExecution") {
            extend_selector(term, &labels);
        }
        for weighted in maps_mut(owner, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = weighted.get_mut("podAffinityTerm").and_then(Value::as_map_mut) {
                extend_selector(term, &labels);
            }
        }
    }
}

fn extend_selector(term: &mut Map, labels: &Map) {
    if map(term, "labelSelector").is_none() {
        return;
    }
    let mut added = Vec::new();
    for (keys, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in texts(term, keys) {
            if let Some(value) = labels.get(key) {
                let mut requirement = Map::new();
                requirement.insert("key", key);
                requirement.insert("operator", operator);
                requirement.insert("values", vec![value.clone()]);
                added.push(Value::Map(requirement));
            }
        }
    }
    if added.is_empty() {
        return;
    }
    let selector = term.map_mut("labelSelector");
    let mut expressions = list(selector, "matchExpressions").to_vec();
    expressions.extend(added);
    selector.insert("matchExpressions", expressions);
}

/// The pod's quality of service class.
pub fn qos_class(root: &Map) -> &'static str {
    let Some(spec) = map(root, "spec") else { return "BestEffort" };
    if let Some(resources) = map(spec, "resources") {
        let whole: Vec<&Map> = vec![resources];
        return class_of(&whole);
    }
    let containers = maps(spec, "containers").chain(maps(spec, "initContainers"));
    let empty = Map::new();
    let all: Vec<&Map> = containers.map(|c| map(c, "resources").unwrap_or(&empty)).collect();
    class_of(&all)
}

fn class_of(resources: &[&Map]) -> &'static str {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let mut guaranteed = true;
    for r in resources {
        sum(&mut requests, r, "requests");
        if sum(&mut limits, r, "limits") < 2 {
            guaranteed = false;
        }
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let equal = requests.len() == limits.len() && requests.iter().all(|(k, v)| limits.get(k) == Some(v));
    if guaranteed && equal { "Guaranteed" } else { "Burstable" }
}

/// Adds the CPU and memory that are above zero; says how many of the two there were.
fn sum(into: &mut BTreeMap<&'static str, Quantity>, resources: &Map, which: &str) -> usize {
    let mut found = 0;
    for name in ["cpu", "memory"] {
        let amount = map_at(resources, &[which]).map_or("", |m| text(m, name));
        match Quantity::parse(amount) {
            Ok(q) if q.sign() > 0 => {
                into.entry(name).or_insert_with(Quantity::zero).add(&q);
                found += 1;
            }
            _ => {}
        }
    }
    found
}

/// Pods get time to end: what was asked, else what the spec says; none if they are not running.
///
/// # Upstream
/// `pkg/registry/core/pod/strategy.go` `CheckGracefulDelete`
pub(super) fn grace(object: &Object, asked: Option<i64>) -> Option<i64> {
    let wanted = asked.or_else(|| object.int_at(&["spec", "terminationGracePeriodSeconds"])).unwrap_or(0);
    let ended = matches!(object.str_at(&["status", "phase"]), "Failed" | "Succeeded");
    if ended || object.str_at(&["spec", "nodeName"]).is_empty() {
        return Some(0);
    }
    Some(if wanted < 0 { 1 } else { wanted })
}
