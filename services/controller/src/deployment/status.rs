//! A deployment's status and conditions.
//!
//! # Upstream
//! `pkg/controller/deployment/{progress,sync}.go`

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use reconcile::{Error, Kind};

use super::{Rollout, replicas};
use crate::common::time;

impl Rollout<'_> {
    pub(super) fn has_deadline(&self) -> bool {
        self.spec.progress_deadline_seconds.is_some_and(|s| s != i32::MAX)
    }

    fn get(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.next.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
    }

    /// Sets a condition; nothing changes when status and reason are the same.
    pub(super) fn condition(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let known = self.get(kind).cloned();
        if known.as_ref().is_some_and(|c| c.status == status && c.reason.as_deref() == Some(reason)) {
            return;
        }
        let same = known.filter(|c| c.status == status);
        let condition = DeploymentCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_transition_time: same.and_then(|c| c.last_transition_time).or(time(self.now)),
            last_update_time: time(self.now),
        };
        let conditions = self.next.status.get_or_insert_default().conditions.get_or_insert_default();
        conditions.retain(|c| c.type_ != kind);
        conditions.push(condition);
    }

    pub(super) fn pause_condition(&mut self) {
        if !self.has_deadline() {
            return;
        }
        let reason = self.get("Progressing").and_then(|c| c.reason.clone()).unwrap_or_default();
        if reason == "ProgressDeadlineExceeded" {
            return;
        }
        let paused = self.spec.paused == Some(true);
        if paused && reason != "DeploymentPaused" {
            self.condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
        } else if !paused && reason == "DeploymentPaused" {
            self.condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed");
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        let status = self.counts();
        let (updated, total) = (status.updated_replicas.unwrap_or(0), status.replicas.unwrap_or(0));
        let desired = self.desired();
        updated == desired && total == desired && status.available_replicas.unwrap_or(0) == desired
    }

    fn counts(&self) -> DeploymentStatus {
        let sum = |f: &dyn Fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> i32| -> i32 {
            self.all_sets().filter_map(|s| s.status.as_ref()).map(f).sum()
        };
        let available = sum(&|s| s.available_replicas.unwrap_or(0));
        let size: i32 = self.all_sets().map(|s| replicas(s)).sum();
        let updated = self.new_set.and_then(|s| s.status.as_ref()).map_or(0, |s| s.replicas);
        let count = |n: i32| Some(n).filter(|n| *n > 0);
        DeploymentStatus {
            observed_generation: self.old.metadata.generation,
            replicas: count(sum(&|s| s.replicas)),
            updated_replicas: count(updated),
            ready_replicas: count(sum(&|s| s.ready_replicas.unwrap_or(0))),
            available_replicas: count(available),
            unavailable_replicas: count(size - available),
            terminating_replicas: Some(sum(&|s| s.terminating_replicas.unwrap_or(0))),
            collision_count: self.next.status.as_ref().and_then(|s| s.collision_count),
            conditions: self.next.status.as_ref().and_then(|s| s.conditions.clone()),
        }
    }

    pub(super) fn write_status(&mut self, rolling: bool) -> Result<(), Error> {
        let before = self.old.status.clone().unwrap_or_default();
        let counts = self.counts();
        if rolling && self.has_deadline() {
            self.progress(&before, &counts);
        } else if !self.has_deadline()
            && let Some(conditions) = self.next.status.as_mut().and_then(|s| s.conditions.as_mut())
        {
            conditions.retain(|c| c.type_ != "Progressing");
        }
        let least = self.desired() - self.max_unavailable();
        if counts.available_replicas.unwrap_or(0) >= least {
            let message = "Deployment has minimum availability.";
            self.condition("Available", "True", "MinimumReplicasAvailable", message);
        } else {
            let message = "Deployment does not have minimum availability.";
            self.condition("Available", "False", "MinimumReplicasUnavailable", message);
        }
        self.replica_failure();
        let mut status = self.counts();
        status.conditions = status.conditions.filter(|c| !c.is_empty());
        self.next.status = Some(status);
        let (old, next) = (Deployment::clone(self.old), self.next.clone());
        self.plan.update_status(&old, &next)?;
        Ok(())
    }

    /// A set's failure to make pods is the deployment's.
    fn replica_failure(&mut self) {
        let failing = self.all_sets().find_map(|s| {
            let conditions = s.status.as_ref()?.conditions.as_ref()?;
            conditions.iter().find(|c| c.type_ == "ReplicaFailure" && c.status == "True").cloned()
        });
        match failing {
            Some(failure) => {
                let (reason, message) =
                    (failure.reason.unwrap_or_default(), failure.message.unwrap_or_default());
                self.condition("ReplicaFailure", "True", &reason, &message);
            }
            None => {
                if let Some(conditions) = self.next.status.as_mut().and_then(|s| s.conditions.as_mut()) {
                    conditions.retain(|c| c.type_ != "ReplicaFailure");
                }
            }
        }
    }

    fn progress(&mut self, before: &DeploymentStatus, counts: &DeploymentStatus) {
        let done = self.get("Progressing").and_then(|c| c.reason.clone()).unwrap_or_default()
            == "NewReplicaSetAvailable";
        let subject = match self.new_set {
            Some(set) => format!("ReplicaSet {:?}", set.name()),
            None => format!("Deployment {:?}", self.old.name()),
        };
        let n = |v: Option<i32>| v.unwrap_or(0);
        let old_count = |s: &DeploymentStatus| n(s.replicas) - n(s.updated_replicas);
        let moved = n(counts.updated_replicas) > n(before.updated_replicas)
            || old_count(counts) < old_count(before)
            || n(counts.ready_replicas) > n(before.ready_replicas)
            || n(counts.available_replicas) > n(before.available_replicas);
        let complete = self.is_complete();
        if n(counts.replicas) == n(counts.updated_replicas) && done && complete {
            return;
        }
        if complete {
            let message = format!("{subject} has successfully progressed.");
            self.condition("Progressing", "True", "NewReplicaSetAvailable", &message);
        } else if moved {
            let message = format!("{subject} is progressing.");
            let since = self.get("Progressing").filter(|c| c.status == "True").cloned();
            if let Some(conditions) = self.next.status.as_mut().and_then(|s| s.conditions.as_mut()) {
                conditions.retain(|c| c.type_ != "Progressing");
            }
            self.condition("Progressing", "True", "ReplicaSetUpdated", &message);
            let conditions = self.next.status.iter_mut().flat_map(|s| s.conditions.iter_mut().flatten());
            for condition in conditions.filter(|c| c.type_ == "Progressing") {
                if let Some(since) = &since {
                    condition.last_transition_time.clone_from(&since.last_transition_time);
                }
            }
        } else if self.timed_out() {
            let message = format!("{subject} has timed out progressing.");
            self.condition("Progressing", "False", "ProgressDeadlineExceeded", &message);
        }
    }

    fn timed_out(&mut self) -> bool {
        let Some(condition) = self.get("Progressing").cloned() else { return false };
        match condition.reason.as_deref() {
            Some("NewReplicaSetAvailable") => return false,
            Some("ProgressDeadlineExceeded") => return true,
            _ => {}
        }
        let since = condition.last_update_time.map_or(self.now, |t| t.0).as_second();
        let deadline = i64::from(self.spec.progress_deadline_seconds.unwrap_or(600));
        let left = since + deadline - self.now.as_second();
        if left > 0 {
            self.plan.again(Duration::from_secs(u64::try_from(left + 1).unwrap_or(1)));
        }
        left < 0
    }
}
