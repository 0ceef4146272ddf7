//! ReplicaSets and ReplicationControllers: as many pods as asked for.
//!
//! # Upstream
//! `pkg/controller/replicaset`, `pkg/controller/replication`, `pkg/controller/controller_utils.go`

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    Pod as NewPod, PodTemplateSpec, ReplicationController, ReplicationControllerCondition,
    ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{
    Ask, Body, Controller, Error, Event, Failure, Kind, Permit, Plan, Pod, View, Watch, selects,
};

use crate::claim::{Selects, claim, claimed};
use crate::common::{created, is_active, is_available, is_ready, node_name, phase, ready_since, time};

/// Pods made or deleted by one plan, at most.
const BURST: usize = 500;

/// The ReplicaSet controller.
#[derive(Debug)]
pub(crate) struct ReplicaSets;

/// The ReplicationController controller.
#[derive(Debug)]
pub(crate) struct ReplicationControllers;

/// A pod of a template, owned by an object.
///
/// # Upstream
/// `pkg/controller/controller_utils.go` `GetPodFromTemplate`
pub(crate) fn pod_from<O: Kind>(template: &PodTemplateSpec, owner: &O) -> NewPod {
    let meta = template.metadata.clone().unwrap_or_default();
    let prefix = format!("{}-", owner.name());
    NewPod {
        metadata: ObjectMeta {
            namespace: Some(owner.namespace().to_owned()).filter(|n| !n.is_empty()),
            generate_name: Some(prefix),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owner.owner_reference()]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Adds a pod's creation with upstream's events.
pub(crate) fn create_pod<O: Kind>(plan: &mut Plan, owner: &O, pod: &NewPod) -> Result<(), Error> {
    create_pods(plan, owner, pod, 1)
}

/// Adds the creation of as many pods, alike but for their names.
pub(crate) fn create_pods<O: Kind>(
    plan: &mut Plan,
    owner: &O,
    pod: &NewPod,
    count: usize,
) -> Result<(), Error> {
    let made = Event::normal(owner, "SuccessfulCreate", "Created pod: {name}");
    let failed = Event::warning(owner, "FailedCreate", "Error creating: {error}");
    for write in plan.create_many(pod, count)? {
        write.together().events(made.clone(), failed.clone());
    }
    Ok(())
}

/// Adds a pod's deletion with upstream's events.
pub(crate) fn delete_pod<O: Kind>(plan: &mut Plan, owner: &O, pod: &Pod) {
    plan.delete(pod).together().events(
        Event::normal(owner, "SuccessfulDelete", format!("Deleted pod: {}", pod.name())),
        Event::warning(owner, "FailedDelete", "Error deleting: {error}"),
    );
}

/// Pods in the order in which they are given up first.
///
/// # Upstream
/// `pkg/controller/controller_utils.go` `ActivePodsWithRanks.Less`
fn rank<'a>(pods: &[&'a Arc<Pod>], related: &HashMap<String, usize>) -> Vec<&'a Arc<Pod>> {
    let cost = |pod: &Pod| -> i32 {
        pod.annotation("controller.kubernetes.io/pod-deletion-cost").and_then(|c| c.parse().ok()).unwrap_or(0)
    };
    let restarts = |pod: &Pod| pod.container_statuses.iter().map(|c| c.restart_count).max().unwrap_or(0);
    // times are compared on a logarithmic scale upstream, so that age alone does not decide between peers
    let age = |t: Timestamp| (Timestamp::MAX.as_second() - t.as_second()).max(1).ilog2();
    let mut pods = pods.to_vec();
    pods.sort_by_cached_key(|pod| {
        let phase = match phase(pod) {
            "Pending" => 0,
            "Unknown" => 1,
            _ => 2,
        };
        let on_node = related.get(node_name(pod)).copied().unwrap_or(0);
        (
            !node_name(pod).is_empty(),
            phase,
            is_ready(pod),
            cost(pod),
            std::cmp::Reverse(on_node),
            std::cmp::Reverse(ready_since(pod).map_or(Timestamp::MIN, |t| t)),
            std::cmp::Reverse(restarts(pod)),
            std::cmp::Reverse(created(pod.as_ref())),
            age(created(pod.as_ref())),
            pod.uid().to_owned(),
        )
    });
    pods
}

