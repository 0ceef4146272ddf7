//! Which events may change a plugin's mind about a pod.
//!
//! # Upstream
//! `EventsToRegister` and the `isSchedulableAfter…` functions of `pkg/scheduler/framework/plugins`

use std::sync::Arc;

use super::{Event, PodChange};
use crate::model::{AffinityTerm, Class, Node, Pod, Selector};
use crate::plugins::{Plugin, node_affinity, node_ports, taint_toleration};
use crate::state::World;

/// Whether an event may make a plugin accept a pod it refused.
pub(super) fn hint(plugin: Plugin, pod: &Pod, event: &Event, world: &World) -> bool {
    match event {
        Event::Pod { old, new, changes } => {
            pod_hint(plugin, pod, old.as_deref(), new.as_deref(), *changes, world)
        }
        Event::Node { old, new, .. } => node_hint(plugin, pod, old.as_ref(), new.as_ref(), event, world),
        other => volume_hint(plugin, pod, other),
    }
}

fn pod_hint(
    plugin: Plugin,
    pod: &Pod,
    old: Option<&Pod>,
    new: Option<&Pod>,
    changes: PodChange,
    world: &World,
) -> bool {
    let gone = old.filter(|_| new.is_none()).filter(|p| !(p.node.is_empty() && p.nominated.is_empty()));
    let itself = new.is_some_and(|p| p.uid == pod.uid);
    match plugin {
        Plugin::NodeResourcesFit => gone.is_some() || changes.shrunk && (itself || shrinks(pod, old, new)),
        Plugin::NodePorts => gone.is_some_and(|g| node_ports::conflict(&pod.class, &g.class)),
        Plugin::TaintToleration => itself && changes.tolerations,
        Plugin::NodeUnschedulable => itself && changes.tolerations,
        Plugin::SchedulingGates => itself && changes.ungated,
        Plugin::VolumeRestrictions => gone.is_some_and(|g| {
            let shares = |v: &crate::model::VolumeUse| g.volumes.iter().any(|o| o.claim == v.claim);
            pod.disks.iter().any(|d| g.disks.iter().any(|o| d.conflicts(o)))
                || g.namespace() == pod.namespace() && pod.volumes.iter().any(shares)
        }),
        Plugin::NodeVolumeLimits => gone.is_some_and(|g| !g.volumes.is_empty()),
        Plugin::PodTopologySpread => spread_hint(pod, old, new, changes, world),
        Plugin::InterPodAffinity => affinity_hint(pod, old, new, changes),
        _ => false,
    }
}

fn shrinks(pod: &Pod, old: Option<&Pod>, new: Option<&Pod>) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return false };
    let less = |name: &str| {
        pod.class.demand.requests.amount(name) > 0
            && old.class.demand.requests.amount(name) > new.class.demand.requests.amount(name)
    };
    ["cpu", "memory", "ephemeral-storage"].into_iter().any(less)
        || pod.class.demand.requests.scalars.keys().any(|name| less(name))
}

fn spread_hint(pod: &Pod, old: Option<&Pod>, new: Option<&Pod>, changes: PodChange, world: &World) -> bool {
    let itself = |p: &Pod| p.uid == pod.uid;
    let placed = |p: &Pod| !(p.node.is_empty() && p.nominated.is_empty()) && p.namespace() == pod.namespace();
    if [old, new].into_iter().flatten().any(|p| !itself(p) && !placed(p)) {
        return false;
    }
    if new.is_some_and(itself) && changes.tolerations {
        return pod.class.spread.iter().any(|c| c.node_taints_policy.as_deref() == Some("Honor"));
    }
    let default = pod.class.spread.is_empty().then(|| world.default_selector(&pod.class));
    let own = pod.class.spread.iter().filter(|c| c.when_unsatisfiable == "DoNotSchedule");
    let selectors: Vec<&Selector> =
        own.filter_map(|c| c.label_selector.as_ref()).chain(default.as_ref()).collect();
    let matches = |p: Option<&Pod>, s: &Selector| p.is_some_and(|p| s.matches(&p.class.labels));
    match (old, new) {
        (Some(_), Some(_)) => changes.labels && selectors.iter().any(|s| matches(old, s) != matches(new, s)),
        _ => selectors.iter().any(|s| matches(old.or(new), s)),
    }
}

fn affinity_hint(pod: &Pod, old: Option<&Pod>, new: Option<&Pod>, changes: PodChange) -> bool {
    if old.is_some() && new.is_some_and(|p| p.uid == pod.uid) {
        return changes != PodChange::default();
    }
    if [old, new].into_iter().flatten().any(|p| p.node.is_empty() && p.nominated.is_empty()) {
        return false;
    }
    // as upstream: here namespaces are not looked up, a selector of them matches by name only
    let all = |terms: &[AffinityTerm], owner: &Class, other: &Class| {
        !terms.is_empty() && terms.iter().all(|t| t.matches(&owner.namespace, other, None))
    };
    let wants = |p: &Pod| all(&pod.class.affinity, &pod.class, &p.class);
    let shuns = |p: &Pod| all(&pod.class.anti_affinity, &pod.class, &p.class);
    match (old, new) {
        (Some(old), Some(new)) => !wants(old) && wants(new) || shuns(old) && !shuns(new),
        (None, Some(new)) => wants(new),
        (Some(old), None) => {
            let any =
                |terms: &[AffinityTerm]| terms.iter().any(|t| t.matches(old.namespace(), &pod.class, None));
            shuns(old)
                || any(&old.class.anti_affinity)
                || old.class.anti_affinity.iter().any(|t| t.namespace_selector.is_some())
        }
        (None, None) => false,
    }
}

