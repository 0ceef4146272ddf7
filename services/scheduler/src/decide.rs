//! Where a pod goes: `(state, pod) → decision`, without I/O, clock or chance of its own.
//!
//! # Upstream
//! `pkg/scheduler/schedule_one.go` `schedulePod`, `findNodesThatFitPod`, `handleSchedulingFailure`

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Profile;
use crate::model::Pod;
use crate::plugins::default_preemption::{self as preempt, Preemption};
use crate::plugins::node_resources::Shift;
use crate::plugins::volume_binding::{self, Promises};
use crate::plugins::{Cause, Plugin, PluginSet};
use crate::state::{Slot, State, World};
use crate::terms::{Look, Own, Rejection, Template, Templates, Window};

const FEWEST_NODES: usize = 100;
const LEAST_PERCENT: usize = 5;

/// What becomes of a pod.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It goes to a node.
    Place(Placement),
    /// It fits nowhere.
    Refuse(Refusal),
}

/// Where a pod goes.
#[derive(Debug)]
pub(crate) struct Placement {
    /// The node.
    pub(crate) node: String,
    /// What its volumes need first.
    pub(crate) promises: Promises,
    /// Nodes it could have had.
    pub(crate) feasible: usize,
}

/// Why a pod goes nowhere.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// In upstream's words.
    pub(crate) message: String,
    /// Whose verdict it was: what they wait for puts the pod back into the queue.
    pub(crate) plugins: PluginSet,
    /// What is to become of its nomination; `None` leaves it.
    pub(crate) nominate: Option<String>,
    /// Who has to go for it.
    pub(crate) preemption: Option<Preemption>,
}

/// Decides, remembering what it compiled.
#[derive(Debug, Default)]
pub(crate) struct Decider {
    templates: Vec<Templates>,
    next_start: usize,
    random: u64,
}

/// Causes by node, for the words and for preemption.
pub(crate) struct Diagnosis {
    /// By slot.
    pub(crate) causes: BTreeMap<Slot, Cause>,
    /// For nodes not looked at.
    pub(crate) absent: Option<(String, usize)>,
    /// The whole reason, when nodes did not matter.
    pub(crate) before: Option<String>,
}

