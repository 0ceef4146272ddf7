//! Pod Security: a namespace's labels say what its pods may ask for.
//!
//! # Upstream
//! `k8s.io/pod-security-admission/admission/admission.go`

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use meta::field;
use podsecurity::{Level, Policy, Violation, details, evaluate, reasons};
use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

/// Subresources of pods that change nothing a level looks at.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

/// Where a kind that makes pods keeps their template.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];

/// At most this many pods are looked at when a namespace's level rises.
const MOST_PODS: usize = 3000;

/// The plugin.
pub struct PodSecurity;

impl Admission for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update)
            && (request.is("", "namespaces")
                || (request.endpoint.is("", "pods") && !IGNORED.contains(&request.subresource))
                || template_path(request).is_some())
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(object) = object else { return Ok(()) };
            if request.is("", "namespaces") {
                return namespace(request, object);
            }
            if request.endpoint.is("", "pods") {
                pod(request, object).await
            } else {
                template(request, object).await
            }
        })
    }
}

fn template_path(request: &Request<'_>) -> Option<&'static [&'static str]> {
    TEMPLATES.iter().find(|(group, plural, _)| request.is(group, plural)).map(|(_, _, path)| *path)
}

fn policy_of(namespace: &Object) -> (Policy, Vec<field::Error>) {
    Policy::of(|key| namespace.label(key))
}

async fn namespace_policy(request: &Request<'_>) -> Result<(Policy, Vec<field::Error>)> {
    let mut found = request.server.peek("", "namespaces", "", request.namespace)?;
    if found.is_none() {
        // a namespace made a moment ago
        found = request.server.read("", "namespaces", "", request.namespace).await?.map(Arc::new);
    }
    let lost = || errors::internal(format!("failed to lookup namespace {:?}", request.namespace));
    let namespace = found.ok_or_else(lost)?;
    Ok(policy_of(&namespace))
}

fn violations(at: podsecurity::LevelVersion, metadata: &Value, spec: &Value) -> Result<Vec<Violation>> {
    if at.level == Level::Privileged {
        return Ok(Vec::new());
    }
    let spec: PodSpec = spec.view().map_err(errors::internal)?;
    let annotations = metadata.at(&["annotations"]).and_then(Value::as_map);
    let annotations: BTreeMap<String, String> = annotations
        .into_iter()
        .flat_map(|map| map.iter())
        .map(|(key, value)| (key.to_string(), value.as_str().unwrap_or("").to_owned()))
        .collect();
    Ok(evaluate(at, &annotations, &spec))
}

fn warn(request: &Request<'_>, policy: Policy, metadata: &Value, spec: &Value) -> Result<()> {
    let found = violations(policy.warn, metadata, spec)?;
    if !found.is_empty() {
        request.warn(format!("would violate PodSecurity \"{}\": {}", policy.warn, details(&found)));
    }
    Ok(())
}

async fn pod(request: &Request<'_>, pod: &Object) -> Result<()> {
    let (policy, _) = namespace_policy(request).await?;
    if policy.enforce.level == Level::Privileged
        && policy.warn.level == Level::Privileged
        && policy.audit.level == Level::Privileged
    {
        return Ok(());
    }
    if request.old.is_some_and(|old| !is_significant(pod, old)) {
        return Ok(());
    }
    let empty = Value::Map(schema::Map::new());
    let metadata = pod.at(&["metadata"]).unwrap_or(&empty);
    let spec = pod.at(&["spec"]).unwrap_or(&empty);
    let found = violations(policy.enforce, metadata, spec)?;
    if !found.is_empty() {
        let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, details(&found));
        return Err(errors::forbidden(&request.resource(), request.name_of(pod), &why));
    }
    warn(request, policy, metadata, spec)
}

