//! Pods nobody else clears away, finished jobs past their time, and the TTL annotation of nodes.
//!
//! # Upstream
//! `pkg/controller/podgc`, `pkg/controller/ttlafterfinished`, `pkg/controller/ttl`

use std::time::Duration;

use client::{DeleteOptions, Key, Patch, Preconditions, Propagation};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use reconcile::{Ask, Controller, Error, Kind, Need, Permit, Plan, Pod, View, Watch};
use serde_json::json;

use crate::common::{created, is_terminal, node_name};

/// Ended pods kept in the cluster.
const KEPT: usize = 12_500;
/// How long a node must be gone before its pods are.
const QUARANTINE: i64 = 40;
/// How often ended pods are counted.
const PERIOD: i64 = 20;
/// Ended pods deleted by one plan, at most.
const BURST: usize = 500;

/// Deletes pods of nodes that are gone, pods that never got a node, and old ended ones.
#[derive(Debug)]
pub(crate) struct PodGc;

fn force(pod: &Pod) -> DeleteOptions {
    DeleteOptions {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some(pod.uid().into()), resource_version: None }),
        propagation_policy: None,
    }
}

/// Fails a pod that has not ended, with the reason why, then deletes it.
fn end(plan: &mut Plan, pod: &Pod, ask: &Ask<'_>, message: &str) {
    if !is_terminal(pod) {
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"phase": "Failed", "conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": message,
            "lastTransitionTime": meta::time::rfc3339(ask.now),
        }]}});
        plan.patch(pod, "status", Patch::Strategic(patch));
    }
    plan.delete_with(pod, force(pod));
}

/// The key under which ended pods are counted; no node has this name.
const ENDED: &str = "";

/// A node that is gone, since when.
#[derive(Debug, Clone, Copy)]
struct Missing(Option<Timestamp>);

fn is_out_of_service(node: &Node) -> bool {
    let mut taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    taints.any(|t| t.key == "node.kubernetes.io/out-of-service")
}

/// The keys a pod gives work to: itself without a node, its node when that is gone or out of service, and all that have
/// ended. Every other pod costs a look.
fn concerns(view: &View, pod: &Pod) -> Vec<Key> {
    let (node, mut keys) = (node_name(pod), Vec::new());
    if is_terminal(pod) && !pod.deleting() {
        keys.push(Key::new("", ENDED));
    }
    if node.is_empty() {
        keys.extend(pod.deleting().then(|| pod.key()));
        return keys;
    }
    let known = view.named::<Node>("", node);
    if known.is_none_or(|n| pod.deleting() && is_out_of_service(n)) {
        keys.push(Key::new("", node));
    }
    keys
}

impl PodGc {
    /// Pods of a node: all of one that is gone for long, those being deleted of one out of service.
    fn of_node(plan: &mut Plan, ask: &Ask<'_>) -> Result<(), Error> {
        let name = ask.key.name.as_str();
        let missing = ask.remembered::<Missing>().and_then(|m| m.0);
        let mut pods = ask.view.indexed::<Pod>(name).peekable();
        if let Some(node) = ask.view.get::<Node>(ask.key) {
            if missing.is_some() {
                plan.remember(Missing(None));
            }
            let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
            let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
            if is_out_of_service(node) && !ready {
                for pod in pods.filter(|p| p.deleting()) {
                    end(plan, pod, ask, "PodGC: node with out-of-service taint");
                }
            }
            return Ok(());
        }
        if pods.peek().is_none() {
            return Ok(());
        }
        let since = missing.unwrap_or(ask.now);
        plan.remember(Missing(Some(since)));
        let left = since.as_second() + QUARANTINE - ask.now.as_second();
        if left > 0 {
            plan.again(Duration::from_secs(u64::try_from(left).unwrap_or(1)));
            return Ok(());
        }
        // the cache may lag behind: only the server says that there is none
        let path = Node::resource().object(ask.key, "");
        match plan.need(ask, Need::read(path)) {
            None => {}
            Some(Ok(_)) => plan.again(Duration::from_secs(QUARANTINE.unsigned_abs())),
            Some(Err(refusal)) if refusal.is_not_found() => {
                for pod in pods {
                    end(plan, pod, ask, "PodGC: node no longer exists");
                }
            }
            Some(Err(refusal)) => return Err(Error::Invalid(refusal.to_string())),
        }
        Ok(())
    }

