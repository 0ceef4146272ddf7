//! The terms pods of one class share.

use std::collections::HashMap;
use std::sync::Arc;

use super::Own;
use crate::config::Profile;
use crate::model::{Class, Pod};
use crate::plugins::inter_pod_affinity::{PodTerms, Target};
use crate::plugins::node_resources::Shift;
use crate::plugins::pod_topology_spread::Spreads;
use crate::plugins::{
    Cause, Plugin, balanced_allocation, image_locality, node_affinity, node_ports, node_resources,
    node_unschedulable, node_volume_limits, normalize, taint_toleration, volume_binding, volume_restrictions,
    volume_zone,
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

    /// Whether what one node alone shows is all that is asked of nodes: [`Template::check_alone`] then says all that
    /// [`Template::check`] does.
    pub(crate) fn is_local(&self, look: &Look<'_>) -> bool {
        let has_volumes = !(look.pod.volumes.is_empty() && look.pod.disks.is_empty());
        let has_terms = look.profile.filters.has(Plugin::InterPodAffinity) && self.terms.has_filters();
        !has_volumes && !has_terms && self.hard.is_empty()
    }

    /// Whether a node refuses the pod for what it shows alone, and why.
    #[inline]
    pub(crate) fn check_alone(&mut self, look: &Look<'_>, slot: Slot) -> Option<Cause> {
        self.local(look, slot).cause
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
            self.local[slot as usize] = self.look_at(look, slot, version);
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
        let most_taints = slots.iter().map(|s| local(s).taints).max().unwrap_or(0).into();
        let most_preferred = slots.iter().map(|s| local(s).preferred).max().unwrap_or(0).into();
        let (taints, preferred) =
            (profile.weight(Plugin::TaintToleration), profile.weight(Plugin::NodeAffinity));
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

/// The pods of a node as they would be.
fn pods<'a>(look: &Look<'a>, slot: Slot, shift: Shift<'a>) -> impl Iterator<Item = &'a Pod> {
    let stays = move |pod: &&Arc<Pod>| !shift.removed.iter().any(|r| r.uid == pod.uid);
    look.state.nodes.pods(slot).iter().filter(stays).chain(shift.added).map(AsRef::as_ref)
}

/// The first plugin, in upstream's order, to refuse for what one node alone shows.
fn local_cause(class: &Class, look: &Look<'_>, slot: Slot, shift: Shift<'_>) -> Option<Cause> {
    let (profile, nodes) = (look.profile, &look.state.nodes);
    let node = nodes.node(slot)?;
    let on = |plugin| profile.filters.has(plugin);
    if on(Plugin::NodeUnschedulable)
        && let Some(cause) = node_unschedulable::filter(class, node)
    {
        return Some(cause);
    }
    if on(Plugin::TaintToleration)
        && let Some(cause) = taint_toleration::filter(class, node)
    {
        return Some(cause);
    }
    if on(Plugin::NodeAffinity)
        && let Some(cause) = node_affinity::filter(class, &profile.node_affinity, node)
    {
        return Some(cause);
    }
    if on(Plugin::NodePorts)
        && let Some(cause) = node_ports::filter(class, pods(look, slot, shift))
    {
        return Some(cause);
    }
    if on(Plugin::NodeResourcesFit) {
        return node_resources::filter(class, &profile.resources, nodes, slot, shift);
    }
    None
}

fn volumes_cause(look: &Look<'_>, own: &Own, slot: Slot, shift: Shift<'_>) -> Option<Cause> {
    let node = look.state.nodes.node(slot)?;
    let on = |plugin| look.profile.filters.has(plugin);
    if on(Plugin::VolumeRestrictions) {
        let pods = pods(look, slot, shift);
        if let Some(cause) =
            volume_restrictions::filter(look.state, look.pod, &own.exclusive, shift.removed, pods)
        {
            return Some(cause);
        }
    }
    if on(Plugin::NodeVolumeLimits)
        && let Some(cause) = node_volume_limits::filter(look.world, look.pod, node, pods(look, slot, shift))
    {
        return Some(cause);
    }
    if let Some(claims) = &own.claims
        && let Err(conflict) = volume_binding::find_volumes(look.world, claims, node)
    {
        return Some(Cause::Volumes(conflict));
    }
    volume_zone::filter(&own.zones, node)
}
