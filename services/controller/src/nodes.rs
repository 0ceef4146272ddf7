//! Nodes that stop reporting, what that means for their pods, and their share of the pod range.
//!
//! # Upstream
//! `pkg/controller/{nodelifecycle,tainteviction,nodeipam}`

use std::time::Duration;

use client::{DeleteOptions, Key, Patch, Preconditions};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, Watch};
use serde_json::json;

use crate::common::{created, is_ready, is_terminal, node_name, time};
use crate::daemonset::tolerates;

const GRACE: i64 = 50;
const STARTUP_GRACE: i64 = 60;

/// Conditions and taints of nodes.
#[derive(Debug)]
pub(crate) struct Lifecycle;

/// Deletes pods that do not tolerate a NoExecute taint.
#[derive(Debug)]
pub(crate) struct TaintEviction;

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

/// The last sign of life: the lease or the status.
fn last_seen(ask: &Ask<'_>, node: &Node) -> (Timestamp, i64) {
    let lease = ask.view.named::<Lease>("kube-node-lease", node.name());
    let renewed = lease.and_then(|l| l.spec.as_ref()?.renew_time.as_ref().map(|t| t.0));
    let beat = condition(node, "Ready").and_then(|c| c.last_heartbeat_time.as_ref().map(|t| t.0));
    match renewed.into_iter().chain(beat).max() {
        Some(seen) => (seen, GRACE),
        None => (created(node), STARTUP_GRACE),
    }
}

/// Taints that say what a node's conditions say.
fn wanted_taints(node: &Node, ready: &str, now: Timestamp) -> Vec<Taint> {
    let mut taints = Vec::new();
    let mut add = |key: &str, effect: &str| {
        let key = format!("node.kubernetes.io/{key}");
        let known = node
            .spec
            .iter()
            .flat_map(|s| s.taints.iter().flatten())
            .find(|t| t.key == key && t.effect == effect);
        let since =
            known.map_or_else(|| (effect == "NoExecute").then_some(Time(now)), |t| t.time_added.clone());
        taints.push(Taint { key, effect: effect.into(), value: None, time_added: since });
    };
    match ready {
        "True" => {}
        "False" => {
            add("not-ready", "NoSchedule");
            add("not-ready", "NoExecute");
        }
        _ => {
            add("unreachable", "NoSchedule");
            add("unreachable", "NoExecute");
        }
    }
    let pressures = [
        ("MemoryPressure", "memory-pressure"),
        ("DiskPressure", "disk-pressure"),
        ("PIDPressure", "pid-pressure"),
        ("NetworkUnavailable", "network-unavailable"),
    ];
    for (kind, key) in pressures {
        if condition(node, kind).is_some_and(|c| c.status == "True") {
            add(key, "NoSchedule");
        }
    }
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        add("unschedulable", "NoSchedule");
    }
    taints
}

fn is_ours(taint: &Taint) -> bool {
    let keys = [
        "not-ready",
        "unreachable",
        "memory-pressure",
        "disk-pressure",
        "pid-pressure",
        "network-unavailable",
        "unschedulable",
    ];
    taint.effect != "PreferNoSchedule"
        && taint.key.strip_prefix("node.kubernetes.io/").is_some_and(|k| keys.contains(&k))
}

impl Controller for Lifecycle {
    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn component(&self) -> &'static str {
        "node-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<Node>(), Watch::read::<Lease>(), Watch::read::<Pod>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::of::<Node>("patch"),
            Permit::sub::<Node>("status", "patch"),
            Permit::sub::<Pod>("status", "patch"),
        ]
    }

    fn period(&self) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(node) = ask.view.get::<Node>(ask.key) else { return Ok(plan) };
        let (seen, grace) = last_seen(ask, node);
        let silent = ask.now.as_second() - seen.as_second() > grace;
        let mut next = Node::clone(node);
        if silent {
            silence(&mut next, ask.now);
            let was = condition(node, "Ready").map(|c| c.status.as_str());
            if plan.update_status(node.as_ref(), &next)? && was == Some("True") {
                let message = format!("Node {} status is now: NodeNotReady", node.name());
                plan.events.push(Event::normal(node.as_ref(), "NodeNotReady", message));
            }
        }
        let ready = condition(&next, "Ready").map_or("Unknown", |c| c.status.as_str()).to_owned();
        let known: Vec<Taint> = node.spec.iter().flat_map(|s| s.taints.iter().flatten()).cloned().collect();
        let wanted = wanted_taints(&next, &ready, ask.now);
        let mut taints: Vec<Taint> = known
            .iter()
            .filter(|t| !is_ours(t) || wanted.iter().any(|w| w.key == t.key && w.effect == t.effect))
            .cloned()
            .collect();
        let added =
            wanted.into_iter().filter(|w| !known.iter().any(|t| t.key == w.key && t.effect == w.effect));
        taints.extend(added);
        if taints != known {
            let patch = json!({"metadata": {"uid": node.uid(), "resourceVersion": node.metadata.resource_version},
                "spec": {"taints": taints}});
            // the status write moves the revision on: taints follow when that is seen
            if plan.writes.is_empty() {
                plan.patch(node.as_ref(), "", Patch::Merge(patch));
            }
        }
        labels(&mut plan, node);
        if ready != "True" {
            unready(&mut plan, ask, node);
        }
        Ok(plan)
    }
}

/// Conditions of a node that says nothing any more.
fn silence(node: &mut Node, now: Timestamp) {
    let made = node.metadata.creation_timestamp.clone();
    let status: &mut NodeStatus = node.status.get_or_insert_default();
    let conditions = status.conditions.get_or_insert_default();
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match conditions.iter_mut().find(|c| c.type_ == kind) {
            Some(known) if known.status != "Unknown" => {
                known.status = "Unknown".into();
                known.reason = Some("NodeStatusUnknown".into());
                known.message = Some("Kubelet stopped posting node status.".into());
                known.last_transition_time = time(now);
            }
            Some(_) => {}
            None => conditions.push(NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: made.clone(),
                last_transition_time: time(now),
            }),
        }
    }
}

/// The beta labels follow the stable ones.
fn labels(plan: &mut Plan, node: &Node) {
    let pairs =
        [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];
    for (from, to) in pairs {
        if let Some(value) = node.label(from).filter(|v| node.label(to) != Some(v)) {
            let patch = json!({"metadata": {"uid": node.uid(), "labels": {to: value}}});
            plan.patch(node, "", Patch::Merge(patch));
        }
    }
}

/// Pods of a node that is not ready are not ready.
fn unready(plan: &mut Plan, ask: &Ask<'_>, node: &Node) {
    for pod in ask.view.indexed::<Pod>(node.name()).filter(|p| is_ready(p)) {
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [{
            "type": "Ready", "status": "False", "lastTransitionTime": meta::time::rfc3339(ask.now),
        }]}});
        plan.patch(pod.as_ref(), "status", Patch::Strategic(patch)).together();
        plan.events.push(Event::warning(pod.as_ref(), "NodeNotReady", "Node is not ready"));
    }
}

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
        plan.delete_with(pod.as_ref(), DeleteOptions { preconditions, ..DeleteOptions::default() });
        Ok(plan)
    }
}