    /// The oldest of too many pods that have ended, counted at most once in a period.
    fn ended(plan: &mut Plan, ask: &Ask<'_>) {
        if let Some(last) = ask.remembered::<Timestamp>() {
            let left = last.as_second() + PERIOD - ask.now.as_second();
            if left > 0 {
                plan.again(Duration::from_secs(left.unsigned_abs()));
                return;
            }
        }
        plan.remember(ask.now);
        let mut ended: Vec<_> = ask.view.all::<Pod>().filter(|p| is_terminal(p) && !p.deleting()).collect();
        let surplus = ended.len().saturating_sub(KEPT);
        if surplus == 0 {
            return;
        }
        ended.sort_by_cached_key(|p| (created(p.as_ref()), p.key()));
        for pod in ended.into_iter().take(surplus.min(BURST)) {
            plan.delete_with(pod.as_ref(), force(pod)).together();
        }
        plan.again(Duration::from_secs(PERIOD.unsigned_abs()));
    }
}

impl Controller for PodGc {
    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<Node>(), Watch::map::<Pod>(concerns)]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Pod>("delete"), Permit::sub::<Pod>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        if ask.key.namespace.is_empty() {
            if ask.key.name == ENDED {
                Self::ended(&mut plan, ask);
            } else {
                Self::of_node(&mut plan, ask)?;
            }
        } else if let Some(pod) = ask.view.get::<Pod>(ask.key)
            && pod.deleting()
            && node_name(pod).is_empty()
        {
            end(&mut plan, pod, ask, "PodGC: unscheduled and terminating");
        }
        Ok(plan)
    }
}

/// Deletes finished jobs whose time to live is over.
#[derive(Debug)]
pub(crate) struct TtlAfterFinished;

impl Controller for TtlAfterFinished {
    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<Job>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Job>("delete")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(job) = ask.view.get::<Job>(ask.key).filter(|j| !j.deleting()) else { return Ok(plan) };
        let ttl = job.spec.as_ref().and_then(|s| s.ttl_seconds_after_finished);
        let conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
        let end = conditions
            .filter(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
            .find_map(|c| c.last_transition_time.clone());
        let (Some(ttl), Some(end)) = (ttl, end) else { return Ok(plan) };
        let left = end.0.as_second() + i64::from(ttl) - ask.now.as_second();
        if left > 0 {
            plan.again(Duration::from_secs(u64::try_from(left).unwrap_or(1)));
            return Ok(plan);
        }
        let options = DeleteOptions {
            preconditions: Some(Preconditions {
                uid: Some(job.uid().into()),
                resource_version: job.metadata.resource_version.clone(),
            }),
            propagation_policy: Some(Propagation::Foreground),
            grace_period_seconds: None,
        };
        plan.delete_with(job.as_ref(), options);
        Ok(plan)
    }
}

/// The annotation by which kubelets know how long to keep secrets, by the size of the cluster.
#[derive(Debug)]
pub(crate) struct Ttl;

impl Controller for Ttl {
    fn name(&self) -> &'static str {
        "ttl-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<Node>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Node>("patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        const KEY: &str = "node.alpha.kubernetes.io/ttl";
        let mut plan = Plan::nothing();
        let Some(node) = ask.view.get::<Node>(ask.key) else { return Ok(plan) };
        let wanted = match ask.view.all::<Node>().count() {
            0..=100 => 0,
            101..=500 => 15,
            501..=1000 => 30,
            1001..=2000 => 60,
            _ => 300,
        };
        if node.annotation(KEY).and_then(|v| v.parse::<i32>().ok()) != Some(wanted) {
            let patch = json!({"metadata": {"uid": node.uid(), "annotations": {KEY: wanted.to_string()}}});
            plan.patch(node.as_ref(), "", Patch::Merge(patch));
        }
        Ok(plan)
    }
}

/// Keys of pods, for mappings elsewhere.
pub(crate) fn keys_on(view: &reconcile::View, node: &str) -> Vec<Key> {
    view.indexed::<Pod>(node).map(|p| p.key()).collect()
}
