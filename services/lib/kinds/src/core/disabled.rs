//! Fields of pods whose features are off: a new object does not get them, an old one that has them keeps them.
//!
//! # Upstream
//! `pkg/api/pod/util.go` `dropDisabledFields`, `pkg/features/kube_features.go`

use schema::{Map, Object, Value};

use crate::tree::{map, maps, maps_mut};

/// The kinds of sources of a projected volume that are off.
const SOURCES: [&str; 2] = ["clusterTrustBundle", "podCertificate"];
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

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

/// The volumes that are projections of nothing; a template is looked at when it may have changed.
///
/// # Upstream
/// `pkg/api/pod/warnings.go` `warningsForPodSpecAndMeta`
pub(crate) fn warnings(object: &Object, old: Option<&Object>) -> Vec<String> {
    if object.kind() != "Pod" && old.is_some_and(|old| old.generation() == object.generation()) {
        return Vec::new();
    }
    let spec = pod_spec(object.kind()).and_then(|path| object.at(path)?.as_map());
    let Some(spec) = spec else { return Vec::new() };
    let empty = |volume: &Map| {
        let sources = map(volume, "projected").into_iter().flat_map(|p| maps(p, "sources"));
        sources.filter(|source| source.is_empty()).count()
    };
    let volumes = maps(spec, "volumes").flat_map(|v| std::iter::repeat_n(v, empty(v)));
    volumes
        .map(|v| format!("volume {:?} (Projected) has no sources provided", crate::tree::text(v, "name")))
        .collect()
}
