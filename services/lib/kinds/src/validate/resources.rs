//! What containers and pods ask for: names of resources, amounts, requests within limits, claims.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `validateResourceRequirements`, `validatePodResources`

use std::collections::BTreeSet;

use meta::{Quantity, content, field};
use schema::Map;

use super::{Errors, child, nth, problems};
use crate::tree::{is_nil, map, maps, text};

const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_huge(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Of Kubernetes itself: without a prefix, or with its own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether pods may ask for more than there is of it.
fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge(name)
}

/// The name of any resource; whether it is good.
fn any_name(errors: &mut Errors, name: &str, path: &str) -> bool {
    let found = content::qualified_name(name);
    if !found.is_empty() {
        problems(errors, path, name, found);
        return false;
    }
    if !name.contains('/')
        && !STANDARD.contains(&name)
        && !is_huge(name)
        && !name.starts_with("requests.hugepages-")
    {
        let text = "must be a standard resource type or fully qualified";
        errors.push(field::Error::invalid_str(path, name, text));
        return false;
    }
    true
}

fn container_name(errors: &mut Errors, name: &str, path: &str) {
    any_name(errors, name, path);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge(name) {
            let text = "must be a standard resource for containers";
            errors.push(field::Error::invalid_str(path, name, text));
        }
    } else if !is_native(name)
        && (name.starts_with("requests.") || !content::qualified_name(&format!("requests.{name}")).is_empty())
    {
        let text = "doesn't follow extended resource name standard";
        errors.push(field::Error::invalid_str(path, name, text));
    }
}

/// The name of a resource that a quota counts.
pub(super) fn quota_name(errors: &mut Errors, name: &str, path: &str) {
    any_name(errors, name, path);
    let counted = name != "storage" && STANDARD.contains(&name);
    // counts of objects and extended resources have a prefix
    if !name.contains('/') && !counted && !is_huge(name) && !name.starts_with("requests.hugepages-") {
        errors.push(field::Error::invalid_str(path, name, "must be a standard resource for quota"));
    }
}

/// The name of a resource in a limit of this kind.
pub(super) fn limit_name(errors: &mut Errors, kind: &str, name: &str, path: &str) {
    if matches!(kind, "Pod" | "Container") {
        container_name(errors, name, path);
    } else {
        any_name(errors, name, path);
    }
}

fn pod_name(errors: &mut Errors, name: &str, path: &str) {
    if any_name(errors, name, path) && !matches!(name, "cpu" | "memory") && !is_huge(name) {
        errors.push(field::Error::not_supported(path, name, &["cpu", "hugepages-", "memory"]));
    }
}

/// An amount of a resource: not negative, whole where it counts things.
pub(super) fn amount(errors: &mut Errors, name: &str, quantity: &Quantity, path: &str) {
    if quantity.sign() < 0 {
        let text = "must be greater than or equal to 0";
        errors.push(field::Error::invalid_str(path, &quantity.to_string(), text));
    }
    let counted = !is_native(name)
        || matches!(
            name,
            "pods"
                | "resourcequotas"
                | "services"
                | "replicationcontrollers"
                | "secrets"
                | "configmaps"
                | "persistentvolumeclaims"
                | "services.nodeports"
                | "services.loadbalancers"
        );
    if counted && quantity.milli_value() % 1000 != 0 {
        errors.push(field::Error::invalid_str(path, &quantity.to_string(), "must be an integer"));
    }
    if is_huge(name) {
        let size = Quantity::parse(&name["hugepages-".len()..]).ok().filter(|size| size.sign() > 0);
        if size.is_none_or(|size| quantity.value() % size.value() != 0) {
            let text = format!("{quantity} is not positive integer multiple of {name}");
            errors.push(field::Error::invalid_str(path, &quantity.to_string(), text));
        }
    }
}

/// Amounts by name, those that can be read.
pub(super) fn amounts<'a>(resources: &'a Map, which: &str) -> Vec<(&'a str, Quantity)> {
    let all = map(resources, which).into_iter().flat_map(|m| m.iter());
    all.filter_map(|(name, v)| Some((name.as_ref(), Quantity::parse(v.as_str()?).ok()?))).collect()
}

/// A container's requests and limits.
pub(super) fn of_container(errors: &mut Errors, resources: &Map, path: &str, claims: &BTreeSet<&str>) {
    requirements(errors, resources, path, container_name);
    claim_names(errors, resources, &child(path, "claims"), claims);
}

/// A pod's overhead: limits without a word of theirs in the path.
pub(super) fn overhead(errors: &mut Errors, overhead: &Map, path: &str) {
    let limits: Map = [("limits", overhead.clone())].into_iter().collect();
    requirements(errors, &limits, path, container_name);
}