impl Decider {
    /// One that breaks ties by a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed | 1, ..Self::default() }
    }

    /// Decides about a pod of the n-th profile.
    pub(crate) fn decide(
        &mut self,
        pod: &Arc<Pod>,
        which: usize,
        profile: &Profile,
        state: &mut State,
        world: &World,
    ) -> Decision {
        state.nodes.tidy();
        let all = state.nodes.order().len();
        if all == 0 {
            return refuse_nodeless();
        }
        if self.templates.len() <= which {
            self.templates.resize_with(which + 1, Templates::default);
        }
        let own = match Own::of(pod, profile, state, world) {
            Ok(own) => own,
            Err(rejection) => return refuse_rejected(pod, profile, state, all, rejection),
        };
        if own.only.as_ref().is_some_and(Vec::is_empty) {
            return refuse_unknown(pod, profile, state, all);
        }
        let template = self.templates[which].of(&pod.class, profile, state, world);
        let nominated = !state.nominated.is_empty();
        if nominated {
            let pods: Vec<Arc<Pod>> = state.nominated.all().cloned().collect();
            template.learn(&pods, profile, state, world);
        }
        let look = Look { pod, own: &own, profile, state, world };
        if let Some(slot) = favourite(template, &look) {
            return place(&look, slot, 1);
        }
        let wanted = wanted_nodes(profile.percentage, own.only.as_ref().map_or(all, Vec::len));
        let window = Window { start: self.next_start, wanted };
        let chance = |ties| pick(&mut self.random, ties);
        // who wants to read of each node's score has to have them all
        if is_plain(&look)
            && !tracing::enabled!(tracing::Level::TRACE)
            && let Some(best) = template.best_alone(&look, window, chance)
        {
            self.next_start = (self.next_start + best.seen) % all;
            return place(&look, best.slot, best.feasible);
        }
        let mut causes = BTreeMap::new();
        let (feasible, seen) = scan(template, &look, window, &mut causes);
        self.next_start = (self.next_start + seen) % all;
        let Some(best) = best(template, &look, &feasible, &mut self.random) else {
            let named = own.only.iter().map(|_| Plugin::NodeAffinity);
            let plugins = causes.values().map(|c| c.plugin()).chain(named).collect();
            let absent = own
                .only
                .as_ref()
                .map(|only| ("node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned(), all - only.len()));
            let diagnosis = Diagnosis { causes, absent, before: None };
            return refuse_all(
                pod,
                profile,
                (state, world),
                &own,
                template,
                (all, &diagnosis, plugins),
                &mut self.random,
            );
        };
        place(&look, best, feasible.len())
    }

    /// The scores of the nodes a pod could have.
    #[cfg(test)]
    pub(crate) fn scores(
        &mut self,
        pod: &Arc<Pod>,
        profile: &Profile,
        state: &mut State,
        world: &World,
    ) -> BTreeMap<String, i64> {
        state.nodes.tidy();
        self.templates.resize_with(self.templates.len().max(1), Templates::default);
        let Ok(own) = Own::of(pod, profile, state, world) else { return BTreeMap::new() };
        let template = self.templates[0].of(&pod.class, profile, state, world);
        let look = Look { pod, own: &own, profile, state, world };
        let (feasible, _) =
            scan(template, &look, Window { start: 0, wanted: usize::MAX }, &mut BTreeMap::new());
        let totals = template.scores(&look, &feasible);
        feasible.iter().zip(totals).map(|(slot, total)| (state.nodes.name(*slot).to_owned(), total)).collect()
    }
}

/// # Upstream
/// `numFeasibleNodesToFind`
fn wanted_nodes(percentage: i64, all: usize) -> usize {
    if all < FEWEST_NODES {
        return all;
    }
    let percent = match usize::try_from(percentage).unwrap_or(0) {
        0 => 50_usize.saturating_sub(all / 125).max(LEAST_PERCENT),
        set => set,
    };
    (all * percent / 100).max(FEWEST_NODES)
}

/// The node the pod was nominated for, if it is free by now.
fn favourite(template: &mut Template, look: &Look<'_>) -> Option<Slot> {
    let name = Some(look.pod.nominated.as_str()).filter(|name| !name.is_empty())?;
    let slot = look.state.nodes.find(name).filter(|slot| look.state.nodes.node(*slot).is_some())?;
    let allowed = look.own.only.as_ref().is_none_or(|only| only.contains(&slot));
    (allowed && verdict(template, look, slot).is_none()).then_some(slot)
}

/// A node's answer, also with those there who were promised it and are at least as important.
///
/// # Upstream
/// `RunFilterPluginsWithNominatedPods`
fn verdict(template: &mut Template, look: &Look<'_>, slot: Slot) -> Option<Cause> {
    if !look.state.nominated.is_empty() {
        let added = rivals(look, slot);
        if !added.is_empty() {
            let shift = Shift { removed: &[], added: &added };
            if let Some(cause) = template.check_with(look, slot, shift) {
                return Some(cause);
            }
        }
    }
    template.check(look, slot)
}

/// Pods that were promised a node and are at least as important.
pub(crate) fn rivals(look: &Look<'_>, slot: Slot) -> Vec<Arc<Pod>> {
    let on = look.state.nominated.on(look.state.nodes.name(slot)).iter();
    on.filter(|p| p.priority >= look.pod.priority && p.uid != look.pod.uid).cloned().collect()
}

/// Nodes that will do, from `start` on until there are enough; and how many were looked at.
fn scan(
    template: &mut Template,
    look: &Look<'_>,
    window: Window,
    causes: &mut BTreeMap<Slot, Cause>,
) -> (Vec<Slot>, usize) {
    if is_plain(look)
        && let Some(found) = template.feasible_alone(look, window)
    {
        return found;
    }
    let Window { start, wanted } = window;
    let nodes = look.own.only.as_deref().unwrap_or(look.state.nodes.order());
    let start = start % nodes.len().max(1);
    let mut feasible = Vec::with_capacity(wanted.min(nodes.len()));
    let mut refused = Vec::new();
    let mut seen = 0;
    for &slot in nodes[start..].iter().chain(&nodes[..start]) {
        if feasible.len() >= wanted {
            break;
        }
        seen += 1;
        match verdict(template, look, slot) {
            None => feasible.push(slot),
            Some(cause) => refused.push((slot, cause)),
        }
    }
    if feasible.is_empty() {
        causes.extend(refused);
    }
    (feasible, seen)
}

/// The best of the nodes; of equally good ones any.
fn best(template: &Template, look: &Look<'_>, feasible: &[Slot], random: &mut u64) -> Option<Slot> {
    if feasible.len() < 2 {
        return feasible.first().copied();
    }
    let totals = template.scores(look, feasible);
    if tracing::enabled!(tracing::Level::TRACE) {
        for (slot, total) in feasible.iter().zip(&totals) {
            tracing::trace!(pod = %look.pod.key(), node = look.state.nodes.name(*slot), total, "Scored node");
        }
    }
    let most = totals.iter().max()?;
    let ties = totals.iter().filter(|t| *t == most).count();
    let mut skip = pick(random, ties);
    for (slot, total) in feasible.iter().zip(&totals) {
        if total == most {
            if skip == 0 {
                return Some(*slot);
            }
            skip -= 1;
        }
    }
    None
}

/// Whether every node may do, and none is promised to anybody.
fn is_plain(look: &Look<'_>) -> bool {
    look.own.only.is_none() && look.state.nominated.is_empty()
}

/// One of some that are equally good.
fn pick(random: &mut u64, ties: usize) -> usize {
    // less than a number of nodes
    (next_random(random) % ties as u64) as usize
}

/// xorshift64: ties need no better.
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn place(look: &Look<'_>, slot: Slot, feasible: usize) -> Decision {
    let name = look.state.nodes.name(slot).to_owned();
    let promises = match (&look.own.claims, look.state.nodes.node(slot)) {
        // it was found a moment ago, from the same snapshot
        (Some(claims), Some(node)) => {
            volume_binding::find_volumes(look.world, claims, node).unwrap_or_default()
        }
        _ => Promises::default(),
    };
    Decision::Place(Placement { node: name, promises, feasible })
}

fn refuse_nodeless() -> Decision {
    Decision::Refuse(Refusal {
        message: "no nodes available to schedule pods".into(),
        plugins: PluginSet::default(),
        nominate: Some(String::new()),
        preemption: None,
    })
}

fn refuse_rejected(pod: &Pod, profile: &Profile, state: &State, all: usize, why: Rejection) -> Decision {
    let diagnosis = Diagnosis { causes: BTreeMap::new(), absent: None, before: Some(why.message) };
    refuse(pod, profile, state, all, &diagnosis, [why.plugin].into_iter().collect())
}

fn refuse_unknown(pod: &Pod, profile: &Profile, state: &State, all: usize) -> Decision {
    let text = "node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned();
    let diagnosis = Diagnosis { causes: BTreeMap::new(), absent: Some((text, all)), before: None };
    refuse(pod, profile, state, all, &diagnosis, [Plugin::NodeAffinity].into_iter().collect())
}

/// A refusal with what the plugins asked afterwards say. DynamicResources speaks first, to pods without claims too.
///
/// # Upstream
/// `pkg/scheduler/framework/runtime/framework.go` `RunPostFilterPlugins`
fn with_afterword(message: &str, profile: &Profile, preemption: Option<&str>) -> String {
    let claims =
        profile.filters.has(Plugin::DynamicResources).then(|| "no new claims to deallocate".to_owned());
    let preemption = preemption.map(|text| format!("preemption: {text}"));
    let words: Vec<String> = claims.into_iter().chain(preemption).collect();
    if words.is_empty() { message.to_owned() } else { format!("{message} {}", words.join(", ")) }
}

/// A refusal nobody's going could change.
fn refuse(
    pod: &Pod,
    profile: &Profile,
    state: &State,
    all: usize,
    diagnosis: &Diagnosis,
    plugins: PluginSet,
) -> Decision {
    let message = diagnosis.message(all, &|_, _| Vec::new());
    if diagnosis.before.is_some() && profile.filters.has(Plugin::DynamicResources) {
        // its turn had not come, so it finds nothing of its own afterwards, and preemption is not asked
        let message = format!("{message} not found");
        return Decision::Refuse(Refusal { message, plugins, nominate: None, preemption: None });
    }
    let unhelpful = format!("0/{all} nodes are available: {all} Preemption is not helpful for scheduling.");
    let ineligible = preempt::ineligible(pod, state, true);
    let nominate = if profile.preempts && ineligible.is_some() { None } else { Some(String::new()) };
    let words = profile.preempts.then(|| ineligible.unwrap_or(&unhelpful));
    let message = with_afterword(&message, profile, words);
    Decision::Refuse(Refusal { message, plugins, nominate, preemption: None })
}

fn refuse_all(
    pod: &Arc<Pod>,
    profile: &Profile,
    (state, world): (&mut State, &World),
    own: &Own,
    template: &mut Template,
    (all, diagnosis, plugins): (usize, &Diagnosis, PluginSet),
    random: &mut u64,
) -> Decision {
    let words = |template: &Template, state: &State| {
        let look = Look { pod, own, profile, state, world };
        diagnosis.message(all, &|slot, cause| template.reasons(&look, slot, cause, Shift::default()))
    };
    let message = words(template, state);
    if !profile.preempts {
        let message = with_afterword(&message, profile, None);
        return Decision::Refuse(Refusal {
            message,
            plugins,
            nominate: Some(String::new()),
            preemption: None,
        });
    }
    match preempt::preempt(pod, profile, state, world, own, template, diagnosis, random) {
        preempt::Outcome::Ineligible(reason) => {
            let message = with_afterword(&message, profile, Some(reason));
            Decision::Refuse(Refusal { message, plugins, nominate: None, preemption: None })
        }
        preempt::Outcome::Useless(reason) => {
            let message = with_afterword(&message, profile, Some(&reason));
            Decision::Refuse(Refusal { message, plugins, nominate: Some(String::new()), preemption: None })
        }
        preempt::Outcome::Room(preemption) => {
            let nominate = Some(preemption.node.clone());
            Decision::Refuse(Refusal { message, plugins, nominate, preemption: Some(preemption) })
        }
    }
}

impl Diagnosis {
    /// # Upstream
    /// `pkg/scheduler/framework/types.go` `FitError.Error`
    pub(crate) fn message(&self, all: usize, reasons: &dyn Fn(Slot, Cause) -> Vec<String>) -> String {
        let head = format!("0/{all} nodes are available:");
        if let Some(before) = &self.before {
            return format!("{head} {before}.");
        }
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (slot, cause) in &self.causes {
            for reason in reasons(*slot, *cause) {
                *counts.entry(reason).or_default() += 1;
            }
        }
        histogram(&head, counts, self.absent.clone())
    }
}

/// Counted reasons, sorted as text (so 10 comes before 2).
pub(crate) fn histogram(
    head: &str,
    mut counts: BTreeMap<String, usize>,
    absent: Option<(String, usize)>,
) -> String {
    if let Some((reason, nodes)) = absent.filter(|(_, nodes)| *nodes > 0) {
        *counts.entry(reason).or_default() += nodes;
    }
    let mut texts: Vec<String> =
        counts.into_iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
    texts.sort();
    if texts.is_empty() { head.to_owned() } else { format!("{head} {}.", texts.join(", ")) }
}
