//! What is counted, under upstream's names where it has them.
//!
//! # Upstream
//! `k8s.io/component-base/metrics/prometheus/workqueue/metrics.go`

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::Controller;
use crate::measure::{Metric, Sample, Series};

/// Seconds: 10 ns to 1000 s by tens, as upstream.
const BUCKETS: [f64; 12] = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    name: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    name: &'static str,
}

fn seconds() -> Histogram {
    Histogram::new(BUCKETS)
}

/// What is counted.
#[derive(Clone, Debug)]
pub struct Metrics {
    plans: Family<Labels, Counter>,
    writes: Family<Labels, Counter>,
    adds: Family<Named, Counter>,
    retries: Family<Named, Counter>,
    depth: Family<Named, Gauge>,
    waited: Family<Named, Histogram>,
    worked: Family<Named, Histogram>,
    own: Arc<HashMap<&'static str, (&'static Metric, Series)>>,
}

/// What is counted of one queue.
#[derive(Clone, Debug)]
pub(crate) struct QueueMetrics {
    pub(crate) adds: Counter,
    pub(crate) retries: Counter,
    pub(crate) depth: Gauge,
    pub(crate) waited: Histogram,
    pub(crate) worked: Histogram,
}

impl Default for QueueMetrics {
    fn default() -> Self {
        Metrics::default().queue("")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            plans: Family::default(),
            writes: Family::default(),
            adds: Family::default(),
            retries: Family::default(),
            depth: Family::default(),
            waited: Family::new_with_constructor(seconds),
            worked: Family::new_with_constructor(seconds),
            own: Arc::default(),
        }
    }
}

impl Metrics {
    /// What these controllers measure.
    pub fn of(controllers: &[Box<dyn Controller>]) -> Self {
        let own = controllers.iter().flat_map(|c| c.metrics().into_iter().chain(c.worked()));
        let own = own.map(|metric| (metric.name, (metric, Series::new(metric))));
        Self { own: Arc::new(own.collect()), ..Self::default() }
    }

    /// Makes the metrics visible.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("reconcile", "Plans by controller and result", self.plans.clone());
        registry.register("reconcile_writes", "Writes by controller and result", self.writes.clone());
        registry.register("workqueue_adds", "Total number of adds handled by workqueue", self.adds.clone());
        let retries = "Total number of retries handled by workqueue";
        registry.register("workqueue_retries", retries, self.retries.clone());
        registry.register("workqueue_depth", "Current depth of workqueue", self.depth.clone());
        let waited = "How long in seconds an item stays in workqueue before being requested";
        registry.register("workqueue_queue_duration_seconds", waited, self.waited.clone());
        let worked = "How long in seconds processing an item from workqueue takes";
        registry.register("workqueue_work_duration_seconds", worked, self.worked.clone());
        for (metric, series) in self.own.values() {
            series.register(metric, registry);
        }
    }

    pub(crate) fn queue(&self, name: &'static str) -> QueueMetrics {
        let labels = Named { name };
        QueueMetrics {
            adds: self.adds.get_or_create(&labels).clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            depth: self.depth.get_or_create(&labels).clone(),
            waited: self.waited.get_or_create(&labels).clone(),
            worked: self.worked.get_or_create(&labels).clone(),
        }
    }

    /// Adds what a controller measured.
    pub(crate) fn measure(&self, samples: impl IntoIterator<Item = Sample>) {
        for sample in samples {
            match self.own.get(sample.metric.name) {
                Some((_, series)) => series.add(&sample),
                None => tracing::error!(
                    metric = sample.metric.name,
                    "Controller does not declare what it measures"
                ),
            }
        }
    }

    pub(crate) fn plan(&self, name: &str, result: &'static str) {
        self.plans.get_or_create(&Labels { name: name.into(), result }).inc();
    }

    pub(crate) fn write(&self, name: &str, result: &'static str, count: usize) {
        self.writes.get_or_create(&Labels { name: name.into(), result }).inc_by(count as u64);
    }
}
