//! Disks that only one pod can have.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go`

use client::Key;

use super::Cause;
use crate::model::Pod;
use crate::state::{State, World};

/// The claims of a pod that only one pod may use.
///
/// # Errors
/// A claim does not exist.
pub fn exclusive(world: &World, pod: &Pod) -> Result<Vec<String>, String> {
    let mut exclusive = Vec::new();
    for volume in pod.volumes.iter().filter(|v| !v.ephemeral) {
        let claim = world.claims.get(&Key::new(pod.namespace(), volume.claim.clone()));
        let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {:?} not found", volume.claim))?;
        if claim.modes.iter().any(|mode| mode == "ReadWriteOncePod") {
            exclusive.push(claim.name.clone());
        }
    }
    Ok(exclusive)
}

/// Whether a disk is in use on the node, or an exclusive claim anywhere. `removed` are pods thought away.
pub fn filter<'a>(
    state: &State,
    pod: &Pod,
    exclusive: &[String],
    removed: &[std::sync::Arc<Pod>],
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Option<Cause> {
    if !pod.disks.is_empty() {
        let in_use = |other: &Pod| pod.disks.iter().any(|mine| other.disks.iter().any(|d| mine.conflicts(d)));
        if pods.into_iter().any(in_use) {
            return Some(Cause::Disk);
        }
    }
    let in_use = exclusive.iter().any(|claim| {
        let key = (pod.namespace().to_owned(), claim.clone());
        let leaving = removed.iter().filter(|p| p.namespace() == key.0).flat_map(|p| &p.volumes);
        let users = state.claims.get(&key).copied().unwrap_or(0);
        users > leaving.filter(|v| !v.ephemeral && v.claim == *claim).count()
    });
    in_use.then_some(Cause::ReadWriteOncePod)
}
