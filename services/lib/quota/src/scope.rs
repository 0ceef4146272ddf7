//! Which pods and claims a scoped quota is about.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ScopedResourceSelectorRequirement as Selector};

use crate::demand;
use meta::quantity::Quantity;

/// Whether a pod is in a scope.
pub(crate) fn holds(pod: &Pod, scope: &str) -> bool {
    let spec = pod.spec.as_ref();
    let terminating = spec.and_then(|spec| spec.active_deadline_seconds).is_some();
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort(pod),
        "NotBestEffort" => !best_effort(pod),
        "PriorityClass" => class_of(pod).is_some(),
        "CrossNamespacePodAffinity" => reaches_other_namespaces(pod),
        _ => false,
    }
}

fn best_effort(pod: &Pod) -> bool {
    let none = |usage: crate::amounts::Usage| {
        let mut counted = usage.iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"));
        counted.all(|(_, amount)| Quantity::is_zero(amount))
    };
    none(demand::requests(pod, false)) && none(demand::limits(pod, false))
}

fn class_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.priority_class_name.as_deref().filter(|name| !name.is_empty())
}

/// Whether a pod's affinity looks into namespaces that are not its own.
fn reaches_other_namespaces(pod: &Pod) -> bool {
    let Some(affinity) = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()) else { return false };
    let (near, far) = (&affinity.pod_affinity, &affinity.pod_anti_affinity);
    let mut terms = Vec::new();
    if let Some(near) = near {
        terms.extend(near.required_during_scheduling_ignored_during_execution.iter().flatten());
        let weighted = near.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        terms.extend(weighted.map(|term| &term.pod_affinity_term));
    }
    if let Some(far) = far {
        terms.extend(far.required_during_scheduling_ignored_during_execution.iter().flatten());
        let weighted = far.preferred_during_scheduling_ignored_during_execution.iter().flatten();
        terms.extend(weighted.map(|term| &term.pod_affinity_term));
    }
    terms.iter().any(|term| {
        term.namespaces.as_ref().is_some_and(|names| !names.is_empty()) || term.namespace_selector.is_some()
    })
}

/// Whether a pod fits a selector.
pub(crate) fn selected(pod: &Pod, selector: &Selector) -> bool {
    if selector.scope_name == "PriorityClass" {
        return compare(class_of(pod), selector);
    }
    let inside = holds(pod, &selector.scope_name);
    if selector.operator == "DoesNotExist" { !inside } else { inside }
}

/// Whether a claim fits a selector: it has only the scope of its attributes class.
pub(crate) fn selected_claim(claim: &PersistentVolumeClaim, selector: &Selector) -> bool {
    let class = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    selector.scope_name == "VolumeAttributesClass" && compare(class.filter(|name| !name.is_empty()), selector)
}

fn compare(value: Option<&str>, selector: &Selector) -> bool {
    let values = selector.values.as_deref().unwrap_or_default();
    let among = |value: &str| values.iter().any(|known| known == value);
    match selector.operator.as_str() {
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "In" => value.is_some_and(among),
        "NotIn" => value.is_none_or(|value| !among(value)),
        _ => false,
    }
}
