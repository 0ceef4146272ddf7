//! Room for an important pod by less important ones going.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go`, `pkg/scheduler/framework/preemption/preemption.go`

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::Cause;
use super::node_resources::Shift;
use crate::config::Profile;
use crate::decide::{Diagnosis, histogram, next_random, rivals};
use crate::model::Pod;
use crate::state::{Slot, State, World};
use crate::terms::{Look, Own, Template};

/// Who has to go, and from where.
#[derive(Debug, Clone)]
pub struct Preemption {
    /// The node.
    pub node: String,
    /// The pods.
    pub victims: Vec<Arc<Pod>>,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// The pod may not displace others (now).
    Ineligible(&'static str),
    /// Nobody's going would help.
    Useless(String),
    /// These have to go.
    Room(Preemption),
}

struct Candidate {
    slot: Slot,
    victims: Vec<Arc<Pod>>,
    violations: usize,
}

/// Why a pod may not displace others. `hopeless`: the node it was nominated for is out of the question.
pub fn ineligible(pod: &Pod, state: &State, hopeless: bool) -> Option<&'static str> {
    if !pod.preempts {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    if hopeless || pod.nominated.is_empty() {
        return None;
    }
    let slot = state.nodes.find(&pod.nominated)?;
    let going = |p: &Arc<Pod>| p.priority < pod.priority && p.deleting && p.preempted;
    let waits = state.nodes.pods(slot).iter().any(going);
    waits.then_some("not eligible due to a terminating pod on the nominated node.")
}

/// Looks for room.
#[expect(clippy::too_many_arguments, reason = "what a decision is made from, each of it once")]
pub(crate) fn preempt(
    pod: &Arc<Pod>,
    profile: &Profile,
    state: &mut State,
    world: &World,
    own: &Own,
    template: &mut Template,
    diagnosis: &Diagnosis,
    random: &mut u64,
) -> Outcome {
    let nominated = state.nodes.find(&pod.nominated).and_then(|slot| diagnosis.causes.get(&slot));
    if let Some(reason) = ineligible(pod, state, nominated.is_some_and(|c| c.is_unresolvable())) {
        return Outcome::Ineligible(reason);
    }
    let all = state.nodes.order().len();
    let potential: Vec<Slot> = diagnosis
        .causes
        .iter()
        .filter(|(_, cause)| !cause.is_unresolvable())
        .map(|(slot, _)| *slot)
        .collect();
    for &slot in &potential {
        let weaker: Vec<Arc<Pod>> = weaker(pod, state, slot).cloned().collect();
        template.learn(&weaker, profile, state, world);
    }
    let look = Look { pod, own, profile, state, world };
    let args = profile.preemption;
    let share = potential.len() as i64 * args.min_candidate_nodes_percentage / 100;
    let enough = share.max(args.min_candidate_nodes_absolute).min(potential.len() as i64) as usize;
    let offset =
        if potential.is_empty() { 0 } else { (next_random(random) % potential.len() as u64) as usize };
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut clean = 0;
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut refused = 0;
    for &slot in potential[offset..].iter().chain(&potential[..offset]) {
        match victims(template, &look, slot) {
            Ok(candidate) => {
                clean += usize::from(candidate.violations == 0);
                candidates.push(candidate);
                if clean > 0 && candidates.len() >= enough {
                    break;
                }
            }
            Err(texts) => {
                refused += 1;
                for text in texts {
                    *reasons.entry(text).or_default() += 1;
                }
            }
        }
    }
    match pick(candidates) {
        Some(best) => {
            Outcome::Room(Preemption { node: state.nodes.name(best.slot).to_owned(), victims: best.victims })
        }
        None => {
            let unhelpful = ("Preemption is not helpful for scheduling".to_owned(), all - refused);
            Outcome::Useless(histogram(&format!("0/{all} nodes are available:"), reasons, Some(unhelpful)))
        }
    }
}

fn weaker<'a>(pod: &Pod, state: &'a State, slot: Slot) -> impl Iterator<Item = &'a Arc<Pod>> {
    let priority = pod.priority;
    state.nodes.pods(slot).iter().filter(move |p| p.priority < priority)
}

