//! A namespace's limit ranges: defaults for containers, and what no container, pod or claim may exceed.
//!
//! # Upstream
//! `plugin/pkg/admission/limitranger/admission.go`

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire;
use meta::quantity::Quantity;
use quota::amounts::{Usage, exceeds};
use quota::demand;
use schema::{Map, Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

/// The annotation that says what was filled in.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The plugin.
pub struct LimitRanger;

impl Admission for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        if request.old.is_some_and(|old| old.deletion_timestamp().is_some()) {
            return false;
        }
        match request.operation {
            Operation::Create => request.is("", "pods") || request.is("", "persistentvolumeclaims"),
            Operation::Update => {
                let resize = request.subresource == "resize" && request.endpoint.is("", "pods");
                resize || request.is("", "persistentvolumeclaims")
            }
            _ => false,
        }
    }

    fn mutate<'a>(&'a self, request: &'a Request<'a>, object: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if request.endpoint.is("", "pods") {
                for range in ranges(request).await? {
                    fill(object, &range);
                }
            }
            Ok(())
        })
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(object) = object else { return Ok(()) };
            for range in ranges(request).await? {
                let problems = if request.endpoint.is("", "pods") {
                    pod_problems(&range, &object.view().map_err(errors::internal)?)
                } else {
                    claim_problems(&range, &object.view().map_err(errors::internal)?)
                };
                if !problems.is_empty() {
                    let name = request.name_of(object);
                    return Err(errors::forbidden(&request.resource(), name, &aggregate(problems)));
                }
            }
            Ok(())
        })
    }
}

