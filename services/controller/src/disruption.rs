//! Disruption budgets: how many pods may be evicted now.
//!
//! # Upstream
//! `pkg/controller/disruption`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::Key;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, View, Watch, matches};

use crate::common::{is_ready, is_terminal, scaled};

/// An eviction that was allowed and not seen within this time did not happen.
const EVICTION_SECONDS: i64 = 120;

/// The controller.
#[derive(Debug)]
pub(crate) struct Disruption;

fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|s| matches(s, pod))
}

fn in_namespace<K: Kind>() -> Watch {
    Watch::map::<K>(|view, object| {
        view.list::<PodDisruptionBudget>(object.namespace()).map(|b| b.key()).collect::<Vec<Key>>()
    })
}

impl Controller for Disruption {
    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn component(&self) -> &'static str {
        "controllermanager"
    }

    fn watches(&self) -> Vec<Watch> {
        let by_pod = Watch::map::<Pod>(|view, pod| {
            let budgets = view.list::<PodDisruptionBudget>(pod.namespace());
            budgets.filter(|b| selects(b, pod)).map(|b| b.key()).collect()
        });
        vec![
            Watch::root::<PodDisruptionBudget>(),
            by_pod,
            in_namespace::<Deployment>(),
            in_namespace::<ReplicaSet>(),
            in_namespace::<StatefulSet>(),
            in_namespace::<ReplicationController>(),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::sub::<PodDisruptionBudget>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(budget) = ask.view.get::<PodDisruptionBudget>(ask.key) else { return Ok(plan) };
        let pods: Vec<&Arc<Pod>> =
            ask.view.list::<Pod>(budget.namespace()).filter(|p| selects(budget, p)).collect();
        if pods.is_empty() {
            let message = "No matching pods found";
            plan.events.push(Event::normal(budget.as_ref(), "NoPods", message));
        }
        let old = budget.status.clone().unwrap_or_default();
        let (disrupted, wait) = disrupted(&old, &pods, ask);
        if let Some(wait) = wait {
            plan.again(wait);
        }
        let mut next = PodDisruptionBudget::clone(budget);
        let status = match expected(ask.view, budget, &pods) {
            Ok((expected, desired)) => {
                let healthy =
                    |p: &&&Arc<Pod>| !p.deleting() && !disrupted.contains_key(p.name()) && is_ready(p);
                let current = pods.iter().filter(healthy).count() as i32;
                let allowed = if expected > 0 { (current - desired).max(0) } else { 0 };
                let (state, reason) =
                    if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
                PodDisruptionBudgetStatus {
                    current_healthy: Some(current),
                    desired_healthy: Some(desired),
                    expected_pods: Some(expected),
                    disruptions_allowed: Some(allowed),
                    disrupted_pods: Some(disrupted).filter(|d| !d.is_empty()),
                    observed_generation: budget.metadata.generation,
                    conditions: Some(condition(&old, budget, state, reason, "", ask)),
                }
            }
            Err(message) => {
                plan.events.push(Event::warning(
                    budget.as_ref(),
                    "CalculateExpectedPodCountFailed",
                    format!("Failed to calculate the number of expected pods: {message}"),
                ));
                PodDisruptionBudgetStatus {
                    disruptions_allowed: Some(0),
                    observed_generation: budget.metadata.generation,
                    conditions: Some(condition(&old, budget, "False", "SyncFailed", &message, ask)),
                    ..old.clone()
                }
            }
        };
        next.status = Some(status);
        let changed = plan.update_status(budget.as_ref(), &next)?;
        if !changed {
            plan.events.clear(); // said when it came to be so
        }
        Ok(plan)
    }
}

/// Pods whose eviction was allowed and is still to be seen.
fn disrupted(
    old: &PodDisruptionBudgetStatus,
    pods: &[&Arc<Pod>],
    ask: &Ask<'_>,
) -> (BTreeMap<String, Time>, Option<Duration>) {
    let mut left = BTreeMap::new();
    let mut wait: Option<i64> = None;
    for (name, at) in old.disrupted_pods.iter().flatten() {
        let alive = pods.iter().any(|p| p.name() == name && !p.deleting());
        let remaining = at.0.as_second() + EVICTION_SECONDS - ask.now.as_second();
        if alive && remaining > 0 {
            wait = Some(wait.map_or(remaining, |w| w.min(remaining)));
            left.insert(name.clone(), at.clone());
        }
    }
    (left, wait.map(|w| Duration::from_secs(u64::try_from(w).unwrap_or(1))))
}

/// Expected pods, and how many of them must stay healthy.
fn expected(view: &View, budget: &PodDisruptionBudget, pods: &[&Arc<Pod>]) -> Result<(i32, i32), String> {
    let spec = budget.spec.clone().unwrap_or_default();
    let own = pods.iter().filter(|p| !is_terminal(p)).count() as i32;
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let total = scale(view, pods)?;
            let most = scaled(most, total, true).ok_or("invalid maxUnavailable")?;
            Ok((total, (total - most).max(0)))
        }
        (None, Some(IntOrString::Int(least))) => Ok((own, *least)),
        (None, Some(least)) => {
            let total = scale(view, pods)?;
            Ok((total, scaled(least, total, true).ok_or("invalid minAvailable")?))
        }
        (None, None) => Ok((own, 0)),
    }
}

/// The sizes of what controls the pods, together.
fn scale(view: &View, pods: &[&Arc<Pod>]) -> Result<i32, String> {
    let mut seen = BTreeSet::new();
    let mut total = 0;
    for pod in pods {
        let Some(owner) = pod.controller() else { continue };
        let key = Key::new(pod.namespace(), owner.name.clone());
        let (uid, size) = match owner.kind.as_str() {
            "ReplicaSet" => {
                let set = view.get::<ReplicaSet>(&key).ok_or("replica set not found")?;
                let parent = set.controller().filter(|o| o.kind == "Deployment");
                let deployment = parent.and_then(|o| view.named::<Deployment>(pod.namespace(), &o.name));
                match deployment {
                    Some(d) => (d.uid().to_owned(), d.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)),
                    None => (set.uid().to_owned(), set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)),
                }
            }
            "StatefulSet" => {
                let set = view.get::<StatefulSet>(&key).ok_or("stateful set not found")?;
                (set.uid().to_owned(), set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1))
            }
            "ReplicationController" => {
                let set =
                    view.get::<ReplicationController>(&key).ok_or("replication controller not found")?;
                (set.uid().to_owned(), set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1))
            }
            kind => {
                return Err(format!(
                    "found no controllers for pod {:?}: {kind} has no scale known here",
                    pod.name()
                ));
            }
        };
        if seen.insert(uid) {
            total += size;
        }
    }
    Ok(total)
}

fn condition(
    old: &PodDisruptionBudgetStatus,
    budget: &PodDisruptionBudget,
    status: &str,
    reason: &str,
    message: &str,
    ask: &Ask<'_>,
) -> Vec<Condition> {
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let known = conditions.iter().find(|c| c.type_ == "DisruptionAllowed" && c.status == status);
    let since = known.map_or(Time(ask.now), |c| c.last_transition_time.clone());
    conditions.retain(|c| c.type_ != "DisruptionAllowed");
    conditions.push(Condition {
        type_: "DisruptionAllowed".into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: since,
        observed_generation: budget.metadata.generation,
    });
    conditions
}
