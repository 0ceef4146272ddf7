//! DaemonSets: one pod on every node that fits.
//!
//! # Upstream
//! `pkg/controller/daemon`

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod as NewPod,
    Taint, Toleration,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, Watch};

use crate::claim::{claim, claimed, revisions};
use crate::common::{created, is_available, is_ready, node_name, phase, ready_since, scaled};
use crate::history::{self, History};
use crate::replicas::{create_pod, delete_pod, pod_from};

pub(crate) const GENERATION: &str = "deprecated.daemonset.template.generation";
const BURST: usize = 250;

/// The controller.
#[derive(Debug)]
pub(crate) struct DaemonSets;

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let all = Watch::map::<Node>(|view, _| view.all::<DaemonSet>().map(|d| d.key()).collect());
        vec![Watch::root::<DaemonSet>(), claimed::<Pod, DaemonSet>(), revisions::<DaemonSet>(), all]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::of::<Pod>("create delete patch"),
            Permit::of::<ControllerRevision>("create delete patch"),
            Permit::sub::<DaemonSet>("status", "patch"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(set) = ask.view.get::<DaemonSet>(ask.key).filter(|s| !s.deleting()) else { return Ok(plan) };
        let Some(spec) = &set.spec else { return Ok(plan) };
        let pods: Vec<&Arc<Pod>> = claim(ask.view, set.as_ref(), &mut plan);
        let known: Vec<&Arc<ControllerRevision>> = claim(ask.view, set.as_ref(), &mut plan);
        if !plan.writes.is_empty() {
            return Ok(plan);
        }
        let data = history::template_patch(&spec.template)?;
        let collisions = set.status.as_ref().and_then(|s| s.collision_count);
        let collided = ask.failures.iter().any(|f| f.resource.plural == "controllerrevisions");
        if collided {
            let mut next = DaemonSet::clone(set);
            next.status.get_or_insert_default().collision_count = Some(collisions.unwrap_or(0) + 1);
            plan.update_status(set.as_ref(), &next)?;
            return Ok(plan);
        }
        let history = History::of(set.as_ref(), known, data, collisions, &spec.template)?;
        if history.ensure(set.as_ref(), &mut plan)? {
            return Ok(plan);
        }
        let work = Work { ask, set, hash: history.hash(), pods: by_node(&pods) };
        work.manage(&mut plan)?;
        if plan.writes.is_empty() {
            work.update(&mut plan)?;
        }
        let live: HashSet<&str> = pods.iter().filter_map(|p| p.label(history::REVISION_LABEL)).collect();
        history.truncate(&live, spec.revision_history_limit.unwrap_or(10), &mut plan);
        work.status(&mut plan)?;
        Ok(plan)
    }
}

fn by_node<'a>(pods: &[&'a Arc<Pod>]) -> BTreeMap<String, Vec<&'a Arc<Pod>>> {
    let mut map: BTreeMap<String, Vec<&Arc<Pod>>> = BTreeMap::new();
    for pod in pods {
        map.entry(target(pod)).or_default().push(pod);
    }
    for pods in map.values_mut() {
        pods.sort_by_key(|p| (created(p.as_ref()), p.name().to_owned()));
    }
    map
}

/// The node a pod is bound to or made for.
fn target(pod: &Pod) -> String {
    let bound = node_name(pod);
    if !bound.is_empty() {
        return bound.to_owned();
    }
    made_for(pod).unwrap_or_default()
}

fn made_for(pod: &Pod) -> Option<String> {
    let affinity = pod.spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    fields.filter(|f| f.key == "metadata.name").find_map(|f| f.values.as_ref()?.first().cloned())
}

struct Work<'a> {
    ask: &'a Ask<'a>,
    set: &'a Arc<DaemonSet>,
    hash: String,
    pods: BTreeMap<String, Vec<&'a Arc<Pod>>>,
}

