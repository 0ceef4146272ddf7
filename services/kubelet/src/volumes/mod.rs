//! Volumes of a pod: making them, keeping them up to date, taking them away.
//!
//! # Upstream
//! `pkg/kubelet/volumemanager`, `pkg/volume`

pub mod atomic;
mod claims;
pub mod csi;
mod directories;
mod mountinfo;
pub mod mounts;
mod nested;
pub mod payload;
mod subpath;
pub mod tokens;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod, Volume};

use crate::Kubelet;
use crate::pod::facts::PodFacts;
use crate::settings::Settings;
use crate::sources::Materials;
use tokens::Given;

/// Where a volume is.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// A path on the node.
    Path(PathBuf),
    /// An image, mounted by the runtime.
    Image(cri::v1::ImageSpec),
    /// A block device, and whether it may only be read.
    Device(PathBuf, bool),
}

/// Where claims' volumes with a file system of their own are, for statistics.
#[derive(Debug, Default)]
pub struct Claims(std::sync::Mutex<HashMap<(String, String), PathBuf>>);

impl Claims {
    fn note(&self, pod: &Pod, volume: &str, path: &std::path::Path) {
        let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.insert((pod.uid().to_owned(), volume.to_owned()), path.to_owned());
    }

    fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|(u, _), _| u != uid);
    }

    /// One of them.
    pub fn path(&self, pod: &Pod, volume: &str) -> Option<PathBuf> {
        let all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.get(&(pod.uid().to_owned(), volume.to_owned())).cloned()
    }
}

/// A pod's volumes by name.
pub type Places = HashMap<String, Place>;

/// Why a volume cannot be had; upstream's words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its contents are not there.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {message}")]
    SetUp {
        /// The volume.
        volume: String,
        /// Why.
        message: String,
    },
    /// The file system refuses.
    #[error("MountVolume.SetUp failed for volume \"{volume}\" : {source}")]
    Files {
        /// The volume.
        volume: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its image cannot be had.
    #[error(transparent)]
    Image(#[from] crate::runtime::images::Error),
}

/// Where the kubelet keeps a volume's files; `None` for volumes whose files are elsewhere.
pub fn path_of(settings: &Settings, pod: &Pod, volume: &Volume) -> Option<PathBuf> {
    let plugin = match volume {
        v if v.empty_dir.is_some() => "kubernetes.io~empty-dir",
        v => written_by(v)?.0,
    };
    Some(settings.pod_dir(pod.uid()).join("volumes").join(plugin).join(&volume.name))
}

/// The plugin of a volume whose files the kubelet writes, and whether they are kept in memory.
fn written_by(volume: &Volume) -> Option<(&'static str, bool)> {
    match volume {
        v if v.config_map.is_some() => Some(("kubernetes.io~configmap", false)),
        v if v.secret.is_some() => Some(("kubernetes.io~secret", true)),
        v if v.downward_api.is_some() => Some(("kubernetes.io~downward-api", true)),
        v if v.projected.is_some() => Some(("kubernetes.io~projected", true)),
        _ => None,
    }
}

fn set_up(volume: &Volume, message: impl Into<String>) -> Error {
    Error::SetUp { volume: volume.name.clone(), message: message.into() }
}

/// The pod's group for volumes.
pub fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.facts().security_context.as_ref().and_then(|s| s.fs_group)?;
    u32::try_from(group).ok() // groups fit, the API server sees to it
}

/// Makes every volume of a pod, or brings its files up to date.
///
/// # Errors
/// See [`Error`]; the first volume that cannot be had.
pub async fn ensure(
    kubelet: &Kubelet,
    pod: &Pod,
    materials: &Materials,
    tokens: &Given,
) -> Result<Places, Error> {
    let mut places = Places::new();
    let used = used(pod);
    // a volume no container has need not be there
    for volume in pod.facts().volumes.iter().flatten().filter(|v| used.contains(v.name.as_str())) {
        let place = one(kubelet, pod, volume, materials, tokens).await?;
        places.insert(volume.name.clone(), place);
    }
    Ok(places)
}

/// Names of the volumes that containers have.
fn used(pod: &Pod) -> HashSet<String> {
    let names = pod.containers().into_iter().flat_map(|(_, c)| {
        let mounts = c.volume_mounts.iter().flatten().map(|m| m.name.clone());
        mounts.chain(c.volume_devices.iter().flatten().map(|d| d.name.clone())).collect::<Vec<_>>()
    });
    names.collect()
}

