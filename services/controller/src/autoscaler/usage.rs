//! What pods use, and the number of them that would use as much as they should.
//!
//! # Upstream
//! `pkg/controller/podautoscaler/{replica_calculator,metrics/utilization}.go`

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use meta::quantity::Quantity;
use reconcile::{Container, Kind, Pod};

use crate::common::phase;

/// A pod's samples of CPU do not count while it starts, in seconds.
const CPU_INITIALIZATION: i64 = 300;
const INITIAL_READINESS: i64 = 30;

/// One pod's sample, in thousandths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) value: i64,
    pub(super) at: Timestamp,
    pub(super) window: i64,
}

/// By how much usage may be off before the size changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tolerance {
    pub(super) down: f64,
    pub(super) up: f64,
}

impl Tolerance {
    pub(super) fn allows(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// What a resource metric is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// A percentage of what is requested.
    Utilization(i32),
    /// Thousandths a pod.
    Average(i64),
}

/// The outcome: the size, and what the status shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proposal {
    pub(super) replicas: i32,
    pub(super) utilization: Option<i32>,
    /// Thousandths.
    pub(super) average: i64,
}

/// Everything a calculation looks at.
pub(super) struct Calculation<'a> {
    pub(super) pods: &'a [&'a Arc<Pod>],
    pub(super) samples: BTreeMap<String, Sample>,
    pub(super) resource: &'a str,
    pub(super) container: &'a str,
    pub(super) current: i32,
    pub(super) tolerance: Tolerance,
    pub(super) now: Timestamp,
}

fn milli(container: &Container, resource: &str) -> Option<i64> {
    let requests = container.resources.as_ref()?.requests.as_ref()?;
    Quantity::parse(&requests.get(resource)?.0).ok().map(|q| q.milli_value()) // validated by the server
}

/// What a pod requests of a resource, in thousandths.
fn request(pod: &Pod, container: &str, resource: &str) -> Result<i64, String> {
    let spec = &pod.spec;
    let pod_level = spec.resources.as_ref().and_then(|r| r.requests.as_ref()).filter(|r| !r.is_empty());
    if let Some(requests) = pod_level.filter(|_| container.is_empty()) {
        let quantity = requests.get(resource).and_then(|q| Quantity::parse(&q.0).ok()); // validated
        let missing = || format!("missing pod-level request for {resource} in Pod {}", pod.name());
        return quantity.map(|q| q.milli_value()).ok_or_else(missing);
    }
    let sidecars = spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let mut sum = 0;
    for c in spec.containers.iter().chain(sidecars) {
        if !container.is_empty() && container != c.name {
            continue;
        }
        let missing =
            || format!("missing request for {resource} in container {} of Pod {}", c.name, pod.name());
        sum += milli(c, resource).ok_or_else(missing)?;
        if container == c.name {
            return Ok(sum);
        }
    }
    if container.is_empty() {
        Ok(sum)
    } else {
        Err(format!("container {container} not found in Pod {}", pod.name()))
    }
}

