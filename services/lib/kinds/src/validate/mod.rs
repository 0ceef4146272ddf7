//! Validation with upstream's paths and texts. What is not checked yet stands in `unvalidated.txt`.
//!
//! # Upstream
//! `pkg/apis/*/validation/validation.go`

pub(crate) mod address;
mod affinity;
mod certificates;
mod claim;
mod container;
mod core;
mod env;
mod event;
mod flow;
mod ingress;
mod job;
mod limits;
mod others;
mod pod;
mod policies;
mod probe;
mod resources;
mod security;
mod service;
mod storage;
mod volume;
mod workload;

use meta::{LabelSelector, content, field};
use schema::{Map, Object, Value};

pub(crate) use self::claim::{claim, claim_update, volume, volume_update};
pub(crate) use self::core::*;
pub(crate) use certificates::{signing_request, signing_request_update};
pub(crate) use event::{event, event_update};
pub(crate) use flow::{flow_schema, priority_level};
pub(crate) use ingress::{ingress, ingress_update, ip_address, ip_address_update};
pub(crate) use job::{cron_job, cron_job_update, job, job_update};
pub(crate) use limits::{limit_range, resource_quota, resource_quota_update};
pub(crate) use others::*;
pub(crate) use pod::{pod, pod_update};
pub(crate) use policies::{admission_binding, admission_policy};
pub use service::addresses as service_addresses;
pub(crate) use service::{service, service_update};
pub(crate) use storage::*;
pub(crate) use workload::*;

use crate::tree::{int, is_zero, json, list, map, maps, same, text};

/// The errors found so far.
pub(crate) type Errors = Vec<field::Error>;

fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { [path, ".", name].concat() }
}

/// The path of a list's item. Most of them nobody reads: they are put together without formatting.
fn nth(path: &str, index: usize) -> String {
    [path, "[", &index.to_string(), "]"].concat()
}

/// One error per problem, about a string.
fn problems(errors: &mut Errors, path: &str, value: &str, found: Vec<String>) {
    errors.extend(found.into_iter().map(|m| field::Error::invalid_str(path, value, m)));
}

/// A value as Go prints it in an error.
fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "null".to_owned(), |v| json(v).to_string())
}

fn immutable(errors: &mut Errors, path: &str, new: Option<&Value>, old: Option<&Value>) {
    if !same(new, old) {
        errors.push(field::Error::invalid(path, shown(new), "field is immutable"));
    }
}

/// What says which object it is may not change: some kinds look at it once more among their own checks, so that
/// clients read these problems twice.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/api/validation/objectmeta.go` `ValidateObjectMetaAccessorUpdate`
fn identity(errors: &mut Errors, object: &Object, old: &Object) {
    for key in ["name", "namespace", "uid"] {
        let (new, before) = (text(object.metadata(), key), text(old.metadata(), key));
        if new != before {
            errors.push(field::Error::invalid_str(child("metadata", key), new, "field is immutable"));
        }
    }
}

fn non_negative(errors: &mut Errors, owner: &Map, key: &str, path: &str) {
    if let Some(value) = int(owner, key).filter(|v| *v < 0) {
        errors.push(field::Error::invalid(child(path, key), value, "must be greater than or equal to 0"));
    }
}

/// A string that must be one of a few.
fn one_of(errors: &mut Errors, owner: &Map, key: &str, path: &str, supported: &[&str]) {
    match text(owner, key) {
        "" => errors.push(field::Error::required(child(path, key), "")),
        value if supported.contains(&value) => {}
        value => errors.push(field::Error::not_supported(child(path, key), value, supported)),
    }
}

fn labels(errors: &mut Errors, labels: Option<&Map>, path: &str) {
    for (key, value) in labels.into_iter().flat_map(|m| m.iter()) {
        problems(errors, path, key, content::qualified_name(key));
        let value = value.as_str().unwrap_or("");
        problems(errors, path, value, content::label_value(value));
    }
}

/// A `LabelSelector` object.
fn label_selector(errors: &mut Errors, selector: Option<&Map>, path: &str) {
    let Some(selector) = selector else { return };
    labels(errors, map(selector, "matchLabels"), &child(path, "matchLabels"));
    for (i, e) in maps(selector, "matchExpressions").enumerate() {
        let at = format!("{}[{i}]", child(path, "matchExpressions"));
        let values = list(e, "values");
        match text(e, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                let text = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(field::Error::required(child(&at, "values"), text));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(field::Error::forbidden(child(&at, "values"), text));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let text = "not a valid selector operator";
                errors.push(field::Error::invalid_str(child(&at, "operator"), other, text));
            }
        }
        problems(errors, &child(&at, "key"), text(e, "key"), content::qualified_name(text(e, "key")));
        for (j, value) in values.iter().filter_map(Value::as_str).enumerate() {
            problems(errors, &format!("{at}.values[{j}]"), value, content::label_value(value));
        }
    }
}

/// A workload's own selector: needed, not empty, and fulfilled by the template's labels.
fn own_selector(errors: &mut Errors, spec: &Map, kind: &str) {
    let selector = map(spec, "selector");
    match selector {
        None => errors.push(field::Error::required("spec.selector", "")),
        Some(selector) => {
            label_selector(errors, Some(selector), "spec.selector");
            if is_zero(selector, "matchLabels") && is_zero(selector, "matchExpressions") {
                let text = format!("empty selector is invalid for {kind}");
                errors.push(field::Error::invalid("spec.selector", shown(spec.get("selector")), text));
            }
        }
    }
    let whole = selector.map_or(serde_json::Value::Null, |s| json(&Value::Map(s.clone())));
    let template = crate::tree::map_at(spec, &["template", "metadata", "labels"]);
    match LabelSelector::from_json(&whole) {
        // the kinds differ in what they say about a selector that cannot be read
        Err(_) if kind == "daemonset" => {}
        Err(_) => {
            let text = if kind == "statefulset" { "" } else { "invalid label selector" };
            errors.push(field::Error::invalid("spec.selector", shown(spec.get("selector")), text));
        }
        // a missing selector matches nothing
        Ok(s) if !s.is_empty() && !s.matches(|key| template?.get(key)?.as_str()) => {
            let labels = template.map(|m| Value::Map(m.clone()));
            let text = "`selector` does not match template `labels`";
            errors.push(field::Error::invalid("spec.template.metadata.labels", shown(labels.as_ref()), text));
        }
        Ok(_) => {}
    }
}
