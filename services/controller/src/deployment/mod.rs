//! Deployments: replica sets that follow a template.
//!
//! # Upstream
//! `pkg/controller/deployment`

mod history;
mod scale;
mod status;

use std::sync::Arc;

use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, View, Watch};

use crate::claim::{claim, claimed};
use crate::common::{TEMPLATE_HASH, created, is_terminal, same_template, template_hash};

/// The controller.
#[derive(Debug)]
pub(crate) struct Deployments;

/// What one sync works on: the deployment and its replica sets, as they are and as they shall be.
pub(super) struct Rollout<'a> {
    pub(super) view: &'a View,
    pub(super) now: Timestamp,
    pub(super) old: &'a Deployment,
    pub(super) next: Deployment,
    pub(super) spec: &'a DeploymentSpec,
    /// The set of the current template.
    pub(super) new_set: Option<&'a Arc<ReplicaSet>>,
    /// The others, oldest first.
    pub(super) old_sets: Vec<&'a Arc<ReplicaSet>>,
    pub(super) plan: Plan,
}

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let by_pod = Watch::map::<Pod>(|view, pod| {
            let owner = pod.controller().filter(|o| o.kind == "ReplicaSet");
            let set = owner.and_then(|o| view.named::<ReplicaSet>(pod.namespace(), &o.name));
            let deployment = set.and_then(|s| s.controller()).filter(|o| o.kind == "Deployment");
            deployment.map(|d| Key::new(pod.namespace(), d.name.clone())).into_iter().collect()
        });
        // the sets tell of all else: one that recreates waits for old pods to end
        let by_end = by_pod.when::<Pod>(|_, new| new.is_none_or(is_terminal));
        vec![Watch::root::<Deployment>(), claimed::<ReplicaSet, Deployment>(), by_end]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<ReplicaSet>("create delete patch"), Permit::sub::<Deployment>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(deployment) = ask.view.get::<Deployment>(ask.key) else { return Ok(plan) };
        let Some(spec) = &deployment.spec else { return Ok(plan) };
        let mut sets: Vec<&Arc<ReplicaSet>> = claim(ask.view, deployment.as_ref(), &mut plan);
        if !plan.writes.is_empty() {
            return Ok(plan);
        }
        sets.sort_by_key(|s| (created(s.as_ref()), s.name().to_owned()));
        let is_new = |s: &&Arc<ReplicaSet>| {
            s.spec
                .as_ref()
                .and_then(|s| s.template.as_ref())
                .is_some_and(|t| same_template(t, &spec.template))
        };
        let new_set = sets.iter().copied().find(is_new);
        sets.retain(|s| new_set.is_none_or(|n| n.uid() != s.uid()));
        let mut rollout = Rollout {
            view: ask.view,
            now: ask.now,
            old: deployment,
            next: Deployment::clone(deployment),
            spec,
            new_set,
            old_sets: sets,
            plan,
        };
        rollout.sync(ask)?;
        Ok(rollout.plan)
    }
}

impl<'a> Rollout<'a> {
    fn sync(&mut self, ask: &Ask<'_>) -> Result<(), Error> {
        if self.old.deleting() {
            return self.write_status(false);
        }
        self.pause_condition();
        let collided = ask.failures.iter().any(|f| {
            f.verb == "create" && f.status.as_ref().is_some_and(|s| s.is(meta::Reason::AlreadyExists))
        });
        if collided && self.new_set.is_none() {
            let status = self.next.status.get_or_insert_default();
            status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
            return self.write_status(false);
        }
        if let Some(failure) = ask.failures.iter().find(|f| f.verb == "create" && !collided) {
            let message =
                format!("Failed to create new replica set {:?}: {}", failure.key.name, failure.message);
            self.condition("Progressing", "False", "ReplicaSetCreateError", &message);
        }
        if self.spec.paused == Some(true) || self.is_scaling() {
            self.annotate_new_set()?;
            self.scale_proportionally()?;
            if self.spec.paused == Some(true) && self.fenced() {
                self.clean_up();
            }
            return self.write_status(false);
        }
        let recreate =
            self.spec.strategy.as_ref().and_then(|s| s.type_.as_deref()).is_some_and(|t| t == "Recreate");
        if recreate { self.recreate() } else { self.roll() }
    }

    fn recreate(&mut self) -> Result<(), Error> {
        self.annotate_new_set()?;
        let mut scaled = false;
        for set in self.old_sets.clone() {
            if replicas(set) > 0 {
                self.scale(set, 0)?;
                scaled = true;
            }
        }
        if scaled || self.old_pods_running() {
            return self.write_status(true);
        }
        match self.new_set {
            None => self.create_new_set(self.desired())?,
            Some(set) if replicas(set) != self.desired() => self.scale(set, self.desired())?,
            Some(_) => {}
        }
        if self.is_complete() {
            self.clean_up();
        }
        self.write_status(true)
    }

    /// Whether a pod of an old set, or of an old template, has not ended.
    fn old_pods_running(&self) -> bool {
        self.old_sets.iter().any(|s| self.view.owned::<Pod>(s.uid()).any(|p| !is_terminal(p)))
    }

    fn roll(&mut self) -> Result<(), Error> {
        self.annotate_new_set()?;
        let Some(set) = self.new_set else {
            let replicas = self.room_for_new(0);
            self.create_new_set(replicas)?;
            return self.write_status(true);
        };
        let (have, desired) = (replicas(set), self.desired());
        let target = if have >= desired { desired } else { self.room_for_new(have) };
        if have != target {
            self.scale(set, target)?;
            return self.write_status(true);
        }
        if self.shrink_old()? {
            return self.write_status(true);
        }
        if self.is_complete() {
            self.clean_up();
        }
        self.write_status(true)
    }

    fn create_new_set(&mut self, count: i32) -> Result<(), Error> {
        let collisions = self.old.status.as_ref().and_then(|s| s.collision_count);
        let hash = template_hash(&self.spec.template, collisions);
        let mut template = self.spec.template.clone();
        let meta = template.metadata.get_or_insert_default();
        meta.labels.get_or_insert_default().insert(TEMPLATE_HASH.into(), hash.clone());
        let mut selector = self.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(TEMPLATE_HASH.into(), hash.clone());
        let mut set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", self.old.name())),
                namespace: self.old.metadata.namespace.clone(),
                labels: template.metadata.as_ref().and_then(|m| m.labels.clone()),
                owner_references: Some(vec![self.old.owner_reference()]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(count),
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        };
        let revision = self.newest_revision() + 1;
        self.annotate(&mut set, Some(revision));
        self.annotate_scale(&mut set);
        let name = set.name().to_owned();
        let message = format!("Scaled up replica set {name} from 0 to {count}");
        let failed = format!("Failed to create new replica set {name:?}: {{error}}");
        let write = self.plan.create(&set)?;
        if count > 0 {
            write.on_ok = Some(Event::normal(self.old, "ScalingReplicaSet", message));
        }
        write.on_err = Some(Event::warning(self.old, "ReplicaSetCreateError", failed));
        self.set_revision(revision);
        if self.spec.progress_deadline_seconds.is_some_and(|s| s != i32::MAX) {
            self.condition(
                "Progressing",
                "True",
                "NewReplicaSetCreated",
                &format!("Created new replica set {name:?}"),
            );
        }
        Ok(())
    }

    pub(super) fn desired(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    pub(super) fn all_sets(&self) -> impl Iterator<Item = &'a Arc<ReplicaSet>> {
        self.old_sets.clone().into_iter().chain(self.new_set)
    }
}

pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)
}

pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0)
}