/// Counts of a set's pods, as both kinds report them.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    replicas: i32,
    labeled: i32,
    ready: i32,
    available: i32,
    terminating: i32,
}

struct Set<'a, O> {
    owner: &'a O,
    desired: i32,
    min_ready: i32,
    template: &'a PodTemplateSpec,
}

impl<O: Selects> Set<'_, O> {
    /// Makes or deletes pods; gives counts and why pods could not be made or deleted.
    fn plan(&self, ask: &Ask<'_>, plan: &mut Plan) -> Result<Option<Counts>, Error> {
        let mine: Vec<&Arc<Pod>> = claim(ask.view, self.owner, plan);
        if !plan.writes.is_empty() {
            return Ok(None);
        }
        let active: Vec<_> = mine.iter().copied().filter(|p| is_active(p)).collect();
        let have = i32::try_from(active.len()).unwrap_or(i32::MAX);
        if !self.owner.deleting() {
            if have < self.desired {
                let missing = usize::try_from(self.desired - have).unwrap_or(0).min(BURST);
                // after failures one at a time, so that a full quota is not asked 500 times
                let missing = if failed(ask.failures, "create").is_some() { 1 } else { missing };
                create_pods(plan, self.owner, &pod_from(self.template, self.owner), missing)?;
            } else if have > self.desired {
                let surplus = usize::try_from(have - self.desired).unwrap_or(0).min(BURST);
                let related = self.related(ask.view);
                for pod in rank(&active, &related).into_iter().take(surplus) {
                    delete_pod(plan, self.owner, pod);
                }
            }
        }
        let labels = self.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
        let count = |test: &dyn Fn(&Pod) -> bool| active.iter().filter(|p| test(p)).count() as i32;
        let counts = Counts {
            replicas: have,
            labeled: count(&|p| selects(&labels, p)),
            ready: count(&is_ready),
            available: count(&|p| is_available(p, self.min_ready, ask.now)),
            terminating: mine.iter().filter(|p| p.deleting() && !crate::common::is_terminal(p)).count()
                as i32,
        };
        if self.min_ready > 0 && counts.ready == self.desired && counts.available != self.desired {
            let soonest = active.iter().filter_map(|p| ready_since(p)).max();
            let left = soonest.map_or(0, |t| t.as_second() + i64::from(self.min_ready) - ask.now.as_second());
            plan.again(Duration::from_secs(u64::try_from(left.max(1)).unwrap_or(1)));
        }
        Ok(Some(counts))
    }

    /// Active pods by node of all sets that share the owner's owner: crowded nodes give up pods first.
    fn related(&self, view: &View) -> HashMap<String, usize> {
        let mut nodes = HashMap::new();
        let grand = self.owner.controller().map(|o| o.uid.clone());
        let siblings: Vec<String> = match &grand {
            Some(uid) => view.owned::<O>(uid).map(|s| s.uid().to_owned()).collect(),
            None => vec![self.owner.uid().to_owned()],
        };
        for uid in &siblings {
            for pod in view.owned::<Pod>(uid).filter(|p| is_active(p)) {
                *nodes.entry(node_name(pod).to_owned()).or_default() += 1;
            }
        }
        nodes
    }
}

fn failed<'a>(failures: &'a [Failure], verb: &str) -> Option<&'a Failure> {
    failures.iter().find(|f| f.verb == verb && f.resource.plural == "pods")
}

