//! Pods spread over domains: counted per domain, and the counts kept by the log.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/podtopologyspread/{common,filtering,scoring}.go`

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::{Cause, MAX_SCORE, node_affinity, taint_toleration};
use crate::model::{Class, Selector, SpreadConstraint};
use crate::state::{KeyId, NO_DOMAIN, Slot, State, World};

const HOSTNAME: &str = "kubernetes.io/hostname";

/// The plugin's arguments.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Args {
    /// For pods that have none of their own.
    pub(crate) default_constraints: Vec<SpreadConstraint>,
    /// Whether these count, or upstream's own.
    pub(crate) defaulting_type: Defaulting,
}

/// Where constraints of pods without any come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(crate) enum Defaulting {
    /// Hosts (skew 3) and zones (skew 5), both only preferred.
    #[default]
    System,
    /// The list given.
    List,
}

/// One constraint and its counts.
#[derive(Debug)]
pub(crate) struct Spread {
    key: KeyId,
    is_hostname: bool,
    selector: Selector,
    max_skew: i64,
    min_domains: i64,
    own: i64,
    honors_affinity: bool,
    honors_taints: bool,
    eligible: Vec<bool>,
    domains: Vec<Option<i64>>,
    /// How many domains there are to count in.
    counted: i64,
    by_count: BTreeMap<i64, usize>,
    /// The lowest key of `by_count`: every node looked at is compared with it.
    fewest: i64,
    on_node: Vec<i64>,
}

/// The constraints of a pod that must (or should) hold.
#[derive(Debug, Default)]
pub(crate) struct Spreads {
    list: Vec<Spread>,
    needs_every_key: bool,
}

/// A change of one constraint's count on the node in question.
pub(crate) type Shifts<'a> = &'a dyn Fn(usize) -> i64;

fn constraints(class: &Class, args: &Args, world: &World, action: &str) -> (Vec<SpreadConstraint>, bool) {
    let chosen = |list: &[SpreadConstraint]| -> Vec<SpreadConstraint> {
        list.iter().filter(|c| c.when_unsatisfiable == action).cloned().collect()
    };
    if !class.spread.is_empty() {
        return (chosen(&class.spread), true);
    }
    let system = args.defaulting_type == Defaulting::System;
    let mut list = if system {
        let of = |key: &str, max_skew| SpreadConstraint {
            max_skew,
            topology_key: key.into(),
            when_unsatisfiable: "ScheduleAnyway".into(),
            ..SpreadConstraint::default()
        };
        chosen(&[of(HOSTNAME, 3), of("topology.kubernetes.io/zone", 5)])
    } else {
        chosen(&args.default_constraints)
    };
    if !list.is_empty() {
        let selector = world.default_selector(class);
        if selector.is_empty() {
            return (Vec::new(), !system);
        }
        list.iter_mut().for_each(|c| c.label_selector = Some(selector.clone()));
    }
    (list, !system)
}

impl Spreads {
    /// The constraints of a pod with an action (`DoNotSchedule`, `ScheduleAnyway`), not counted yet.
    pub(crate) fn of(class: &Class, args: &Args, state: &mut State, world: &World, action: &str) -> Self {
        let (list, every) = constraints(class, args, world, action);
        let needs_every_key = every || action == "DoNotSchedule";
        let list = list.into_iter().map(|c| Spread::new(c, class, state)).collect();
        Self { list, needs_every_key }
    }

