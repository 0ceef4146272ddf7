//! Volumes that claims are bound to.

use std::path::PathBuf;

use client::{Key, Resource};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};

use super::{Place, csi, directories};
use crate::Kubelet;
use crate::pod::facts::PodFacts;

/// The place of the volume a claim is bound to; names are the pod's volume's and the claim's.
pub(super) async fn place(
    kubelet: &Kubelet,
    pod: &Pod,
    (volume, claim): (&str, &str),
    read_only: bool,
) -> Result<Place, String> {
    let claimed = claimed(kubelet, pod, claim, read_only).await?;
    let name = claimed.volume.metadata.name.clone().unwrap_or_default();
    let spec = claimed.volume.spec.clone().unwrap_or_default();
    if spec.csi.is_some() {
        let place = csi::persistent(kubelet, pod, &claimed).await?;
        if let Place::Path(path) = &place {
            kubelet.claims.note(pod, volume, path);
        }
        return Ok(place);
    }
    let block = spec.volume_mode.as_deref() == Some("Block");
    let path = if let Some(source) = &spec.host_path {
        directories::host_path(source)?;
        PathBuf::from(&source.path)
    } else if let Some(source) = &spec.local {
        let path = PathBuf::from(&source.path);
        if !path.exists() {
            return Err(format!("path \"{}\" does not exist", source.path));
        }
        if let (Some(group), true) = (super::fs_group(pod), path.is_dir()) {
            directories::share(&path, group).map_err(|e| e.to_string())?;
        }
        if !block {
            kubelet.claims.note(pod, volume, &path);
        }
        path
    } else {
        return Err(format!("the kind of PersistentVolume \"{name}\" is not supported by this node"));
    };
    Ok(if block { Place::Device(path, read_only) } else { Place::Path(path) })
}

async fn claimed(kubelet: &Kubelet, pod: &Pod, claim: &str, read_only: bool) -> Result<csi::Claimed, String> {
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
    Ok(csi::Claimed { claim: bound, volume, read_only })
}
