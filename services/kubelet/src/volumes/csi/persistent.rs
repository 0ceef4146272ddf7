//! A PersistentVolume of a driver: attached by the cluster, staged once a node, published once a pod.
//!
//! # Upstream
//! `pkg/volume/csi/csi_attacher.go`, `csi_mounter.go`, `csi_block.go`

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use client::{Key, Resource};
use cri::plugin::csi;
use k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, VolumeAttachment};

use super::driver::{Driver, digest};
use super::publish::{Target, capability, publish};
use super::{Data, FOLDER, expand, unique};
use crate::Kubelet;
use crate::pod::facts::PodFacts;
use crate::volumes::Place;

/// How long a node's own object may take to say that a volume is in use.
const TELL: Duration = Duration::from_secs(10);

/// A claim, its volume, and how the pod wants it.
#[derive(Debug)]
pub(in crate::volumes) struct Claimed {
    pub(in crate::volumes) claim: PersistentVolumeClaim,
    pub(in crate::volumes) volume: PersistentVolume,
    pub(in crate::volumes) read_only: bool,
}

/// The CSIDriver object, where there is one.
pub(super) async fn described(kubelet: &Kubelet, name: &str) -> Result<CSIDriver, String> {
    match kubelet.client.get(&Resource::of::<CSIDriver>(), &Key::new("", name)).await {
        Ok(found) => Ok(found),
        Err(e) if e.is_not_found() => Ok(CSIDriver::default()),
        Err(e) => Err(crate::chain(&e)),
    }
}

/// Makes the volume for this pod, or finds it made.
pub(in crate::volumes) async fn persistent(
    kubelet: &Kubelet,
    pod: &Pod,
    claimed: &Claimed,
) -> Result<Place, String> {
    let spec = claimed.volume.spec.clone().unwrap_or_default();
    let source = spec.csi.as_ref().ok_or("not a volume of a driver")?;
    let name = claimed.volume.metadata.name.clone().unwrap_or_default();
    let block = spec.volume_mode.as_deref() == Some("Block");
    let driver = kubelet.drivers.get(&source.driver);
    let driver = driver.map_err(|e| {
        format!("kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: {e}")
    })?;
    let unique = unique(&source.driver, &source.volume_handle);
    let turn = kubelet.drivers.turn(&unique);
    let _turn = turn.lock().await;
    let described = described(kubelet, &source.driver).await?;
    let (folder, path) = places(kubelet, pod, &name, block);
    let staging = kubelet.drivers.staging(&source.driver, &source.volume_handle, block.then_some(&*name));
    let features = driver.features().await.map_err(|e| crate::chain(&e))?;
    let modes = spec.access_modes.clone().unwrap_or_default();
    let target = Target {
        data: Data {
            spec: name,
            volume_handle: source.volume_handle.clone(),
            driver_name: source.driver.clone(),
            node_name: kubelet.name.clone(),
            attachment: attachment(kubelet, source),
            volume_lifecycle_mode: "Persistent".into(),
        },
        folder,
        path,
        staging: features.stage.then(|| staging.clone()),
        block,
        fs_type: source.fs_type.clone().unwrap_or_default(),
        mode: modes.first().cloned().unwrap_or_else(|| "ReadWriteOnce".into()),
        modes,
        options: spec.mount_options.clone().unwrap_or_default(),
        read_only: claimed.read_only,
        attributes: source.volume_attributes.clone().unwrap_or_default(),
        context: HashMap::new(),
        secret: source
            .node_publish_secret_ref
            .as_ref()
            .map(|s| (s.namespace.clone().unwrap_or_default(), s.name.clone().unwrap_or_default())),
    };
    let place = if block {
        Place::Device(target.path.clone(), claimed.read_only)
    } else {
        Place::Path(target.path.clone())
    };
    if !target.due(kubelet, &described) {
        expand::if_larger(kubelet, pod, &driver, claimed, &target).await?;
        return Ok(place);
    }
    let context = attached(kubelet, &described, source, &unique).await?;
    let target = Target { context, ..target };
    if features.stage && kubelet.drivers.made(&staging).is_none() {
        stage(kubelet, pod, &driver, source, &target, &staging).await?;
        kubelet.drivers.set_made(&staging, true);
    }
    publish(kubelet, pod, &driver, &described, &target).await?;
    expand::if_larger(kubelet, pod, &driver, claimed, &target).await?;
    Ok(place)
}

