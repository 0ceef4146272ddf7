//! The terms pods of one class share.

use std::collections::HashMap;
use std::sync::Arc;

use super::Own;
use super::causes::{local_cause, volumes_cause};
use super::ranks::{Found, REFUSED, Ranks, Window};
use crate::config::Profile;
use crate::model::{Class, Pod};
use crate::plugins::inter_pod_affinity::{PodTerms, Target};
use crate::plugins::node_resources::Shift;
use crate::plugins::pod_topology_spread::Spreads;
use crate::plugins::{
    Cause, Plugin, balanced_allocation, image_locality, node_affinity, node_resources, normalize,
    taint_toleration,
};
use crate::state::{Entry, Slot, State, World};

/// Classes whose effects are remembered.
const EFFECTS: usize = 20_000;

/// What one node alone decides.
#[derive(Debug, Clone, Copy, Default)]
struct Local {
    version: u64,
    cause: Option<Cause>,
    score: i32,
    preferred: i32,
    taints: u16,
}

/// What a pod of some class changes where it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    Hard(usize),
    Soft(usize),
    Term(Target, i64),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Template {
    class: Arc<Class>,
    local: Vec<Local>,
    ranks: Ranks,
    /// Whether a node was seen whose score depends on which others there are.
    is_relative: bool,
    images: (usize, Vec<u32>),
    hard: Spreads,
    soft: Spreads,
    terms: PodTerms,
    effects: HashMap<(u64, bool), Arc<[Effect]>>,
    cursor: u64,
    namespaces: u64,
    selecting: u64,
}

/// What a look at a node needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    /// The pod.
    pub(crate) pod: &'a Pod,
    /// What is its own.
    pub(crate) own: &'a Own,
    /// Its profile.
    pub(crate) profile: &'a Profile,
    /// Nodes and pods.
    pub(crate) state: &'a State,
    /// The rest.
    pub(crate) world: &'a World,
}

/// A node chosen.
#[derive(Debug)]
pub(crate) struct Best {
    /// The node.
    pub(crate) slot: Slot,
    /// How many were looked at.
    pub(crate) seen: usize,
    /// How many of them would do.
    pub(crate) feasible: usize,
}

impl Template {
    /// Compiles a class.
    pub(crate) fn new(class: &Arc<Class>, profile: &Profile, state: &mut State, world: &World) -> Self {
        let spreads = |state: &mut State, action: &str, on: bool| {
            if on { Spreads::of(class, &profile.spread, state, world, action) } else { Spreads::default() }
        };
        let filters = |plugin| profile.filters.has(plugin);
        let affinity = filters(Plugin::InterPodAffinity) || profile.weight(Plugin::InterPodAffinity) != 0;
        let mut template = Self {
            class: Arc::clone(class),
            local: Vec::new(),
            ranks: Ranks::default(),
            is_relative: false,
            images: (0, Vec::new()),
            hard: spreads(state, "DoNotSchedule", filters(Plugin::PodTopologySpread)),
            soft: spreads(state, "ScheduleAnyway", profile.weight(Plugin::PodTopologySpread) != 0),
            terms: if affinity {
                PodTerms::of(class, &profile.pod_affinity, state, world)
            } else {
                PodTerms::default()
            },
            effects: HashMap::new(),
            cursor: 0,
            namespaces: world.namespaces_changed(),
            selecting: world.selecting_changed(&class.namespace),
        };
        template.recount(profile, state, world);
        template
    }

    /// Whether it was compiled from something that is not so any more.
    pub(crate) fn is_outdated(&self, world: &World) -> bool {
        self.namespaces != world.namespaces_changed()
            || self.selecting != world.selecting_changed(&self.class.namespace)
    }

