//! Pods that want, or do not want, others near: counted per domain, and the counts kept by the log.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/interpodaffinity/{filtering,scoring}.go`

use serde::Deserialize;

use super::{Cause, MAX_SCORE};
use crate::model::{AffinityTerm, Class};
use crate::state::{KeyId, NO_DOMAIN, Slot, State, World};

/// The plugin's arguments.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Args {
    /// What another pod's required affinity to this one is worth.
    pub(crate) hard_pod_affinity_weight: i64,
    /// Whether other pods' preferences count only for pods that have some.
    pub(crate) ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

/// What a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Pods that match all required affinity terms, in domains of the n-th.
    Affinity(usize),
    /// Pods that match the n-th required anti-affinity term.
    Anti(usize),
    /// Pods that do not want this one near, by the n-th key.
    Existing(usize),
    /// Worth, by the n-th key.
    Score(usize),
}

#[derive(Debug)]
struct Counter {
    key: KeyId,
    values: Vec<i64>,
    nonzero: usize,
}

/// The terms of a pod and of those already placed, as counts.
#[derive(Debug, Default)]
pub(crate) struct PodTerms {
    affinity: Vec<Counter>,
    anti: Vec<Counter>,
    existing: Vec<Counter>,
    score: Vec<Counter>,
    matches_itself: bool,
    scores: bool,
}

/// A change of one count on the node in question.
pub(crate) type Shifts<'a> = &'a dyn Fn(Target) -> i64;

impl Counter {
    fn new(key: KeyId) -> Self {
        Self { key, values: Vec::new(), nonzero: 0 }
    }

    fn at(&self, domain: u32) -> i64 {
        self.values.get(domain as usize).copied().unwrap_or(0)
    }

    fn add(&mut self, domain: u32, by: i64) {
        let i = domain as usize;
        if self.values.len() <= i {
            self.values.resize(i + 1, 0);
        }
        let before = self.values[i];
        self.values[i] += by;
        match (before, self.values[i]) {
            (0, after) if after != 0 => self.nonzero += 1,
            (before, 0) if before != 0 => self.nonzero -= 1,
            _ => {}
        }
    }
}

impl PodTerms {
    /// The terms of a pod, not counted yet.
    pub(crate) fn of(class: &Class, args: &Args, state: &mut State, world: &World) -> Self {
        let mut counters = |terms: &[AffinityTerm]| {
            terms.iter().map(|t| Counter::new(state.key(&t.topology_key))).collect::<Vec<_>>()
        };
        let prefers = !(class.preferred_affinity.is_empty() && class.preferred_anti_affinity.is_empty());
        Self {
            affinity: counters(&class.affinity),
            anti: counters(&class.anti_affinity),
            existing: Vec::new(),
            score: Vec::new(),
            matches_itself: matches_all(class, class, world),
            scores: prefers || !args.ignore_preferred_terms_of_existing_pods,
        }
    }

    /// Forgets all counts.
    pub(crate) fn reset(&mut self) {
        for counter in self.affinity.iter_mut().chain(&mut self.anti) {
            counter.values.clear();
            counter.nonzero = 0;
        }
        self.existing.clear();
        self.score.clear();
    }

    /// What a pod like `other` changes where it is: counts, and by how much.
    pub(crate) fn effects(
        &mut self,
        class: &Class,
        other: &Class,
        args: &Args,
        state: &mut State,
        world: &World,
    ) -> Vec<(Target, i64)> {
        let mut effects = Vec::new();
        if matches_all(class, other, world) {
            effects.extend((0..self.affinity.len()).map(|i| (Target::Affinity(i), 1)));
        }
        let labels = || world.namespace_labels(&other.namespace);
        for (i, term) in class.anti_affinity.iter().enumerate() {
            if term.matches(&class.namespace, other, labels()) {
                effects.push((Target::Anti(i), 1));
            }
        }
        let hits = |term: &AffinityTerm| {
            term.matches(&other.namespace, class, world.namespace_labels(&class.namespace))
        };
        for term in other.anti_affinity.iter().filter(|t| hits(t)) {
            let at = counter(&mut self.existing, state.key(&term.topology_key));
            effects.push((Target::Existing(at), 1));
        }
        if !self.scores {
            return effects;
        }
        let wanted = class.preferred_affinity.iter().map(|t| (t, 1));
        let unwanted = class.preferred_anti_affinity.iter().map(|t| (t, -1));
        let mine = wanted
            .chain(unwanted)
            .filter(|(t, _)| t.pod_affinity_term.matches(&class.namespace, other, labels()));
        let hard = other
            .affinity
            .iter()
            .filter(|t| hits(t))
            .map(|t| (&*t.topology_key, args.hard_pod_affinity_weight));
        let liked = other.preferred_affinity.iter().map(|t| (t, 1));
        let disliked = other.preferred_anti_affinity.iter().map(|t| (t, -1));
        let theirs = liked.chain(disliked).filter(|(t, _)| hits(&t.pod_affinity_term));
        let soft = mine.chain(theirs).map(|(t, sign)| (&*t.pod_affinity_term.topology_key, sign * t.weight));
        for (key, worth) in hard.chain(soft).filter(|(_, worth)| *worth != 0) {
            let at = counter(&mut self.score, state.key(key));
            effects.push((Target::Score(at), worth));
        }
        effects
    }