/// Whether an update of a pod changes what a level looks at: its images, or its containers.
fn is_significant(pod: &Object, old: &Object) -> bool {
    let images = |of: &Object, list: &'static str| -> Vec<(String, String)> {
        let text = |c: &Value, key: &str| c.at(&[key]).and_then(Value::as_str).unwrap_or("").to_owned();
        of.list_at(&["spec", list]).iter().map(|c| (text(c, "name"), text(c, "image"))).collect()
    };
    ["containers", "initContainers", "ephemeralContainers"].iter().any(|list| {
        let (new, old) = (images(pod, list), images(old, list));
        new != old
    })
}

async fn template(request: &Request<'_>, object: &Object) -> Result<()> {
    let Some(path) = template_path(request) else { return Ok(()) };
    let (policy, _) = namespace_policy(request).await?;
    let Some(template) = object.at(path) else { return Ok(()) };
    let empty = Value::Map(schema::Map::new());
    let metadata = template.at(&["metadata"]).unwrap_or(&empty);
    match template.at(&["spec"]) {
        Some(spec) => warn(request, policy, metadata, spec),
        None => Ok(()),
    }
}

fn namespace(request: &Request<'_>, namespace: &Object) -> Result<()> {
    let (policy, problems) = policy_of(namespace);
    let before = request.old.map(policy_of);
    let known = before.as_ref().is_some_and(|(_, old)| *old == problems);
    if !problems.is_empty() && !known {
        return Err(errors::invalid("", "Namespace", namespace.name(), &problems));
    }
    let Some((before, _)) = before else { return Ok(()) };
    let lowered =
        policy.enforce.version == before.enforce.version && policy.enforce.level <= before.enforce.level;
    if policy.enforce.level == Level::Privileged || lowered {
        return Ok(());
    }
    warn_of_existing(request, namespace.name(), policy)
}

/// Names the pods that are there already and would not be let in any more.
fn warn_of_existing(request: &Request<'_>, name: &str, policy: Policy) -> Result<()> {
    let pods = in_order(request.server.peek_objects("", "pods", name)?);
    let empty = Value::Map(schema::Map::new());
    let mut by_reason: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for pod in pods.iter().take(MOST_PODS) {
        let metadata = pod.at(&["metadata"]).unwrap_or(&empty);
        let found = violations(policy.enforce, metadata, pod.at(&["spec"]).unwrap_or(&empty))?;
        if found.is_empty() {
            continue;
        }
        let entry = by_reason.entry(reasons(&found)).or_insert_with(|| (pod.name().to_owned(), 0));
        entry.0 = entry.0.as_str().min(pod.name()).to_owned();
        entry.1 += 1;
    }
    if pods.len() > MOST_PODS {
        request.warn(format!(
            "new PodSecurity enforce level only checked against the first {MOST_PODS} of {} existing pods",
            pods.len()
        ));
    }
    if by_reason.is_empty() {
        return Ok(());
    }
    request.warn(format!(
        "existing pods in namespace {name:?} violate the new PodSecurity enforce level \"{}\"",
        policy.enforce
    ));
    let mut lines: Vec<String> = by_reason
        .into_iter()
        .map(|(reason, (pod, count))| match count {
            1 => format!("{pod}: {reason}"),
            2 => format!("{pod} (and 1 other pod): {reason}"),
            many => format!("{pod} (and {} other pods): {reason}", many - 1),
        })
        .collect();
    lines.sort();
    lines.into_iter().for_each(|line| request.warn(line));
    Ok(())
}

/// One pod of each owner first.
fn in_order(pods: Vec<Arc<Object>>) -> Vec<Arc<Object>> {
    let mut seen = HashSet::new();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for pod in pods {
        let controller = pod
            .list_at(&["metadata", "ownerReferences"])
            .iter()
            .find(|owner| owner.at(&["controller"]).and_then(Value::as_bool) == Some(true));
        let uid = controller.and_then(|owner| owner.at(&["uid"]).and_then(Value::as_str)).map(str::to_owned);
        match uid {
            Some(uid) if !seen.insert(uid.clone()) => rest.push(pod),
            _ => first.push(pod),
        }
    }
    first.extend(rest);
    first
}
