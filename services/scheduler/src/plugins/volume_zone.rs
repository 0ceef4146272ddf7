//! A volume with zone labels is for nodes of its zone.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/volumezone/volume_zone.go`

use std::collections::BTreeSet;

use client::Key;

use super::Cause;
use crate::model::{Node, Pod};
use crate::state::World;

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
const OLD_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const OLD_REGION: &str = "failure-domain.beta.kubernetes.io/region";

/// A label and the values it may have.
pub type Demand = (&'static str, BTreeSet<String>);

/// What a pod's volumes demand of a node.
///
/// # Errors
/// Why the pod can go nowhere for now.
pub fn demands(world: &World, pod: &Pod) -> Result<Vec<Demand>, String> {
    let mut demands = Vec::new();
    for volume in pod.volumes.iter().filter(|v| !v.ephemeral) {
        let Some(claim) = world.claims.get(&Key::new(pod.namespace(), volume.claim.clone())) else {
            return Err(format!("persistentvolumeclaim {:?} not found", volume.claim));
        };
        if claim.volume.is_empty() {
            if claim.class.is_empty() {
                return Err("PersistentVolumeClaim had no pv name and storageClass name".into());
            }
            let Some(class) = world.classes.get(&Key::new("", claim.class.clone())) else {
                return Err(format!("storageclass.storage.k8s.io {:?} not found", claim.class));
            };
            if class.waits() {
                continue;
            }
            return Err("PersistentVolume had no name".into());
        }
        let Some(volume) = world.volumes.get(&Key::new("", claim.volume.clone())) else {
            return Err(format!("persistentvolume {:?} not found", claim.volume));
        };
        for key in [OLD_ZONE, OLD_REGION, ZONE, REGION] {
            if let Some(text) = volume.labels.get(key) {
                demands.push((key, text.split("__").map(|zone| zone.trim().to_owned()).collect()));
            }
        }
    }
    Ok(demands)
}

/// Whether the node is elsewhere.
pub fn filter(demands: &[Demand], node: &Node) -> Option<Cause> {
    if demands.is_empty()
        || ![OLD_ZONE, OLD_REGION, ZONE, REGION].iter().any(|key| node.labels.contains_key(*key))
    {
        return None;
    }
    let holds = |(key, values): &Demand| {
        let current = match *key {
            OLD_ZONE => ZONE,
            OLD_REGION => REGION,
            key => key,
        };
        node.labels.get(*key).or_else(|| node.labels.get(current)).is_some_and(|v| values.contains(v))
    };
    (!demands.iter().all(holds)).then_some(Cause::Zone)
}
