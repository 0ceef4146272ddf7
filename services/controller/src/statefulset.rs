//! StatefulSets: pods with names and volumes of their own, in order.
//!
//! # Upstream
//! `pkg/controller/statefulset`

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, PodTemplateSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, Watch};

use crate::claim::{claim, claimed, revisions};
use crate::common::{is_available, is_ready, is_terminal, phase, scaled};
use crate::history::{self, History, REVISION_LABEL};
use crate::replicas::pod_from;

/// The controller.
#[derive(Debug)]
pub(crate) struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::root::<StatefulSet>(),
            claimed::<Pod, StatefulSet>(),
            revisions::<StatefulSet>(),
            Watch::read::<PersistentVolumeClaim>(),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::of::<Pod>("create delete patch"),
            Permit::of::<PersistentVolumeClaim>("create patch delete"),
            Permit::of::<ControllerRevision>("create delete patch"),
            Permit::sub::<StatefulSet>("status", "patch"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(set) = ask.view.get::<StatefulSet>(ask.key).filter(|s| !s.deleting()) else {
            return Ok(plan);
        };
        let Some(spec) = &set.spec else { return Ok(plan) };
        let pods: Vec<&Arc<Pod>> = claim(ask.view, set.as_ref(), &mut plan);
        let known: Vec<&Arc<ControllerRevision>> = claim(ask.view, set.as_ref(), &mut plan);
        if !plan.writes.is_empty() {
            return Ok(plan);
        }
        let status = set.status.clone().unwrap_or_default();
        let data = history::template_patch(&spec.template)?;
        let history = History::of(set.as_ref(), known, data, status.collision_count, &spec.template)?;
        if history.ensure(set.as_ref(), &mut plan)? {
            return Ok(plan);
        }
        let update = history.current.name().to_owned();
        let stored = |name: &str| history.known.iter().find(|r| r.name() == name).copied();
        let current =
            status.current_revision.clone().filter(|name| stored(name).is_some()).unwrap_or(update.clone());
        let old_template = stored(&current).and_then(|r| r.data.clone());
        let old_template: Option<PodTemplateSpec> =
            old_template.map(|d| serde_json::from_value(d.0["spec"]["template"].clone())).transpose()?;
        let mut work = Work { ask, set, spec, pods, current, update, old_template, plan };
        work.step()?;
        work.status(&status)?;
        let mut live: HashSet<&str> = work.pods.iter().filter_map(|p| p.label(REVISION_LABEL)).collect();
        live.insert(&work.current);
        history.truncate(&live, spec.revision_history_limit.unwrap_or(10), &mut work.plan);
        Ok(work.plan)
    }
}

struct Work<'a> {
    ask: &'a Ask<'a>,
    set: &'a Arc<StatefulSet>,
    spec: &'a StatefulSetSpec,
    pods: Vec<&'a Arc<Pod>>,
    current: String,
    update: String,
    old_template: Option<PodTemplateSpec>,
    plan: Plan,
}

/// A pod's number within its set.
fn ordinal(set: &StatefulSet, pod: &Pod) -> Option<i32> {
    pod.name().strip_prefix(set.name())?.strip_prefix('-')?.parse().ok()
}

impl<'a> Work<'a> {
    fn start(&self) -> i32 {
        self.spec.ordinals.as_ref().and_then(|o| o.start).unwrap_or(0)
    }

    fn desired(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn partition(&self) -> i32 {
        let rolling = self.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        rolling.and_then(|r| r.partition).unwrap_or(0)
    }

    fn strategy_is(&self, name: &str) -> bool {
        let strategy = self.spec.update_strategy.as_ref().and_then(|s| s.type_.as_deref());
        strategy.unwrap_or("RollingUpdate") == name
    }

    fn parallel(&self) -> bool {
        self.spec.pod_management_policy.as_deref() == Some("Parallel")
    }

    fn min_ready(&self) -> i32 {
        self.spec.min_ready_seconds.unwrap_or(0)
    }

    fn available(&self, pod: &Pod) -> bool {
        is_available(pod, self.min_ready(), self.ask.now)
    }

    fn by_ordinal(&self) -> BTreeMap<i32, &'a Arc<Pod>> {
        self.pods.iter().filter_map(|p| Some((ordinal(self.set, p)?, *p))).collect()
    }

