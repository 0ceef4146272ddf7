//! Runs controllers: changes to keys, keys to plans, plans to writes.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Client, Key};
use jiff::Timestamp;
use objects::{Caches, Note};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::apply::{Applier, Written};
use crate::events::Recorder;
use crate::expect::{Expect, Expectations, Seen, Stand, Unsure};
use crate::memory::{Memories, Recalled};
use crate::{Answer, Ask, Controller, Failure, Metrics, Need, Permit, Plan, Queue, Sample, View, Watch};

/// Keys of one controller worked on at once.
const CONCURRENT: usize = 8;
/// Changes looked at by one view.
const NOTES: usize = 256;
/// How often a plan may ask for more before it must say something.
const ROUNDS: usize = 16;
/// How long to wait for a cache that lags behind a write, before looking again.
const LAG: Duration = Duration::from_millis(15);

struct Worker {
    controller: Box<dyn Controller>,
    watches: Vec<Watch>,
    permits: Vec<Permit>,
    queue: Queue,
    expectations: Expectations,
    failures: Mutex<HashMap<Key, Vec<Failure>>>,
    memories: Mutex<Memories>,
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
    seen: Seen,
    metrics: Metrics,
}

/// The running controllers of a process.
pub struct Runtime {
    shared: Arc<Shared>,
    workers: Vec<Arc<Worker>>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("controllers", &self.workers.len()).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts the caches the controllers need. Must be called in a runtime.
    pub fn new(client: Client, controllers: Vec<Box<dyn Controller>>, metrics: Metrics) -> Self {
        let mut caches = Caches::new(client.clone());
        let described: Vec<_> = controllers
            .into_iter()
            .map(|controller| {
                let watches = controller.watches();
                for watch in &watches {
                    (watch.declare)(&mut caches);
                }
                (controller, watches)
            })
            .collect();
        let recorder = Recorder::start(client.clone());
        let caches = Arc::new(caches);
        let shared = Arc::new(Shared { client, caches, recorder, seen: Seen::default(), metrics });
        let workers = described.into_iter().map(|(controller, watches)| {
            Arc::new(Worker {
                permits: controller.writes(),
                queue: Queue::counted(shared.metrics.queue(controller.name())),
                controller,
                watches,
                expectations: Expectations::default(),
                failures: Mutex::default(),
                memories: Mutex::default(),
                shared: Arc::clone(&shared),
            })
        });
        Self { workers: workers.collect(), shared }
    }

    /// The caches, for readiness.
    pub fn caches(&self) -> Arc<Caches> {
        Arc::clone(&self.shared.caches)
    }

    /// Waits for the caches, then runs until dropped.
    pub async fn run(self) {
        self.shared.caches.synced().await;
        tracing::info!(controllers = self.workers.len(), "Caches are in, controllers start");
        let (sender, mut notes) = mpsc::unbounded_channel();
        self.shared.caches.follow(&sender);
        let mut tasks = JoinSet::new();
        for worker in &self.workers {
            tasks.spawn(Arc::clone(worker).work());
            if let Some(period) = worker.controller.period() {
                tasks.spawn(Arc::clone(worker).sweep(period));
            }
        }
        let mut some = Vec::new();
        while notes.recv_many(&mut some, NOTES).await > 0 {
            let view = self.shared.caches.view();
            for note in some.drain(..) {
                self.route(&note, &view);
            }
        }
    }

    fn route(&self, note: &Note, view: &View) {
        self.shared.seen.note(note.kind, note.revision);
        for worker in &self.workers {
            for watch in worker.watches.iter().filter(|w| w.kind == note.kind) {
                if !(watch.counts)(state(&note.old), state(&note.new)) {
                    continue;
                }
                for object in [&note.old, &note.new].into_iter().flatten() {
                    for key in (watch.map)(view, object.as_ref()) {
                        worker.queue.add(key);
                    }
                }
            }
        }
        if note.new.is_none() {
            let is_root = |w: &&Arc<Worker>| w.watches.iter().any(|w| w.root && w.kind == note.kind);
            for worker in self.workers.iter().filter(is_root) {
                if lock(&worker.memories).gone(&note.key) {
                    worker.queue.add(note.key.clone());
                }
            }
        }
        tracing::trace!(key = %note.key, "Changed");
    }
}

