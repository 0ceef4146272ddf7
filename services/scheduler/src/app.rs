//! The loop: changes in, decisions out, everything that talks to the API server in tasks of its own.

use std::sync::Arc;
use std::time::Duration;

use client::{Changes, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::bind::{self, BindError, Volumes};
use crate::config::Rules;
use crate::core::{Core, Step};
use crate::decide::Refusal;
use crate::feed::{Feed, Other};
use crate::metrics::Metrics;
use crate::model::{Node, Pod};
use crate::plugins::volume_binding::Promises;
use crate::queue::Attempt;
use crate::record::{Note, Recorder};
use crate::status;

/// Bindings under way at once.
const BINDING: usize = 256;
/// Pods placed before the connection gets its turn.
const BATCH: usize = 32;
/// How long what comes in gathers while pods come one after another.
const GATHER: Duration = Duration::from_millis(20);
/// The same while so many come that a round is full: a few pods do not wait as long for their turn.
const GATHER_FULL: Duration = Duration::from_millis(40);
/// Pods of a full round: as many again come in the next.
const FULL: usize = 3;
/// The same while half of all bindings there may be are under way: their answers come together anyhow, and make room for more.
const GATHER_BUSY: Duration = Duration::from_millis(5);
/// Rounds without a decision after which nothing gathers any more.
const QUIET: u32 = 4;
/// The longest time without a look at the queue.
const IDLE: Duration = Duration::from_secs(30);

/// What a task reports.
#[derive(Debug)]
enum Done {
    /// A binding ended.
    Bound { attempt: Attempt, promises: Promises, which: usize, result: Result<(), BindError> },
    /// Others were told to go for a pod, or could not all be told.
    Displaced { uid: Arc<str>, told: bool },
}

/// See the module.
pub(crate) struct App {
    client: Client,
    core: Core,
    feed: Feed,
    metrics: Metrics,
    recorder: Recorder,
    storage: watch::Sender<u64>,
    done: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),
    binding: usize,
}

struct Inputs {
    pods: Changes<Pod>,
    nodes: Changes<Node>,
    others: mpsc::UnboundedReceiver<Other>,
}

impl App {
    /// Starts the caches. Must be called in a runtime.
    pub(crate) fn start(client: Client, rules: Rules, metrics: Metrics, identity: &str) -> Self {
        let seed = jiff::Timestamp::now().as_nanosecond() as u64;
        Self {
            core: Core::new(rules, seed),
            feed: Feed::start(&client),
            recorder: Recorder::new(client.clone(), identity),
            storage: watch::Sender::new(0),
            done: mpsc::unbounded_channel(),
            binding: 0,
            client,
            metrics,
        }
    }

    /// Whether the caches of pods and nodes are in.
    pub(crate) fn synced(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let feed = self.feed.clone();
        move || feed.pods.is_synced() && feed.nodes.is_synced()
    }

    /// Runs until dropped.
    pub(crate) async fn run(mut self) {
        self.feed.synced().await;
        self.feed.fill(&mut self.core);
        let mut inputs = Inputs {
            nodes: self.feed.nodes.subscribe(),
            pods: self.feed.pods.subscribe(),
            others: self.feed.others(),
        };
        tracing::info!("Caches are in, scheduling starts");
        let mut quiet = QUIET;
        loop {
            self.drain(&mut inputs);
            let decided = self.place();
            if decided == BATCH {
                quiet = 0;
                tokio::task::yield_now().await;
                continue;
            }
            self.metrics.depths(self.core.queue.depths());
            quiet = if decided > 0 { 0 } else { quiet.saturating_add(1) };
            if quiet < QUIET {
                gather(self.pace(decided)).await;
                continue;
            }
            let now = Instant::now();
            // with all bindings under way, only their end matters
            let wake = self.core.queue.next_wake().filter(|_| self.binding < BINDING).unwrap_or(now + IDLE);
            tokio::select! {
                Some(change) = inputs.nodes.recv() => self.core.node_changed(&change, now),
                Some(change) = inputs.pods.recv() => self.core.pod_changed(&change, now),
                Some(change) = inputs.others.recv() => self.other(&change, now),
                Some(done) = self.done.1.recv() => self.finish(done, now),
                () = tokio::time::sleep_until(wake.max(now + Duration::from_millis(1))) => {}
            }
        }
    }

    /// How long to gather after a round that decided about some pods.
    fn pace(&self, decided: usize) -> Duration {
        match decided {
            _ if self.binding >= BINDING / 2 => GATHER_BUSY,
            FULL.. => GATHER_FULL,
            _ => GATHER,
        }
    }

    fn drain(&mut self, inputs: &mut Inputs) {
        let now = Instant::now();
        while let Ok(change) = inputs.nodes.try_recv() {
            self.core.node_changed(&change, now);
        }
        while let Ok(change) = inputs.others.try_recv() {
            self.other(&change, now);
        }
        while let Ok(change) = inputs.pods.try_recv() {
            self.core.pod_changed(&change, now);
        }
        while let Ok(done) = self.done.1.try_recv() {
            self.finish(done, now);
        }
    }

    fn other(&mut self, change: &Other, now: Instant) {
        if self.feed.take(&mut self.core, change, now) {
            self.storage.send_modify(|count| *count += 1);
        }
    }

    /// Decides about some pods; how many.
    fn place(&mut self) -> usize {
        for count in 0..BATCH {
            if self.binding >= BINDING {
                return count;
            }
            let begun = std::time::Instant::now();
            let Some(step) = self.core.next(Instant::now()) else { return count };
            let seconds = begun.elapsed().as_secs_f64();
            self.metrics.decided(seconds);
            match step {
                Step::Bind(pod, attempt, promises, which) => self.bind(pod, attempt, promises, which),
                Step::Refuse(attempt, refusal, which) => {
                    let name = &self.core.rules.profiles[which].name;
                    self.metrics.attempt(name, "unschedulable", seconds);
                    self.refuse(&attempt.pod, refusal);
                }
            }
        }
        BATCH
    }