/// As Go prints several errors.
fn aggregate(mut problems: Vec<String>) -> String {
    let mut seen = std::collections::HashSet::new();
    problems.retain(|problem| seen.insert(problem.clone()));
    match problems.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// The namespace's ranges. The cache may be behind the client that has just made one, so none is asked for again.
async fn ranges(request: &Request<'_>) -> Result<Vec<LimitRange>> {
    let found = request.server.peek_objects("", "limitranges", request.namespace)?;
    found.iter().map(|range| range.view().map_err(errors::internal)).collect()
}

/// Fills in the defaults of containers that say nothing.
fn fill(pod: &mut Object, range: &LimitRange) {
    let (mut limits, mut requests) = (BTreeMap::new(), BTreeMap::new());
    let items = range.spec.iter().flat_map(|spec| &spec.limits).filter(|item| item.type_ == "Container");
    for item in items {
        limits.extend(item.default.clone().unwrap_or_default());
        requests.extend(item.default_request.clone().unwrap_or_default());
    }
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    let mut notes = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.at_mut(&["spec", list]).and_then(Value::as_list_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_map_mut) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or("").to_owned();
            let resources = container.map_mut("resources");
            let set = merge(resources, "limits", &limits);
            let asked = merge(resources, "requests", &requests);
            for (set, kind) in [(asked, "request"), (set, "limit")] {
                if !set.is_empty() {
                    notes.push(format!("{} {kind} for {what} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let note = format!("LimitRanger plugin set: {}", notes.join("; "));
        pod.metadata_mut().map_mut("annotations").insert(ANNOTATION, note);
    }
}

/// Adds what is missing; gives the names added.
fn merge(resources: &mut Map, key: &'static str, defaults: &BTreeMap<String, Wire>) -> Vec<String> {
    let missing =
        |resources: &Map, name: &str| resources.get(key).and_then(|list| list.at(&[name])).is_none();
    let added: Vec<String> = defaults.keys().filter(|name| missing(resources, name)).cloned().collect();
    if !added.is_empty() {
        let list = resources.map_mut(key);
        for name in &added {
            list.insert(name.clone(), defaults[name].0.as_str());
        }
        list.sort_keys();
    }
    added
}

fn amounts(list: Option<&BTreeMap<String, Wire>>) -> Usage {
    let mut usage = Usage::new();
    for (name, amount) in list.into_iter().flatten() {
        quota::amounts::add(&mut usage, name, &amount.0);
    }
    usage
}

fn pod_problems(range: &LimitRange, pod: &Pod) -> Vec<String> {
    let mut problems = Vec::new();
    let spec = pod.spec.as_ref();
    for item in range.spec.iter().flat_map(|spec| &spec.limits) {
        match item.type_.as_str() {
            "Container" => {
                let containers = spec.iter().flat_map(|spec| &spec.containers);
                let first = spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
                containers
                    .chain(first)
                    .for_each(|container| container_problems(item, container, &mut problems));
            }
            "Pod" => check(item, &demand::requests(pod, false), &demand::limits(pod, false), &mut problems),
            _ => {}
        }
    }
    problems
}

fn container_problems(item: &LimitRangeItem, container: &Container, problems: &mut Vec<String>) {
    let none = ResourceRequirements::default();
    let resources = container.resources.as_ref().unwrap_or(&none);
    check(item, &amounts(resources.requests.as_ref()), &amounts(resources.limits.as_ref()), problems);
}

fn claim_problems(range: &LimitRange, claim: &PersistentVolumeClaim) -> Vec<String> {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let requests = amounts(requests);
    let mut problems = Vec::new();
    let items = range.spec.iter().flat_map(|spec| &spec.limits);
    for item in items.filter(|item| item.type_ == "PersistentVolumeClaim") {
        let kind = &item.type_;
        for (name, least) in amounts(item.min.as_ref()) {
            problems.extend(below(kind, &name, &least, &requests, &Usage::new()));
        }
        for (name, most) in amounts(item.max.as_ref()) {
            problems.extend(match requests.get(&name) {
                None => Some(format!("maximum {name} usage per {kind} is {most}.  No request is specified")),
                Some(asked) => exceeds(asked, &most)
                    .then(|| format!("maximum {name} usage per {kind} is {most}, but request is {asked}")),
            });
        }
    }
    problems
}

/// The three bounds of an item.
fn check(item: &LimitRangeItem, requests: &Usage, limits: &Usage, problems: &mut Vec<String>) {
    let kind = &item.type_;
    for (name, least) in amounts(item.min.as_ref()) {
        problems.extend(below(kind, &name, &least, requests, limits));
    }
    for (name, most) in amounts(item.max.as_ref()) {
        problems.extend(above(kind, &name, &most, requests, limits));
    }
    for (name, most) in amounts(item.max_limit_request_ratio.as_ref()) {
        problems.extend(ratio(kind, &name, &most, requests, limits));
    }
}

fn below(kind: &str, name: &str, least: &Quantity, requests: &Usage, limits: &Usage) -> Option<String> {
    let Some(asked) = requests.get(name) else {
        return Some(format!("minimum {name} usage per {kind} is {least}.  No request is specified"));
    };
    if exceeds(least, asked) {
        return Some(format!("minimum {name} usage per {kind} is {least}, but request is {asked}"));
    }
    let limit = limits.get(name).filter(|limit| exceeds(least, limit))?;
    Some(format!("minimum {name} usage per {kind} is {least}, but limit is {limit}"))
}

fn above(kind: &str, name: &str, most: &Quantity, requests: &Usage, limits: &Usage) -> Option<String> {
    let Some(limit) = limits.get(name) else {
        return Some(format!("maximum {name} usage per {kind} is {most}.  No limit is specified"));
    };
    if exceeds(limit, most) {
        return Some(format!("maximum {name} usage per {kind} is {most}, but limit is {limit}"));
    }
    let asked = requests.get(name).filter(|asked| exceeds(asked, most))?;
    Some(format!("maximum {name} usage per {kind} is {most}, but request is {asked}"))
}

fn ratio(kind: &str, name: &str, most: &Quantity, requests: &Usage, limits: &Usage) -> Option<String> {
    let start = format!("{name} max limit to request ratio per {kind} is {most}");
    let Some(asked) = requests.get(name).filter(|asked| !asked.is_zero()) else {
        return Some(format!("{start}, but no request is specified or request is 0"));
    };
    let Some(limit) = limits.get(name).filter(|limit| !limit.is_zero()) else {
        return Some(format!("{start}, but no limit is specified or limit is 0"));
    };
    let given = limit.as_f64() / asked.as_f64();
    (given > most.as_f64()).then(|| format!("{start}, but provided ratio is {given:.6}"))
}
