//! Revisions: annotations that number replica sets, and how many old ones are kept.

use k8s_openapi::api::apps::v1::ReplicaSet;
use reconcile::{Error, Kind};

use super::{Rollout, replicas};
use crate::common::created;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const KUBECTL_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Past revisions remembered in the annotation, in characters.
const HISTORY_LENGTH: usize = 2000;

pub(super) fn revision(set: &ReplicaSet) -> i64 {
    set.annotation(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

impl Rollout<'_> {
    pub(super) fn newest_revision(&self) -> i64 {
        self.old_sets.iter().map(|s| revision(s)).max().unwrap_or(0)
    }

    /// Copies the deployment's annotations and sets the revision (or keeps it).
    pub(super) fn annotate(&self, set: &mut ReplicaSet, new_revision: Option<i64>) {
        let before = revision(set);
        let annotations = set.metadata.annotations.get_or_insert_default();
        for (key, value) in self.old.metadata.annotations.iter().flatten() {
            let own = [KUBECTL_APPLIED, REVISION, HISTORY, DESIRED, MAX, "deprecated.deployment.rollback.to"];
            if !own.contains(&key.as_str()) {
                annotations.insert(key.clone(), value.clone());
            }
        }
        if let Some(new) = new_revision.filter(|new| *new > before) {
            if before > 0 {
                let mut history: Vec<String> = annotations
                    .get(HISTORY)
                    .map(|h| h.split(',').filter(|r| !r.is_empty()).map(str::to_owned).collect())
                    .unwrap_or_default();
                history.push(before.to_string());
                while history.join(",").len() > HISTORY_LENGTH {
                    history.remove(0);
                }
                annotations.insert(HISTORY.into(), history.join(","));
            }
            annotations.insert(REVISION.into(), new.to_string());
        }
    }

    /// Keeps the current set's annotations and the deployment's revision up to date.
    pub(super) fn annotate_new_set(&mut self) -> Result<(), Error> {
        let Some(set) = self.new_set else { return Ok(()) };
        let mut next = ReplicaSet::clone(set);
        self.annotate(&mut next, Some(self.newest_revision() + 1));
        let wanted = self.spec.min_ready_seconds.unwrap_or(0);
        if let Some(spec) = next.spec.as_mut().filter(|s| s.min_ready_seconds.unwrap_or(0) != wanted) {
            spec.min_ready_seconds = Some(wanted);
        }
        self.plan.update(set.as_ref(), &next)?;
        self.set_revision(revision(&next));
        let known = self
            .next
            .status
            .iter()
            .flat_map(|s| s.conditions.iter().flatten())
            .any(|c| c.type_ == "Progressing");
        if !known && self.has_deadline() {
            let message = format!("Found new replica set {:?}", set.name());
            self.condition("Progressing", "True", "FoundNewReplicaSet", &message);
        }
        Ok(())
    }

    pub(super) fn set_revision(&mut self, revision: i64) {
        let annotations = self.next.metadata.annotations.get_or_insert_default();
        annotations.insert(REVISION.into(), revision.to_string());
    }

    /// Whether the deployment has no pods left but the new set's and needs no more.
    pub(super) fn fenced(&self) -> bool {
        self.is_complete()
    }

    /// Deletes old sets beyond the history limit.
    pub(super) fn clean_up(&mut self) {
        let Some(limit) = self.spec.revision_history_limit.and_then(|l| usize::try_from(l).ok()) else {
            return;
        };
        let mut idle: Vec<_> = self.old_sets.iter().copied().filter(|s| !s.deleting()).collect();
        if idle.len() <= limit {
            return;
        }
        idle.sort_by_key(|s| (revision(s), created(s.as_ref())));
        let surplus = idle.len() - limit;
        for set in idle.into_iter().take(surplus) {
            let status = set.status.clone().unwrap_or_default();
            let observed = set.metadata.generation <= status.observed_generation;
            if status.replicas == 0 && replicas(set) == 0 && observed {
                self.plan.delete(set.as_ref());
            }
        }
    }
}