    fn bind(&mut self, pod: Arc<Pod>, attempt: Attempt, promises: Promises, which: usize) {
        self.binding += 1;
        let (client, recorder, done) = (self.client.clone(), self.recorder.clone(), self.done.0.clone());
        let mut volumes =
            (!promises.bindings.is_empty() || !promises.provisions.is_empty()).then(|| Volumes {
                claims: self.feed.claims.clone(),
                volumes: self.feed.volumes.clone(),
                changed: self.storage.subscribe(),
            });
        if volumes.is_some() {
            self.binding -= 1; // may take minutes, and costs nothing meanwhile
        }
        let limit = self.core.rules.profiles[which].bind_timeout;
        tokio::spawn(async move {
            let ready = match &mut volumes {
                // few pods have volumes to bind: the others' tasks need no room for it
                Some(from) => Box::pin(bind::volumes(&client, from, &promises, &pod.node, limit)).await,
                None => Ok(()),
            };
            let result = match ready {
                Ok(()) => bind::bind(&client, &pod).await,
                refused => refused,
            };
            let is_bound = result.is_ok();
            let report = Done::Bound { attempt, promises, which, result };
            if done.send(report).is_err() {
                tracing::debug!("Bound a pod while stopping");
            }
            if is_bound {
                recorder.recorded(&pod, None, Note::bound(&pod)).await;
            }
        });
    }

    fn finish(&mut self, done: Done, now: Instant) {
        match done {
            Done::Displaced { uid, told } => self.core.displaced(&uid, told),
            Done::Bound { attempt, promises, which, result } => {
                if promises.bindings.is_empty() && promises.provisions.is_empty() {
                    self.binding -= 1;
                }
                let seconds = attempt.first.elapsed().as_secs_f64();
                let profile = &self.core.rules.profiles[which].name;
                match result {
                    Ok(()) => {
                        self.metrics.attempt(profile, "scheduled", seconds);
                        self.metrics.bound(attempt.attempts, seconds);
                    }
                    Err(error) => {
                        self.metrics.attempt(profile, "error", seconds);
                        self.unbound(&attempt.pod, &promises, &error, now);
                    }
                }
            }
        }
    }

    fn unbound(&mut self, pod: &Arc<Pod>, promises: &Promises, error: &BindError, now: Instant) {
        if !self.core.unbound(pod, promises, now) {
            return; // it is gone, or there after all
        }
        tracing::warn!(pod = %pod.key(), error = error as &dyn std::error::Error, "Binding failed");
        let refusal = Refusal {
            message: error.to_string(),
            plugins: crate::plugins::PluginSet::default(),
            nominate: Some(String::new()),
            preemption: None,
        };
        self.tell(pod, "SchedulerError", refusal);
    }

    fn refuse(&mut self, pod: &Arc<Pod>, refusal: Refusal) {
        tracing::debug!(pod = %pod.key(), why = refusal.message, "No node for pod");
        let reason = "Unschedulable";
        self.tell(pod, reason, refusal);
    }

    /// Tells a pod why it has no node, and those who have to go for it to go.
    fn tell(&mut self, pod: &Arc<Pod>, reason: &'static str, refusal: Refusal) {
        let note = Note {
            kind: "Warning",
            reason: "FailedScheduling",
            action: "Scheduling",
            text: refusal.message.clone(),
        };
        self.recorder.record(pod, None, note);
        let mut withdrawn = Vec::new();
        if let Some(preemption) = &refusal.preemption {
            self.metrics.preemptions.inc();
            self.metrics.victims.observe(preemption.victims.len() as f64);
            let on = self.core.state.nominated.on(&preemption.node).iter();
            withdrawn = on.filter(|p| p.priority < pod.priority).cloned().collect();
        }
        let (client, recorder, done) = (self.client.clone(), self.recorder.clone(), self.done.0.clone());
        let pod = Arc::clone(pod);
        tokio::spawn(async move {
            let written =
                status::refuse(&client, &pod, reason, &refusal.message, refusal.nominate.as_deref()).await;
            if let Err(error) = written {
                tracing::warn!(pod = %pod.key(), error = &error as &dyn std::error::Error, "Pod status not written");
            }
            for weaker in withdrawn {
                if let Err(error) = status::withdraw(&client, &weaker).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(pod = %weaker.key(), error, "Nomination not withdrawn");
                }
            }
            let Some(preemption) = &refusal.preemption else { return };
            let told = match status::displace(&client, &recorder, &pod, preemption).await {
                Ok(()) => true,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(pod = %pod.key(), error, "Not all pods were told to go");
                    false
                }
            };
            if done.send(Done::Displaced { uid: Arc::clone(&pod.uid), told }).is_err() {
                tracing::debug!("Displaced pods while stopping");
            }
        });
    }
}

/// Lets what was decided leave, and what comes in the next moment gather: pods that come one after another, answers and
/// the changes they cause are then taken in one go, each at a fraction of the processor time of a wake-up of its own. A
/// pod that comes alone does not wait for this, it comes before it.
///
/// The whole thread rests. Any other wait would let the runtime wake up for each packet, and there is nothing else here
/// for which a few milliseconds matter.
async fn gather(time: Duration) {
    tokio::task::yield_now().await; // bindings and events are written
    #[expect(
        clippy::disallowed_methods,
        reason = "there is no condition to wait on, time is what is wanted"
    )]
    std::thread::sleep(time);
    tokio::task::yield_now().await; // the connection reads
    tokio::task::yield_now().await; // the caches take it in
}