impl<'a> Work<'a> {
    fn nodes(&self) -> impl Iterator<Item = &'a Arc<Node>> {
        self.ask.view.all::<Node>()
    }

    /// Whether the set's pods should run on a node, and go on running there.
    fn fits(&self, node: &Node) -> (bool, bool) {
        let Some(spec) = self.set.spec.as_ref().and_then(|s| s.template.spec.as_ref()) else {
            return (false, false);
        };
        if spec.node_name.as_deref().is_some_and(|n| !n.is_empty() && n != node.name()) {
            return (false, false);
        }
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let selected = spec.node_selector.iter().flatten().all(|(k, v)| labels.get(k) == Some(v));
        let required = spec
            .affinity
            .as_ref()
            .and_then(|a| a.node_affinity.as_ref())
            .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let term = |t: &NodeSelectorTerm| {
            let expressions = t.match_expressions.iter().flatten();
            let fields = t.match_fields.iter().flatten();
            expressions.clone().count() + fields.clone().count() > 0
                && expressions.into_iter().all(|e| requirement(e, labels.get(&e.key).map(String::as_str)))
                && fields.into_iter().all(|e| requirement(e, Some(node.name())))
        };
        if !selected || required.is_some_and(|r| !r.node_selector_terms.iter().any(term)) {
            return (false, false);
        }
        let mut tolerations = spec.tolerations.clone().unwrap_or_default();
        tolerations.extend(own_tolerations(spec.host_network == Some(true)));
        let taints: Vec<&Taint> = node
            .spec
            .iter()
            .flat_map(|s| s.taints.iter().flatten())
            .filter(|t| t.effect != "PreferNoSchedule")
            .collect();
        let tolerated = |t: &&&Taint| tolerations.iter().any(|o| tolerates(o, t));
        let all = taints.iter().filter(|t| !tolerated(t)).count() == 0;
        let stays = taints.iter().filter(|t| t.effect == "NoExecute" && !tolerated(t)).count() == 0;
        (all, stays)
    }

    fn manage(&self, plan: &mut Plan) -> Result<(), Error> {
        let (mut create, mut delete): (Vec<&str>, Vec<&Arc<Pod>>) = (Vec::new(), Vec::new());
        let surge = self.rolling().0;
        for node in self.nodes() {
            let (should, stays) = self.fits(node);
            let pods = self.pods.get(node.name()).cloned().unwrap_or_default();
            if should && pods.is_empty() {
                create.push(node.name());
            } else if stays || should {
                self.keep_one(&pods, surge > 0, plan, &mut delete, &mut create, node.name(), should);
            } else {
                delete.extend(pods.into_iter().filter(|p| !p.deleting()));
            }
        }
        let nodes: HashSet<&str> = self.nodes().map(|n| n.name()).collect();
        // pods made for nodes that are gone never get bound
        for (node, pods) in self.pods.iter().filter(|(n, _)| !nodes.contains(n.as_str())) {
            if !node.is_empty() {
                delete.extend(pods.iter().copied().filter(|p| node_name(p).is_empty() && !p.deleting()));
            }
        }
        for pod in delete.into_iter().take(BURST) {
            delete_pod(plan, self.set.as_ref(), pod);
        }
        for node in create.into_iter().take(BURST) {
            create_pod(plan, self.set.as_ref(), &self.pod(node))?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one node's decision")]
    fn keep_one(
        &self,
        pods: &[&'a Arc<Pod>],
        surging: bool,
        plan: &mut Plan,
        delete: &mut Vec<&'a Arc<Pod>>,
        create: &mut Vec<&'a str>,
        node: &'a str,
        should: bool,
    ) {
        let mut running = Vec::new();
        for pod in pods.iter().filter(|p| !p.deleting()) {
            match phase(pod) {
                "Failed" => {
                    let message = format!(
                        "Found failed daemon pod {}/{} on node {node}, will try to kill it",
                        pod.namespace(),
                        pod.name()
                    );
                    plan.events.push(Event::warning(self.set.as_ref(), "FailedDaemonPod", message));
                    delete.push(pod);
                }
                "Succeeded" => {
                    let message = format!(
                        "Found succeeded daemon pod {}/{} on node {node}, will try to delete it",
                        pod.namespace(),
                        pod.name()
                    );
                    plan.events.push(Event::normal(self.set.as_ref(), "SucceededDaemonPod", message));
                    delete.push(pod);
                }
                _ => running.push(*pod),
            }
        }
        if surging && running.len() <= 2 {
            // an old pod stays until the new one is available
            let (new, old): (Vec<_>, Vec<_>) = running.iter().copied().partition(|p| self.is_new(p));
            let min = self.min_ready();
            if new.first().is_some_and(|new| is_available(new, min, self.ask.now)) {
                delete.extend(old);
            }
            return;
        }
        if running.len() > 1 {
            delete.extend(running.into_iter().skip(1));
        } else if running.is_empty()
            && should
            && pods.iter().all(|p| p.deleting())
            && surging
            && !pods.is_empty()
        {
            create.push(node);
        }
    }

    fn is_new(&self, pod: &Pod) -> bool {
        pod.label(history::REVISION_LABEL) == Some(&self.hash)
    }

    fn min_ready(&self) -> i32 {
        self.set.spec.as_ref().and_then(|s| s.min_ready_seconds).unwrap_or(0)
    }

    fn pod(&self, node: &str) -> NewPod {
        let template = self.set.spec.as_ref().map(|s| s.template.clone()).unwrap_or_default();
        let mut pod = pod_from(&template, self.set.as_ref());
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert(history::REVISION_LABEL.into(), self.hash.clone());
        if let Some(generation) = self.set.annotation(GENERATION) {
            labels.insert("pod-template-generation".into(), generation.into());
        }
        let spec = pod.spec.get_or_insert_default();
        let own = own_tolerations(spec.host_network == Some(true));
        let tolerations = spec.tolerations.get_or_insert_default();
        for toleration in own {
            if !tolerations.contains(&toleration) {
                tolerations.push(toleration);
            }
        }
        let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
        let affinity: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
        let only = NodeSelectorRequirement {
            key: "metadata.name".into(),
            operator: "In".into(),
            values: Some(vec![node.into()]),
        };
        let term = NodeSelectorTerm { match_fields: Some(vec![only]), match_expressions: None };
        affinity.required_during_scheduling_ignored_during_execution =
            Some(NodeSelector { node_selector_terms: vec![term] });
        pod
    }

    /// Surge and unavailable, in pods.
    fn rolling(&self) -> (i32, i32) {
        let strategy = self.set.spec.as_ref().and_then(|s| s.update_strategy.as_ref());
        let rolling = strategy.and_then(|s| s.rolling_update.as_ref());
        let total = i32::try_from(self.nodes().filter(|n| self.fits(n).0).count()).unwrap_or(i32::MAX);
        let of = |v: Option<&IntOrString>, default| {
            v.map_or(default, |v| scaled(v, total, true).unwrap_or(default))
        };
        let surge = of(rolling.and_then(|r| r.max_surge.as_ref()), 0);
        let unavailable = of(rolling.and_then(|r| r.max_unavailable.as_ref()), 1);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    /// Replaces old pods as far as availability allows.
    fn update(&self, plan: &mut Plan) -> Result<(), Error> {
        let strategy = self.set.spec.as_ref().and_then(|s| s.update_strategy.as_ref());
        if strategy.and_then(|s| s.type_.as_deref()) == Some("OnDelete") {
            return Ok(());
        }
        let (surge, unavailable) = self.rolling();
        let (mut missing, mut surging, mut candidates, mut broken) = (0, 0, Vec::new(), Vec::new());
        for node in self.nodes().filter(|n| self.fits(n).0) {
            let all = self.pods.get(node.name()).cloned().unwrap_or_default();
            let pods: Vec<_> = all.into_iter().filter(|p| !p.deleting()).collect();
            let (new, old): (Vec<_>, Vec<_>) = pods.into_iter().partition(|p| self.is_new(p));
            let available = |p: &&Arc<Pod>| is_available(p, self.min_ready(), self.ask.now);
            match (new.first(), old.first()) {
                (Some(_), Some(_)) => surging += 1,
                (Some(new), None) if !available(new) => missing += 1,
                (None, Some(old)) if !available(old) => {
                    missing += 1;
                    broken.push((node.name(), *old));
                }
                (None, Some(old)) => candidates.push((node.name(), *old)),
                (None, None) => missing += 1,
                _ => {}
            }
        }
        if surge > 0 {
            let room = usize::try_from(surge - surging).unwrap_or(0);
            for (_, pod) in &broken {
                delete_pod(plan, self.set.as_ref(), pod);
            }
            for (node, _) in candidates.into_iter().take(room) {
                create_pod(plan, self.set.as_ref(), &self.pod(node))?;
            }
            return Ok(());
        }
        for (_, pod) in &broken {
            delete_pod(plan, self.set.as_ref(), pod);
        }
        let room = usize::try_from(unavailable - missing).unwrap_or(0);
        for (_, pod) in candidates.into_iter().take(room) {
            delete_pod(plan, self.set.as_ref(), pod);
        }
        Ok(())
    }

    fn status(&self, plan: &mut Plan) -> Result<(), Error> {
        let (mut status, old) = (DaemonSetStatus::default(), self.set.status.clone().unwrap_or_default());
        let (mut updated, mut available) = (0, 0);
        let mut waits: Option<i64> = None;
        for node in self.nodes() {
            let pods = self.pods.get(node.name()).cloned().unwrap_or_default();
            if !self.fits(node).0 {
                status.number_misscheduled += i32::from(!pods.is_empty());
                continue;
            }
            status.desired_number_scheduled += 1;
            let Some(pod) = pods.iter().find(|p| !p.deleting()).or(pods.first()) else { continue };
            status.current_number_scheduled += 1;
            if is_ready(pod) {
                status.number_ready += 1;
                if is_available(pod, self.min_ready(), self.ask.now) {
                    available += 1;
                } else if let Some(since) = ready_since(pod) {
                    let left = since.as_second() + i64::from(self.min_ready()) - self.ask.now.as_second();
                    waits = Some(waits.map_or(left, |w| w.min(left)));
                }
            }
            updated += i32::from(self.is_new(pod));
        }
        let count = |n: i32| Some(n).filter(|n| *n > 0);
        status.updated_number_scheduled = count(updated);
        status.number_available = count(available);
        status.number_unavailable = count(status.desired_number_scheduled - available);
        status.observed_generation = self.set.metadata.generation;
        status.collision_count = old.collision_count;
        status.conditions = old.conditions;
        let mut next = DaemonSet::clone(self.set);
        next.status = Some(status);
        plan.update_status(self.set.as_ref(), &next)?;
        if let Some(left) = waits {
            plan.again(Duration::from_secs(u64::try_from(left.max(1)).unwrap_or(1)));
        }
        Ok(())
    }
}

fn requirement(e: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = e.values.as_deref().unwrap_or_default();
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok());
    let bound = number(values.first().map(String::as_str));
    match e.operator.as_str() {
        "In" => value.is_some_and(|v| values.iter().any(|x| x == v)),
        "NotIn" => value.is_none_or(|v| !values.iter().any(|x| x == v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(bound).is_some_and(|(v, b)| v > b),
        "Lt" => number(value).zip(bound).is_some_and(|(v, b)| v < b),
        _ => false,
    }
}

/// Whether a toleration lets a taint pass.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        _ => toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default(),
    }
}

fn own_tolerations(host_network: bool) -> Vec<Toleration> {
    let exists = |key: &str, effect: &str| Toleration {
        key: Some(format!("node.kubernetes.io/{key}")),
        operator: Some("Exists".into()),
        effect: Some(effect.into()),
        ..Toleration::default()
    };
    let mut all = vec![
        exists("not-ready", "NoExecute"),
        exists("unreachable", "NoExecute"),
        exists("disk-pressure", "NoSchedule"),
        exists("memory-pressure", "NoSchedule"),
        exists("pid-pressure", "NoSchedule"),
        exists("unschedulable", "NoSchedule"),
    ];
    if host_network {
        all.push(exists("network-unavailable", "NoSchedule"));
    }
    all
}
