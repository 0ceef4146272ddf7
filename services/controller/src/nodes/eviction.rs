//! Pods that go for a taint of their node.
//!
//! # Upstream
//! `pkg/controller/tainteviction`
//!
//! # Differs
//! The latency of deletions is measured in seconds; upstream multiplies its nanoseconds by a thousand million more.

use std::time::Duration;

use client::{DeleteOptions, Key, Patch, Preconditions};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use reconcile::{Ask, Controller, Error, Event, Kind, Metric, Permit, Plan, Pod, Sample, Watch};
use serde_json::json;

use super::metrics::{DELETION_SECONDS, DELETIONS};
use crate::common::{is_terminal, node_name};
use crate::daemonset::tolerates;

/// Deletes pods that do not tolerate a NoExecute taint.
#[derive(Debug)]
pub(crate) struct TaintEviction;

fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    taints.filter(|t| t.effect == "NoExecute")
}

/// Whether a node has a taint pods may have to go for.
fn evicts(node: &Node) -> bool {
    no_execute(node).next().is_some()
}

impl Controller for TaintEviction {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        // a node's state before and after a change is asked, so that a taint that goes is seen too
        let of_node = Watch::map::<Node>(|view, node| {
            if evicts(node) { crate::pods::keys_on(view, node.name()) } else { Vec::new() }
        });
        let of_pod = Watch::map::<Pod>(|view, pod| {
            let node = view.named::<Node>("", node_name(pod));
            node.filter(|n| evicts(n)).map(|_| pod.key()).into_iter().collect()
        });
        vec![of_pod, of_node]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Pod>("delete"), Permit::sub::<Pod>("status", "patch")]
    }

    fn metrics(&self) -> Vec<&'static Metric> {
        vec![&DELETIONS, &DELETION_SECONDS]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(pod) = ask.view.get::<Pod>(ask.key).filter(|p| !p.deleting() && !is_terminal(p)) else {
            return Ok(plan);
        };
        let Some(node) = ask.view.get::<Node>(&Key::new("", node_name(pod))) else { return Ok(plan) };
        let taints: Vec<&Taint> = no_execute(node).collect();
        if taints.is_empty() {
            return Ok(plan);
        }
        let mut due: Option<Timestamp> = None;
        for taint in taints {
            let using: Vec<_> = pod.spec.tolerations.iter().filter(|t| tolerates(t, taint)).collect();
            let since = taint.time_added.as_ref().map_or(ask.now, |t| t.0);
            let seconds = if using.is_empty() {
                Some(0)
            } else {
                using.iter().filter_map(|t| t.toleration_seconds).min()
            };
            let Some(seconds) = seconds else { continue };
            let at = Timestamp::from_second(since.as_second().saturating_add(seconds.max(0)))
                .unwrap_or(Timestamp::MAX);
            due = Some(due.map_or(at, |d| d.min(at)));
        }
        let Some(due) = due else { return Ok(plan) };
        let left = due.as_second() - ask.now.as_second();
        if left > 0 {
            plan.again(Duration::from_secs(u64::try_from(left).unwrap_or(1)));
            return Ok(plan);
        }
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": meta::time::rfc3339(ask.now),
        }]}});
        plan.patch(pod.as_ref(), "status", Patch::Strategic(patch));
        let message = format!("Marking for deletion Pod {}", pod.key());
        plan.events.push(Event::normal(pod.as_ref(), "TaintManagerEviction", message));
        let preconditions = Some(Preconditions { uid: Some(pod.uid().into()), resource_version: None });
        plan.delete_with(pod.as_ref(), DeleteOptions { preconditions, ..DeleteOptions::default() })
            .measured([Sample::of(&DELETIONS, 1.0), Sample::since(&DELETION_SECONDS, due)]);
        Ok(plan)
    }
}