/// The folder of what is remembered of a pod's volume, and where it is published.
fn places(kubelet: &Kubelet, pod: &Pod, name: &str, block: bool) -> (PathBuf, PathBuf) {
    let dir = kubelet.settings.pod_dir(pod.uid());
    if block {
        let publish = kubelet.drivers.root.join("volumeDevices/publish").join(name);
        return (dir.join("volumeDevices").join(FOLDER).join(name), publish.join(pod.uid()));
    }
    let folder = dir.join("volumes").join(FOLDER).join(name);
    let path = folder.join("mount");
    (folder, path)
}

fn attachment(kubelet: &Kubelet, source: &CSIPersistentVolumeSource) -> String {
    format!("csi-{}", digest(&[&source.volume_handle, &source.driver, &kubelet.name]))
}

/// What attaching the volume gave, once it is attached; nothing where it need not be.
async fn attached(
    kubelet: &Kubelet,
    described: &CSIDriver,
    source: &CSIPersistentVolumeSource,
    unique: &str,
) -> Result<HashMap<String, String>, String> {
    if described.spec.attach_required == Some(false) {
        return Ok(HashMap::new());
    }
    told_in_use(kubelet, unique).await?;
    let name = attachment(kubelet, source);
    let handle = &source.volume_handle;
    let resource = Resource::of::<VolumeAttachment>();
    let found: VolumeAttachment = kubelet.client.get(&resource, &Key::new("", &name)).await.map_err(|e| {
        format!("volume {handle} has GET error for volume attachment {name}: {}", crate::chain(&e))
    })?;
    let status = found.status.unwrap_or_default();
    if !status.attached {
        if let Some(error) = status.attach_error.and_then(|e| e.message) {
            return Err(error);
        }
        return Err(format!("volume {handle} is not attached for volume attachment {name}"));
    }
    Ok(status.attachment_metadata.unwrap_or_default().into_iter().collect())
}

/// The node says that the volume is in use, so that nobody detaches it from under its pod.
async fn told_in_use(kubelet: &Kubelet, unique: &str) -> Result<(), String> {
    let mut changes = kubelet.node.subscribe();
    let told = || {
        let snapshot = kubelet.node.snapshot();
        let node = snapshot.get(&Key::new("", &kubelet.name));
        let status = node.and_then(|n| n.status.as_ref());
        status.is_some_and(|s| s.volumes_in_use.iter().flatten().any(|v| v == unique))
    };
    if kubelet.drivers.set_in_use(unique, true) {
        kubelet.node_changed.notify_one();
    }
    let wait = async {
        while !told() {
            if changes.recv().await.is_none() {
                return;
            }
        }
    };
    tokio::time::timeout(TELL, wait).await.map_err(|_| {
        format!("volume {unique} has not been added to the list of VolumesInUse in the node's volume status")
    })
}

async fn stage(
    kubelet: &Kubelet,
    pod: &Pod,
    driver: &Driver,
    source: &CSIPersistentVolumeSource,
    target: &Target,
    staging: &std::path::Path,
) -> Result<(), String> {
    let wrap =
        |e: std::io::Error| format!("kubernetes.io/csi: attacher.MountDevice failed to create dir: {e}");
    std::fs::create_dir_all(staging).map_err(wrap)?;
    target
        .data
        .write(&kubelet.drivers.folder(&source.driver, &source.volume_handle))
        .map_err(|e| format!("kubernetes.io/csi: failed to save volume info data: {e}"))?;
    let secret = source.node_stage_secret_ref.as_ref();
    let secret =
        secret.map(|s| (s.namespace.clone().unwrap_or_default(), s.name.clone().unwrap_or_default()));
    let secrets = match &secret {
        Some(which) => super::publish::secrets(kubelet, which)
            .await
            .map_err(|e| format!("fetching NodeStageSecretRef {}/{} failed: {e}", which.0, which.1))?,
        None => HashMap::new(),
    };
    let features = driver.features().await.map_err(|e| crate::chain(&e))?;
    let question = csi::NodeStageVolumeRequest {
        volume_id: source.volume_handle.clone(),
        publish_context: target.context.clone(),
        staging_target_path: staging.to_string_lossy().into_owned(),
        volume_capability: Some(capability(pod, target, features)),
        secrets,
        volume_context: target.attributes.clone().into_iter().collect(),
    };
    driver
        .call::<_, csi::NodeStageVolumeResponse>("/csi.v1.Node/NodeStageVolume", question)
        .await
        .map(drop)
        .map_err(|e| crate::chain(&e))
}
