//! One pod's life: observe, plan, act, tell, wait.
//!
//! # Upstream
//! `pkg/kubelet/pod_workers.go`, `pkg/kubelet/kubelet.go` `SyncPod`, `SyncTerminatingPod`, `SyncTerminatedPod`

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use client::{DeleteOptions, Key, Patch, PatchParams, Preconditions, Resource};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use tokio::sync::watch;

use super::apply;
use super::facts::PodFacts;
use super::kill;
use super::memory::Memory;
use super::observed::{Observed, observe};
use super::plan::plan;
use super::report;
use super::status::{Facts, Verdict, status};
use super::workers::{Handle, Wanted};
use crate::Kubelet;
use crate::events::Kind;
use crate::probes::Surroundings;

/// A pod's worker.
pub struct Worker {
    pub(super) kubelet: Arc<Kubelet>,
    pub(super) handle: Arc<Handle>,
    wanted: watch::Receiver<Wanted>,
    pub(super) memory: Memory,
    /// When it was first seen, until it runs.
    begun: Option<Instant>,
    told: PodStatus,
    told_version: u64,
    admitted: bool,
    finished: bool,
    verdict: Option<Verdict>,
    cleaned: bool,
}

enum Step {
    Again,
    Wait,
    Done,
}

fn version(text: Option<&str>) -> u64 {
    text.and_then(|v| v.parse().ok()).unwrap_or(0) // static pods have none
}

impl Worker {
    /// A worker for what `wanted` says.
    pub fn new(kubelet: Arc<Kubelet>, handle: Arc<Handle>, wanted: watch::Receiver<Wanted>) -> Self {
        let restart = kubelet.settings.crash_loop_back_off.max_container_restart_period;
        let memory = Memory::new(restart, Arc::clone(&handle.wake));
        let mut worker = Self {
            kubelet,
            handle,
            wanted,
            memory,
            begun: Some(Instant::now()),
            told: PodStatus::default(),
            told_version: 0,
            admitted: false,
            finished: false,
            verdict: None,
            cleaned: false,
        };
        let pod = worker.wanted.borrow().pod.clone();
        worker.refresh(&pod);
        worker.recall();
        worker
    }

    /// What was told before a restart of the kubelet is still so.
    fn recall(&mut self) {
        let all = self.told.container_statuses.iter().chain(&self.told.init_container_statuses).flatten();
        for status in all {
            let id = status.container_id.as_deref().and_then(|i| i.split("//").nth(1)).unwrap_or_default();
            self.memory.probes.assume(id, status.ready, status.started == Some(true));
            if let Some(resources) = status.resources.clone().filter(|_| !id.is_empty()) {
                self.memory.resize.restore(&status.name, resources);
            }
        }
        self.begun = self.begun.filter(|_| self.told.start_time.is_none());
        self.finished = matches!(self.told.phase.as_deref(), Some("Failed" | "Succeeded"));
    }

    /// A newer version of the pod shows what others have made of its status.
    fn refresh(&mut self, pod: &Pod) {
        let seen = version(pod.meta().resource_version.as_deref());
        if seen > self.told_version {
            self.told = report::told(pod.status.clone().unwrap_or_default());
            self.told_version = seen;
        }
    }