fn state(object: &Option<Arc<dyn Any + Send + Sync>>) -> Option<&dyn Any> {
    object.as_deref().map(|object| object as &dyn Any)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    async fn work(self: Arc<Self>) {
        let slots = Arc::new(Semaphore::new(CONCURRENT));
        let mut tasks = JoinSet::new();
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let key = self.queue.next().await;
            while tasks.try_join_next().is_some() {}
            let worker = Arc::clone(&self);
            let span = tracing::info_span!(
                "reconcile", controller = self.controller.name(), object = %key, attempt = self.queue.failures(&key),
                writes = tracing::field::Empty, requeue_ms = tracing::field::Empty
            );
            let work = async move {
                let since = Instant::now();
                worker.once(&key).await;
                if let Some(metric) = worker.controller.worked() {
                    let seconds = since.elapsed().as_secs_f64();
                    worker.shared.metrics.measure([Sample::of(metric, seconds)]);
                }
                worker.queue.done(&key);
                drop(slot);
            };
            tasks.spawn(work.instrument(span));
        }
    }

    async fn sweep(self: Arc<Self>, period: Duration) {
        loop {
            tokio::time::sleep(period).await;
            let roots = self.watches.iter().filter(|w| w.root);
            for key in roots.flat_map(|w| self.shared.caches.keys(w.kind)) {
                self.queue.add(key);
            }
        }
    }

    async fn once(&self, key: &Key) {
        match self.expectations.stand(key, &self.shared.caches, &self.shared.seen) {
            Stand::Met => {}
            Stand::Behind => {
                self.queue.add_after(key.clone(), LAG);
                return;
            }
            Stand::Unsure(unsure) => return self.make_sure(key, unsure).await,
        }
        let name = self.controller.name();
        let plan = match self.plan(key).await {
            Some(Ok(plan)) => plan,
            Some(Err(error)) => {
                let after = self.queue.add_failed(key.clone());
                self.shared.metrics.plan(name, "error");
                tracing::info!(
                    controller = name, key = %key, error = &error as &dyn std::error::Error,
                    retry_ms = after.as_millis() as u64, "No plan"
                );
                return;
            }
            None => {
                self.queue.add_failed(key.clone());
                self.shared.metrics.plan(name, "panic");
                return;
            }
        };
        self.shared.metrics.plan(name, "ok");
        self.apply(key, plan).await;
    }

    /// Asks the API server for what may or may not have been written, so that nothing is created twice.
    async fn make_sure(&self, key: &Key, unsure: Vec<Unsure>) {
        let mut there = Vec::new();
        for Unsure { kind, key: object } in unsure {
            let Some(resource) = self.shared.caches.resource_of(kind) else { continue };
            match self.shared.client.get::<Written>(resource, &object).await {
                Ok(found) => there.extend(found.revision().map(|revision| Expect::Seen {
                    kind,
                    key: object,
                    revision,
                })),
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    let after = self.queue.add_failed(key.clone());
                    tracing::info!(
                        controller = self.controller.name(), key = %key, object = %object,
                        error = &error as &dyn std::error::Error, retry_ms = after.as_millis() as u64,
                        "Not known whether it was written"
                    );
                    return;
                }
            }
        }
        self.expectations.told(key, there);
        self.queue.add_after(key.clone(), LAG);
    }

    /// The plan, or `None` when the controller panicked. What it needs is asked, then it is made anew.
    async fn plan(&self, key: &Key) -> Option<Result<Plan, crate::Error>> {
        let failures = lock(&self.failures).remove(key).unwrap_or_default();
        let told = lock(&self.memories).recall(key);
        let mut answers = Vec::new();
        for _ in 0..ROUNDS {
            let plan = self.plan_once(key, &failures, &answers, &told)?;
            let Ok(plan) = plan else { return Some(plan) };
            if plan.needs.is_empty() {
                lock(&self.memories).keep(key, &told, &plan);
                return Some(Ok(plan));
            }
            for need in plan.needs {
                let answer = self.ask(&need).await;
                answers.push((need, answer));
            }
        }
        Some(Err(crate::Error::Invalid(format!("the plan still asks after {ROUNDS} rounds"))))
    }

    async fn ask(&self, need: &Need) -> Answer {
        let answer = match &need.body {
            None => self.shared.client.get_raw(need.path.clone()).await,
            Some(body) => self.shared.client.post(need.path.clone(), body).await,
        };
        Ok(serde_json::from_slice(&answer?).map_err(client::Error::from)?)
    }

    fn plan_once(
        &self,
        key: &Key,
        failures: &[Failure],
        answers: &[(Need, Answer)],
        told: &Recalled,
    ) -> Option<Result<Plan, crate::Error>> {
        let view = self.shared.caches.view();
        let now = Timestamp::now();
        let (memory, shared) = (told.own.as_ref(), told.shared.as_ref());
        let ask = Ask { view: &view, key, now, failures, answers, memory, shared };
        match catch_unwind(AssertUnwindSafe(|| self.controller.plan(&ask))) {
            Ok(plan) => Some(plan),
            Err(_) => {
                tracing::error!(controller = self.controller.name(), key = %key, "A plan panicked");
                None
            }
        }
    }

    async fn apply(&self, key: &Key, plan: Plan) {
        let name = self.controller.name();
        self.shared.metrics.measure(plan.samples);
        for event in plan.events {
            self.shared.recorder.record(self.controller.component(), event);
        }
        let count = plan.writes.len();
        tracing::Span::current().record("writes", count);
        let applier = Applier {
            client: &self.shared.client,
            caches: &self.shared.caches,
            recorder: &self.shared.recorder,
            metrics: &self.shared.metrics,
            controller: &*self.controller,
            permits: &self.permits,
        };
        let outcome = applier.apply(plan.writes).await;
        self.shared.metrics.write(name, "failed", outcome.failures.len());
        self.shared.metrics.write(name, "ok", count.saturating_sub(outcome.failures.len()));
        self.expectations.set(key, outcome.expects, outcome.unsure);
        if outcome.conflict {
            self.queue.add_failed(key.clone());
            return;
        }
        if let Some(failure) = outcome.failures.first() {
            let after = self.queue.add_failed(key.clone());
            tracing::info!(
                controller = name, key = %key, verb = failure.verb, resource = &*failure.resource.plural,
                object = %failure.key, error = failure.message, retry_ms = after.as_millis() as u64, "Write failed"
            );
            lock(&self.failures).insert(key.clone(), outcome.failures);
            return;
        }
        for effect in &plan.effects {
            match effect.run(&self.shared.client).await {
                Ok(Some(after)) => self.queue.add_after(key.clone(), after),
                Ok(None) => {}
                Err(error) => {
                    let after = self.queue.add_failed(key.clone());
                    tracing::info!(
                        controller = name, key = %key, error = &error as &dyn std::error::Error,
                        retry_ms = after.as_millis() as u64, "Effect failed"
                    );
                    return;
                }
            }
        }
        self.queue.forget(key);
        if let Some(after) = plan.requeue {
            tracing::Span::current().record("requeue_ms", after.as_millis() as u64);
            self.queue.add_after(key.clone(), after);
        }
    }
}
