//! Why one node refuses a pod: the plugins that need no more than the node and its pods, in upstream's order.

use std::sync::Arc;

use super::{Look, Own};
use crate::model::{Class, Pod};
use crate::plugins::node_resources::{self, Shift};
use crate::plugins::{
    Cause, Plugin, node_affinity, node_ports, node_unschedulable, node_volume_limits, taint_toleration,
    volume_binding, volume_restrictions, volume_zone,
};
use crate::state::Slot;

/// The pods of a node as they would be.
fn pods<'a>(look: &Look<'a>, slot: Slot, shift: Shift<'a>) -> impl Iterator<Item = &'a Pod> {
    let stays = move |pod: &&Arc<Pod>| !shift.removed.iter().any(|r| r.uid == pod.uid);
    look.state.nodes.pods(slot).iter().filter(stays).chain(shift.added).map(AsRef::as_ref)
}

/// The first plugin, in upstream's order, to refuse for what one node alone shows.
pub(super) fn local_cause(class: &Class, look: &Look<'_>, slot: Slot, shift: Shift<'_>) -> Option<Cause> {
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

/// The first to refuse for the pod's volumes.
pub(super) fn volumes_cause(look: &Look<'_>, own: &Own, slot: Slot, shift: Shift<'_>) -> Option<Cause> {
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
