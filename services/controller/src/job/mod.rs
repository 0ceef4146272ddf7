//! Jobs: pods that run to an end.
//!
//! Pods carry upstream's tracking finalizer; a pod is counted by moving its uid through `uncountedTerminatedPods`,
//! taking the finalizer off, and adding it to the counters, so that no crash in between counts it twice or never.
//!
//! # Upstream
//! `pkg/controller/job`

mod indexes;
mod pods;
mod rules;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::{Key, Patch};
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus, UncountedTerminatedPods};
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Pod, Watch};
use serde_json::json;

use crate::claim::{Selects as _, claim, claimed};
use crate::common::{created, is_active, is_ready, phase, time};
use crate::replicas::{create_pod, create_pods, delete_pod};
use indexes::{parse_indexes, print_indexes};

const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const BURST: usize = 500;
/// The key, beside those of jobs, for tracked pods without an owner. No object has this name.
const STRAYS: &str = "";

/// The controller.
#[derive(Debug)]
pub(crate) struct Jobs;

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let strays = Watch::map::<Pod>(|_, pod| {
            if is_tracked(pod) && pod.controller().is_none() {
                vec![Key::new(pod.namespace(), STRAYS)]
            } else {
                Vec::new()
            }
        });
        vec![Watch::root::<Job>(), claimed::<Pod, Job>(), strays]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Pod>("create delete patch"), Permit::sub::<Job>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        if ask.key.name == STRAYS {
            let claimable =
                |p: &Pod| ask.view.list::<Job>(p.namespace()).any(|j| !j.deleting() && j.selects(p));
            let strays = ask.view.orphans::<Pod>(&ask.key.namespace);
            untrack(&mut plan, strays.into_iter().filter(|p| !claimable(p)));
            return Ok(plan);
        }
        let job = ask.view.get::<Job>(ask.key);
        let left = ask.view.list::<Pod>(&ask.key.namespace).filter(|p| {
            let owner = p.controller().filter(|o| o.kind == "Job" && o.name == ask.key.name);
            owner.is_some_and(|o| job.is_none_or(|j| j.uid() != o.uid))
        });
        // pods of a job of this name that is gone
        untrack(&mut plan, left);
        let Some(job) = job.filter(|_| plan.writes.is_empty()) else { return Ok(plan) };
        let Some(spec) = &job.spec else { return Ok(plan) };
        if spec.managed_by.as_deref().is_some_and(|m| m != "kubernetes.io/job-controller") {
            return Ok(plan);
        }
        let pods: Vec<&Arc<Pod>> = claim(ask.view, job.as_ref(), &mut plan);
        if finished(job) {
            // what is left of the bookkeeping: no pod keeps the finalizer
            untrack(&mut plan, pods.iter().copied());
            return Ok(plan);
        }
        if !plan.writes.is_empty() {
            return Ok(plan);
        }
        if job.deleting() {
            untrack(&mut plan, pods.iter().copied());
            return Ok(plan);
        }
        let mut work = Work::new(ask, job, spec, pods, plan);
        work.sync()?;
        Ok(work.plan)
    }
}

fn finished(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}

fn is_tracked(pod: &Pod) -> bool {
    pod.has_finalizer(TRACKING)
}

fn untrack<'a>(plan: &mut Plan, pods: impl Iterator<Item = &'a Arc<Pod>>) {
    for pod in pods.filter(|p| is_tracked(p)) {
        let patch = json!({"metadata": {
            "uid": pod.uid(), "$deleteFromPrimitiveList/finalizers": [TRACKING],
        }});
        plan.patch(pod.as_ref(), "", Patch::Strategic(patch)).together();
    }
}

fn index(pod: &Pod) -> Option<i32> {
    pod.annotation(INDEX)?.parse().ok()
}

/// Counted as failed: ended so, or being deleted without having ended.
fn has_failed(pod: &Pod, replaces_only_failed: bool) -> bool {
    match phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => pod.deleting() && !replaces_only_failed,
    }
}

struct Work<'a> {
    ask: &'a Ask<'a>,
    job: &'a Arc<Job>,
    spec: &'a JobSpec,
    pods: Vec<&'a Arc<Pod>>,
    status: JobStatus,
    plan: Plan,
}

