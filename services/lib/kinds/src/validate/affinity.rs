//! Where a pod may run: affinity, node selectors, spreading over topologies.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `validateAffinity`, `ValidateNodeSelector`, `validateTopologySpreadConstraints`

use std::collections::BTreeSet;

use meta::{content, field};
use schema::Map;

use super::{Errors, child, label_selector, nth, problems};
use crate::tree::{int, is_nil, list, map, maps, text, texts};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The affinity of a pod.
pub(super) fn affinity(errors: &mut Errors, spec: &Map, path: &str) {
    let Some(affinity) = map(spec, "affinity") else { return };
    if let Some(node) = map(affinity, "nodeAffinity") {
        let at = child(path, "nodeAffinity");
        if let Some(required) = map(node, REQUIRED) {
            node_selector(errors, required, &child(&at, REQUIRED));
        }
        for (i, term) in maps(node, PREFERRED).enumerate() {
            let at = format!("{at}.{PREFERRED}[{i}]");
            weight(errors, term, &at);
            if let Some(preference) = map(term, "preference") {
                // what is only preferred may have label values that are none
                node_term(errors, preference, &child(&at, "preference"), false);
            }
        }
    }
    for key in ["podAffinity", "podAntiAffinity"] {
        let Some(owner) = map(affinity, key) else { continue };
        let at = child(path, key);
        for (i, term) in maps(owner, REQUIRED).enumerate() {
            pod_term(errors, term, &format!("{at}.{REQUIRED}[{i}]"));
        }
        let empty = Map::new();
        for (i, weighted) in maps(owner, PREFERRED).enumerate() {
            let at = format!("{at}.{PREFERRED}[{i}]");
            weight(errors, weighted, &at);
            let term = map(weighted, "podAffinityTerm").unwrap_or(&empty);
            pod_term(errors, term, &child(&at, "podAffinityTerm"));
        }
    }
}

fn weight(errors: &mut Errors, owner: &Map, path: &str) {
    let weight = int(owner, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(field::Error::invalid(child(path, "weight"), weight, "must be in the range 1-100"));
    }
}

/// A node selector: one of its terms has to match.
pub(super) fn node_selector(errors: &mut Errors, selector: &Map, path: &str) {
    let at = child(path, "nodeSelectorTerms");
    if list(selector, "nodeSelectorTerms").is_empty() {
        errors.push(field::Error::required(at, "must have at least one node selector term"));
        return;
    }
    for (i, term) in maps(selector, "nodeSelectorTerms").enumerate() {
        node_term(errors, term, &nth(&at, i), true);
    }
}

fn node_term(errors: &mut Errors, term: &Map, path: &str, values_too: bool) {
    for (i, requirement) in maps(term, "matchExpressions").enumerate() {
        node_requirement(errors, requirement, &format!("{path}.matchExpressions[{i}]"), values_too);
    }
    for (i, requirement) in maps(term, "matchFields").enumerate() {
        node_field(errors, requirement, &format!("{path}.matchFields[{i}]"));
    }
}

