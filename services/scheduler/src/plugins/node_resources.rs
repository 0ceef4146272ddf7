//! What is asked for must be there; of the nodes where it is, some are better.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/noderesources/{fit,resource_allocation,least_allocated,most_allocated,requested_to_capacity_ratio}.go`

use serde::Deserialize;

use super::{Cause, MAX_SCORE};
use crate::model::{Class, Pod};
use crate::state::{CPU, Columns, EPHEMERAL, MEMORY, PODS, Slot};

/// The plugin's arguments.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Args {
    /// Extended resources that need not fit.
    pub ignored_resources: Vec<String>,
    /// The same by the part before the slash.
    pub ignored_resource_groups: Vec<String>,
    /// How nodes are scored.
    pub scoring_strategy: Strategy,
}

/// How nodes are scored by what is free.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// The way.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What counts, and how much.
    pub resources: Vec<Weighted>,
    /// For [`Kind::RequestedToCapacityRatio`].
    pub requested_to_capacity_ratio: Option<Ratio>,
}

/// The ways of scoring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Kind {
    /// The emptier the better.
    #[default]
    LeastAllocated,
    /// The fuller the better.
    MostAllocated,
    /// As a broken line says.
    RequestedToCapacityRatio,
}

/// A resource and what it counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Weighted {
    /// Its name.
    pub name: String,
    /// At least 1.
    #[serde(default = "one")]
    pub weight: i64,
}

/// The broken line.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Ratio {
    /// Its points, by utilization.
    pub shape: Vec<Point>,
}

/// A point of a broken line.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Point {
    /// Percent in use.
    #[serde(default)]
    pub utilization: i64,
    /// 0 to 10.
    #[serde(default)]
    pub score: i64,
}

fn one() -> i64 {
    1
}

/// CPU and memory, equally.
pub fn default_resources() -> Vec<Weighted> {
    ["cpu", "memory"].map(|name| Weighted { name: name.into(), weight: 1 }).into()
}

impl Default for Strategy {
    fn default() -> Self {
        Self { kind: Kind::default(), resources: default_resources(), requested_to_capacity_ratio: None }
    }
}

/// Pods thought away from a node or onto it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shift<'a> {
    /// Thought away.
    pub removed: &'a [std::sync::Arc<Pod>],
    /// Thought onto it.
    pub added: &'a [std::sync::Arc<Pod>],
}

impl Shift<'_> {
    fn sum(&self, of: impl Fn(&Pod) -> i64) -> i64 {
        let all = |pods: &[std::sync::Arc<Pod>]| pods.iter().map(|p| of(p)).sum::<i64>();
        if self.removed.is_empty() && self.added.is_empty() { 0 } else { all(self.added) - all(self.removed) }
    }
}

/// What does not fit: its name (`None` for the pod itself) and whether it would not on the empty node either.
pub fn lacking<'c>(
    class: &'c Class,
    args: &Args,
    nodes: &Columns,
    slot: Slot,
    shift: Shift<'_>,
    mut found: impl FnMut(Option<&'c str>, bool),
) {
    let want = &class.demand.requests;
    if nodes.requested(PODS, slot) + shift.sum(|_| 1) + 1 > nodes.allocatable(PODS, slot) {
        found(None, false);
    }
    if want.cpu == 0 && want.memory == 0 && want.ephemeral == 0 && want.scalars.is_empty() {
        return;
    }
    let mut check = |name: &'c str, amount: i64, allocatable: i64, used: i64| {
        if amount > 0 && amount > allocatable - used - shift.sum(|p| p.class.demand.requests.amount(name)) {
            found(Some(name), amount > allocatable);
        }
    };
    let of = |which| (nodes.allocatable(which, slot), nodes.requested(which, slot));
    for (name, amount, (allocatable, used)) in [
        ("cpu", want.cpu, of(CPU)),
        ("memory", want.memory, of(MEMORY)),
        ("ephemeral-storage", want.ephemeral, of(EPHEMERAL)),
    ] {
        check(name, amount, allocatable, used);
    }
    for (name, amount) in want.scalars.iter().filter(|(name, _)| !is_ignored(args, name)) {
        let (allocatable, used) = nodes.scalar(name, slot);
        check(name, *amount, allocatable, used);
    }
}

