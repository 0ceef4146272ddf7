//! Metrics, under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::queue::Depths;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempt {
    profile: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Waiting {
    queue: &'static str,
}

type Histograms = Family<Attempt, Histogram, fn() -> Histogram>;

/// What is counted.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    attempts: Family<Attempt, Counter>,
    durations: Histograms,
    algorithm: Histogram,
    pending: Family<Waiting, Gauge>,
    sli: Histogram,
    tries: Histogram,
    /// Times others' going was considered.
    pub(crate) preemptions: Counter,
    /// Pods that had to go.
    pub(crate) victims: Histogram,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_01, 2.0, 20))
}

impl Metrics {
    /// Registers them.
    pub(crate) fn register(metrics: &daemon::Metrics) -> Self {
        let counts = Self {
            attempts: Family::default(),
            durations: Family::new_with_constructor(seconds),
            algorithm: seconds(),
            pending: Family::default(),
            sli: Histogram::new(exponential_buckets(0.01, 2.0, 20)),
            tries: Histogram::new(exponential_buckets(1.0, 2.0, 5)),
            preemptions: Counter::default(),
            victims: Histogram::new(exponential_buckets(1.0, 2.0, 7)),
        };
        let all = counts.clone();
        metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("scheduler");
            registry.register(
                "schedule_attempts",
                "Number of attempts to schedule pods, by the result",
                all.attempts,
            );
            registry.register(
                "scheduling_attempt_duration_seconds",
                "Scheduling attempt latency",
                all.durations,
            );
            registry.register(
                "scheduling_algorithm_duration_seconds",
                "Scheduling algorithm latency",
                all.algorithm,
            );
            registry.register("pending_pods", "Number of pending pods, by the queue type", all.pending);
            registry.register(
                "pod_scheduling_sli_duration_seconds",
                "Latency from queue to bound, all attempts",
                all.sli,
            );
            registry.register(
                "pod_scheduling_attempts",
                "Attempts to successfully schedule a pod",
                all.tries,
            );
            registry.register("preemption_attempts", "Preemption attempts till now", all.preemptions);
            registry.register("preemption_victims", "Number of selected preemption victims", all.victims);
        });
        counts
    }

    /// An attempt ended: `scheduled`, `unschedulable` or `error`.
    pub(crate) fn attempt(&self, profile: &str, result: &'static str, seconds: f64) {
        let labels = Attempt { profile: profile.into(), result };
        self.attempts.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(seconds);
    }

    /// A decision was made.
    pub(crate) fn decided(&self, seconds: f64) {
        self.algorithm.observe(seconds);
    }

    /// A pod is bound at last.
    pub(crate) fn bound(&self, attempts: u32, seconds: f64) {
        self.tries.observe(f64::from(attempts));
        self.sli.observe(seconds);
    }

    /// How many pods wait.
    pub(crate) fn depths(&self, depths: Depths) {
        let Depths { active, backoff, unschedulable, gated } = depths;
        for (queue, n) in
            [("active", active), ("backoff", backoff), ("unschedulable", unschedulable), ("gated", gated)]
        {
            self.pending.get_or_create(&Waiting { queue }).set(n as i64);
        }
    }
}