async fn one(
    kubelet: &Kubelet,
    pod: &Pod,
    volume: &Volume,
    materials: &Materials,
    tokens: &Given,
) -> Result<Place, Error> {
    let files = |source| Error::Files { volume: volume.name.clone(), source };
    let dir = kubelet.settings.pod_dir(pod.uid()).join("volumes");
    if let Some(source) = &volume.empty_dir {
        let at = dir.join("kubernetes.io~empty-dir").join(&volume.name);
        let memory = kubelet.machine.memory;
        directories::empty_dir(&at, source, pod, memory, fs_group(pod)).map_err(files)?;
        nested(&at, pod, volume).map_err(files)?;
        return Ok(Place::Path(at));
    }
    if let Some(source) = &volume.host_path {
        directories::host_path(source).map_err(|m| set_up(volume, m))?;
        return Ok(Place::Path(PathBuf::from(&source.path)));
    }
    if let Some(source) = &volume.image {
        let stand_in = Container {
            name: volume.name.clone(),
            image: source.reference.clone(),
            image_pull_policy: source.pull_policy.clone(),
            ..Container::default()
        };
        let image =
            kubelet.images.ensure(pod, &stand_in, "", &materials.secrets, &kubelet.events, None).await?;
        let spec = cri::v1::ImageSpec {
            image: image.id,
            user_specified_image: source.reference.clone().unwrap_or_default(),
            ..Default::default()
        };
        return Ok(Place::Image(spec));
    }
    if let Some(source) = &volume.csi {
        return csi::inline(kubelet, pod, volume, source).await.map_err(|m| set_up(volume, m));
    }
    let claim = volume.persistent_volume_claim.as_ref();
    let read_only = claim.is_some_and(|c| c.read_only == Some(true));
    let claim = claim.map(|c| c.claim_name.clone());
    let generic = volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name(), volume.name));
    if let Some(claim) = claim.or(generic) {
        return claims::place(kubelet, pod, (&volume.name, &claim), read_only)
            .await
            .map_err(|m| set_up(volume, m));
    }
    written(kubelet, pod, volume, materials, tokens)
}

/// Volumes of files the kubelet writes.
fn written(
    kubelet: &Kubelet,
    pod: &Pod,
    volume: &Volume,
    materials: &Materials,
    given: &Given,
) -> Result<Place, Error> {
    let files = |source| Error::Files { volume: volume.name.clone(), source };
    let Some((plugin, memory)) = written_by(volume) else {
        return Err(set_up(
            volume,
            "no volume plugin matched: this kind of volume is not supported by this node",
        ));
    };
    let mut tokens = BTreeMap::new();
    for key in tokens::of_volume(volume) {
        // one that was not asked for is missed below
        let Some(token) = given.get(&key) else { continue };
        let token = token.as_ref().map_err(|m| set_up(volume, format!("failed to fetch token: {m}")))?;
        tokens.insert(key, token.clone());
    }
    let facts = payload::Facts { pod, materials, allocatable: &kubelet.allocatable(), tokens: &tokens };
    let payload = payload::payload(&facts, volume).map_err(|e| set_up(volume, e.0))?.unwrap_or_default();
    let at = kubelet.settings.pod_dir(pod.uid()).join("volumes").join(plugin).join(&volume.name);
    directories::ensure_dir(&at, 0o777).map_err(files)?;
    if memory {
        directories::ensure_tmpfs(&at, None).map_err(files)?;
    }
    let group = fs_group(pod);
    if let Some(group) = group {
        std::os::unix::fs::chown(&at, None, Some(group)).map_err(files)?;
        directories::set_mode(&at, 0o3777).map_err(files)?;
    }
    if atomic::write(&at, &payload, group).map_err(files)? {
        tracing::debug!(pod = pod.full_name(), volume = volume.name, "Wrote the files of a volume");
    }
    nested(&at, pod, volume).map_err(files)?;
    Ok(Place::Path(at))
}

fn nested(at: &std::path::Path, pod: &Pod, volume: &Volume) -> std::io::Result<()> {
    let containers = pod.containers();
    let mounts = containers.iter().map(|(_, c)| c.volume_mounts.as_deref().unwrap_or_default());
    nested::make(at, &volume.name, mounts)
}

/// Takes away everything a pod has on this node's disks; its cgroup and its logs are others'.
///
/// # Errors
/// Something cannot be unmounted or removed.
pub fn remove(kubelet: &Kubelet, uid: &str) -> std::io::Result<()> {
    kubelet.claims.forget(uid);
    let dir = kubelet.settings.pod_dir(uid);
    if !dir.exists() {
        return Ok(());
    }
    mountinfo::unmount_below(&dir)?;
    std::fs::remove_dir_all(&dir)
}
