//! Volumes a pod has, and those it will get where it goes.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/volumebinding/{volume_binding,binder}.go`,
//! `k8s.io/component-helpers/storage/volume/pv_helpers.go` `FindMatchingVolume`

use std::sync::Arc;

use client::Key;

use super::VolumeConflict;
use crate::model::{Claim, Node, Pod, Volume};
use crate::state::World;

/// The claims of a pod, as far as nodes matter to them.
#[derive(Debug, Default)]
pub struct Claims {
    /// With a volume.
    pub bound: Vec<Arc<Claim>>,
    /// That get one once the pod has a node; the smallest first.
    pub delayed: Vec<Arc<Claim>>,
    /// Volumes of the delayed claims' classes.
    available: Vec<Arc<Volume>>,
}

/// What has to be written before a pod can be bound to a node.
#[derive(Debug, Default, Clone)]
pub struct Promises {
    /// Volumes that get a claim.
    pub bindings: Vec<(Arc<Volume>, Arc<Claim>)>,
    /// Claims for which a volume is to be made.
    pub provisions: Vec<Arc<Claim>>,
}

/// The claim of a name, or upstream's words for its absence.
fn find(world: &World, pod: &Pod, name: &str, is_ephemeral: bool) -> Result<Arc<Claim>, String> {
    let key = Key::new(pod.namespace(), name);
    let found = world.claims.get(&key).cloned();
    found.ok_or_else(|| match is_ephemeral {
        true => {
            format!("waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}")
        }
        false => format!("persistentvolumeclaim {name:?} not found"),
    })
}

/// Looks up a pod's claims; `None` when it has none.
///
/// # Errors
/// Why the pod can go nowhere for now.
pub fn claims(world: &World, pod: &Pod) -> Result<Option<Claims>, String> {
    if pod.volumes.is_empty() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for volume in &pod.volumes {
        let claim = find(world, pod, &volume.claim, volume.ephemeral)?;
        if claim.phase == "Lost" {
            let (name, volume) = (&claim.name, &claim.volume);
            return Err(format!(
                "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
            ));
        }
        if claim.deleting {
            return Err(format!("persistentvolumeclaim {:?} is being deleted", claim.name));
        }
        if volume.ephemeral && claim.owner != *pod.uid {
            let (of, name) = (pod.namespace(), &claim.name);
            return Err(format!(
                "PVC {of}/{name} was not created for pod {of}/{} (pod is not owner)",
                pod.name
            ));
        }
        found.push(claim);
    }
    let mut claims = Claims::default();
    for claim in found {
        let class = || world.classes.get(&Key::new("", claim.class.clone()));
        if claim.is_fully_bound() {
            claims.bound.push(claim);
        } else if claim.volume.is_empty() && !claim.class.is_empty() && class().is_some_and(|c| c.waits()) {
            claims.delayed.push(claim);
        } else {
            return Err("pod has unbound immediate PersistentVolumeClaims".into());
        }
    }
    claims.delayed.sort_by_key(|claim| claim.size.unwrap_or(0));
    let wanted = |volume: &Volume| claims.delayed.iter().any(|claim| claim.class == volume.class);
    let all = world.volumes.iter().filter(|_| !claims.delayed.is_empty());
    claims.available = all.map(|(_, volume)| volume).filter(|v| wanted(v)).cloned().collect();
    Ok(Some(claims))
}

/// What has to be promised for a node, or why it will not do.
///
/// # Errors
/// What is wrong.
pub fn find_volumes(world: &World, claims: &Claims, node: &Node) -> Result<Promises, VolumeConflict> {
    let mut conflict = VolumeConflict::default();
    for claim in &claims.bound {
        match world.volumes.get(&Key::new("", claim.volume.clone())) {
            None => conflict.missing = true,
            Some(volume) if !reaches(volume, node) => conflict.node = true,
            Some(_) => continue,
        }
        break;
    }
    let mut promises = Promises::default();
    for claim in &claims.delayed {
        let assumed = world.assumed.claims.get(&Key::new(claim.namespace.clone(), claim.name.clone()));
        match assumed.map(|(node, _)| node).or(claim.selected_node.as_ref()) {
            Some(selected) if *selected != node.name => {
                conflict.bind = true;
                return Err(conflict);
            }
            Some(_) => promises.provisions.push(Arc::clone(claim)),
            None => match matching(world, claims, claim, node, &promises.bindings) {
                Some(volume) => promises.bindings.push((volume, Arc::clone(claim))),
                None => promises.provisions.push(Arc::clone(claim)),
            },
        }
    }
    for claim in &promises.provisions {
        let class = world.classes.get(&Key::new("", claim.class.clone()));
        let makes = class.filter(|c| {
            !c.provisioner.is_empty()
                && c.provisioner != "kubernetes.io/no-provisioner"
                && c.reaches(&node.labels)
        });
        match makes {
            None => conflict.bind = true,
            Some(class) if !has_room(world, &class.provisioner, claim, node) => conflict.space = true,
            Some(_) => continue,
        }
        break;
    }
    if conflict.is_none() { Ok(promises) } else { Err(conflict) }
}

fn reaches(volume: &Volume, node: &Node) -> bool {
    volume.nodes.as_ref().is_none_or(|selector| selector.matches(node.term()))
}

/// The volume made or meant for the claim, else the smallest free one that will do.
fn matching(
    world: &World,
    claims: &Claims,
    claim: &Claim,
    node: &Node,
    taken: &[(Arc<Volume>, Arc<Claim>)],
) -> Option<Arc<Volume>> {
    let mut best: Option<&Arc<Volume>> = None;
    for volume in claims.available.iter().filter(|v| v.class == claim.class) {
        if taken.iter().any(|(t, _)| t.name == volume.name) {
            continue;
        }
        let promised = world.assumed.volumes.get(&volume.name).map(|(key, _)| key);
        let is_for = match promised {
            Some(key) => key.name == claim.name && key.namespace == claim.namespace,
            None => volume.is_for(claim),
        };
        let fits = volume.size >= claim.size.unwrap_or(0)
            && volume.mode == claim.mode
            && volume.attributes_class == claim.attributes_class
            && !volume.deleting;
        if !fits || !is_for && (promised.is_some() || volume.claim.is_some()) {
            continue;
        }
        if is_for {
            return reaches(volume, node).then(|| Arc::clone(volume));
        }
        let will_do = volume.phase == "Available"
            && claim.selector.as_ref().is_none_or(|s| s.matches(&volume.labels))
            && claim.modes.iter().all(|mode| volume.modes.contains(mode))
            && reaches(volume, node);
        if will_do && best.is_none_or(|b| volume.size < b.size) {
            best = Some(volume);
        }
    }
    best.cloned()
}

/// Whether the driver has room for a volume near the node, if it tells.
fn has_room(world: &World, provisioner: &str, claim: &Claim, node: &Node) -> bool {
    let Some(size) = claim.size else { return true };
    let driver = world.drivers.get(&Key::new("", provisioner));
    if !driver.is_some_and(|d| d.tells_capacity) {
        return true;
    }
    world.capacities.iter().any(|(_, capacity)| {
        capacity.class == claim.class
            && capacity.limit.is_some_and(|limit| limit >= size)
            && capacity.topology.as_ref().is_some_and(|t| t.matches(&node.labels))
    })
}
