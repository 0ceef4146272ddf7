//! Nodes that stop reporting, and what that means for their pods.
//!
//! # Upstream
//! `pkg/controller/nodelifecycle`
//!
//! # Differs
//! How long a look at all nodes takes is not measured. Pods of a node that was not ready when it fell silent are not ready then either.

mod eviction;
mod health;
mod metrics;
#[cfg(test)]
mod tests;
mod zones;

use std::sync::Arc;
use std::time::Duration;

use client::Patch;
use jiff::Timestamp;
use k8s_openapi::Resource as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use reconcile::{
    Ask, Controller, Error, Event, Involved, Kind, Level, Metric, Permit, Plan, Pod, Sample, Watch,
};
use serde_json::json;

use crate::common::is_ready;
use health::{Health, silence};
use zones::{Leave, Zones, given_up, zone};

pub(crate) use eviction::TaintEviction;
pub(crate) use metrics::DELETION_BUCKETS;

/// Conditions and taints of nodes.
#[derive(Debug)]
pub(crate) struct Lifecycle;

/// How often every node is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What a node's conditions are as taints.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", "not-ready"),
    ("Ready", "Unknown", "unreachable"),
    ("MemoryPressure", "True", "memory-pressure"),
    ("DiskPressure", "True", "disk-pressure"),
    ("PIDPressure", "True", "pid-pressure"),
    ("NetworkUnavailable", "True", "network-unavailable"),
];

fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

fn taints(node: &Node) -> impl Iterator<Item = &Taint> {
    node.spec.iter().flat_map(|s| s.taints.iter().flatten())
}

/// Taints that say what a node's conditions say, but for what pods have to go for.
fn by_condition(node: &Node, now: Timestamp) -> Vec<Taint> {
    let is_so = |kind: &str, status: &str| condition(node, kind).is_some_and(|c| c.status == status);
    let mut keys: Vec<&str> =
        BY_CONDITION.iter().filter(|(kind, status, _)| is_so(kind, status)).map(|(.., key)| *key).collect();
    if node.spec.as_ref().and_then(|s| s.unschedulable) == Some(true) {
        keys.push("unschedulable");
    }
    keys.into_iter().map(|key| taint(key, "NoSchedule", now)).collect()
}

fn taint(key: &str, effect: &str, now: Timestamp) -> Taint {
    let key = format!("node.kubernetes.io/{key}");
    Taint { key, effect: effect.into(), value: None, time_added: Some(Time(now)) }
}

/// The taint a node's pods have to go for, and when to look again.
fn by_silence(zones: &Zones, node: &Node, now: Timestamp) -> (Option<Taint>, Option<Duration>) {
    let known = given_up(node);
    let Some(ready) = condition(node, "Ready") else { return (known.cloned(), None) };
    let key = match ready.status.as_str() {
        "True" => return (None, None),
        "False" => "not-ready",
        _ => "unreachable",
    };
    let gone = taint(key, "NoExecute", now);
    let (may, again) = match zones.leave(node, now) {
        Leave::Nobody => return (None, None),
        Leave::Now => (true, None),
        Leave::Later(after) => (false, Some(after)),
        Leave::No => (false, None),
    };
    match known {
        Some(taint) if taint.key == gone.key => (Some(taint.clone()), None),
        // it has to go already: only the reason is another now
        Some(_) => (Some(gone), None),
        None => (may.then_some(gone), again),
    }
}

/// Whether a taint is given and taken here.
fn is_ours(taint: &Taint) -> bool {
    let Some(key) = taint.key.strip_prefix("node.kubernetes.io/") else { return false };
    match taint.effect.as_str() {
        "NoSchedule" => key == "unschedulable" || BY_CONDITION.iter().any(|(.., known)| *known == key),
        "NoExecute" => matches!(key, "not-ready" | "unreachable"),
        _ => false,
    }
}

