//! Pods nobody else clears away, finished jobs past their time, and the TTL annotation of nodes.
//!
//! # Upstream
//! `pkg/controller/podgc`, `pkg/controller/ttlafterfinished`, `pkg/controller/ttl`

use std::time::Duration;

use client::{DeleteOptions, Key, Patch, Preconditions, Propagation};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Watch};
use serde_json::json;

use crate::common::{created, is_terminal, node_name};

/// Ended pods kept in the cluster.
const KEPT: usize = 12_500;
/// How long a node must be gone before its pods are.
const QUARANTINE: i64 = 40;

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

impl Controller for PodGc {
    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let of_node =
            Watch::map::<Node>(|view, node| view.indexed::<Pod>(node.name()).map(|p| p.key()).collect());
        vec![Watch::root::<Pod>(), of_node]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Pod>("delete"), Permit::sub::<Pod>("status", "patch")]
    }

    fn period(&self) -> Option<Duration> {
        Some(Duration::from_secs(20))
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(pod) = ask.view.get::<Pod>(ask.key) else { return Ok(plan) };
        let node = node_name(pod);
        if node.is_empty() {
            if pod.deleting() {
                end(&mut plan, pod, ask, "PodGC: unscheduled and terminating");
            }
            return Ok(plan);
        }
        let Some(found) = ask.view.named::<Node>("", node) else {
            let since =
                pod.metadata.deletion_timestamp.as_ref().map_or_else(|| created(pod.as_ref()), |t| t.0);
            let left = since.as_second() + QUARANTINE - ask.now.as_second();
            if left > 0 {
                plan.again(Duration::from_secs(u64::try_from(left).unwrap_or(1)));
            } else {
                end(&mut plan, pod, ask, "PodGC: node no longer exists");
            }
            return Ok(plan);
        };
        let taints = found.spec.iter().flat_map(|s| s.taints.iter().flatten());
        let out_of_service = taints.into_iter().any(|t| t.key == "node.kubernetes.io/out-of-service");
        let ready = found
            .status
            .iter()
            .flat_map(|s| s.conditions.iter().flatten())
            .any(|c| c.type_ == "Ready" && c.status == "True");
        if pod.deleting() && out_of_service && !ready {
            end(&mut plan, pod, ask, "PodGC: node with out-of-service taint");
        } else if is_terminal(pod) && !pod.deleting() {
            let mut ended: Vec<_> = ask.view.all::<Pod>().filter(|p| is_terminal(p)).collect();
            if ended.len() > KEPT {
                ended.sort_by_key(|p| created(p.as_ref()));
                let surplus = ended.len() - KEPT;
                if ended.iter().take(surplus).any(|p| p.uid() == pod.uid()) {
                    plan.delete_with(pod.as_ref(), force(pod));
                }
            }
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