fn node_requirement(errors: &mut Errors, requirement: &Map, path: &str, values_too: bool) {
    let values = list(requirement, "values").len();
    let at = child(path, "values");
    match text(requirement, "operator") {
        "In" | "NotIn" if values == 0 => {
            errors.push(field::Error::required(at, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if values > 0 => {
            let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(field::Error::forbidden(at, text));
        }
        "Gt" | "Lt" if values != 1 => {
            let text = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(field::Error::required(at, text));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => bad_operator(errors, other, path),
    }
    let key = text(requirement, "key");
    problems(errors, &child(path, "key"), key, content::qualified_name(key));
    if values_too {
        for (i, value) in texts(requirement, "values").enumerate() {
            problems(errors, &format!("{path}.values[{i}]"), value, content::label_value(value));
        }
    }
}

fn bad_operator(errors: &mut Errors, operator: &str, path: &str) {
    errors.push(field::Error::invalid_str(
        child(path, "operator"),
        operator,
        "not a valid selector operator",
    ));
}

fn node_field(errors: &mut Errors, requirement: &Map, path: &str) {
    match text(requirement, "operator") {
        "In" | "NotIn" if list(requirement, "values").len() != 1 => {
            let text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(field::Error::required(child(path, "values"), text));
        }
        "In" | "NotIn" => {}
        other => bad_operator(errors, other, path),
    }
    let key = text(requirement, "key");
    if key != "metadata.name" {
        let text = "not a valid field selector key";
        errors.push(field::Error::invalid_str(child(path, "key"), key, text));
        return;
    }
    for (i, name) in texts(requirement, "values").enumerate() {
        problems(errors, &format!("{path}.values[{i}]"), name, content::dns1123_subdomain(name));
    }
}

fn pod_term(errors: &mut Errors, term: &Map, path: &str) {
    for key in ["labelSelector", "namespaceSelector"] {
        label_selector(errors, map(term, key), &child(path, key));
    }
    for name in texts(term, "namespaces") {
        problems(errors, &child(path, "namespace"), name, content::dns1123_label(name));
    }
    match_label_keys(errors, term, path);
    let (at, key) = (child(path, "topologyKey"), text(term, "topologyKey"));
    if key.is_empty() {
        errors.push(field::Error::required(at.as_str(), "can not be empty"));
    }
    problems(errors, &at, key, content::qualified_name(key));
}

/// Keys whose values come from the pod: well named, and each said once.
fn match_label_keys(errors: &mut Errors, term: &Map, path: &str) {
    let selector = map(term, "labelSelector");
    for list_of in ["matchLabelKeys", "mismatchLabelKeys"] {
        let at = child(path, list_of);
        if !list(term, list_of).is_empty() && selector.is_none() {
            errors.push(field::Error::forbidden(at, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (i, key) in texts(term, list_of).enumerate() {
            problems(errors, &nth(&at, i), key, content::qualified_name(key));
        }
    }
    let keys: Vec<&str> = texts(term, "matchLabelKeys").collect();
    if let Some(selector) = selector {
        let labels = map(selector, "matchLabels");
        let mut seen: BTreeSet<&str> =
            labels.into_iter().flat_map(|m| m.iter()).map(|(k, _)| k.as_ref()).collect();
        for key in maps(selector, "matchExpressions").map(|e| text(e, "key")) {
            if let Some(i) = keys.iter().rposition(|k| *k == key).filter(|_| seen.contains(key)) {
                let text = "exists in both matchLabelKeys and labelSelector";
                errors.push(field::Error::invalid_str(nth(path, i), key, text));
            }
            seen.insert(key);
        }
    }
    for (i, key) in keys.iter().enumerate() {
        if texts(term, "mismatchLabelKeys").any(|k| k == *key) {
            let text = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(field::Error::invalid_str(format!("{path}.matchLabelKeys[{i}]"), key, text));
        }
    }
}

/// How pods are spread over topologies.
pub(super) fn spread(errors: &mut Errors, spec: &Map, path: &str) {
    let all: Vec<&Map> = maps(spec, "topologySpreadConstraints").collect();
    for (i, constraint) in all.iter().enumerate() {
        let at = nth(path, i);
        if let skew @ ..=0 = int(constraint, "maxSkew").unwrap_or(0) {
            errors.push(field::Error::invalid(child(&at, "maxSkew"), skew, "must be greater than zero"));
        }
        let (key, when) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
        if key.is_empty() {
            errors.push(field::Error::required(child(&at, "topologyKey"), "can not be empty"));
        }
        if !matches!(when, "DoNotSchedule" | "ScheduleAnyway") {
            let supported = ["DoNotSchedule", "ScheduleAnyway"];
            errors.push(field::Error::not_supported(child(&at, "whenUnsatisfiable"), when, &supported));
        }
        let same =
            |other: &&Map| text(other, "topologyKey") == key && text(other, "whenUnsatisfiable") == when;
        if all[i + 1..].iter().any(same) {
            let value = format!("{{{key}, {when}}}");
            errors.push(field::Error::duplicate(format!("{at}.{{topologyKey, whenUnsatisfiable}}"), &value));
        }
        if let Some(domains) = int(constraint, "minDomains") {
            if domains <= 0 {
                let text = "must be greater than zero";
                errors.push(field::Error::invalid(child(&at, "minDomains"), domains, text));
            }
            if when != "DoNotSchedule" {
                let text = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
                errors.push(field::Error::invalid(child(&at, "minDomains"), domains, text));
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let value = text(constraint, policy);
            if !is_nil(constraint, policy) && !matches!(value, "Honor" | "Ignore") {
                errors.push(field::Error::not_supported(child(&at, policy), value, &["Honor", "Ignore"]));
            }
        }
        match_label_keys(errors, constraint, &at);
        label_selector(errors, map(constraint, "labelSelector"), &child(&at, "labelSelector"));
    }
}