    /// A count changes.
    pub(crate) fn count(&mut self, target: Target, state: &State, slot: Slot, by: i64) {
        let counter = match target {
            Target::Affinity(i) => &mut self.affinity[i],
            Target::Anti(i) => &mut self.anti[i],
            Target::Existing(i) => &mut self.existing[i],
            Target::Score(i) => &mut self.score[i],
        };
        let domain = state.topology.domain(counter.key, slot);
        if domain != NO_DOMAIN {
            counter.add(domain, by);
        }
    }

    /// Whether the node refuses the pod. `shifts` are counts thought to change on the node.
    pub(crate) fn filter(&self, state: &State, slot: Slot, shifts: Shifts<'_>) -> Option<Cause> {
        if !self.affinity.is_empty() && !self.has_company(state, slot, shifts) {
            return Some(Cause::Affinity);
        }
        let crowded = |counters: &[Counter], target: fn(usize) -> Target| {
            counters.iter().enumerate().any(|(i, c)| {
                let domain = state.topology.domain(c.key, slot);
                domain != NO_DOMAIN && c.at(domain) + shifts(target(i)) > 0
            })
        };
        if crowded(&self.anti, Target::Anti) {
            return Some(Cause::AntiAffinity);
        }
        crowded(&self.existing, Target::Existing).then_some(Cause::ExistingAntiAffinity)
    }

    /// Whether those it wants near are, or nobody is anywhere and it is one of them itself.
    fn has_company(&self, state: &State, slot: Slot, shifts: Shifts<'_>) -> bool {
        let (mut all, mut any_elsewhere) = (true, false);
        for (i, counter) in self.affinity.iter().enumerate() {
            let domain = state.topology.domain(counter.key, slot);
            if domain == NO_DOMAIN {
                return false;
            }
            let before = counter.at(domain);
            let here = before + shifts(Target::Affinity(i));
            all &= here > 0;
            any_elsewhere |= here != 0 || counter.nonzero > usize::from(before != 0);
        }
        all || (!any_elsewhere && self.matches_itself)
    }

    /// Whether any node could be refused.
    pub(crate) fn has_filters(&self) -> bool {
        !self.affinity.is_empty() || self.anti.iter().chain(&self.existing).any(|c| c.nonzero > 0)
    }

    /// Whether anything is worth anything.
    pub(crate) fn has_scores(&self) -> bool {
        self.score.iter().any(|c| c.nonzero > 0)
    }

    /// Scores of nodes, 0 to 100, added with a weight.
    pub(crate) fn score(&self, state: &State, slots: &[Slot], weight: i64, totals: &mut [i64]) {
        let worth = |slot: &Slot| -> i64 {
            let of = |c: &Counter| match state.topology.domain(c.key, *slot) {
                NO_DOMAIN => 0,
                domain => c.at(domain),
            };
            self.score.iter().map(of).sum()
        };
        let scores: Vec<i64> = slots.iter().map(worth).collect();
        let (Some(least), Some(most)) = (scores.iter().min(), scores.iter().max()) else { return };
        if most == least {
            return;
        }
        for (total, score) in totals.iter_mut().zip(&scores) {
            let part = (score - least) as f64 / (most - least) as f64;
            *total += weight * (MAX_SCORE as f64 * part) as i64;
        }
    }
}

fn counter(counters: &mut Vec<Counter>, key: KeyId) -> usize {
    counters.iter().position(|c| c.key == key).unwrap_or_else(|| {
        counters.push(Counter::new(key));
        counters.len() - 1
    })
}

fn matches_all(class: &Class, other: &Class, world: &World) -> bool {
    let labels = || world.namespace_labels(&other.namespace);
    !class.affinity.is_empty() && class.affinity.iter().all(|t| t.matches(&class.namespace, other, labels()))
}