/// `FailedCreate` or `FailedDelete` with the server's words.
fn trouble(failures: &[Failure]) -> Option<(&'static str, String)> {
    let create = failed(failures, "create").map(|f| ("FailedCreate", f.message.clone()));
    create.or_else(|| failed(failures, "delete").map(|f| ("FailedDelete", f.message.clone())))
}

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<ReplicaSet>(), claimed::<Pod, ReplicaSet>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Pod>("create delete patch"), Permit::sub::<ReplicaSet>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(set) = ask.view.get::<ReplicaSet>(ask.key) else { return Ok(plan) };
        let Some(spec) = &set.spec else { return Ok(plan) };
        let template = spec.template.clone().unwrap_or_default();
        let desired = spec.replicas.unwrap_or(1);
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let work = Set { owner: set.as_ref(), desired, min_ready, template: &template };
        let Some(counts) = work.plan(ask, &mut plan)? else { return Ok(plan) };
        let old = set.status.clone().unwrap_or_default();
        let mut conditions = old.conditions.clone().unwrap_or_default();
        let known = conditions.iter().any(|c| c.type_ == "ReplicaFailure");
        match trouble(ask.failures) {
            Some((reason, message)) if !known => conditions.push(ReplicaSetCondition {
                type_: "ReplicaFailure".into(),
                status: "True".into(),
                reason: Some(reason.into()),
                message: Some(message),
                last_transition_time: time(ask.now),
            }),
            None if known && counts.replicas == desired => conditions.retain(|c| c.type_ != "ReplicaFailure"),
            _ => {}
        }
        let mut new = ReplicaSet::clone(set);
        new.status = Some(ReplicaSetStatus {
            replicas: counts.replicas,
            fully_labeled_replicas: Some(counts.labeled).filter(|n| *n > 0),
            ready_replicas: Some(counts.ready).filter(|n| *n > 0),
            available_replicas: Some(counts.available).filter(|n| *n > 0),
            terminating_replicas: Some(counts.terminating),
            observed_generation: set.metadata.generation,
            conditions: Some(conditions).filter(|c| !c.is_empty()),
        });
        status_first(&mut plan, set.as_ref(), &new)?;
        Ok(plan)
    }
}

/// The status does not wait for pods, which may fail to be made.
fn status_first<K: Kind + Body>(plan: &mut Plan, old: &K, new: &K) -> Result<(), Error> {
    let mut first = Plan::nothing();
    first.update_status(old, new)?;
    first.writes.iter_mut().for_each(|write| write.together = true);
    first.writes.append(&mut plan.writes);
    plan.writes = first.writes;
    Ok(())
}

impl Controller for ReplicationControllers {
    fn name(&self) -> &'static str {
        "replicationcontroller-controller"
    }

    fn component(&self) -> &'static str {
        "replication-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<ReplicationController>(), claimed::<Pod, ReplicationController>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::of::<Pod>("create delete patch"),
            Permit::sub::<ReplicationController>("status", "patch"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(set) = ask.view.get::<ReplicationController>(ask.key) else { return Ok(plan) };
        let Some(spec) = &set.spec else { return Ok(plan) };
        let template = spec.template.clone().unwrap_or_default();
        let desired = spec.replicas.unwrap_or(1);
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let work = Set { owner: set.as_ref(), desired, min_ready, template: &template };
        let Some(counts) = work.plan(ask, &mut plan)? else { return Ok(plan) };
        let old = set.status.clone().unwrap_or_default();
        let mut conditions = old.conditions.clone().unwrap_or_default();
        let known = conditions.iter().any(|c| c.type_ == "ReplicaFailure");
        match trouble(ask.failures) {
            Some((reason, message)) if !known => conditions.push(ReplicationControllerCondition {
                type_: "ReplicaFailure".into(),
                status: "True".into(),
                reason: Some(reason.into()),
                message: Some(message),
                last_transition_time: time(ask.now),
            }),
            None if known && counts.replicas == desired => conditions.retain(|c| c.type_ != "ReplicaFailure"),
            _ => {}
        }
        let mut new = ReplicationController::clone(set);
        new.status = Some(ReplicationControllerStatus {
            replicas: counts.replicas,
            fully_labeled_replicas: Some(counts.labeled).filter(|n| *n > 0),
            ready_replicas: Some(counts.ready).filter(|n| *n > 0),
            available_replicas: Some(counts.available).filter(|n| *n > 0),
            observed_generation: set.metadata.generation,
            conditions: Some(conditions).filter(|c| !c.is_empty()),
        });
        status_first(&mut plan, set.as_ref(), &new)?;
        Ok(plan)
    }
}
