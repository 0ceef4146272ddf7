//! Probes: one task per probe of a running container; results by container id.
//!
//! # Upstream
//! `pkg/kubelet/prober`

pub mod act;
mod http;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::events::{Events, Kind as EventKind};

pub use http::{Target as HttpTarget, get as http_get};

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `startupProbe`.
    Startup,
    /// `livenessProbe`.
    Liveness,
    /// `readinessProbe`.
    Readiness,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

    fn of(self, c: &Container) -> Option<&Probe> {
        match self {
            Kind::Startup => c.startup_probe.as_ref(),
            Kind::Liveness => c.liveness_probe.as_ref(),
            Kind::Readiness => c.readiness_probe.as_ref(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Startup => "Startup",
            Kind::Liveness => "Liveness",
            Kind::Readiness => "Readiness",
        }
    }
}

/// What probes have found, by container id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results(HashMap<(String, Kind), bool>);

impl Results {
    fn get(&self, id: &str, kind: Kind) -> Option<bool> {
        self.0.get(&(id.to_owned(), kind)).copied()
    }

    /// Whether a running container has come up.
    pub fn started(&self, c: &Container, id: &str) -> bool {
        c.startup_probe.is_none() || self.get(id, Kind::Startup) == Some(true)
    }

    /// Whether a container that has come up can serve.
    pub fn ready(&self, c: &Container, id: &str) -> bool {
        c.readiness_probe.is_none() || self.get(id, Kind::Readiness) == Some(true)
    }

    /// Whether it must be stopped for its liveness.
    pub fn liveness_failed(&self, id: &str) -> bool {
        self.get(id, Kind::Liveness) == Some(false)
    }

    /// Whether it must be stopped because it does not come up.
    pub fn startup_failed(&self, id: &str) -> bool {
        self.get(id, Kind::Startup) == Some(false)
    }
}

/// What probe tasks share with their pod's worker.
#[derive(Debug)]
pub struct Board {
    results: Mutex<Results>,
    changed: Arc<Notify>,
}

/// What every probe of a pod needs.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Runs commands in containers.
    pub runtime: cri::Runtime,
    /// Hears of failures.
    pub events: Events,
    /// The pod.
    pub pod: Arc<Pod>,
    /// Where it is reached.
    pub ip: String,
}

/// A pod's probes.
#[derive(Debug)]
pub struct Probes {
    board: Arc<Board>,
    tasks: HashMap<(String, Kind), AbortOnDropHandle<()>>,
}

impl Probes {
    /// None yet; `changed` wakes the pod's worker.
    pub fn new(changed: Arc<Notify>) -> Self {
        Self { board: Arc::new(Board { results: Mutex::default(), changed }), tasks: HashMap::new() }
    }

    /// What is known now.
    pub fn results(&self) -> Results {
        self.board.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A container was ready before the kubelet restarted: it stays so until a probe says otherwise.
    pub fn assume(&mut self, id: &str, ready: bool, started: bool) {
        let mut results = self.board.results.lock().unwrap_or_else(PoisonError::into_inner);
        if ready {
            results.0.insert((id.to_owned(), Kind::Readiness), true);
        }
        if started {
            results.0.insert((id.to_owned(), Kind::Startup), true);
        }
    }

    /// Probes exactly these running containers: id, spec and start (unix nanoseconds). `ending`: only readiness.
    pub fn follow(&mut self, around: &Surroundings, running: &[(String, Container, i64)], ending: bool) {
        let mut wanted = Vec::new();
        for (id, c, started_at) in running {
            for kind in Kind::ALL.into_iter().filter(|k| !ending || *k == Kind::Readiness) {
                if let Some(probe) = kind.of(c) {
                    wanted.push((id.clone(), kind));
                    self.start(around, id, c, kind, probe, *started_at);
                }
            }
        }
        self.tasks.retain(|key, _| wanted.contains(key));
        let mut results = self.board.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.0.retain(|(id, _), _| running.iter().any(|(r, ..)| r == id));
    }

    fn start(
        &mut self,
        around: &Surroundings,
        id: &str,
        c: &Container,
        kind: Kind,
        probe: &Probe,
        started_at: i64,
    ) {
        let key = (id.to_owned(), kind);
        if self.tasks.contains_key(&key) {
            return;
        }
        let task = Task {
            board: Arc::clone(&self.board),
            around: around.clone(),
            id: id.to_owned(),
            container: c.clone(),
            kind,
            probe: probe.clone(),
            started_at,
        };
        self.tasks.insert(key, AbortOnDropHandle::new(tokio::spawn(task.run())));
    }
}

struct Task {
    board: Arc<Board>,
    around: Surroundings,
    id: String,
    container: Container,
    kind: Kind,
    probe: Probe,
    started_at: i64,
}

impl Task {
    async fn run(self) {
        let seconds = |v: Option<i32>, default: i32| u64::from(v.unwrap_or(default).max(0).unsigned_abs());
        let period = Duration::from_secs(seconds(self.probe.period_seconds, 10).max(1));
        let since = Timestamp::now().as_nanosecond() - i128::from(self.started_at);
        let delay = Duration::from_secs(seconds(self.probe.initial_delay_seconds, 0));
        let passed = Duration::from_nanos(u64::try_from(since).unwrap_or(0)); // a clock set back: wait the whole delay
        tokio::time::sleep(delay.saturating_sub(passed)).await;
        let (mut last, mut run) = (None, 0);
        loop {
            let begun = tokio::time::Instant::now();
            if self.due()
                && let Some(good) = self.once().await
            {
                run = if last == Some(good) { run + 1 } else { 1 };
                last = Some(good);
                let needed = if good { self.probe.success_threshold } else { self.probe.failure_threshold };
                if run >= needed.unwrap_or(if good { 1 } else { 3 }) {
                    self.tell(good);
                    if self.kind != Kind::Readiness && !good {
                        return; // the container is stopped; its successor has probes of its own
                    }
                    if self.kind == Kind::Startup && good {
                        return;
                    }
                }
            }
            tokio::time::sleep_until(begun + period).await;
        }
    }

    /// Liveness and readiness wait until the container has come up.
    fn due(&self) -> bool {
        let results = self.board.results.lock().unwrap_or_else(PoisonError::into_inner);
        let started = results.started(&self.container, &self.id);
        if self.kind == Kind::Startup { !started } else { started }
    }

    async fn once(&self) -> Option<bool> {
        let timeout =
            Duration::from_secs(u64::from(self.probe.timeout_seconds.unwrap_or(1).max(1).unsigned_abs()));
        let outcome = act::probe(&self.around, &self.id, &self.container, &self.probe, timeout).await;
        let field = format!("spec.containers{{{}}}", self.container.name);
        let name = self.kind.name();
        match outcome {
            act::Outcome::Good => Some(true),
            act::Outcome::Bad(text) => {
                let text = format!("{name} probe failed: {text}");
                self.around.events.pod(&self.around.pod, &field, EventKind::Warning, "Unhealthy", &text);
                Some(false)
            }
            act::Outcome::Unknown(text) => {
                let text = format!("{name} probe errored and resulted in unknown state: {text}");
                self.around.events.pod(&self.around.pod, &field, EventKind::Warning, "Unhealthy", &text);
                None
            }
        }
    }

    fn tell(&self, good: bool) {
        let mut results = self.board.results.lock().unwrap_or_else(PoisonError::into_inner);
        if results.0.insert((self.id.clone(), self.kind), good) != Some(good) {
            self.board.changed.notify_one();
        }
    }
}