    fn step(&mut self) -> Result<(), Error> {
        let pods = self.by_ordinal();
        let wanted = self.start()..self.start() + self.desired();
        for number in wanted.clone() {
            let pod = pods.get(&number).copied();
            let go_on = self.keep(number, pod)?;
            if !go_on && !self.parallel() {
                return Ok(());
            }
        }
        let surplus: Vec<_> =
            pods.iter().rev().filter(|(n, _)| !wanted.contains(n)).map(|(_, p)| *p).collect();
        // the lowest of those that go and are not well: it alone may go while it is not
        let first_ill = surplus.iter().rev().find(|p| !is_ready(p)).map(|p| p.uid().to_owned());
        for pod in &surplus {
            if pod.deleting() {
                if self.parallel() {
                    continue;
                }
                return Ok(()); // one at a time
            }
            if !self.parallel() && !is_ready(pod) && first_ill.as_deref() != Some(pod.uid()) {
                return Ok(());
            }
            self.delete(pod);
            if !self.parallel() {
                return Ok(());
            }
        }
        if !self.strategy_is("OnDelete") && (surplus.is_empty() || self.parallel()) {
            self.roll(&pods, wanted);
        }
        Ok(())
    }

    /// Makes a pod what it should be; whether the next one may be looked at.
    fn keep(&mut self, number: i32, pod: Option<&'a Arc<Pod>>) -> Result<bool, Error> {
        let Some(pod) = pod else {
            self.create(number)?;
            return Ok(false);
        };
        if is_terminal(pod) {
            if !pod.deleting() {
                let message =
                    format!("StatefulSet {} is recreating {} Pod {}", self.set.key(), phase(pod), pod.name());
                let reason =
                    if phase(pod) == "Failed" { "RecreatingFailedPod" } else { "RecreatingTerminatedPod" };
                self.plan.events.push(Event::warning(self.set.as_ref(), reason, message));
                self.delete(pod);
            }
            return Ok(false);
        }
        if pod.deleting() {
            return Ok(false);
        }
        self.claims(number)?;
        if phase(pod) != "Running" || !is_ready(pod) {
            return Ok(false);
        }
        if !self.available(pod) {
            self.plan.again(Duration::from_secs(1));
            return Ok(false);
        }
        Ok(true)
    }

