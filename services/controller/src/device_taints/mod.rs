//! Pods go that use a device with a taint their claim does not tolerate.
//!
//! A driver taints a device in the slice it publishes. A NoExecute taint ends the use of the device at once, or after the
//! shortest time the allocation's tolerations give. What uses it are the bound pods that name the claim and that the claim
//! is reserved for; whether they have ended does not matter, as the claim of one that has is soon not reserved any more.
//!
//! # Upstream
//! `pkg/controller/devicetainteviction`
//!
//! # Differs
//! - Taints of DeviceTaintRules (a beta API and a feature, both off by default) do not count, and pod groups (alpha, off by
//!   default) are not known.
//! - A pod whose deletion has begun is not looked at any more; upstream may still say that its deletion is cancelled. So it
//!   may at its start, of pods that were never to go: what it says while its caches fill is not true yet.
//! - Where several slices of a pool's generation name a device, the taints of all count; of upstream's, one taken by chance.
//! - A toleration of more than 292 years lasts as long as it says; upstream's wraps around.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use client::{Key, Patch};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::resource::v1::{
    DeviceRequestAllocationResult, DeviceTaint, DeviceToleration, ResourceClaim, ResourceSlice,
};
use reconcile::{Ask, Controller, Error, Event, Form, Kind, Metric, Permit, Plan, Pod, Sample, View, Watch};
use serde_json::json;

use crate::common::node_name;
use crate::nodes::DELETION_BUCKETS;
use crate::resource_claims::{claim_name, reserved};

const NO_EXECUTE: &str = "NoExecute";

static DELETIONS: Metric = Metric {
    name: "device_taint_eviction_controller_pod_deletions",
    help: "Total number of Pods deleted by DeviceTaintEvictionController since its start",
    label: "",
    form: Form::Counter,
};

static DELETION_SECONDS: Metric = Metric {
    name: "device_taint_eviction_controller_pod_deletion_duration_seconds",
    help: "Latency, in seconds, between the time when a device taint effect has been activated and a Pod's deletion via DeviceTaintEvictionController",
    label: "",
    form: Form::Histogram(&DELETION_BUCKETS),
};

/// The controller.
#[derive(Debug)]
pub(crate) struct DeviceTaints;

/// The uid of the pod that was last found to have to go, until it need not any more.
#[derive(Debug)]
struct Doomed(Option<String>);

/// What a claim was given.
fn devices(claim: &ResourceClaim) -> impl Iterator<Item = &DeviceRequestAllocationResult> {
    let allocation = claim.status.as_ref().and_then(|s| s.allocation.as_ref());
    allocation.and_then(|a| a.devices.as_ref()).into_iter().flat_map(|d| d.results.iter().flatten())
}

fn is_tainted(slice: &ResourceSlice) -> bool {
    slice.spec.devices.iter().flatten().any(|d| d.taints.is_some())
}

/// The slices of a driver's pool, of every generation.
fn pool<'a>(view: &'a View, driver: &'a str, pool: &'a str) -> impl Iterator<Item = &'a ResourceSlice> {
    view.indexed::<ResourceSlice>(pool).filter(move |s| s.spec.driver == driver).map(AsRef::as_ref)
}

/// The taints that end the use of a device, as the last generation of its pool has them.
fn taints<'a>(
    view: &'a View,
    device: &'a DeviceRequestAllocationResult,
) -> impl Iterator<Item = &'a DeviceTaint> {
    let slices = || pool(view, &device.driver, &device.pool);
    let last = slices().map(|s| s.spec.pool.generation).max();
    slices()
        .filter(move |s| Some(s.spec.pool.generation) == last)
        .flat_map(|s| s.spec.devices.iter().flatten())
        .filter(|d| d.name == device.device)
        .flat_map(|d| d.taints.iter().flatten())
        .filter(|t| t.effect == NO_EXECUTE)
}

/// Whether a toleration is for a NoExecute taint. Unlike one of a node's taint, it must name the effect.
fn tolerates(toleration: &DeviceToleration, taint: &DeviceTaint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    toleration.effect.as_deref() == Some(NO_EXECUTE)
        && (key.is_empty() || key == taint.key)
        && match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => {
                toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
            }
            operator => operator == "Exists",
        }
}

/// When a taint ends the use of a device, if ever.
fn end(device: &DeviceRequestAllocationResult, taint: &DeviceTaint) -> Option<Timestamp> {
    let since = taint.time_added.as_ref()?.0; // API servers set it
    let using = device.tolerations.iter().flatten().filter(|t| tolerates(t, taint));
    let seconds: Option<Vec<i64>> = using.map(|t| t.toleration_seconds).collect();
    let least = seconds?.into_iter().min().unwrap_or(0).max(0);
    Some(since.checked_add(SignedDuration::from_secs(least)).unwrap_or(Timestamp::MAX))
}

