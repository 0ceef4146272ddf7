//! What a Job's status says.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use reconcile::{Error, Event, Kind as _, Plan, Pod};

use super::Work;
use crate::common::{is_ready, time};

impl Work<'_> {
    /// Sets a condition that is not there yet.
    pub(super) fn condition(&mut self, kind: &str, reason: &str, message: &str) {
        let conditions = self.status.conditions.get_or_insert_default();
        if conditions.iter().any(|c| c.type_ == kind && c.status == "True") {
            return;
        }
        conditions.retain(|c| c.type_ != kind);
        conditions.push(JobCondition {
            type_: kind.into(),
            status: "True".into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: time(self.ask.now),
            last_transition_time: time(self.ask.now),
        });
    }

    /// The job has come to an end: its condition, and the event that tells.
    pub(super) fn finish(&mut self, kind: &str, reason: &str, message: &str) {
        self.condition(kind, reason, message);
        let job = self.job.as_ref();
        if kind == "Complete" {
            self.status.completion_time = time(self.ask.now);
            self.plan.events.push(Event::normal(job, "Completed", "Job completed"));
        } else {
            let reason = match reason {
                "DeadlineExceeded" => "DeadlineExceeded",
                "PodFailurePolicy" => "PodFailurePolicy",
                "FailedIndexes" => "FailedIndexes",
                "MaxFailedIndexesExceeded" => "MaxFailedIndexesExceeded",
                _ => "BackoffLimitExceeded",
            };
            self.plan.events.push(Event::warning(job, reason, message));
        }
    }

    /// The condition of suspended jobs, and of those that go on.
    pub(super) fn suspension(&mut self) {
        let conditions = self.status.conditions.get_or_insert_default();
        let known = conditions.iter().position(|c| c.type_ == "Suspended");
        let is_true = known.is_some_and(|i| conditions[i].status == "True");
        let suspended = self.spec.suspend == Some(true);
        if suspended == is_true {
            return;
        }
        let (status, reason, message) = if suspended {
            ("True", "JobSuspended", "Job suspended")
        } else {
            ("False", "JobResumed", "Job resumed")
        };
        if let Some(i) = known {
            conditions.remove(i);
        }
        conditions.push(JobCondition {
            type_: "Suspended".into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: time(self.ask.now),
            last_transition_time: time(self.ask.now),
        });
        self.status.start_time = if suspended { None } else { time(self.ask.now) };
        let event = if suspended { "Suspended" } else { "Resumed" };
        self.plan.events.push(Event::normal(self.job.as_ref(), event, message));
    }

    /// Plans the write of the status, before all others: what is counted there may go then.
    pub(super) fn write(&mut self, active: &[&Arc<Pod>]) -> Result<(), Error> {
        let ending = self.known("FailureTarget").is_some() || self.known("SuccessCriteriaMet").is_some();
        let done = self.known("Complete").is_some() || self.known("Failed").is_some();
        let live = if ending || self.suspended() { 0 } else { active.len() as i32 };
        let count = |n: i32| Some(n).filter(|n| *n > 0);
        // never more than are active: the API server refuses that
        let ready = if live == 0 { 0 } else { active.iter().filter(|p| is_ready(p)).count() as i32 };
        self.status.active = if done { None } else { count(live) };
        self.status.ready = Some(ready);
        self.status.succeeded = self.status.succeeded.filter(|n| *n > 0);
        self.status.failed = self.status.failed.filter(|n| *n > 0);
        let terminating =
            self.pods.iter().filter(|p| p.deleting() && !crate::common::is_terminal(p)).count() as i32;
        self.status.terminating = Some(terminating);
        self.status.conditions = self.status.conditions.take().filter(|c| !c.is_empty());
        let mut next = Job::clone(self.job);
        next.status = Some(self.status.clone());
        let mut first = Plan::nothing();
        first.update_status(self.job.as_ref(), &next)?;
        first.writes.append(&mut self.plan.writes);
        self.plan.writes = first.writes;
        Ok(())
    }
}