/// A node's taints as they should be: those of others, ours that hold, then the new ones.
fn renewed(node: &Node, wanted: Vec<Taint>) -> Vec<Taint> {
    let same = |a: &Taint, b: &Taint| a.key == b.key && a.effect == b.effect;
    let mut all: Vec<Taint> =
        taints(node).filter(|t| !is_ours(t) || wanted.iter().any(|w| same(w, t))).cloned().collect();
    all.extend(wanted.into_iter().filter(|w| !taints(node).any(|t| same(t, w))));
    all
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

    fn metrics(&self) -> Vec<&'static Metric> {
        metrics::ZONES.to_vec()
    }

    fn worked(&self) -> Option<&'static Metric> {
        Some(&metrics::UPDATE)
    }

    fn period(&self) -> Option<Duration> {
        Some(LOOK)
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let name = &ask.key.name;
        let Some(node) = ask.view.get::<Node>(ask.key) else {
            if let Some(known) = ask.remembered::<Health>() {
                let message = format!("Node {name} event: Removing Node {name} from Controller");
                plan.events.push(event(name, known.uid(), "RemovingNode", message));
            }
            return Ok(plan);
        };
        let zones = Zones::of(ask, &mut plan);
        let (health, is_new) = Health::of(ask, node);
        if is_new {
            let message = format!("Node {name} event: Registered Node {name} in Controller");
            plan.events.push(event(name, node.uid(), "RegisteredNode", message));
        }
        let mut next = Arc::clone(node); // copied only to be changed: all nodes are looked at all the time
        if health.is_silent(ask.now) {
            silence(Arc::make_mut(&mut next), ask.now);
            let was = condition(node, "Ready").map(|c| c.status.as_str());
            if plan.update_status(node.as_ref(), next.as_ref())? && was == Some("True") {
                let message = format!("Node {name} status is now: NodeNotReady");
                plan.events.push(event(name, node.uid(), "NodeNotReady", message));
            }
        }
        if ask.remembered() != Some(&health) {
            plan.remember(health);
        }
        let mut wanted = by_condition(&next, ask.now);
        let (left, again) = by_silence(&zones, &next, ask.now);
        let evicts = left.is_some() && given_up(node).is_none();
        wanted.extend(left);
        if let Some(after) = again {
            plan.again(after);
        }
        let renewed = renewed(node, wanted);
        // the status write moves the revision on: taints follow when that is seen
        if plan.writes.is_empty() && !renewed.iter().eq(taints(node)) {
            let patch = json!({"metadata": {"uid": node.uid(), "resourceVersion": node.metadata.resource_version},
                "spec": {"taints": renewed}});
            let eviction = evicts.then(|| Sample::under(&metrics::EVICTIONS, zone(node), 1.0));
            plan.patch(node.as_ref(), "", Patch::Merge(patch)).measured(eviction);
        }
        labels(&mut plan, node);
        if condition(&next, "Ready").is_some_and(|c| c.reason.as_deref() == Some(health::STOPPED)) {
            unready(&mut plan, ask, node);
        }
        Ok(plan)
    }
}

/// An event of a node, which upstream names without its revision.
fn event(name: &str, uid: &str, reason: &'static str, message: String) -> Event {
    let about = Involved {
        api_version: Node::API_VERSION.into(),
        kind: Node::KIND.into(),
        name: name.into(),
        uid: uid.into(),
        ..Involved::default()
    };
    Event { about: Arc::new(about), level: Level::Normal, reason, message }
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

/// Pods of a node that says nothing any more are not ready. A kubelet that does say something says it of its pods too.
fn unready(plan: &mut Plan, ask: &Ask<'_>, node: &Node) {
    for pod in ask.view.indexed::<Pod>(node.name()).filter(|p| is_ready(p)) {
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [{
            "type": "Ready", "status": "False", "lastTransitionTime": meta::time::rfc3339(ask.now),
        }]}});
        plan.patch(pod.as_ref(), "status", Patch::Strategic(patch)).together();
        plan.events.push(Event::warning(pod.as_ref(), "NodeNotReady", "Node is not ready"));
    }
}
