//! A node takes so many volumes of a driver.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/nodevolumelimits/csi.go` (volumes of in-tree drivers are not counted: their
//! translation to CSI is not done)

use std::collections::{HashMap, HashSet};

use client::Key;

use super::Cause;
use crate::model::{Node, Pod};
use crate::state::World;

/// Whether the node would have too many volumes with the pod's.
pub fn filter<'a>(
    world: &World,
    pod: &Pod,
    node: &Node,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Option<Cause> {
    let limits = &world.csi_nodes.get(&Key::new("", node.name.clone()))?.drivers;
    if limits.values().all(Option::is_none) {
        return None;
    }
    let mut wanted: HashSet<(String, String)> = volumes(world, pod).collect();
    let mut present: HashSet<(String, String)> = HashSet::new();
    for other in pods {
        present.extend(volumes(world, other));
    }
    wanted.retain(|volume| !present.contains(volume));
    for (_, attachment) in world.attachments.by("node", &node.name) {
        let volume =
            attachment.volume.as_ref().and_then(|name| world.volumes.get(&Key::new("", name.clone())));
        if let Some((_, handle)) = volume.and_then(|v| v.csi.as_ref()) {
            present.insert((attachment.attacher.clone(), handle.clone()));
        }
    }
    let count = |volumes: &HashSet<(String, String)>| {
        let mut counts: HashMap<String, i64> = HashMap::new();
        for (driver, _) in volumes {
            *counts.entry(driver.clone()).or_default() += 1;
        }
        counts
    };
    let (present, wanted) = (count(&present), count(&wanted));
    let exceeds = |(driver, count): (&String, &i64)| {
        let limit = limits.get(driver).copied().flatten();
        limit.is_some_and(|limit| present.get(driver).copied().unwrap_or(0) + count > limit)
    };
    wanted.iter().any(exceeds).then_some(Cause::VolumeLimit)
}

/// Driver and handle of a pod's CSI volumes; one not made yet has a handle nothing else has.
fn volumes<'a>(world: &'a World, pod: &'a Pod) -> impl Iterator<Item = (String, String)> + 'a {
    pod.volumes.iter().filter_map(|volume| {
        let claim = world.claims.get(&Key::new(pod.namespace(), volume.claim.clone()))?;
        if let Some(volume) = world.volumes.get(&Key::new("", claim.volume.clone())) {
            return volume.csi.clone();
        }
        let class = world.classes.get(&Key::new("", claim.class.clone()))?;
        Some((class.provisioner.clone(), format!("?{}/{}", claim.namespace, claim.name)))
    })
}