    /// Follows the log.
    pub(crate) fn catch_up(&mut self, profile: &Profile, state: &mut State, world: &World) {
        let end = state.log.end();
        if self.cursor != end {
            let entries: Option<Vec<Entry>> = state.log.since(self.cursor).map(|e| e.cloned().collect());
            match entries {
                None => self.recount(profile, state, world),
                Some(entries) => {
                    for e in &entries {
                        self.take(&e.class, e.deleting, (e.slot, e.sign), profile, state, world);
                    }
                    self.cursor = end;
                }
            }
        }
        self.local.resize(state.nodes.len(), Local::default());
        let counts: Vec<u32> =
            self.class.images.iter().map(|hash| state.nodes.nodes_with_image(*hash)).collect();
        let images = (if counts.iter().any(|c| *c > 0) { state.nodes.order().len() } else { 0 }, counts);
        if self.images != images {
            self.images = images;
            self.local.iter_mut().for_each(|l| l.version = 0);
            self.ranks = Ranks::default();
        }
    }

    fn recount(&mut self, profile: &Profile, state: &mut State, world: &World) {
        self.hard.reset(&self.class, state);
        self.soft.reset(&self.class, state);
        self.terms.reset();
        self.effects.clear();
        self.cursor = state.log.end();
        for slot in 0..state.nodes.len() as Slot {
            for i in 0..state.nodes.pods(slot).len() {
                let pod = &state.nodes.pods(slot)[i];
                let (class, deleting) = (Arc::clone(&pod.class), pod.deleting);
                self.take(&class, deleting, (slot, 1), profile, state, world);
            }
        }
    }

    fn take(
        &mut self,
        other: &Arc<Class>,
        deleting: bool,
        (slot, sign): (Slot, i64),
        profile: &Profile,
        state: &mut State,
        world: &World,
    ) {
        let effects = match self.effects.get(&(other.id, deleting)) {
            Some(known) => Arc::clone(known),
            None => self.effects_of(other, deleting, profile, state, world),
        };
        for effect in effects.iter() {
            match *effect {
                Effect::Hard(i) => self.hard.count(i, state, slot, sign),
                Effect::Soft(i) => self.soft.count(i, state, slot, sign),
                Effect::Term(target, by) => self.terms.count(target, state, slot, sign * by),
            }
        }
    }

    fn effects_of(
        &mut self,
        other: &Arc<Class>,
        deleting: bool,
        profile: &Profile,
        state: &mut State,
        world: &World,
    ) -> Arc<[Effect]> {
        let mut effects = Vec::new();
        if !deleting {
            effects.extend(self.hard.counting(&self.class, other).map(Effect::Hard));
            effects.extend(self.soft.counting(&self.class, other).map(Effect::Soft));
        }
        let terms = self.terms.effects(&self.class, other, &profile.pod_affinity, state, world);
        effects.extend(terms.into_iter().map(|(target, by)| Effect::Term(target, by)));
        if self.effects.len() >= EFFECTS {
            self.effects.clear();
        }
        let effects: Arc<[Effect]> = effects.into();
        self.effects.insert((other.id, deleting), Arc::clone(&effects));
        effects
    }

    /// Whether a node refuses the pod, and why.
    pub(crate) fn check(&mut self, look: &Look<'_>, slot: Slot) -> Option<Cause> {
        self.local(look, slot).cause.or_else(|| self.wider(look, slot, Shift::default()))
    }

    /// Whether what one node alone shows is all that is asked of nodes.
    fn is_local(&self, look: &Look<'_>) -> bool {
        let has_volumes = !(look.pod.volumes.is_empty() && look.pod.disks.is_empty());
        let has_terms = look.profile.filters.has(Plugin::InterPodAffinity) && self.terms.has_filters();
        !has_volumes && !has_terms && self.hard.is_empty()
    }

