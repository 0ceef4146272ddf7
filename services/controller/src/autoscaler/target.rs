//! What an autoscaler scales: found by kind, read and written through its `scale` subresource.

use client::{Key, Resource};
use k8s_openapi::api::autoscaling::v2::CrossVersionObjectReference;
use reconcile::{Ask, Need, Plan};
use serde_json::Value;

/// The target's size, and who its pods are.
pub(super) struct Scale<'a> {
    pub(super) resource: Resource,
    pub(super) value: &'a Value,
}

impl Scale<'_> {
    pub(super) fn spec_replicas(&self) -> i32 {
        count(&self.value["spec"]["replicas"])
    }

    pub(super) fn status_replicas(&self) -> i32 {
        count(&self.value["status"]["replicas"])
    }

    pub(super) fn selector(&self) -> &str {
        self.value["status"]["selector"].as_str().unwrap_or_default()
    }
}

fn count(value: &Value) -> i32 {
    value.as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0) // absent: zero
}

/// The plural upstream's metrics client guesses for a kind it cannot look up.
pub(super) fn plural_guess(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.chars().last() {
        Some('s') => format!("{lower}es"),
        Some('y') => format!("{}ies", &lower[..lower.len() - 1]),
        _ => format!("{lower}s"),
    }
}

/// The resource of a kind, by discovery; `Ok(None)` while that is asked.
fn resource(
    plan: &mut Plan,
    ask: &Ask<'_>,
    reference: &CrossVersionObjectReference,
) -> Result<Option<Resource>, String> {
    let full = reference.api_version.as_deref().unwrap_or("v1");
    let (group, version) = full.split_once('/').unwrap_or(("", full));
    let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let unknown = || format!("no matches for kind {:?} in group {group:?}", reference.kind);
    let Some(answer) = plan.need(ask, Need::read(path)) else { return Ok(None) };
    let list = match answer {
        Ok(list) => list,
        Err(refusal) if refusal.is_not_found() => return Err(unknown()),
        Err(refusal) => return Err(refusal.to_string()),
    };
    let entries = list["resources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let plain = |r: &&Value| r["kind"] == reference.kind && !r["name"].as_str().unwrap_or("/").contains('/');
    let found = entries.iter().find(plain).and_then(|r| r["name"].as_str()).ok_or_else(unknown)?;
    Ok(Some(Resource {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        plural: found.to_owned().into(),
        kind: reference.kind.clone().into(),
        namespaced: true,
    }))
}

/// The target's scale: the outer error is why its kind is unknown, the inner why it cannot be read.
pub(super) fn scale<'a>(
    plan: &mut Plan,
    ask: &Ask<'a>,
    namespace: &str,
    reference: &CrossVersionObjectReference,
) -> Result<Option<Scale<'a>>, (String, &'static str)> {
    let unknown = |e| (e, "unable to determine resource for scale target reference");
    let Some(resource) = resource(plan, ask, reference).map_err(unknown)? else { return Ok(None) };
    let path = resource.object(&Key::new(namespace, reference.name.clone()), "scale");
    match plan.need(ask, Need::read(path)) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(Scale { resource, value })),
        Some(Err(refusal)) => Err((refusal.to_string(), "failed to query scale subresource")),
    }
}
