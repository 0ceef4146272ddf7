//! A node whose resources are used evenly is better.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go`

use serde::Deserialize;

use super::MAX_SCORE;
use super::node_resources::{Weighted, default_resources};
use crate::model::Class;
use crate::state::{CPU, Columns, EPHEMERAL, MEMORY, Slot};

/// The plugin's arguments.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Args {
    /// What counts.
    pub resources: Vec<Weighted>,
}

impl Default for Args {
    fn default() -> Self {
        Self { resources: default_resources() }
    }
}

/// Whether the pod has anything to balance.
pub fn applies(class: &Class, args: &Args) -> bool {
    args.resources.iter().any(|r| class.demand.requests.amount(&r.name) != 0)
}

/// How much more even the node would be with the pod.
pub fn score(class: &Class, args: &Args, nodes: &Columns, slot: Slot) -> i64 {
    let (mut with, mut without) = (Fractions::default(), Fractions::default());
    for resource in &args.resources {
        let name = resource.name.as_str();
        let amount = class.demand.requests.amount(name);
        let of = |which| (nodes.allocatable(which, slot), nodes.requested(which, slot));
        let (allocatable, used) = match name {
            "cpu" => of(CPU),
            "memory" => of(MEMORY),
            "ephemeral-storage" => of(EPHEMERAL),
            _ if amount == 0 => continue,
            _ => nodes.scalar(name, slot),
        };
        if allocatable != 0 {
            with.add((used + amount) as f64 / allocatable as f64);
            without.add(used as f64 / allocatable as f64);
        }
    }
    MAX_SCORE / 2 + (MAX_SCORE / 2 + with.score() - without.score()) / 2
}

#[derive(Default)]
struct Fractions {
    first: [f64; 2],
    more: Vec<f64>,
    count: usize,
}

impl Fractions {
    fn add(&mut self, fraction: f64) {
        let fraction = fraction.min(1.0);
        match self.first.get_mut(self.count) {
            Some(place) => *place = fraction,
            None => self.more.push(fraction),
        }
        self.count += 1;
    }

    fn score(&self) -> i64 {
        let deviation = match self.count {
            0 | 1 => 0.0,
            2 => ((self.first[0] - self.first[1]) / 2.0).abs(),
            n => {
                let all = || self.first.iter().chain(&self.more);
                let mean = all().sum::<f64>() / n as f64;
                let squares: f64 = all().map(|f| (f - mean) * (f - mean)).sum();
                (squares / n as f64).sqrt()
            }
        };
        ((1.0 - deviation) * MAX_SCORE as f64) as i64
    }
}