fn is_ignored(args: &Args, name: &str) -> bool {
    let group = name.split('/').next().unwrap_or_default();
    args.ignored_resources.iter().any(|r| r == name)
        || args.ignored_resource_groups.iter().any(|g| g == group)
}

/// Whether the node refuses the pod.
pub fn filter(class: &Class, args: &Args, nodes: &Columns, slot: Slot, shift: Shift<'_>) -> Option<Cause> {
    let mut cause = None;
    lacking(class, args, nodes, slot, shift, |_, unresolvable| {
        let before = matches!(cause, Some(Cause::Resources(true)));
        cause = Some(Cause::Resources(before || unresolvable));
    });
    cause
}

/// Upstream's words for what does not fit.
pub fn reasons(class: &Class, args: &Args, nodes: &Columns, slot: Slot, shift: Shift<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    lacking(class, args, nodes, slot, shift, |name, _| {
        reasons.push(name.map_or_else(|| "Too many pods".to_owned(), |name| format!("Insufficient {name}")));
    });
    reasons
}

/// How good the node is by what would be free.
pub fn score(class: &Class, strategy: &Strategy, nodes: &Columns, slot: Slot) -> i64 {
    let (mut sum, mut weights) = (0, 0);
    for resource in &strategy.resources {
        let demand = &class.demand;
        let (amount, (allocatable, used)) = match resource.name.as_str() {
            "cpu" => (demand.score_cpu, (nodes.allocatable(CPU, slot), nodes.nonzero(CPU, slot))),
            "memory" => (demand.score_memory, (nodes.allocatable(MEMORY, slot), nodes.nonzero(MEMORY, slot))),
            "ephemeral-storage" => (
                demand.requests.ephemeral,
                (nodes.allocatable(EPHEMERAL, slot), nodes.requested(EPHEMERAL, slot)),
            ),
            name => match demand.requests.amount(name) {
                0 => continue,
                amount => (amount, nodes.scalar(name, slot)),
            },
        };
        if allocatable == 0 {
            continue;
        }
        let requested = used + amount;
        let score = match strategy.kind {
            Kind::LeastAllocated if requested > allocatable => 0,
            Kind::LeastAllocated => (allocatable - requested) * MAX_SCORE / allocatable,
            Kind::MostAllocated => requested.min(allocatable) * MAX_SCORE / allocatable,
            Kind::RequestedToCapacityRatio => {
                let used = if requested > allocatable { 100 } else { requested * 100 / allocatable };
                let shape = strategy.requested_to_capacity_ratio.as_ref().map(|r| r.shape.as_slice());
                match broken_line(shape.unwrap_or_default(), used) {
                    0 => continue,
                    score => score,
                }
            }
        };
        sum += score * resource.weight;
        weights += resource.weight;
    }
    match (weights, strategy.kind) {
        (0, _) => 0,
        (_, Kind::RequestedToCapacityRatio) => (sum as f64 / weights as f64).round() as i64,
        _ => sum / weights,
    }
}

/// # Upstream
/// `pkg/scheduler/framework/plugins/helper/shape_score.go` `BuildBrokenLinearFunction`
fn broken_line(shape: &[Point], at: i64) -> i64 {
    let height = |p: &Point| p.score * (MAX_SCORE / 10);
    let Some(i) = shape.iter().position(|p| at <= p.utilization) else {
        return shape.last().map_or(0, height);
    };
    if i == 0 {
        return height(&shape[0]);
    }
    let (a, b) = (&shape[i - 1], &shape[i]);
    height(a) + (height(b) - height(a)) * (at - a.utilization) / (b.utilization - a.utilization)
}

#[cfg(test)]
mod tests {
    use super::{Point, broken_line};

    #[test]
    fn lines() {
        let shape = [(0, 0), (50, 10), (100, 5)].map(|(utilization, score)| Point { utilization, score });
        for (at, expected) in [(0, 0), (25, 50), (50, 100), (75, 75), (100, 50)] {
            assert_eq!(broken_line(&shape, at), expected, "{at}");
        }
    }
}