impl Calculation<'_> {
    /// Whether a pod's sample says nothing yet.
    fn is_starting(&self, pod: &Pod, sample: &Sample) -> bool {
        let (Some(ready), Some(start)) = (pod.conditions.get("Ready"), pod.start_time.get()) else {
            return true;
        };
        let since = ready.since.get().map_or(i64::MIN / 2, Timestamp::as_second);
        let start = start.as_second();
        if start + CPU_INITIALIZATION > self.now.as_second() {
            return ready.status == "False" || sample.at.as_second() < since + sample.window;
        }
        ready.status == "False" && start + INITIAL_READINESS > since
    }

    /// How many pods count, and which are not ready or have no sample; samples that do not count are dropped.
    fn group(&mut self) -> (usize, Vec<String>, Vec<String>) {
        let (mut ready, mut unready, mut missing) = (0, Vec::new(), Vec::new());
        for pod in self.pods {
            let name = pod.name();
            if pod.deleting() || phase(pod) == "Failed" {
                self.samples.remove(name);
                continue;
            }
            let starting = |sample: &Sample| self.resource == "cpu" && self.is_starting(pod, sample);
            match self.samples.get(name) {
                _ if phase(pod) == "Pending" => unready.push(name.to_owned()),
                None => missing.push(name.to_owned()),
                Some(sample) if starting(sample) => unready.push(name.to_owned()),
                Some(_) => ready += 1,
            }
        }
        for name in &unready {
            self.samples.remove(name);
        }
        (ready, unready, missing)
    }

    /// The size at which usage would be as wanted.
    pub(super) fn run(mut self, target: Target) -> Result<Proposal, String> {
        if self.pods.is_empty() {
            return Err("no pods returned by selector while calculating replica count".into());
        }
        let (ready, unready, missing) = self.group();
        if self.samples.is_empty() {
            return Err("did not receive metrics for targeted pods (pods might be unready)".into());
        }
        let requests = match target {
            Target::Average(_) => BTreeMap::new(),
            Target::Utilization(_) => {
                let of =
                    |p: &&Arc<Pod>| Ok((p.name().to_owned(), request(p, self.container, self.resource)?));
                self.pods.iter().map(of).collect::<Result<BTreeMap<_, _>, String>>()?
            }
        };
        let (ratio, utilization, average) = usage(&self.samples, &requests, target)?;
        let stay = Proposal { replicas: self.current, utilization, average };
        let up_with_unready = !unready.is_empty() && ratio > 1.0;
        if !up_with_unready && missing.is_empty() {
            if self.tolerance.allows(ratio) {
                return Ok(stay);
            }
            return Ok(Proposal { replicas: (ratio * ready as f64).ceil() as i32, ..stay });
        }
        // who has no sample is taken to want no change: full use going down, none going up
        let mut assume = |name: &str, value: i64| {
            self.samples.insert(name.to_owned(), Sample { value, at: self.now, window: 0 });
        };
        for name in &missing {
            match target {
                _ if ratio > 1.0 => assume(name, 0),
                Target::Average(value) if ratio < 1.0 => assume(name, value),
                Target::Utilization(percent) if ratio < 1.0 => {
                    assume(
                        name,
                        requests.get(name).copied().unwrap_or(0) * i64::from(percent.max(100)) / 100,
                    );
                }
                _ => {}
            }
        }
        if up_with_unready {
            unready.iter().for_each(|name| assume(name, 0));
        }
        let (again, ..) = usage(&self.samples, &requests, target)?;
        let turned = (ratio < 1.0 && again > 1.0) || (ratio > 1.0 && again < 1.0);
        if self.tolerance.allows(again) || turned {
            return Ok(stay);
        }
        let replicas = (again * self.samples.len() as f64).ceil() as i32;
        let wrong_way = (again < 1.0 && replicas > self.current) || (again > 1.0 && replicas < self.current);
        Ok(if wrong_way { stay } else { Proposal { replicas, ..stay } })
    }
}

/// The ratio of use to target, the percentage of requests, the average a pod.
fn usage(
    samples: &BTreeMap<String, Sample>,
    requests: &BTreeMap<String, i64>,
    target: Target,
) -> Result<(f64, Option<i32>, i64), String> {
    match target {
        Target::Average(wanted) => {
            let total: i64 = samples.values().map(|s| s.value).sum();
            let average = total / i64::try_from(samples.len()).unwrap_or(1).max(1);
            Ok((average as f64 / wanted as f64, None, average))
        }
        Target::Utilization(wanted) => {
            let known: Vec<_> =
                samples.iter().filter_map(|(n, s)| Some((s.value, requests.get(n)?))).collect();
            let (total, requested): (i64, i64) =
                known.iter().fold((0, 0), |(a, b), (value, request)| (a + value, b + *request));
            if requested == 0 {
                return Err("no metrics returned matched known pods".into());
            }
            let percent = i32::try_from(total * 100 / requested).unwrap_or(i32::MAX);
            let count = i64::try_from(known.len()).unwrap_or(1);
            Ok((f64::from(percent) / f64::from(wanted), Some(percent), total / count))
        }
    }
}