/// When a pod has to go, if ever.
fn due(view: &View, pod: &Pod) -> Option<Timestamp> {
    if node_name(pod).is_empty() {
        return None;
    }
    let used = pod.spec.resource_claims.iter().filter_map(|want| {
        let claim = view.named::<ResourceClaim>(pod.namespace(), claim_name(pod, want).flatten()?)?;
        // one made from a template may have the name of another pod's that is gone
        let ours =
            want.resource_claim_name.is_some() || claim.controller().is_some_and(|o| o.uid == pod.uid());
        (ours && reserved(claim).iter().any(|r| r.uid == pod.uid())).then_some(claim)
    });
    used.flat_map(|claim| devices(claim))
        .flat_map(|device| taints(view, device).filter_map(move |taint| end(device, taint)))
        .min()
}

fn event(pod: &Pod, message: &str) -> Event {
    let mut event = Event::normal(pod, "DeviceTaintManagerEviction", message);
    Arc::make_mut(&mut event.about).resource_version.clear();
    event
}

fn evict(plan: &mut Plan, pod: &Pod, due: Timestamp, now: Timestamp) {
    let mut condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByDeviceTaintManager",
        "message": "Device Taint manager: deleting due to NoExecute taint",
    });
    if pod.conditions.get("DisruptionTarget").is_none_or(|c| c.status != "True") {
        condition["lastTransitionTime"] = json!(meta::time::rfc3339(now));
    }
    let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
    plan.events.push(event(pod, "Marking for deletion"));
    plan.patch(pod, "status", Patch::Strategic(patch));
    plan.delete(pod).measured([Sample::of(&DELETIONS, 1.0), Sample::since(&DELETION_SECONDS, due)]);
}

/// The pods a claim is reserved for.
fn users(claim: &ResourceClaim) -> impl Iterator<Item = Key> {
    let pods = reserved(claim)
        .iter()
        .filter(|r| r.resource == "pods" && r.api_group.as_deref().unwrap_or_default().is_empty());
    pods.map(|r| Key::new(claim.namespace(), r.name.clone()))
}

impl Controller for DeviceTaints {
    fn name(&self) -> &'static str {
        "device-taint-eviction-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let of_pod = Watch::root::<Pod>().when::<Pod>(|old, new| {
            let same = |old: &Pod, new: &Pod| {
                old.uid() == new.uid()
                    && node_name(old) == node_name(new)
                    && old.resource_claim_statuses == new.resource_claim_statuses
            };
            let new = new.filter(|new| !new.spec.resource_claims.is_empty());
            new.is_some_and(|new| old.is_none_or(|old| !same(old, new)))
        });
        let of_claim = Watch::map::<ResourceClaim>(|_, claim| users(claim).collect());
        let of_slice = Watch::map::<ResourceSlice>(|view, slice| {
            let (driver, name) = (&slice.spec.driver, &slice.spec.pool.name);
            // most pools have no taints at all: their slices are nobody's concern
            if !is_tainted(slice) && !pool(view, driver, name).any(is_tainted) {
                return Vec::new();
            }
            let claims = view.all::<ResourceClaim>();
            let uses = claims.filter(|c| devices(c).any(|d| d.driver == *driver && d.pool == *name));
            uses.flat_map(|c| users(c)).collect()
        });
        vec![
            of_pod,
            of_claim,
            of_slice.when::<ResourceSlice>(|old, new| old.map(|s| &s.spec) != new.map(|s| &s.spec)),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Pod>("delete"), Permit::sub::<Pod>("status", "patch")]
    }

    fn metrics(&self) -> Vec<&'static Metric> {
        vec![&DELETIONS, &DELETION_SECONDS]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(pod) = ask.view.get::<Pod>(ask.key).filter(|p| !p.deleting()) else { return Ok(plan) };
        let Some(due) = due(ask.view, pod) else {
            let doomed = ask.remembered::<Doomed>().and_then(|d| d.0.as_deref());
            if doomed == Some(pod.uid()) {
                plan.events.push(event(pod, "Cancelling deletion"));
                plan.remember(Doomed(None));
            }
            return Ok(plan);
        };
        plan.remember(Doomed(Some(pod.uid().to_owned())));
        match Duration::try_from(due.duration_since(ask.now)) {
            Ok(left) if !left.is_zero() => plan.again(left),
            // negative: it is past
            _ => evict(&mut plan, pod, due, ask.now),
        }
        Ok(plan)
    }
}