    /// Until the pod is gone and nothing is left of it.
    pub async fn run(mut self) {
        let mut regular = false;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            self.refresh(&wanted.pod);
            self.memory.wake = None;
            let begun = Instant::now();
            let step = Box::pin(self.step(&wanted, std::mem::take(&mut regular))).await;
            let measures = &self.kubelet.measures;
            let histogram = if wanted.ending() { &measures.terminate } else { &measures.sync };
            histogram.observe(begun.elapsed());
            match step {
                Step::Done => return,
                Step::Again => continue,
                Step::Wait => {}
            }
            let due = self.memory.wake;
            let pause = match due {
                Some(at) => {
                    let left = at.duration_since(Timestamp::now());
                    Duration::try_from(left).unwrap_or(Duration::ZERO) // in the past: now
                }
                None => self.kubelet.settings.sync_frequency,
            };
            let handle = Arc::clone(&self.handle);
            tokio::select! {
                changed = self.wanted.changed() => if changed.is_err() { return },
                () = handle.wake.notified() => {}
                () = tokio::time::sleep(pause) => regular = due.is_none(),
            }
        }
    }

    /// What the runtime has of the pod. The `regular` look takes what the last one saw, if the runtime's list of all
    /// it has has been found to agree with that since.
    async fn look(&mut self, pod: &Pod, regular: bool) -> Result<Observed, cri::Error> {
        let agreed = self.handle.agreed.swap(false, Ordering::Relaxed);
        if regular && agreed {
            return Ok(self.handle.view.lock().unwrap_or_else(PoisonError::into_inner).observed.clone());
        }
        observe(&self.kubelet.runtime, pod.uid(), pod, &mut self.memory.ended).await
    }

    async fn step(&mut self, wanted: &Wanted, regular: bool) -> Step {
        let pod = Arc::clone(&wanted.pod);
        let observed = match self.look(&pod, regular).await {
            Ok(observed) => observed,
            Err(error) => {
                tracing::warn!(
                    pod = pod.full_name(),
                    error = crate::chain(&error),
                    "Asking the runtime for a pod"
                );
                self.memory.retry();
                return Step::Wait;
            }
        };
        if let Some((verdict, _)) = &wanted.verdict {
            self.verdict.get_or_insert_with(|| verdict.clone());
        }
        if wanted.ending() || self.finished || self.verdict.is_some() {
            return self.end(wanted, observed).await;
        }
        if !self.admitted {
            let kubelet = Arc::clone(&self.kubelet);
            if observed.sandboxes.is_empty() {
                if let Err(verdict) = super::workers::take_in(&kubelet, &pod).await {
                    kubelet.events.pod(&pod, "", Kind::Warning, &verdict.reason, verdict.cause());
                    self.verdict = Some(*verdict);
                    return Step::Again;
                }
            } else {
                kubelet.workers.adopt(&pod);
            }
            self.admitted = true;
        }
        if self.past_deadline(&pod) {
            return Step::Again;
        }
        self.follow(&pod, &observed, false);
        self.check_resize(&pod, &observed).await;
        let plan = plan(&pod, &observed, &self.memory.probes.results());
        if plan.kill {
            self.finished = true;
            return Step::Again;
        }
        let (kubelet, told) = (Arc::clone(&self.kubelet), self.told.clone());
        let telling = self.compose(&pod, &observed, false);
        let mut interrupt = self.wanted.clone();
        let applying = async {
            tokio::select! {
                changed = apply::apply(&kubelet, &mut self.memory, &pod, &observed, &plan, &told) => Some(changed),
                // what is to end must not wait for an image; the call that is given up is taken back by the runtime
                () = ending(&mut interrupt) => None,
            }
        };
        // nobody waits for the API server to hear that a pod is about to start
        let (answer, changed) = tokio::join!(send(&kubelet, telling), applying);
        self.heard(&pod, answer);
        match changed {
            Some(true) => Step::Again,
            Some(false) => {
                self.tell(&pod, &observed, false).await;
                Step::Wait
            }
            None => {
                tracing::debug!(pod = pod.full_name(), "Gave up starting a pod");
                Step::Again
            }
        }
    }

    fn past_deadline(&mut self, pod: &Pod) -> bool {
        let Some(seconds) = pod.facts().active_deadline_seconds else { return false };
        let start = self.told.start_time.as_ref().map_or_else(Timestamp::now, |t| t.0);
        let Ok(until) = start.checked_add(SignedDuration::from_secs(seconds)) else { return false }; // beyond all time
        if Timestamp::now() < until {
            self.memory.wake_at(until);
            return false;
        }
        let message = "Pod was active on the node longer than the specified deadline";
        self.kubelet.events.pod(pod, "", Kind::Normal, "DeadlineExceeded", message);
        self.verdict =
            Some(Verdict { reason: "DeadlineExceeded".into(), message: message.into(), condition: None });
        true
    }

    /// Probes what runs.
    fn follow(&mut self, pod: &Arc<Pod>, observed: &Observed, ending: bool) {
        let containers = pod.containers();
        let running: Vec<_> = observed
            .running()
            .filter_map(|s| {
                let (_, c) = containers.iter().find(|(_, c)| c.name == s.name)?;
                Some((s.id.clone(), c.clone().into_owned(), s.started_at))
            })
            .collect();
        let around = Surroundings {
            runtime: self.kubelet.runtime.clone(),
            events: self.kubelet.events.clone(),
            pod: Arc::clone(pod),
            ip: apply::pod_ips(&self.kubelet, pod, observed).first().cloned().unwrap_or_default(),
        };
        self.memory.probes.follow(&around, &running, ending);
    }

    /// Tells the API server how the pod is.
    async fn tell(&mut self, pod: &Pod, observed: &Observed, terminal: bool) {
        let telling = self.compose(pod, observed, terminal);
        let answer = send(&self.kubelet, telling).await;
        self.heard(pod, answer);
    }

    /// How the pod is, for others here, and what of it the API server does not know yet.
    fn compose(&mut self, pod: &Pod, observed: &Observed, terminal: bool) -> Option<Telling> {
        let results = self.memory.probes.results();
        let mut new = status(&Facts {
            pod,
            old: &self.told,
            observed,
            results: &results,
            waiting: &self.memory.waiting,
            verdict: self.verdict.as_ref(),
            terminal,
            host_ips: &self.kubelet.addresses,
            resize: &self.memory.resize,
            now: Timestamp::now(),
        });
        self.kubelet.devices.tell(pod.uid(), &mut new);
        if new.phase.as_deref() == Some("Running")
            && let Some(begun) = self.begun.take()
        {
            self.kubelet.measures.start.observe(begun.elapsed());
        }
        {
            let mut view = self.handle.view.lock().unwrap_or_else(PoisonError::into_inner);
            view.status = new.clone();
            view.observed = observed.clone();
        }
        let uid = if pod.is_static() {
            // not shown yet: told when it is
            super::manifests::mirror_uid(&self.kubelet, pod)?
        } else {
            pod.uid().to_owned()
        };
        match report::patch(&uid, &self.told, &new) {
            Ok(Some(patch)) => Some(Telling { key: Key::new(pod.namespace(), pod.name()), patch, new }),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(error = crate::chain(&error), "Encoding a pod's status");
                None
            }
        }
    }

    /// Takes the API server's answer in, unless something newer is known already.
    fn heard(&mut self, pod: &Pod, answer: Option<Heard>) {
        match answer {
            None => {}
            Some((new, Ok(bytes))) => match serde_json::from_slice::<Stored>(&bytes) {
                Ok(stored) => {
                    let made = version(stored.metadata.resource_version.as_deref());
                    if made > self.told_version {
                        self.told_version = made;
                        self.told = report::told(stored.status.unwrap_or_default());
                    }
                }
                Err(error) => {
                    // it was taken, so it is what was sent
                    tracing::warn!(pod = pod.full_name(), %error, "Unreadable answer to a pod's status");
                    self.told = new;
                }
            },
            Some((_, Err(e))) if e.is_not_found() || e.is_conflict() => {} // deleted, or another pod of the same name
            Some((_, Err(error))) => {
                tracing::warn!(pod = pod.full_name(), error = crate::chain(&error), "Telling a pod's status");
                self.memory.retry();
            }
        }
    }

    async fn end(&mut self, wanted: &Wanted, observed: Observed) -> Step {
        let pod = Arc::clone(&wanted.pod);
        if observed.running().next().is_some() || observed.sandboxes.iter().any(|s| s.ready) {
            self.follow(&pod, &observed, true);
            if !wanted.gone {
                self.tell(&pod, &observed, self.finished).await;
            }
            let grace = kill::grace(wanted);
            let mut interrupt = self.wanted.clone();
            interrupt.mark_unchanged();
            let killed = tokio::select! {
                killed = kill::pod(&self.kubelet, &mut self.memory, &pod, &observed, grace) => killed,
                () = shorter(&mut interrupt, grace) => return Step::Again,
            };
            if !killed {
                self.memory.retry();
                return Step::Wait;
            }
            self.memory.waiting.clear();
            return Step::Again;
        }
        self.follow(&pod, &observed, true);
        if !wanted.gone {
            self.tell(&pod, &observed, true).await;
        }
        if !self.cleaned {
            if let Err(error) = self.clean(&pod).await {
                tracing::warn!(pod = pod.full_name(), error, "Cleaning up after a pod");
                self.memory.retry();
                return Step::Wait;
            }
            self.cleaned = true;
        }
        if wanted.gone {
            return self.forget(&pod, &observed).await;
        }
        if pod.metadata.deletion_timestamp.is_some() && self.memory.wake.is_none() {
            self.delete(&pod).await;
        }
        Step::Wait
    }

    /// Gives back what only a running pod needs.
    async fn clean(&mut self, pod: &Pod) -> Result<(), String> {
        crate::volumes::csi::tear_down(&self.kubelet, pod.uid()).await?;
        crate::volumes::remove(&self.kubelet, pod.uid()).map_err(|e| crate::chain(&e))?;
        if !self.kubelet.cgroups.systemd {
            self.kubelet.cgroups.remove_pod(pod).map_err(|e| crate::chain(&e))?;
        }
        self.kubelet.workers.release(pod.uid());
        self.kubelet.devices.release(pod.uid());
        self.handle.set_ended();
        Ok(())
    }

    /// The pod has ended and was asked to go: now it may.
    async fn delete(&mut self, pod: &Pod) {
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(pod.uid().to_owned()), resource_version: None }),
            propagation_policy: None,
        };
        let key = Key::new(pod.namespace(), pod.name());
        match self.kubelet.client.delete(&Resource::of::<Pod>(), &key, &options).await {
            Ok(_) => {}
            Err(e) if e.is_not_found() || e.is_conflict() => {}
            Err(error) => {
                tracing::warn!(
                    pod = pod.full_name(),
                    error = crate::chain(&error),
                    "Deleting a pod that has ended"
                );
                self.memory.retry();
            }
        }
    }

    /// Removes the last traces of a pod nobody wants any more.
    async fn forget(&mut self, pod: &Pod, observed: &Observed) -> Step {
        match kill::remove(&self.kubelet, pod, observed).await {
            Ok(()) => Step::Done,
            Err(error) => {
                tracing::warn!(
                    pod = pod.full_name(),
                    error = crate::chain(&*error),
                    "Removing a pod's containers"
                );
                self.memory.retry();
                Step::Wait
            }
        }
    }

    async fn check_resize(&mut self, pod: &Arc<Pod>, observed: &Observed) {
        apply::resize(&self.kubelet, &mut self.memory, pod, observed).await;
    }
}