fn node_hint(
    plugin: Plugin,
    pod: &Pod,
    old: Option<&Arc<Node>>,
    new: Option<&Arc<Node>>,
    event: &Event,
    world: &World,
) -> bool {
    let Event::Node { changes, .. } = event else { return false };
    let added = old.is_none() && new.is_some();
    let class = &pod.class;
    let Some(node) = new else {
        return plugin == Plugin::PodTopologySpread; // a domain may be gone
    };
    match plugin {
        Plugin::NodeResourcesFit => {
            let fits = pod.only.as_ref().is_none_or(|only| *only == node.name) && fits_empty(class, node);
            fits && (added || old.is_some_and(|o| changes.allocatable && has_more(class, o, node)))
        }
        Plugin::NodeUnschedulable => (added || changes.taints) && !node.unschedulable,
        Plugin::TaintToleration => {
            let refused = |n: &Node| taint_toleration::filter(class, n).is_some();
            (added || changes.taints) && old.is_none_or(|o| refused(o)) && !refused(node)
        }
        Plugin::NodeAffinity => {
            let likes = |n: &Node| {
                pod.only.as_ref().is_none_or(|only| *only == n.name) && node_affinity::required(class, n)
            };
            (added || changes.labels) && likes(node) && old.is_none_or(|o| !likes(o))
        }
        Plugin::NodePorts | Plugin::VolumeRestrictions => added,
        Plugin::VolumeBinding | Plugin::VolumeZone => added || changes.labels,
        Plugin::PodTopologySpread => {
            let default = class.spread.is_empty() && !world.default_selector(class).is_empty();
            (added || changes.labels || changes.taints) && (default || !class.spread.is_empty())
        }
        Plugin::InterPodAffinity => added || changes.labels,
        _ => false,
    }
}

fn fits_empty(class: &Class, node: &Node) -> bool {
    let (want, have) = (&class.demand.requests, &node.allocatable);
    let fits = |name: &str| want.amount(name) <= have.amount(name);
    node.pods > 0
        && ["cpu", "memory", "ephemeral-storage"].into_iter().all(fits)
        && want.scalars.keys().all(|name| fits(name))
}

fn has_more(class: &Class, old: &Node, new: &Node) -> bool {
    let want = &class.demand.requests;
    let more =
        |name: &str| want.amount(name) > 0 && new.allocatable.amount(name) > old.allocatable.amount(name);
    new.pods > old.pods
        || ["cpu", "memory", "ephemeral-storage"].into_iter().any(more)
        || want.scalars.keys().any(|name| more(name))
}

fn volume_hint(plugin: Plugin, pod: &Pod, event: &Event) -> bool {
    if pod.volumes.is_empty() {
        return false;
    }
    match (plugin, event) {
        (Plugin::VolumeRestrictions | Plugin::NodeVolumeLimits, Event::Claim(claim, added)) => {
            *added && uses(pod, &claim.namespace, &claim.name)
        }
        (Plugin::VolumeBinding | Plugin::VolumeZone, Event::Claim(claim, _)) => {
            uses(pod, &claim.namespace, &claim.name)
        }
        (Plugin::VolumeBinding, Event::Volume(..)) => true,
        (Plugin::VolumeZone, Event::Volume(old, new)) => old.as_ref().is_none_or(|o| o.labels != new.labels),
        (Plugin::VolumeBinding, Event::Class(old, new)) => {
            old.as_ref().is_none_or(|o| o.allowed_topologies != new.allowed_topologies)
        }
        (Plugin::VolumeZone, Event::Class(old, new)) => old.is_none() && new.waits(),
        (Plugin::VolumeBinding, Event::CsiNode(old, _)) => old.is_none(),
        (Plugin::NodeVolumeLimits, Event::CsiNode(old, new)) => {
            let limit = |node: &crate::model::CsiNode, driver: &String| {
                node.drivers.get(driver).copied().flatten().unwrap_or(0)
            };
            old.as_ref().is_none_or(|o| new.drivers.keys().any(|d| limit(new, d) > limit(o, d)))
        }
        (Plugin::VolumeBinding, Event::Driver) => true,
        (Plugin::VolumeBinding, Event::Capacity(old, new)) => old
            .as_ref()
            .is_none_or(|o| new.limit.is_some_and(|limit| o.limit.is_none_or(|before| limit > before))),
        (Plugin::NodeVolumeLimits, Event::Detached) => true,
        _ => false,
    }
}

fn uses(pod: &Pod, namespace: &str, claim: &str) -> bool {
    pod.namespace() == namespace && pod.volumes.iter().any(|v| v.claim == claim)
}
