//! Publishing a volume to a pod.
//!
//! # Upstream
//! `pkg/volume/csi/csi_mounter.go` `SetUpAt`

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use client::{Key, Resource};
use cri::plugin::csi;
use csi::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
use k8s_openapi::api::core::v1::{CSIVolumeSource, Pod, Secret, Volume};
use k8s_openapi::api::storage::v1::CSIDriver;
use serde_json::json;

use super::driver::{Driver, Features, digest, mode};
use super::persistent::described;
use super::{Data, FOLDER};
use crate::Kubelet;
use crate::pod::facts::PodFacts;
use crate::volumes::{Place, directories, fs_group};

/// A volume on its way into a pod.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) data: Data,
    /// Where that is remembered.
    pub(super) folder: PathBuf,
    /// Where the pod finds it.
    pub(super) path: PathBuf,
    /// Where it is staged, when it is.
    pub(super) staging: Option<PathBuf>,
    pub(super) block: bool,
    pub(super) fs_type: String,
    pub(super) mode: String,
    pub(super) modes: Vec<String>,
    pub(super) options: Vec<String>,
    pub(super) read_only: bool,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) context: HashMap<String, String>,
    /// Namespace and name.
    pub(super) secret: Option<(String, String)>,
}

impl Target {
    /// Whether the driver is to be asked: at first, and regularly where it wants that.
    pub(super) fn due(&self, kubelet: &Kubelet, described: &CSIDriver) -> bool {
        let again = described.spec.requires_republish == Some(true);
        kubelet
            .drivers
            .made(&self.path)
            .is_none_or(|at| again && at.elapsed() >= kubelet.settings.sync_frequency)
    }
}

/// How a volume is to be used, as drivers are told it.
pub(super) fn capability(pod: &Pod, target: &Target, features: Features) -> csi::VolumeCapability {
    let kind = if target.block {
        AccessType::Block(BlockVolume {})
    } else {
        let group = fs_group(pod).filter(|_| features.mount_group);
        AccessType::Mount(MountVolume {
            fs_type: target.fs_type.clone(),
            mount_flags: target.options.clone(),
            volume_mount_group: group.map(|g| g.to_string()).unwrap_or_default(),
        })
    };
    csi::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode(&target.mode, features) }),
        access_type: Some(kind),
    }
}

/// A Secret's contents.
pub(super) async fn secrets(
    kubelet: &Kubelet,
    (namespace, name): &(String, String),
) -> Result<HashMap<String, String>, String> {
    let key = Key::new(namespace, name);
    let secret: Secret =
        kubelet.client.get(&Resource::of::<Secret>(), &key).await.map_err(|e| crate::chain(&e))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(secret.data.unwrap_or_default().into_iter().map(|(k, v)| (k, text(v.0))).collect())
}

/// Makes a volume that lives and ends with its pod.
pub(in crate::volumes) async fn inline(
    kubelet: &Kubelet,
    pod: &Pod,
    volume: &Volume,
    source: &CSIVolumeSource,
) -> Result<Place, String> {
    let driver = kubelet.drivers.get(&source.driver);
    let driver =
        driver.map_err(|e| format!("kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: {e}"))?;
    let described = described(kubelet, &source.driver).await?;
    let modes = described.spec.volume_lifecycle_modes.clone().unwrap_or_else(|| vec!["Persistent".into()]);
    if !modes.iter().any(|m| m == "Ephemeral") {
        return Err(format!(
            "kubernetes.io/csi: mounter.SetupAt failed to check volume lifecycle mode: volume mode \"Ephemeral\" not \
             supported by driver {} (only supports {modes:?})",
            source.driver
        ));
    }
    let folder = kubelet.settings.pod_dir(pod.uid()).join("volumes").join(FOLDER).join(&volume.name);
    let target = Target {
        data: Data {
            spec: volume.name.clone(),
            volume_handle: format!("csi-{}", digest(&[pod.uid(), &volume.name])),
            driver_name: source.driver.clone(),
            node_name: kubelet.name.clone(),
            attachment: String::new(),
            volume_lifecycle_mode: "Ephemeral".into(),
        },
        path: folder.join("mount"),
        folder,
        staging: None,
        block: false,
        fs_type: source.fs_type.clone().unwrap_or_default(),
        mode: "ReadWriteOnce".into(),
        modes: Vec::new(),
        options: Vec::new(),
        read_only: source.read_only.unwrap_or(false),
        attributes: source.volume_attributes.clone().unwrap_or_default(),
        context: HashMap::new(),
        secret: source.node_publish_secret_ref.as_ref().map(|s| (pod.namespace().to_owned(), s.name.clone())),
    };
    let turn = kubelet.drivers.turn(&target.data.unique());
    let _turn = turn.lock().await;
    if target.due(kubelet, &described) {
        publish(kubelet, pod, &driver, &described, &target).await?;
    }
    Ok(Place::Path(target.path))
}