/// A change of a pod's status on its way to the API server.
struct Telling {
    key: Key,
    patch: serde_json::Value,
    new: PodStatus,
}

/// What of the API server's answer is of use: the pod's spec is known.
#[derive(serde::Deserialize)]
struct Stored {
    metadata: StoredMeta,
    status: Option<PodStatus>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredMeta {
    resource_version: Option<String>,
}

/// What was told, and what the API server made of it.
type Heard = (PodStatus, Result<bytes::Bytes, client::Error>);

async fn send(kubelet: &Kubelet, telling: Option<Telling>) -> Option<Heard> {
    let Telling { key, patch, new } = telling?;
    let params = PatchParams { subresource: "status", field_manager: "" };
    let patch = Patch::Strategic(patch);
    Some((new, kubelet.client.patch(&Resource::of::<Pod>(), &key, &patch, &params).await))
}

/// Completes when the pod is to end.
async fn ending(wanted: &mut watch::Receiver<Wanted>) {
    if wanted.wait_for(Wanted::ending).await.is_err() {
        std::future::pending::<()>().await; // the sender lives as long as the worker
    }
}

/// Completes when the pod is given less time than `grace` to end.
async fn shorter(wanted: &mut watch::Receiver<Wanted>, grace: Option<i64>) {
    let less = |w: &Wanted| match (kill::grace(w), grace) {
        (Some(now), Some(before)) => now < before,
        (Some(_), None) => true,
        _ => false,
    };
    if wanted.wait_for(less).await.is_err() {
        std::future::pending::<()>().await; // the sender lives as long as the worker
    }
}