impl<'a> Work<'a> {
    fn new(
        ask: &'a Ask<'a>,
        job: &'a Arc<Job>,
        spec: &'a JobSpec,
        mut pods: Vec<&'a Arc<Pod>>,
        plan: Plan,
    ) -> Self {
        // lists in the status and the pod a message names do not depend on the order of the cache
        pods.sort_by(|a, b| a.name().cmp(b.name()));
        Self { ask, job, spec, pods, status: job.status.clone().unwrap_or_default(), plan }
    }

    fn indexed(&self) -> bool {
        self.spec.completion_mode.as_deref() == Some("Indexed")
    }

    fn only_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
            || self.spec.pod_failure_policy.is_some()
    }

    fn suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.status.start_time.is_none() && !self.suspended() {
            self.status.start_time = time(self.ask.now);
        }
        let counted = self.count();
        let active: Vec<&Arc<Pod>> = self.pods.iter().copied().filter(|p| is_active(p)).collect();
        let ending = self.ending(active.len());
        self.suspension();
        let live = active.len();
        if let Some((kind, reason, message)) = &ending {
            for pod in &active {
                delete_pod(&mut self.plan, self.job.as_ref(), pod);
            }
            let all_gone =
                self.pods.iter().all(|p| p.deleting() && !is_tracked(p) || crate::common::is_terminal(p));
            let first = if *kind == "Failed" { "FailureTarget" } else { "SuccessCriteriaMet" };
            self.condition(first, reason, message);
            if all_gone && live == 0 && counted {
                self.finish(kind, reason, message);
            }
        } else if self.suspended() {
            for pod in &active {
                delete_pod(&mut self.plan, self.job.as_ref(), pod);
            }
        } else {
            self.manage(&active)?;
        }
        self.write(&active)
    }

    /// Moves ended pods into the counters. True when nothing is in between.
    fn count(&mut self) -> bool {
        let mut uncounted = self.status.uncounted_terminated_pods.clone().unwrap_or_default();
        let mut succeeded = uncounted.succeeded.clone().unwrap_or_default();
        let mut failed = uncounted.failed.clone().unwrap_or_default();
        let known: BTreeMap<&str, &&Arc<Pod>> = self.pods.iter().map(|p| (p.uid(), p)).collect();
        // those whose finalizer is off are counted now
        let tracked = |uid: &String| known.get(uid.as_str()).is_some_and(|p| is_tracked(p));
        let (keep_s, done_s): (Vec<String>, Vec<String>) = succeeded.into_iter().partition(tracked);
        let (keep_f, done_f): (Vec<String>, Vec<String>) = failed.into_iter().partition(tracked);
        (succeeded, failed) = (keep_s, keep_f);
        if !self.indexed() {
            self.status.succeeded = Some(self.status.succeeded.unwrap_or(0) + done_s.len() as i32);
        }
        self.status.failed = Some(self.status.failed.unwrap_or(0) + done_f.len() as i32);
        let (mut release, mut ignored): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = (Vec::new(), Vec::new());
        let mut indexes = parse_indexes(self.status.completed_indexes.as_deref().unwrap_or_default());
        let completions = self.spec.completions.unwrap_or(i32::MAX);
        for pod in self.pods.clone() {
            let uid = pod.uid().to_owned();
            if !is_tracked(pod) {
                continue;
            }
            if phase(pod) == "Succeeded" {
                if self.indexed() {
                    indexes.extend(index(pod).filter(|i| *i < completions));
                    release.push(pod);
                } else if succeeded.contains(&uid) {
                    release.push(pod);
                } else {
                    succeeded.push(uid);
                }
            } else if has_failed(pod, self.only_failed()) {
                if self.is_ignored(pod) {
                    ignored.push(pod);
                } else if failed.contains(&uid) {
                    release.push(pod);
                } else {
                    failed.push(uid);
                }
            }
        }
        if self.indexed() {
            self.status.succeeded = Some(indexes.len() as i32);
            self.status.completed_indexes = Some(print_indexes(&indexes)).filter(|i| !i.is_empty());
            // an index is in the status before its pod is let go
            let stored =
                self.job.status.as_ref().and_then(|s| s.completed_indexes.as_deref()).unwrap_or_default();
            let stored = parse_indexes(stored);
            release.retain(|p| {
                phase(p) != "Succeeded" || index(p).is_none_or(|i| i >= completions || stored.contains(&i))
            });
        }
        let clean = succeeded.is_empty() && failed.is_empty() && release.is_empty() && ignored.is_empty();
        // a finalizer goes only after the status that lists the pod is stored
        let before =
            self.job.status.as_ref().and_then(|s| s.uncounted_terminated_pods.clone()).unwrap_or_default();
        let listed = |pod: &&Arc<Pod>| {
            let lists = before.succeeded.iter().flatten().chain(before.failed.iter().flatten());
            self.indexed() && phase(pod) == "Succeeded" || lists.into_iter().any(|uid| uid == pod.uid())
        };
        let release: Vec<_> = release.into_iter().filter(listed).collect();
        untrack(&mut self.plan, release.into_iter().chain(ignored));
        uncounted.succeeded = Some(succeeded).filter(|l| !l.is_empty());
        uncounted.failed = Some(failed).filter(|l| !l.is_empty());
        self.status.uncounted_terminated_pods = Some(uncounted);
        clean
    }

    fn uncounted(&self) -> (usize, usize) {
        let none = UncountedTerminatedPods::default();
        let lists = self.status.uncounted_terminated_pods.as_ref().unwrap_or(&none);
        (lists.succeeded.as_ref().map_or(0, Vec::len), lists.failed.as_ref().map_or(0, Vec::len))
    }

    fn succeeded(&self) -> i32 {
        let waiting = if self.indexed() { 0 } else { self.uncounted().0 as i32 };
        self.status.succeeded.unwrap_or(0) + waiting
    }

    fn failed(&self) -> i32 {
        self.status.failed.unwrap_or(0) + self.uncounted().1 as i32
    }

    /// Why the job ends now, if it does.
    fn ending(&mut self, active: usize) -> Option<(&'static str, String, String)> {
        if let Some(target) = self.known("FailureTarget") {
            return Some(("Failed", target.0, target.1));
        }
        if let Some(met) = self.known("SuccessCriteriaMet") {
            return Some(("Complete", met.0, met.1));
        }
        if let Some((rule, message)) = self.policy_failure() {
            return Some(("Failed", rule, message));
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        let restarts = self.restarts();
        if self.failed() > limit && self.spec.backoff_limit_per_index.is_none() || restarts > limit {
            let message = "Job has reached the specified backoff limit".to_owned();
            return Some(("Failed", "BackoffLimitExceeded".into(), message));
        }
        if let (Some(deadline), Some(start), false) =
            (self.spec.active_deadline_seconds, self.status.start_time.clone(), self.suspended())
        {
            let left = start.0.as_second() + deadline - self.ask.now.as_second();
            if left <= 0 {
                let message = "Job was active longer than specified deadline".to_owned();
                return Some(("Failed", "DeadlineExceeded".into(), message));
            }
            self.plan.again(Duration::from_secs(u64::try_from(left).unwrap_or(1)));
        }
        if let Some(ending) = self.failed_indexes() {
            return Some(ending);
        }
        if let Some(message) = self.success_policy() {
            return Some(("Complete", "SuccessPolicy".into(), message));
        }
        let complete = match self.spec.completions {
            None => self.succeeded() > 0 && active == 0,
            Some(n) => self.succeeded() >= n,
        };
        let message = "Reached expected number of succeeded pods".to_owned();
        complete.then(|| ("Complete", "CompletionsReached".into(), message))
    }

    fn known(&self, kind: &str) -> Option<(String, String)> {
        let conditions = self.status.conditions.as_ref()?;
        let found = conditions.iter().find(|c| c.type_ == kind && c.status == "True")?;
        Some((found.reason.clone().unwrap_or_default(), found.message.clone().unwrap_or_default()))
    }

    fn restarts(&self) -> i32 {
        let policy = self.spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref());
        if policy != Some("OnFailure") {
            return 0;
        }
        let running = self.pods.iter().filter(|p| matches!(phase(p), "Running" | "Pending"));
        let statuses =
            running.flat_map(|p| p.container_statuses.iter().chain(p.init_container_statuses.iter()));
        statuses.map(|c| c.restart_count).sum()
    }

    fn manage(&mut self, active: &[&Arc<Pod>]) -> Result<(), Error> {
        let parallel = self.spec.parallelism.unwrap_or(1);
        let have = active.len() as i32;
        let wanted = match self.spec.completions {
            None if self.succeeded() > 0 => have.min(parallel),
            None => parallel,
            Some(n) => parallel.min(n - self.succeeded()).max(0),
        };
        if have > wanted {
            let mut surplus = active.to_vec();
            surplus.sort_by_key(|p| {
                (is_ready(p), std::cmp::Reverse(index(p)), std::cmp::Reverse(created(p.as_ref())))
            });
            for pod in surplus.into_iter().take(usize::try_from(have - wanted).unwrap_or(0)) {
                delete_pod(&mut self.plan, self.job.as_ref(), pod);
            }
            return Ok(());
        }
        // with replacement of failed pods only, those that are going still hold their place
        let going = if self.only_failed() {
            self.pods.iter().filter(|p| p.deleting() && !crate::common::is_terminal(p)).count() as i32
        } else {
            0
        };
        let missing = usize::try_from(wanted - have - going).unwrap_or(0).min(BURST);
        if missing == 0 {
            return Ok(());
        }
        if let Some(left) = self.backoff() {
            self.plan.again(left);
            return Ok(());
        }
        if self.indexed() {
            for (number, failures) in self.free_indexes(active, missing) {
                let pod = self.indexed_pod(number, failures);
                create_pod(&mut self.plan, self.job.as_ref(), &pod)?;
            }
        } else {
            let pod = self.pod();
            create_pods(&mut self.plan, self.job.as_ref(), &pod, missing)?;
        }
        Ok(())
    }

    /// How long to wait after failures: 10 s doubling to 10 minutes, from the last failed pod's end.
    fn backoff(&self) -> Option<Duration> {
        let ended = |p: &Pod| -> i64 {
            let ends = p.container_statuses.iter().filter_map(|c| c.terminated?.finished_at.get());
            ends.map(|t| t.as_second()).max().unwrap_or_else(|| created(p).as_second())
        };
        let last_success =
            self.pods.iter().filter(|p| phase(p) == "Succeeded").map(|p| ended(p)).max().unwrap_or(0);
        let failures: Vec<i64> = self
            .pods
            .iter()
            .filter(|p| phase(p) == "Failed" && !self.is_ignored(p))
            .map(|p| ended(p))
            .filter(|t| *t > last_success)
            .collect();
        let last = failures.iter().max()?;
        let wait = (10i64 << (failures.len() - 1).min(10)).min(600);
        let left = last + wait - self.ask.now.as_second();
        (left > 0).then(|| Duration::from_secs(u64::try_from(left).unwrap_or(1)))
    }

    fn free_indexes(&self, active: &[&Arc<Pod>], most: usize) -> Vec<(i32, i32)> {
        let mut taken = parse_indexes(self.status.completed_indexes.as_deref().unwrap_or_default());
        taken.extend(parse_indexes(self.status.failed_indexes.as_deref().unwrap_or_default()));
        taken.extend(active.iter().filter_map(|p| index(p)));
        let failures = |number: i32| {
            let counts = |p: &&&Arc<Pod>| has_failed(p, self.only_failed()) && !self.is_ignored(p);
            let same = self.pods.iter().filter(|p| index(p) == Some(number)).filter(counts);
            let counts = same.map(|p| p.annotation(FAILURES).and_then(|f| f.parse().ok()).unwrap_or(0) + 1);
            counts.max().unwrap_or(0)
        };
        let all = 0..self.spec.completions.unwrap_or(0);
        all.filter(|i| !taken.contains(i)).take(most).map(|i| (i, failures(i))).collect()
    }
}
