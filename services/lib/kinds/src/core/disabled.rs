//! Fields of pods and nodes whose features are off: new objects do not get them, old ones that have them keep them.
//!
//! # Upstream
//! `pkg/api/pod/util.go` `dropDisabledFields`, `pkg/features/kube_features.go`

use schema::{Map, Object, Value};

use crate::tree::{map, maps, maps_mut};

/// The kinds of sources of a projected volume that are off.
const SOURCES: [&str; 2] = ["clusterTrustBundle", "podCertificate"];
/// Where a pod has its containers.
pub(crate) const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Where a kind has its pod's spec.
fn pod_spec(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "Pod" => Some(&["spec"]),
        "PodTemplate" => Some(&["template", "spec"]),
        "DaemonSet" | "Deployment" | "Job" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => {
            Some(&["spec", "template", "spec"])
        }
        "CronJob" => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => None,
    }
}

/// Takes out what is off and was not there before.
pub(crate) fn drop(object: &mut Object, old: Option<&Object>) {
    if object.kind() == "Node" {
        return drop_node_configuration(object, old);
    }
    let Some(path) = pod_spec(object.kind()) else { return };
    let before = old.and_then(|old| old.at(path)).and_then(Value::as_map);
    let kept_signals = before.is_some_and(has_signal);
    let kept_sources = SOURCES.map(|key| before.is_some_and(|spec| has_source(spec, key)));
    let kept_group = before.is_some_and(|spec| spec.contains_key("schedulingGroup"));
    let Some(spec) = object.at_mut(path).and_then(Value::as_map_mut) else { return };
    if !kept_group {
        spec.remove("schedulingGroup");
    }
    if !kept_signals {
        drop_signals(spec);
    }
    for (key, _) in SOURCES.into_iter().zip(kept_sources).filter(|(_, kept)| !kept) {
        for volume in maps_mut(spec, "volumes") {
            let Some(projected) = volume.get_mut("projected").and_then(Value::as_map_mut) else { continue };
            for source in maps_mut(projected, "sources") {
                source.remove(key);
            }
        }
    }
}

/// A node is no longer configured through the API.
///
/// # Upstream
/// `pkg/registry/core/node/strategy.go` `dropDisabledFields`
fn drop_node_configuration(object: &mut Object, old: Option<&Object>) {
    for path in [["spec", "configSource"], ["status", "config"]] {
        if old.is_none_or(|old| old.map_at(&path).is_none()) {
            object.remove(&path);
        }
    }
}

fn has_signal(spec: &Map) -> bool {
    let mut containers = CONTAINERS.into_iter().flat_map(|list| maps(spec, list));
    containers.any(|c| map(c, "lifecycle").is_some_and(|l| l.contains_key("stopSignal")))
}

fn has_source(spec: &Map, key: &str) -> bool {
    let projected = maps(spec, "volumes").filter_map(|volume| map(volume, "projected"));
    projected.flat_map(|p| maps(p, "sources")).any(|source| source.contains_key(key))
}

fn drop_signals(spec: &mut Map) {
    for list in CONTAINERS {
        for container in maps_mut(spec, list) {
            let Some(lifecycle) = container.get_mut("lifecycle").and_then(Value::as_map_mut) else {
                continue;
            };
            if lifecycle.remove("stopSignal").is_some() && lifecycle.is_empty() {
                container.remove("lifecycle");
            }
        }
    }
}