pub(super) async fn publish(
    kubelet: &Kubelet,
    pod: &Pod,
    driver: &Driver,
    described: &CSIDriver,
    target: &Target,
) -> Result<(), String> {
    let mut attributes: HashMap<String, String> = target.attributes.clone().into_iter().collect();
    if described.spec.pod_info_on_mount == Some(true) {
        attributes.extend(about(pod, &target.data.volume_lifecycle_mode));
    }
    let mut secrets = match &target.secret {
        Some(which) => secrets(kubelet, which)
            .await
            .map_err(|e| format!("fetching NodePublishSecretRef {}/{} failed: {e}", which.0, which.1))?,
        None => HashMap::new(),
    };
    if let Some(tokens) = tokens(kubelet, pod, described).await? {
        let entry = ("csi.storage.k8s.io/serviceAccount.tokens".to_owned(), tokens);
        if described.spec.service_account_token_in_secrets == Some(true) {
            secrets.extend([entry]);
        } else {
            attributes.extend([entry]);
        }
    }
    let io = |e: std::io::Error| format!("kubernetes.io/csi: mounter.SetUpAt failed to create dir: {e}");
    target.data.write(&target.folder).map_err(io)?;
    target.path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(io)?;
    let features = driver.features().await.map_err(|e| crate::chain(&e))?;
    let text = |p: &PathBuf| p.to_string_lossy().into_owned();
    let question = csi::NodePublishVolumeRequest {
        volume_id: target.data.volume_handle.clone(),
        publish_context: target.context.clone(),
        staging_target_path: target.staging.as_ref().map(text).unwrap_or_default(),
        target_path: text(&target.path),
        volume_capability: Some(capability(pod, target, features)),
        readonly: target.read_only,
        secrets,
        volume_context: attributes,
    };
    driver
        .call::<_, csi::NodePublishVolumeResponse>("/csi.v1.Node/NodePublishVolume", question)
        .await
        .map_err(|e| crate::chain(&e))?;
    if let Some(group) = fs_group(pod).filter(|_| !features.mount_group && shares(described, target)) {
        directories::share(&target.path, group)
            .map_err(|e| format!("applyFSGroup failed for vol {}: {e}", target.data.volume_handle))?;
    }
    kubelet.drivers.set_made(&target.path, true);
    Ok(())
}

/// Whether the kubelet gives the volume to the pod's group.
///
/// # Upstream
/// `pkg/volume/csi/csi_mounter.go` `supportsFSGroup`
fn shares(described: &CSIDriver, target: &Target) -> bool {
    if target.read_only || target.block {
        return false;
    }
    match described.spec.fs_group_policy.as_deref() {
        Some("None") => false,
        Some("File") => true,
        // ReadWriteOnceWithFSType, also where there is no such driver object
        _ => !target.fs_type.is_empty() && target.modes == ["ReadWriteOnce"],
    }
}

fn about(pod: &Pod, lifecycle: &str) -> [(String, String); 5] {
    let account = pod.facts().service_account_name.clone().unwrap_or_default();
    let entry = |key: &str, value: &str| (format!("csi.storage.k8s.io/{key}"), value.to_owned());
    [
        entry("pod.name", pod.name()),
        entry("pod.namespace", pod.namespace()),
        entry("pod.uid", pod.uid()),
        entry("serviceAccount.name", &account),
        entry("ephemeral", if lifecycle == "Ephemeral" { "true" } else { "false" }),
    ]
}

/// The tokens a driver wants of its pods.
async fn tokens(kubelet: &Kubelet, pod: &Pod, described: &CSIDriver) -> Result<Option<String>, String> {
    let mut all = serde_json::Map::new();
    for wanted in described.spec.token_requests.iter().flatten() {
        let seconds = wanted.expiration_seconds.unwrap_or(3600);
        let token = kubelet.tokens.expiring(pod, &wanted.audience, seconds).await;
        let (token, expires) = token.map_err(|e| {
            format!(
                "kubernetes.io/csi: mounter.SetUpAt failed to get service accoount token attributes: {}",
                crate::chain(&e)
            )
        })?;
        let entry = json!({ "token": token, "expirationTimestamp": format!("{expires:.0}") });
        all.insert(wanted.audience.clone(), entry);
    }
    Ok((!all.is_empty()).then(|| serde_json::Value::Object(all).to_string()))
}