    /// Replaces pods of the old revision from the highest number down, one by one (or as many as may be unavailable).
    fn roll(&mut self, pods: &BTreeMap<i32, &'a Arc<Pod>>, wanted: std::ops::Range<i32>) {
        let rolling = self.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref());
        let most = rolling
            .and_then(|r| r.max_unavailable.as_ref())
            .and_then(|m| scaled(m, self.desired(), true))
            .unwrap_or(1)
            .max(1);
        let mut unavailable =
            wanted.clone().filter(|n| pods.get(n).is_none_or(|p| !self.available(p) || p.deleting())).count()
                as i32;
        let old: Vec<&Arc<Pod>> = pods
            .iter()
            .rev()
            .filter(|(n, _)| wanted.contains(n) && **n >= self.start() + self.partition())
            .map(|(_, p)| *p)
            .collect();
        for pod in old {
            let is_old = pod.label(REVISION_LABEL) != Some(&self.update);
            let healthy = self.available(pod) && !pod.deleting();
            if is_old && !pod.deleting() && (unavailable < most || !healthy) {
                if healthy {
                    unavailable += 1;
                }
                self.delete(pod);
                if unavailable >= most {
                    return;
                }
            } else if !healthy && unavailable >= most {
                return; // waited for
            }
        }
    }

    fn delete(&mut self, pod: &Pod) {
        let subject = format!("delete Pod {} in StatefulSet {}", pod.name(), self.set.name());
        let set = self.set.as_ref();
        self.plan.delete(pod).together().events(
            Event::normal(set, "SuccessfulDelete", format!("{subject} successful")),
            Event::warning(set, "FailedDelete", format!("{subject} failed error: {{error}}")),
        );
    }

    fn revision_for(&self, number: i32) -> (String, PodTemplateSpec) {
        let below = !self.strategy_is("OnDelete") && number < self.start() + self.partition();
        let current_replicas = self.set.status.as_ref().and_then(|s| s.current_replicas).unwrap_or(0);
        let unrolled = self.strategy_is("RollingUpdate")
            && self.spec.update_strategy.as_ref().and_then(|s| s.rolling_update.as_ref()).is_none()
            && number < self.start() + current_replicas;
        match &self.old_template {
            Some(template) if below || unrolled => (self.current.clone(), template.clone()),
            _ => (self.update.clone(), self.spec.template.clone()),
        }
    }

    fn create(&mut self, number: i32) -> Result<(), Error> {
        self.claims(number)?;
        let (revision, template) = self.revision_for(number);
        let mut pod = pod_from(&template, self.set.as_ref());
        let name = format!("{}-{number}", self.set.name());
        pod.metadata.generate_name = None;
        pod.metadata.name = Some(name.clone());
        let labels = pod.metadata.labels.get_or_insert_default();
        labels.insert("statefulset.kubernetes.io/pod-name".into(), name.clone());
        labels.insert("apps.kubernetes.io/pod-index".into(), number.to_string());
        labels.insert(REVISION_LABEL.into(), revision);
        let spec = pod.spec.get_or_insert_default();
        spec.hostname = Some(name.clone());
        spec.subdomain.clone_from(&self.spec.service_name);
        let templates = self.spec.volume_claim_templates.clone().unwrap_or_default();
        let volumes = spec.volumes.get_or_insert_default();
        for claim in &templates {
            volumes.retain(|v| v.name != claim.name());
            volumes.push(Volume {
                name: claim.name().into(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: self.claim_name(claim, number),
                    read_only: Some(false),
                }),
                ..Volume::default()
            });
        }
        spec.volumes = spec.volumes.take().filter(|v| !v.is_empty());
        let subject = format!("create Pod {name} in StatefulSet {}", self.set.name());
        let set = self.set.as_ref();
        let (ok, failed) = (format!("{subject} successful"), format!("{subject} failed error: {{error}}"));
        let at_once = self.parallel() && templates.is_empty();
        let write = self.plan.create(&pod)?;
        write.events(Event::normal(set, "SuccessfulCreate", ok), Event::warning(set, "FailedCreate", failed));
        if at_once {
            write.together();
        }
        Ok(())
    }

    fn claim_name(&self, template: &PersistentVolumeClaim, number: i32) -> String {
        format!("{}-{}-{number}", template.name(), self.set.name())
    }

    /// Makes a pod's claims, and sets who owns them as the retention policy says.
    fn claims(&mut self, number: i32) -> Result<(), Error> {
        for template in self.spec.volume_claim_templates.iter().flatten() {
            let name = self.claim_name(template, number);
            if self.ask.view.named::<PersistentVolumeClaim>(self.set.namespace(), &name).is_some() {
                continue;
            }
            let mut claim = template.clone();
            claim.status = None;
            claim.metadata.name = Some(name.clone());
            claim.metadata.namespace.clone_from(&self.set.metadata.namespace);
            let labels = claim.metadata.labels.get_or_insert_default();
            labels.extend(self.spec.selector.match_labels.clone().unwrap_or_default());
            let policy = self.spec.persistent_volume_claim_retention_policy.as_ref();
            if policy.and_then(|p| p.when_deleted.as_deref()) == Some("Delete") {
                let owner = OwnerReference {
                    controller: Some(true),
                    block_owner_deletion: None,
                    ..self.set.owner_reference()
                };
                claim.metadata.owner_references = Some(vec![owner]);
            }
            let subject = format!(
                "create Claim {name} Pod {}-{number} in StatefulSet {}",
                self.set.name(),
                self.set.name()
            );
            let set = self.set.as_ref();
            let (ok, failed) = (format!("{subject} success"), format!("{subject} failed error: {{error}}"));
            self.plan.create(&claim)?.events(
                Event::normal(set, "SuccessfulCreate", ok),
                Event::warning(set, "FailedCreate", failed),
            );
        }
        Ok(())
    }

    fn status(&mut self, old: &StatefulSetStatus) -> Result<(), Error> {
        let alive: Vec<_> = self.pods.iter().filter(|p| !p.deleting()).copied().collect();
        let count = |test: &dyn Fn(&Pod) -> bool| alive.iter().filter(|p| test(p)).count() as i32;
        let ready = count(&|p| phase(p) == "Running" && is_ready(p));
        let available = count(&|p| phase(p) == "Running" && self.available(p));
        let made = |p: &Pod| !phase(p).is_empty();
        let updated = count(&|p| made(p) && p.label(REVISION_LABEL) == Some(&self.update));
        let mut on_current = count(&|p| made(p) && p.label(REVISION_LABEL) == Some(&self.current));
        let replicas = self.pods.iter().filter(|p| made(p)).count() as i32;
        // a completed roll-out makes the update revision the current one
        let complete = updated == replicas && ready == replicas && replicas == self.desired();
        if self.strategy_is("RollingUpdate") && complete {
            self.current.clone_from(&self.update);
            on_current = updated;
        }
        let some = |n: i32| Some(n).filter(|n| *n > 0);
        let mut next = StatefulSet::clone(self.set);
        next.status = Some(StatefulSetStatus {
            replicas,
            ready_replicas: some(ready),
            available_replicas: Some(available),
            current_replicas: some(on_current),
            updated_replicas: some(updated),
            current_revision: Some(self.current.clone()),
            update_revision: Some(self.update.clone()),
            observed_generation: self.set.metadata.generation,
            collision_count: Some(old.collision_count.unwrap_or(0)),
            conditions: old.conditions.clone(),
        });
        // ahead of pods that may fail to be made
        let mut first = Plan::nothing();
        first.update_status(self.set.as_ref(), &next)?;
        first.writes.append(&mut self.plan.writes);
        self.plan.writes = first.writes;
        Ok(())
    }
}