fn requirements(errors: &mut Errors, resources: &Map, path: &str, name_check: fn(&mut Errors, &str, &str)) {
    let (limits, requests) = (amounts(resources, "limits"), amounts(resources, "requests"));
    for (name, limit) in &limits {
        let at = format!("{path}.limits[{name}]");
        name_check(errors, name, &at);
        amount(errors, name, limit, &at);
    }
    for (name, request) in &requests {
        let at = format!("{path}.requests[{name}]");
        name_check(errors, name, &at);
        amount(errors, name, request, &at);
        let all = child(path, "requests");
        match limits.iter().find(|(other, _)| other == name) {
            Some((_, limit)) if request != limit && !may_overcommit(name) => {
                let text = format!("must be equal to {name} limit of {limit}");
                errors.push(field::Error::invalid_str(all, &request.to_string(), text));
            }
            Some((_, limit)) if request > limit => {
                let text = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(field::Error::invalid_str(all, &request.to_string(), text));
            }
            None if !may_overcommit(name) => {
                let text = "Limit must be set for non overcommitable resources";
                errors.push(field::Error::required(child(path, "limits"), text));
            }
            _ => {}
        }
    }
    let mut named = limits.iter().chain(&requests).map(|(name, _)| *name);
    let plain = named.clone().any(|name| matches!(name, "cpu" | "memory"));
    if !plain && named.any(is_huge) {
        errors.push(field::Error::forbidden(path, "HugePages require cpu or memory"));
    }
}

fn claim_names(errors: &mut Errors, resources: &Map, path: &str, claims: &BTreeSet<&str>) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (i, claim) in maps(resources, "claims").enumerate() {
        let at = nth(path, i);
        let (name, request) = (text(claim, "name"), text(claim, "request"));
        if name.is_empty() {
            errors.push(field::Error::required(at, ""));
            continue;
        }
        if seen.contains(name) {
            errors.push(field::Error::duplicate(at.as_str(), name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                problems(errors, &child(&at, "request"), request, content::dns1123_label(request));
                key = format!("{name}/{request}");
            }
            let parts = seen.iter().filter(|k| k.split_once('/').is_some_and(|(owner, _)| owner == name));
            let twice = if request.is_empty() { parts.count() } else { usize::from(seen.contains(&key)) };
            errors.extend((0..twice).map(|_| field::Error::duplicate(at.as_str(), &key)));
            seen.insert(key);
        }
        if !claims.contains(name) {
            let mut error = field::Error::not_found(at.as_str(), name);
            let names: Vec<&str> = claims.iter().copied().collect();
            let rest = if names.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", names.join(", "))
            };
            error.detail = format!("must be one of the names in pod.spec.resourceClaims{rest}");
            errors.push(error);
        }
    }
}

/// The claims of a pod: each named, and from one place; gives their names.
pub(super) fn pod_claims<'a>(errors: &mut Errors, spec: &'a Map, path: &str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (i, claim) in maps(spec, "resourceClaims").enumerate() {
        let (at, name) = (nth(path, i), text(claim, "name"));
        if name.is_empty() {
            errors.push(field::Error::required(child(&at, "name"), ""));
        } else if !names.insert(name) {
            errors.push(field::Error::duplicate(child(&at, "name"), name));
        } else {
            problems(errors, &child(&at, "name"), name, content::dns1123_label(name));
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        let given: Vec<&str> = sources.into_iter().filter(|key| !is_nil(claim, key)).collect();
        // upstream prints its own struct here
        let printed = |key: &str| super::shown(claim.get(key));
        let whole = || {
            let [one, other] = sources.map(printed);
            let name = field::quote(name);
            format!("{{\"Name\":{name},\"ResourceClaimName\":{one},\"ResourceClaimTemplateName\":{other}}}")
        };
        if given.len() > 1 {
            let text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
            errors.push(field::Error::invalid(at.as_str(), whole(), text));
        } else if given.is_empty() {
            let text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
            errors.push(field::Error::invalid(at.as_str(), whole(), text));
        }
        for key in given {
            let name = text(claim, key);
            problems(errors, &child(&at, key), name, content::dns1123_subdomain(name));
        }
    }
    names
}

/// What the pod as a whole asks for: as much as its containers ask together, and no container more than it.
pub(super) fn of_pod(errors: &mut Errors, spec: &Map, path: &str) {
    let Some(resources) = map(spec, "resources") else { return };
    if crate::tree::map_at(spec, &["os"]).is_some_and(|os| text(os, "name") == "windows") {
        errors.push(field::Error::forbidden(path, "may not be set for a windows pod"));
        return;
    }
    if !is_nil(resources, "claims") {
        let text = "claims may not be set for Resources at pod-level";
        errors.push(field::Error::forbidden(child(path, "claims"), text));
    }
    requirements(errors, resources, path, pod_name);
    let limits = amounts(resources, "limits");
    for (name, whole) in amounts(resources, "requests") {
        let mut sum = Quantity::zero();
        for container in maps(spec, "containers") {
            for (other, request) in map(container, "resources").map_or(Vec::new(), |r| amounts(r, "requests"))
            {
                if other == name {
                    sum.add(&request);
                }
            }
        }
        if sum > whole {
            let text = format!("must be greater than or equal to aggregate container requests of {sum}");
            let at = format!("{path}.requests[{name}]");
            errors.push(field::Error::invalid_str(at, &whole.to_string(), text));
        }
    }
    for (i, container) in maps(spec, "containers").enumerate() {
        for (name, limit) in map(container, "resources").map_or(Vec::new(), |r| amounts(r, "limits")) {
            if let Some((_, whole)) = limits.iter().find(|(other, whole)| *other == name && limit > *whole) {
                let at = format!("{path}.containers[{i}][{name}].limits");
                let text = format!("must be less than or equal to pod limits of {whole}");
                errors.push(field::Error::invalid_str(at, &limit.to_string(), text));
            }
        }
    }
}
