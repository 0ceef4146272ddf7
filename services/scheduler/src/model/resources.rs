//! Amounts of resources as plain numbers.

use std::collections::BTreeMap;

use meta::Quantity;
use serde::Deserialize;

/// A container without a CPU request counts as this much (milli) where load is estimated.
const DEFAULT_CPU: i64 = 100;
/// And this much memory.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts: milli-CPU, bytes, and whatever else is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Resources {
    /// Milli-CPU.
    pub(crate) cpu: i64,
    /// Bytes of memory.
    pub(crate) memory: i64,
    /// Bytes of local storage.
    pub(crate) ephemeral: i64,
    /// Extended resources, huge pages and the like, by name.
    pub(crate) scalars: BTreeMap<String, i64>,
}

/// What a pod asks for, in the three ways it is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Demand {
    /// What must fit.
    pub(crate) requests: Resources,
    /// CPU (milli) with a default for containers that ask for none: what existing pods count for in scores.
    pub(crate) nonzero_cpu: i64,
    /// Memory likewise.
    pub(crate) nonzero_memory: i64,
    /// The same for the pod being placed, without pod-level requests.
    pub(crate) score_cpu: i64,
    /// Memory likewise.
    pub(crate) score_memory: i64,
}

/// A resource list as on the wire.
pub(crate) type List = BTreeMap<String, String>;

/// A container's requests, from its spec and what the kubelet says it has.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerSpec {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) resources: ResourceSpec,
    pub(crate) restart_policy: String,
    pub(crate) ports: Vec<super::class::PortSpec>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct ResourceSpec {
    pub(crate) requests: List,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerState {
    pub(crate) name: String,
    pub(crate) resources: Option<ResourceSpec>,
    pub(crate) allocated_resources: List,
}

impl Resources {
    /// Reads a resource list. Amounts that cannot be read are left out: the API server does not store any.
    ///
    /// # Upstream
    /// `pkg/scheduler/framework/types.go` `Resource.Add`
    pub(crate) fn of<'a>(list: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let mut sum = Self::default();
        for (name, text) in list {
            let is_cpu = name == "cpu";
            let Some(amount) = plain(text, is_cpu).or_else(|| exact(name, text, is_cpu)) else { continue };
            match name.as_str() {
                "cpu" => sum.cpu += amount,
                "memory" => sum.memory += amount,
                "ephemeral-storage" => sum.ephemeral += amount,
                "pods" => {}
                other if is_scalar(other) => *sum.scalars.entry(other.to_owned()).or_default() += amount,
                _ => {}
            }
        }
        sum
    }

    /// Adds amounts, or takes them off for a negative sign.
    pub(crate) fn add(&mut self, other: &Self, sign: i64) {
        self.cpu += sign * other.cpu;
        self.memory += sign * other.memory;
        self.ephemeral += sign * other.ephemeral;
        for (name, amount) in &other.scalars {
            *self.scalars.entry(name.clone()).or_default() += sign * amount;
        }
    }

    fn raise_to(&mut self, other: &Self) {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral = self.ephemeral.max(other.ephemeral);
        for (name, amount) in &other.scalars {
            let mine = self.scalars.entry(name.clone()).or_default();
            *mine = (*mine).max(*amount);
        }
    }

    /// The amount of a resource by name.
    pub(crate) fn amount(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral,
            other => self.scalars.get(other).copied().unwrap_or(0),
        }
    }
}

/// An amount as nearly all are written, a whole number with one of the usual suffixes: reading pods is mostly reading these.
/// In thousandths for `milli`; `None` leaves it to [`exact`].
fn plain(text: &str, milli: bool) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&digits) {
        return None;
    }
    let (number, suffix) = text.split_at(digits);
    let whole = number.bytes().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    match (suffix, milli) {
        ("", true) => Some(whole * 1000),
        ("m", true) | ("", false) => Some(whole),
        ("Ki", false) => Some(whole << 10),
        ("Mi", false) => Some(whole << 20),
        ("Gi", false) => Some(whole << 30),
        _ => None,
    }
}

/// Any amount.
fn exact(name: &str, text: &str, milli: bool) -> Option<i64> {
    match Quantity::parse(text) {
        Ok(quantity) => Some(if milli { quantity.milli_value() } else { quantity.value() }),
        Err(_) => {
            tracing::warn!(resource = name, text, "Unreadable amount left out");
            None
        }
    }
}

/// Whether a name is one that is counted as a plain number.
///
/// # Upstream
/// `pkg/scheduler/util/utils.go` `IsScalarResourceName`
fn is_scalar(name: &str) -> bool {
    name.contains('/') || name.starts_with("hugepages-") || name.starts_with("attachable-volumes-")
}

