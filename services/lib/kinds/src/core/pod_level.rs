//! Defaults of resources set for a whole pod.
//!
//! # Upstream
//! `pkg/apis/core/v1/defaults.go` `defaultPodRequests`, `defaultHugePagePodLimits`;
//! `k8s.io/component-helpers/resource/helpers.go`

use std::collections::BTreeMap;

use meta::Quantity;
use schema::Map;

use crate::tree::{is_zero, map, map_at, map_mut, maps, text};

type Amounts = BTreeMap<String, Quantity>;

/// Whether a resource may be set for a whole pod.
fn supported(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Fills the pod's own limits and requests from its containers'.
pub(super) fn defaults(spec: &mut Map) {
    if map(spec, "resources").is_none() {
        return;
    }
    huge_page_limits(spec);
    requests(spec);
}

fn huge_page_limits(spec: &mut Map) {
    let sums = aggregate(spec, "limits");
    let Some(resources) = map_mut(spec, "resources") else { return };
    if is_zero(resources, "limits") && is_zero(resources, "requests") {
        return;
    }
    let requested: Vec<String> =
        map(resources, "requests").into_iter().flat_map(|m| m.iter().map(|(k, _)| k.to_string())).collect();
    for (name, amount) in sums {
        if name.starts_with("hugepages-") && !requested.contains(&name) {
            let limits = resources.map_mut("limits");
            if !limits.contains_key(&name) {
                limits.insert(name, amount.to_string());
            }
        }
    }
}

fn requests(spec: &mut Map) {
    let sums = aggregate(spec, "requests");
    let Some(resources) = map_mut(spec, "resources") else { return };
    if is_zero(resources, "limits") {
        return;
    }
    let limits = map(resources, "limits").cloned().unwrap_or_default();
    let mut wanted = map(resources, "requests").cloned().unwrap_or_default();
    for (name, amount) in sums {
        if !wanted.contains_key(&name) && matches!(name.as_str(), "cpu" | "memory") {
            wanted.insert(name, amount.to_string());
        }
    }
    for (name, amount) in limits {
        if !wanted.contains_key(&name) && supported(&name) {
            wanted.insert(name, amount);
        }
    }
    if !wanted.is_empty() {
        resources.insert("requests", wanted);
    }
}

fn amounts(container: &Map, which: &str) -> Amounts {
    let list = map_at(container, &["resources", which]);
    list.into_iter()
        .flat_map(|m| m.iter())
        .filter_map(|(k, v)| Some((k.to_string(), Quantity::parse(v.as_str()?).ok()?)))
        .collect()
}

fn add(into: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        into.entry(name.clone()).or_insert_with(Quantity::zero).add(amount);
    }
}

/// What all containers need together: the sum of what runs at once, at least what any init container needs.
fn aggregate(spec: &Map, which: &str) -> Amounts {
    let mut total = Amounts::new();
    for container in maps(spec, "containers") {
        add(&mut total, &amounts(container, which));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in maps(spec, "initContainers") {
        let mut need = amounts(container, which);
        if text(container, "restartPolicy") == "Always" {
            add(&mut total, &need);
            add(&mut sidecars, &need);
            need = sidecars.clone();
        } else {
            add(&mut need, &sidecars);
        }
        for (name, amount) in need {
            let slot = peak.entry(name).or_insert_with(Quantity::zero);
            if *slot < amount {
                *slot = amount;
            }
        }
    }
    for (name, amount) in peak {
        let slot = total.entry(name).or_insert_with(Quantity::zero);
        if *slot < amount {
            *slot = amount;
        }
    }
    total
}
