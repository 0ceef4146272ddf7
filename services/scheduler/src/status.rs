//! What pods are told about themselves: conditions, nominations, that they have to go.
//!
//! # Upstream
//! `pkg/scheduler/schedule_one.go` `updatePod`, `pkg/scheduler/framework/preemption/executor.go`

use std::sync::Arc;

use client::{Client, DeleteOptions, Patch, PatchParams, Preconditions, Resource};
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use crate::model::Pod;
use crate::plugins::default_preemption::Preemption;
use crate::record::{Note, Recorder};

async fn patch(client: &Client, pod: &Pod, status: Value) -> Result<(), client::Error> {
    let body = json!({"metadata": {"uid": &*pod.uid}, "status": status});
    let params = PatchParams { subresource: "status", ..PatchParams::default() };
    client.patch(&Resource::of::<core::Pod>(), &pod.key(), &Patch::Strategic(body), &params).await.map(|_| ())
}

fn condition(pod: &Pod, kind: &str, status: &str, reason: &str, message: &str, is_new: bool) -> Value {
    let mut condition = json!({"type": kind, "status": status, "reason": reason, "message": message});
    if pod.generation > 0 {
        condition["observedGeneration"] = pod.generation.into();
    }
    if is_new {
        condition["lastProbeTime"] = Value::Null;
        condition["lastTransitionTime"] = meta::time::rfc3339(Timestamp::now()).into();
    }
    condition
}

/// Says in a pod's status why it has no node, and which it is to get; nothing when it says so already.
///
/// # Errors
/// The write failed.
pub(crate) async fn refuse(
    client: &Client,
    pod: &Pod,
    reason: &str,
    message: &str,
    nominate: Option<&str>,
) -> Result<(), client::Error> {
    let mut status = json!({});
    let known = pod.scheduled.as_ref();
    if !known.is_some_and(|c| c.status == "False" && c.reason == reason && c.message == message) {
        let is_new = known.is_none_or(|c| c.status != "False");
        status["conditions"] = json!([condition(pod, "PodScheduled", "False", reason, message, is_new)]);
    }
    if let Some(node) = nominate.filter(|node| *node != pod.nominated) {
        status["nominatedNodeName"] = if node.is_empty() { Value::Null } else { node.into() };
    }
    if status == json!({}) {
        return Ok(());
    }
    gone_is_done(patch(client, pod, status).await)
}

/// Takes a nomination back.
///
/// # Errors
/// The write failed.
pub(crate) async fn withdraw(client: &Client, pod: &Pod) -> Result<(), client::Error> {
    gone_is_done(patch(client, pod, json!({"nominatedNodeName": null})).await)
}

/// Makes pods go for a more important one.
///
/// # Errors
/// Not all of them were told.
pub(crate) async fn displace(
    client: &Client,
    recorder: &Recorder,
    pod: &Arc<Pod>,
    preemption: &Preemption,
) -> Result<(), client::Error> {
    for victim in preemption.victims.iter().filter(|v| !v.deleting) {
        let message = format!("{}: preempting to accommodate a higher priority pod", pod.scheduler);
        let why = condition(victim, "DisruptionTarget", "True", "PreemptionByScheduler", &message, true);
        match patch(client, victim, json!({"conditions": [why]})).await {
            Err(error) if is_gone(&error) => continue,
            other => other?,
        }
        let uid = Some(victim.uid.to_string());
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        match client.delete(&Resource::of::<core::Pod>(), &victim.key(), &options).await {
            Err(error) if is_gone(&error) => continue,
            other => other?,
        };
        let text = format!("Preempted by pod {} on node {}", pod.uid, preemption.node);
        let note = Note { kind: "Normal", reason: "Preempted", action: "Preempting", text };
        recorder.record(victim, Some(pod), note);
    }
    Ok(())
}

/// Not there, or another one by that name.
fn is_gone(error: &client::Error) -> bool {
    error.is_not_found() || error.is_conflict()
}

fn gone_is_done(result: Result<(), client::Error>) -> Result<(), client::Error> {
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}
