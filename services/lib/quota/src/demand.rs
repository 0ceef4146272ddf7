//! What a pod asks for.
//!
//! # Upstream
//! `k8s.io/component-helpers/resource/helpers.go` `PodRequests`, `PodLimits`

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire;

use crate::amounts::{Usage, add, merge, raise};

type List = BTreeMap<String, Wire>;

/// What a quota of these requires every container to name.
const REQUIRED: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// The requests of a pod: the sum of its containers, or its hungriest start-up container, whichever is more; what is
/// said for the whole pod goes first. With `overhead`, what its runtime takes is part of it.
pub fn requests(pod: &Pod, overhead: bool) -> Usage {
    let whole = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.clone());
    of(pod, overhead, |container| container.resources.as_ref()?.requests.as_ref(), whole)
}

/// The limits of a pod, likewise.
pub fn limits(pod: &Pod, overhead: bool) -> Usage {
    let whole = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.limits.clone());
    of(pod, overhead, |container| container.resources.as_ref()?.limits.as_ref(), whole)
}

fn list(from: Option<&List>) -> Usage {
    let mut usage = Usage::new();
    for (name, amount) in from.into_iter().flatten() {
        add(&mut usage, name, &amount.0);
    }
    usage
}

fn of(pod: &Pod, overhead: bool, part: fn(&Container) -> Option<&List>, whole: Option<List>) -> Usage {
    let Some(spec) = &pod.spec else { return Usage::new() };
    let mut total = Usage::new();
    for container in &spec.containers {
        merge(&mut total, list(part(container)));
    }
    let (mut sidecars, mut peak) = (Usage::new(), Usage::new());
    for container in spec.init_containers.iter().flatten() {
        let wanted = list(part(container));
        if container.restart_policy.as_deref() == Some("Always") {
            merge(&mut total, wanted.clone());
            merge(&mut sidecars, wanted);
            raise(&mut peak, sidecars.clone());
        } else {
            let mut now = wanted;
            merge(&mut now, sidecars.clone());
            raise(&mut peak, now);
        }
    }
    raise(&mut total, peak);
    for (name, amount) in list(whole.as_ref()) {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            total.insert(name, amount);
        }
    }
    if overhead {
        merge(&mut total, list(spec.overhead.as_ref()));
    }
    total
}

/// Which of a quota's resources containers do not name: `must specify cpu for: a,b; memory for: a`.
///
/// # Upstream
/// `pkg/quota/v1/evaluator/core/pods.go` `Constraints`
pub fn unnamed(pod: &Pod, quota: &[&str]) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let whole = spec
        .resources
        .as_ref()
        .map(|r| crate::names_of(&list(r.requests.as_ref()), &list(r.limits.as_ref())));
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        let resources = container.resources.clone().unwrap_or_default();
        let named = crate::names_of(&list(resources.requests.as_ref()), &list(resources.limits.as_ref()));
        for name in REQUIRED.into_iter().filter(|name| quota.contains(name)) {
            let said = named.contains_key(name) || whole.as_ref().is_some_and(|w| w.contains_key(name));
            if !said {
                missing.entry(name).or_default().insert(&container.name);
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    let sentence = |(name, containers): (&str, BTreeSet<&str>)| {
        format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","))
    };
    Some(format!("must specify {}", missing.into_iter().map(sentence).collect::<Vec<_>>().join("; ")))
}
