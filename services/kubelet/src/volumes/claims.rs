//! Persistent volumes on this node's own disks.

use std::path::PathBuf;

use client::{Key, Resource};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};

use crate::Kubelet;
use crate::pod::facts::PodFacts;

/// Where a claim's volume is, and the group to share it with.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) group: Option<u32>,
}

/// The path of the volume a claim is bound to.
pub(super) async fn path(kubelet: &Kubelet, pod: &Pod, claim: &str) -> Result<Found, String> {
    let resource = Resource::of::<PersistentVolumeClaim>();
    let key = Key::new(pod.namespace(), claim);
    let bound: PersistentVolumeClaim =
        kubelet.client.get(&resource, &key).await.map_err(|e| crate::chain(&e))?;
    let phase = bound.status.as_ref().and_then(|s| s.phase.as_deref());
    let name = bound.spec.as_ref().and_then(|s| s.volume_name.clone()).unwrap_or_default();
    if phase != Some("Bound") || name.is_empty() {
        return Err(format!("PVC {}/{claim} is not bound", pod.namespace()));
    }
    let resource = Resource::of::<PersistentVolume>();
    let volume: PersistentVolume =
        kubelet.client.get(&resource, &Key::new("", &name)).await.map_err(|e| crate::chain(&e))?;
    let spec = volume.spec.unwrap_or_default();
    if let Some(source) = &spec.host_path {
        super::directories::host_path(source)?;
        return Ok(Found { path: PathBuf::from(&source.path), group: None });
    }
    if let Some(source) = &spec.local {
        let path = PathBuf::from(&source.path);
        if !path.exists() {
            return Err(format!("path \"{}\" does not exist", source.path));
        }
        return Ok(Found { path, group: super::fs_group(pod) });
    }
    Err(format!("the kind of PersistentVolume \"{name}\" is not supported by this node"))
}