/// The parts of a pod its demand is made of.
pub(crate) struct Parts<'a> {
    pub(crate) containers: &'a [ContainerSpec],
    pub(crate) init_containers: &'a [ContainerSpec],
    pub(crate) states: &'a [ContainerState],
    pub(crate) pod_level: &'a List,
    pub(crate) overhead: &'a List,
    pub(crate) resize_infeasible: bool,
}

impl Demand {
    /// What a pod asks for.
    ///
    /// # Upstream
    /// `k8s.io/component-helpers/resource/helpers.go` `PodRequests`; `pkg/scheduler/framework/types.go`
    /// `PodInfo.CalculateResource`; `noderesources/resource_allocation.go` `calculatePodResourceRequest`
    pub(crate) fn of(parts: &Parts<'_>) -> Self {
        let (none, both) = ((None, None), (Some(DEFAULT_CPU), Some(DEFAULT_MEMORY)));
        let pod_level: Vec<_> = parts.pod_level.iter().filter(|(name, _)| is_pod_level(name)).collect();
        let overhead = Resources::of(parts.overhead);
        let finish = |mut sum: Resources, with_pod_level: bool| {
            if with_pod_level {
                let set = Resources::of(pod_level.iter().copied());
                for (name, _) in &pod_level {
                    match name.as_str() {
                        "cpu" => sum.cpu = set.cpu,
                        "memory" => sum.memory = set.memory,
                        other => {
                            sum.scalars.insert(other.to_owned(), set.amount(other));
                        }
                    }
                }
            }
            sum.add(&overhead, 1);
            sum
        };
        let requests = finish(containers(parts, none, true), true);
        let missing = match pod_level.is_empty() {
            true => both,
            false => {
                ((requests.cpu == 0).then_some(DEFAULT_CPU), (requests.memory == 0).then_some(DEFAULT_MEMORY))
            }
        };
        let nonzero = finish(containers(parts, missing, true), true);
        let score = finish(containers(parts, both, false), false);
        Self {
            nonzero_cpu: nonzero.cpu,
            nonzero_memory: nonzero.memory,
            score_cpu: score.cpu,
            score_memory: score.memory,
            requests,
        }
    }
}

fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

type Missing = (Option<i64>, Option<i64>);

/// Containers run together; init containers one after another, beside the restartable ones started before them.
fn containers(parts: &Parts<'_>, missing: Missing, with_states: bool) -> Resources {
    let requests = |container: &ContainerSpec, live: bool| {
        let mut sum = Resources::of(&container.resources.requests);
        let state = parts.states.iter().find(|s| s.name == container.name).filter(|_| live && with_states);
        if let Some((state, actual)) = state.and_then(|s| Some((s, s.resources.as_ref()?))) {
            if parts.resize_infeasible {
                sum = Resources::default();
            }
            sum.raise_to(&Resources::of(&actual.requests));
            sum.raise_to(&Resources::of(&state.allocated_resources));
        }
        if !container.resources.requests.contains_key("cpu") {
            sum.cpu += missing.0.unwrap_or(0);
        }
        if !container.resources.requests.contains_key("memory") {
            sum.memory += missing.1.unwrap_or(0);
        }
        sum
    };
    let mut running = Resources::default();
    for container in parts.containers {
        running.add(&requests(container, true), 1);
    }
    let (mut sidecars, mut peak) = (Resources::default(), Resources::default());
    for container in parts.init_containers {
        let restartable = container.restart_policy == "Always";
        let own = requests(container, restartable);
        if restartable {
            running.add(&own, 1);
            sidecars.add(&own, 1);
            peak.raise_to(&sidecars);
        } else {
            let mut then = sidecars.clone();
            then.add(&own, 1);
            peak.raise_to(&then);
        }
    }
    running.raise_to(&peak);
    running
}

#[cfg(test)]
mod tests {
    use super::{exact, plain};

    #[test]
    fn plain_amounts_are_exact() {
        for number in ["0", "1", "007", "250", "999999999"] {
            for suffix in ["", "m", "Ki", "Mi", "Gi"] {
                for milli in [false, true] {
                    let text = format!("{number}{suffix}");
                    let fast = plain(&text, milli);
                    assert!(fast.is_none() || fast == exact("x", &text, milli), "{text}");
                }
            }
        }
        for text in ["", "m", "-1", "+1", "1.5", "1e3", "1k", "1Ti", "1000000000", "1 ", "1x"] {
            assert_eq!((plain(text, false), plain(text, true)), (None, None), "{text}");
        }
    }
}