/// The fewest pods whose going makes room on a node, the least important first; or why that cannot be.
fn victims(template: &Template, look: &Look<'_>, slot: Slot) -> Result<Candidate, Vec<String>> {
    let mut removed: Vec<Arc<Pod>> = weaker(look.pod, look.state, slot).cloned().collect();
    if removed.is_empty() {
        return Err(vec!["No preemption victims found for incoming pod".into()]);
    }
    let rivals = rivals(look, slot);
    let refusal = |removed: &[Arc<Pod>]| -> Option<(Cause, bool)> {
        let with = Shift { removed, added: &rivals };
        let cause = template.check_with(look, slot, with).map(|cause| (cause, true));
        let without = Shift { removed, added: &[] };
        let alone = || template.check_with(look, slot, without).map(|cause| (cause, false));
        cause.or_else(|| if rivals.is_empty() { None } else { alone() })
    };
    if let Some((cause, with_rivals)) = refusal(&removed) {
        let added: &[Arc<Pod>] = if with_rivals { &rivals } else { &[] };
        return Err(template.reasons(look, slot, cause, Shift { removed: &removed, added }));
    }
    removed.sort_by_key(importance);
    let (violating, others) = by_budget(&removed, look.world);
    let mut violations = 0;
    for (pods, protected) in [(&violating, true), (&others, false)] {
        for pod in pods.iter() {
            let Some(at) = removed.iter().position(|r| r.uid == pod.uid) else { continue };
            let spared = removed.remove(at);
            if refusal(&removed).is_some() {
                removed.insert(at, spared);
                violations += usize::from(protected);
            }
        }
    }
    if removed.is_empty() {
        return Err(vec![format!(
            "expected at least one victim pod on node {:?}",
            look.state.nodes.name(slot)
        )]);
    }
    Ok(Candidate { slot, victims: removed, violations })
}

/// The most important first: by priority, then by age.
///
/// # Upstream
/// `pkg/scheduler/util/utils.go` `MoreImportantPod`
fn importance(pod: &Arc<Pod>) -> (Reverse<i32>, Timestamp) {
    (Reverse(pod.priority), pod.started.unwrap_or(Timestamp::MAX))
}

/// Parts pods into those whose going breaks a disruption budget, and the rest.
///
/// # Upstream
/// `filterPodsWithPDBViolation`
fn by_budget(pods: &[Arc<Pod>], world: &World) -> (Vec<Arc<Pod>>, Vec<Arc<Pod>>) {
    let mut budgets: Vec<_> =
        world.budgets.iter().map(|(key, budget)| (key, budget, budget.allowed)).collect();
    let violates = |pod: &&Arc<Pod>| {
        let mut violated = false;
        for (key, budget, allowed) in &mut budgets {
            let selector = budget.selector.as_ref().filter(|s| !s.is_empty());
            let meant =
                key.namespace == pod.namespace() && selector.is_some_and(|s| s.matches(&pod.class.labels));
            if pod.class.labels.is_empty() || !meant || budget.going.contains(&pod.name) {
                continue;
            }
            *allowed -= 1;
            violated |= *allowed < 0;
        }
        violated
    };
    let (violating, others): (Vec<_>, Vec<_>) = pods.iter().partition(violates);
    (violating.into_iter().cloned().collect(), others.into_iter().cloned().collect())
}

/// The candidate that costs least.
///
/// # Upstream
/// `pickOneNodeForPreemption`
fn pick(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().min_by_key(|c| {
        let highest = c.victims.iter().map(|p| p.priority).max().unwrap_or(i32::MIN);
        let sum: i64 = c.victims.iter().map(|p| i64::from(p.priority) + i64::from(i32::MAX) + 1).sum();
        let of_highest = c.victims.iter().filter(|p| p.priority == highest);
        let earliest = of_highest.map(|p| p.started.unwrap_or(Timestamp::MAX)).min();
        (c.violations, highest, sum, c.victims.len(), Reverse(earliest))
    })
}