    /// The best of the first nodes that will do (of equally good ones any), where each is worth what it shows alone: what
    /// scanning and scoring one by one would give. `None` when it is not so, or when no node will do.
    pub(crate) fn best_alone(
        &mut self,
        look: &Look<'_>,
        window: Window,
        chance: impl FnOnce(usize) -> usize,
    ) -> Option<Best> {
        let is_summed = !self.soft.is_empty() || self.terms.has_scores();
        if is_summed || self.is_relative || !self.is_local(look) {
            return None;
        }
        let found = self.pass(look, window);
        if found.feasible == 0 || self.is_relative {
            return None;
        }
        let n = if found.feasible > 1 { chance(found.ties) } else { 0 };
        let position = self.ranks.nth_best(window, &found, n)?;
        let slot = look.state.nodes.order()[position];
        Some(Best { slot, seen: found.seen, feasible: found.feasible })
    }

    /// The first nodes that will do, where each says so alone, and how many were looked at. `None` when it is not so, or when
    /// no node will do.
    pub(crate) fn feasible_alone(&mut self, look: &Look<'_>, window: Window) -> Option<(Vec<Slot>, usize)> {
        if !self.is_local(look) {
            return None;
        }
        let found = self.pass(look, window);
        let order = look.state.nodes.order();
        let mut feasible = Vec::with_capacity(found.feasible);
        feasible.extend(self.ranks.feasible(window, &found).map(|position| order[position]));
        (!feasible.is_empty()).then_some((feasible, found.seen))
    }

    /// Ranks the nodes of a window.
    fn pass(&mut self, look: &Look<'_>, window: Window) -> Found {
        let nodes = &look.state.nodes;
        let mut ranks = std::mem::take(&mut self.ranks);
        ranks.catch_up(nodes);
        let found = ranks.find(window, |position| match self.local(look, nodes.order()[position]) {
            Local { cause: Some(_), .. } => REFUSED,
            local => local.score,
        });
        self.ranks = ranks;
        found
    }

    /// The same with pods thought away from the node or onto it. Their effects must be known ([`Template::learn`]).
    pub(crate) fn check_with(&self, look: &Look<'_>, slot: Slot, shift: Shift<'_>) -> Option<Cause> {
        local_cause(&self.class, look, slot, shift).or_else(|| self.wider(look, slot, shift))
    }