    /// Forgets all counts and looks anew at which nodes count. (A profile's added affinity takes no part.)
    pub(crate) fn reset(&mut self, class: &Class, state: &State) {
        let keys: Vec<KeyId> = self.list.iter().map(|s| s.key).collect();
        for spread in &mut self.list {
            spread.reset(state.nodes.len(), state.topology.size(spread.key));
        }
        let honors = |of: fn(&Spread) -> bool| self.list.iter().any(of);
        let (affinity, taints) = (honors(|s| s.honors_affinity), honors(|s| s.honors_taints));
        for &slot in state.nodes.order() {
            let Some(node) = state.nodes.node(slot) else { continue };
            let has_all = keys.iter().all(|key| state.topology.domain(*key, slot) != NO_DOMAIN);
            if self.needs_every_key && !has_all {
                continue;
            }
            let disliked = affinity && !node_affinity::required(class, node);
            let refused = taints && taint_toleration::filter(class, node).is_some();
            for spread in &mut self.list {
                let domain = state.topology.domain(spread.key, slot);
                let is_out = spread.honors_affinity && disliked || spread.honors_taints && refused;
                if domain != NO_DOMAIN && !is_out {
                    spread.eligible[slot as usize] = true;
                    spread.domains[domain as usize].get_or_insert(0);
                }
            }
        }
        for spread in &mut self.list {
            for count in spread.domains.iter().flatten() {
                *spread.by_count.entry(*count).or_default() += 1;
            }
            spread.counted = spread.domains.iter().flatten().count() as i64;
            spread.find_fewest();
        }
    }

    /// Whether there is no constraint.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The constraints that count pods like `other`.
    pub(crate) fn counting<'a>(
        &'a self,
        class: &'a Class,
        other: &'a Class,
    ) -> impl Iterator<Item = usize> + 'a {
        let same = class.namespace == other.namespace;
        let counts = move |s: &Spread| same && s.selector.matches(&other.labels);
        self.list.iter().enumerate().filter(move |(_, s)| counts(s)).map(|(i, _)| i)
    }

    /// A pod that a constraint counts came (or went).
    pub(crate) fn count(&mut self, which: usize, state: &State, slot: Slot, by: i64) {
        let spread = &mut self.list[which];
        let i = slot as usize;
        if spread.on_node.len() <= i {
            spread.on_node.resize(i + 1, 0);
        }
        spread.on_node[i] += by;
        if !spread.eligible.get(i).copied().unwrap_or(false) {
            return;
        }
        let domain = state.topology.domain(spread.key, slot) as usize;
        let Some(count) = spread.domains.get_mut(domain).and_then(Option::as_mut) else { return };
        let before = *count;
        *count += by;
        let after = *count;
        *spread.by_count.entry(after).or_default() += 1;
        if let Some(domains) = spread.by_count.get_mut(&before) {
            *domains -= 1;
            if *domains == 0 {
                spread.by_count.remove(&before);
            }
        }
        spread.find_fewest();
    }

    /// Whether the node would make the spread too uneven. `shifts` are counts thought to change on the node.
    pub(crate) fn filter(&self, state: &State, slot: Slot, shifts: Shifts<'_>) -> Option<Cause> {
        for (i, spread) in self.list.iter().enumerate() {
            let domain = state.topology.domain(spread.key, slot);
            if domain == NO_DOMAIN {
                return Some(Cause::SpreadLabel);
            }
            let counted = spread.eligible.get(slot as usize).copied().unwrap_or(false);
            let shift = if counted { shifts(i) } else { 0 };
            let here = spread.domains.get(domain as usize).copied().flatten();
            let skew = here.unwrap_or(0) + shift + spread.own - spread.least(here, shift);
            if skew > spread.max_skew {
                return Some(Cause::Spread);
            }
        }
        None
    }

    /// Scores of nodes, 0 to 100, added with a weight.
    pub(crate) fn score(&self, state: &State, slots: &[Slot], weight: i64, totals: &mut [i64]) {
        let ignored: Vec<bool> = slots.iter().map(|slot| self.ignores(state, *slot)).collect();
        let left = ignored.iter().filter(|i| !**i).count();
        let weights: Vec<f64> =
            self.list.iter().map(|s| s.domain_weight(state, slots, &ignored, left)).collect();
        let score = |slot: Slot| -> i64 {
            let worth = |(spread, weight): (&Spread, &f64)| {
                let domain = state.topology.domain(spread.key, slot);
                let count = if domain == NO_DOMAIN {
                    return 0.0;
                } else if spread.is_hostname {
                    spread.on_node.get(slot as usize).copied().unwrap_or(0)
                } else {
                    spread.domains.get(domain as usize).copied().flatten().unwrap_or(0)
                };
                count as f64 * weight + (spread.max_skew - 1) as f64
            };
            // upstream adds in order, and so do we: sums of floats depend on it
            self.list.iter().zip(&weights).map(worth).fold(0.0, |sum, w| sum + w).round() as i64
        };
        let scores: Vec<i64> = slots.iter().map(|slot| score(*slot)).collect();
        let counted =
            || scores.iter().zip(&ignored).filter(|(_, ignored)| !**ignored).map(|(score, _)| *score);
        let (least, most) = (counted().min().unwrap_or(0), counted().max().unwrap_or(0));
        for ((total, score), ignored) in totals.iter_mut().zip(&scores).zip(&ignored) {
            *total += weight
                * match (ignored, most) {
                    (true, _) => 0,
                    (_, 0) => MAX_SCORE,
                    _ => MAX_SCORE * (most + least - score) / most,
                };
        }
    }

    fn ignores(&self, state: &State, slot: Slot) -> bool {
        self.needs_every_key && self.list.iter().any(|s| state.topology.domain(s.key, slot) == NO_DOMAIN)
    }
}

