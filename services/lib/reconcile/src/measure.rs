//! What one controller alone measures: declared by it, said by its plans, added by the runtime.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Something a controller measures by itself.
#[derive(Debug)]
pub struct Metric {
    /// The name; a counter's without `_total`.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// The name of its label, or empty. A gauge has one, a histogram none.
    pub label: &'static str,
    /// What kind of metric it is.
    pub form: Form,
}

/// The kinds of metrics.
#[derive(Debug)]
pub enum Form {
    /// Goes up.
    Counter,
    /// Is what was said last.
    Gauge,
    /// Counts in buckets up to these bounds.
    Histogram(&'static [f64]),
}

/// What a plan measures: the runtime, not the plan, adds it to a metric.
#[derive(Debug, Clone)]
pub struct Sample {
    pub(crate) metric: &'static Metric,
    label: String,
    amount: Amount,
}

#[derive(Debug, Clone, Copy)]
enum Amount {
    Known(f64),
    /// Seconds from then until it is added.
    Since(Timestamp),
}

impl Sample {
    /// A value of a metric that has no label.
    pub fn of(metric: &'static Metric, value: f64) -> Self {
        Self { metric, label: String::new(), amount: Amount::Known(value) }
    }

    /// A value under a label.
    pub fn under(metric: &'static Metric, label: impl Into<String>, value: f64) -> Self {
        Self { metric, label: label.into(), amount: Amount::Known(value) }
    }

    /// The seconds from then until the write that this is a measure of has succeeded.
    pub fn since(metric: &'static Metric, then: Timestamp) -> Self {
        Self { metric, label: String::new(), amount: Amount::Since(then) }
    }

    fn value(&self) -> f64 {
        match self.amount {
            Amount::Known(value) => value,
            Amount::Since(then) => Timestamp::now().duration_since(then).as_secs_f64(),
        }
    }

    fn labels(&self) -> Pairs {
        [(self.metric.label, self.label.clone())]
    }
}

type Pairs = [(&'static str, String); 1];

/// The values of a metric of a controller's own.
#[derive(Clone, Debug)]
pub(crate) enum Series {
    Counter(Counter),
    Counters(Family<Pairs, Counter>),
    Gauges(Family<Pairs, Gauge<f64, AtomicU64>>),
    Histogram(Histogram),
}

impl Series {
    pub(crate) fn new(metric: &Metric) -> Self {
        match metric.form {
            Form::Counter if metric.label.is_empty() => Self::Counter(Counter::default()),
            Form::Counter => Self::Counters(Family::default()),
            Form::Gauge => Self::Gauges(Family::default()),
            Form::Histogram(buckets) => Self::Histogram(Histogram::new(buckets.iter().copied())),
        }
    }

    pub(crate) fn register(&self, metric: &Metric, registry: &mut Registry) {
        let (name, help) = (metric.name, metric.help);
        match self {
            Self::Counter(value) => registry.register(name, help, value.clone()),
            Self::Counters(values) => registry.register(name, help, values.clone()),
            Self::Gauges(values) => registry.register(name, help, values.clone()),
            Self::Histogram(values) => registry.register(name, help, values.clone()),
        }
    }

    pub(crate) fn add(&self, sample: &Sample) {
        match self {
            Self::Counter(value) => {
                value.inc_by(sample.value() as u64);
            }
            Self::Counters(values) => {
                values.get_or_create(&sample.labels()).inc_by(sample.value() as u64);
            }
            Self::Gauges(values) => {
                values.get_or_create(&sample.labels()).set(sample.value());
            }
            Self::Histogram(values) => values.observe(sample.value()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ask, Controller, Error, Metrics, Permit, Plan, Watch};

    static ENDED: Metric = Metric { name: "ended", help: "Ended", label: "", form: Form::Counter };
    static SIZE: Metric = Metric { name: "size", help: "Size", label: "zone", form: Form::Gauge };
    static TOOK: Metric =
        Metric { name: "took", help: "Took", label: "", form: Form::Histogram(&[1.0, 10.0]) };

    struct Measuring;

    impl Controller for Measuring {
        fn name(&self) -> &'static str {
            "measuring"
        }

        fn watches(&self) -> Vec<Watch> {
            Vec::new()
        }

        fn writes(&self) -> Vec<Permit> {
            Vec::new()
        }

        fn metrics(&self) -> Vec<&'static Metric> {
            vec![&ENDED, &SIZE]
        }

        fn worked(&self) -> Option<&'static Metric> {
            Some(&TOOK)
        }

        fn plan(&self, _: &Ask<'_>) -> Result<Plan, Error> {
            Ok(Plan::nothing())
        }
    }

    fn lines(metrics: &Metrics) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        metrics.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn controllers_have_metrics_of_their_own() {
        let metrics = Metrics::of(&[Box::new(Measuring)]);
        assert!(lines(&metrics).contains("\nended_total 0\n"));
        let then = Timestamp::now() - jiff::SignedDuration::from_secs(5);
        metrics.measure([
            Sample::of(&ENDED, 1.0),
            Sample::of(&ENDED, 1.0),
            Sample::under(&SIZE, "a", 3.0),
            Sample::under(&SIZE, "a", 2.5),
            Sample::since(&TOOK, then),
        ]);
        let text = lines(&metrics);
        for line in [
            "ended_total 2\n",
            "size{zone=\"a\"} 2.5\n",
            "took_bucket{le=\"1.0\"} 0\n",
            "took_bucket{le=\"10.0\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