    /// Learns what pods change, for [`Template::check_with`].
    pub(crate) fn learn<'a>(
        &mut self,
        pods: impl IntoIterator<Item = &'a Arc<Pod>>,
        profile: &Profile,
        state: &mut State,
        world: &World,
    ) {
        for pod in pods {
            if !self.effects.contains_key(&(pod.class.id, pod.deleting)) {
                self.effects_of(&pod.class, pod.deleting, profile, state, world);
            }
        }
    }

    /// What a node alone decides, looked at again only when something of it changed: this runs for hundreds of nodes a pod.
    #[inline]
    fn local(&mut self, look: &Look<'_>, slot: Slot) -> &Local {
        let version = look.state.nodes.version(slot);
        if self.local[slot as usize].version != version {
            let local = self.look_at(look, slot, version);
            self.is_relative |= local.taints != 0 || local.preferred != 0;
            self.local[slot as usize] = local;
        }
        &self.local[slot as usize]
    }

    #[cold]
    fn look_at(&self, look: &Look<'_>, slot: Slot, version: u64) -> Local {
        let cause = local_cause(&self.class, look, slot, Shift::default());
        let mut local = Local { version, cause, ..Local::default() };
        if let Some(node) = look.state.nodes.node(slot).filter(|_| cause.is_none()) {
            let (class, profile, nodes) = (&self.class, look.profile, &look.state.nodes);
            let weighed = |plugin, score: &dyn Fn() -> i64| match profile.weight(plugin) {
                0 => 0,
                weight => weight * score(),
            };
            let fit = || node_resources::score(class, &profile.resources.scoring_strategy, nodes, slot);
            let balanced = || match balanced_allocation::applies(class, &profile.balanced) {
                true => balanced_allocation::score(class, &profile.balanced, nodes, slot),
                false => 0,
            };
            let score = weighed(Plugin::NodeResourcesFit, &fit)
                + weighed(Plugin::BalancedAllocation, &balanced)
                + weighed(Plugin::ImageLocality, &|| image_locality::score(class, nodes, node));
            local.score = score as i32;
            local.preferred = node_affinity::score(class, &profile.node_affinity, node) as i32;
            local.taints = taint_toleration::score(class, node) as u16;
        }
        local
    }

    /// What takes more than one node to say.
    fn wider(&self, look: &Look<'_>, slot: Slot, shift: Shift<'_>) -> Option<Cause> {
        let shifts = self.shifts(shift);
        let own = look.own;
        let has_volumes = !(look.pod.volumes.is_empty() && look.pod.disks.is_empty());
        if has_volumes && let Some(cause) = volumes_cause(look, own, slot, shift) {
            return Some(cause);
        }
        let sum = |effect: &dyn Fn(Effect) -> i64| shifts.iter().map(|(e, sign)| sign * effect(*e)).sum();
        let hard = |i| sum(&|e| i64::from(e == Effect::Hard(i)));
        if !self.hard.is_empty()
            && let Some(cause) = self.hard.filter(look.state, slot, &hard)
        {
            return Some(cause);
        }
        if !look.profile.filters.has(Plugin::InterPodAffinity) {
            return None;
        }
        let term = |target| {
            sum(&|e| match e {
                Effect::Term(t, by) if t == target => by,
                _ => 0,
            })
        };
        self.terms.filter(look.state, slot, &term)
    }

    fn shifts(&self, shift: Shift<'_>) -> Vec<(Effect, i64)> {
        let of = |pod: &Arc<Pod>| self.effects.get(&(pod.class.id, pod.deleting)).cloned();
        let removed = shift.removed.iter().filter_map(of).map(|e| (e, -1));
        let added = shift.added.iter().filter_map(of).map(|e| (e, 1));
        removed.chain(added).flat_map(|(e, sign)| e.iter().map(|e| (*e, sign)).collect::<Vec<_>>()).collect()
    }

    /// Total scores of nodes that passed [`Template::check`].
    ///
    /// # Upstream
    /// `pkg/scheduler/framework/runtime/framework.go` `RunScorePlugins`
    pub(crate) fn scores(&self, look: &Look<'_>, slots: &[Slot]) -> Vec<i64> {
        let profile = look.profile;
        let local = |slot: &Slot| &self.local[*slot as usize];
        let (taints, preferred) =
            (profile.weight(Plugin::TaintToleration), profile.weight(Plugin::NodeAffinity));
        let most = |of: &dyn Fn(&Local) -> i64| match self.is_relative {
            true => slots.iter().map(|slot| of(local(slot))).max().unwrap_or(0),
            false => 0,
        };
        let (most_taints, most_preferred) = (most(&|l| l.taints.into()), most(&|l| l.preferred.into()));
        // mostly there is nothing to normalize, and the same for every node
        let same = (most_taints == 0 && most_preferred == 0)
            .then(|| taints * normalize(0, 0, true) + preferred * normalize(0, 0, false));
        let total = |slot: &Slot| {
            let l = local(slot);
            let normalized = same.unwrap_or_else(|| {
                taints * normalize(l.taints.into(), most_taints, true)
                    + preferred * normalize(l.preferred.into(), most_preferred, false)
            });
            i64::from(l.score) + normalized
        };
        let mut totals: Vec<i64> = slots.iter().map(total).collect();
        if !self.soft.is_empty() {
            self.soft.score(look.state, slots, profile.weight(Plugin::PodTopologySpread), &mut totals);
        }
        if self.terms.has_scores() {
            self.terms.score(look.state, slots, profile.weight(Plugin::InterPodAffinity), &mut totals);
        }
        totals
    }

    /// Upstream's words for a cause.
    pub(crate) fn reasons(&self, look: &Look<'_>, slot: Slot, cause: Cause, shift: Shift<'_>) -> Vec<String> {
        match cause {
            Cause::Resources(_) => {
                node_resources::reasons(&self.class, &look.profile.resources, &look.state.nodes, slot, shift)
            }
            other => other.reasons().into_iter().map(str::to_owned).collect(),
        }
    }
}