impl Spread {
    fn new(constraint: SpreadConstraint, class: &Class, state: &mut State) -> Self {
        let mut selector = constraint.label_selector.clone();
        if let Some(selector) = &mut selector {
            for key in &constraint.match_label_keys {
                if let Some(value) = class.labels.get(key) {
                    selector.match_labels.insert(key.clone(), value.clone());
                }
            }
        }
        let is = |policy: &Option<String>, default: &str| policy.as_deref().unwrap_or(default) == "Honor";
        // no selector and the empty one both count nothing, but the pod itself matches the empty one
        let own = selector.as_ref().is_some_and(|s| s.matches(&class.labels));
        let counting = selector.filter(|s| !s.is_empty()).unwrap_or_else(nothing);
        Self {
            key: state.key(&constraint.topology_key),
            is_hostname: constraint.topology_key == HOSTNAME,
            selector: counting,
            max_skew: constraint.max_skew,
            min_domains: constraint.min_domains.unwrap_or(1),
            own: i64::from(own),
            honors_affinity: is(&constraint.node_affinity_policy, "Honor"),
            honors_taints: is(&constraint.node_taints_policy, "Ignore"),
            eligible: Vec::new(),
            domains: Vec::new(),
            counted: 0,
            by_count: BTreeMap::new(),
            fewest: 0,
            on_node: Vec::new(),
        }
    }

    fn reset(&mut self, slots: usize, domains: usize) {
        self.eligible = vec![false; slots];
        self.on_node = vec![0; slots];
        self.domains = vec![None; domains];
        self.by_count.clear();
    }

    fn find_fewest(&mut self) {
        self.fewest = self.by_count.keys().next().copied().unwrap_or(i64::from(i32::MAX));
    }

    /// The fewest pods in a domain, one domain's count being thought to change.
    fn least(&self, here: Option<i64>, shift: i64) -> i64 {
        if self.counted < self.min_domains {
            return 0;
        }
        let Some(here) = here.filter(|_| shift != 0) else { return self.fewest };
        let others = self.by_count.iter().find(|(count, domains)| **count != here || **domains > 1);
        others.map_or(here + shift, |(count, _)| (*count).min(here + shift))
    }

    /// # Upstream
    /// `scoring.go` `topologyNormalizingWeight`
    fn domain_weight(&self, state: &State, slots: &[Slot], ignored: &[bool], left: usize) -> f64 {
        let size = if self.is_hostname {
            left
        } else {
            let counted = slots.iter().zip(ignored).filter(|(_, ignored)| !**ignored);
            // nodes without the label count as one domain more
            counted.map(|(slot, _)| state.topology.domain(self.key, *slot)).collect::<HashSet<u32>>().len()
        };
        ((size + 2) as f64).ln()
    }
}

fn nothing() -> Selector {
    let never = crate::model::Requirement { key: String::new(), operator: "In".into(), values: Vec::new() };
    Selector { match_expressions: vec![never], ..Selector::default() }
}
