//! Taking a pod's volumes away: unpublished from the pod, unstaged from the node when no pod has them any more.

use std::path::{Path, PathBuf};

use cri::plugin::csi;

use super::{Data, FOLDER};
use crate::Kubelet;

/// Gives a pod's volumes back to their drivers.
///
/// # Errors
/// A driver refuses or is not there; to be tried again.
pub async fn tear_down(kubelet: &Kubelet, uid: &str) -> Result<(), String> {
    let dir = kubelet.settings.pod_dir(uid);
    let found = found(&dir).map_err(|e| format!("looking for volumes of drivers: {e}"))?;
    for (folder, data) in found {
        let block = folder.starts_with(dir.join("volumeDevices"));
        let path = if block {
            kubelet.drivers.root.join("volumeDevices/publish").join(&data.spec).join(uid)
        } else {
            folder.join("mount")
        };
        let turn = kubelet.drivers.turn(&data.unique());
        let _turn = turn.lock().await;
        unpublish(kubelet, &data, &path).await?;
        kubelet.drivers.set_made(&path, false);
        drop_folder(&folder).map_err(|e| format!("removing {}: {e}", folder.display()))?;
        if data.volume_lifecycle_mode == "Persistent" {
            unstage(kubelet, &data, block).await?;
        }
    }
    Ok(())
}

/// Volumes of drivers below a pod's directory.
fn found(dir: &Path) -> std::io::Result<Vec<(PathBuf, Data)>> {
    let mut out = Vec::new();
    for folder in ["volumes", "volumeDevices"].map(|f| dir.join(f).join(FOLDER)) {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let path = entry?.path();
            if let Some(data) = Data::read(&path)? {
                out.push((path, data));
            }
        }
    }
    Ok(out)
}

async fn unpublish(kubelet: &Kubelet, data: &Data, path: &Path) -> Result<(), String> {
    let driver = kubelet.drivers.get(&data.driver_name);
    let driver = driver
        .map_err(|e| format!("kubernetes.io/csi: Unmounter.TearDownAt failed to get CSI client: {e}"))?;
    let question = csi::NodeUnpublishVolumeRequest {
        volume_id: data.volume_handle.clone(),
        target_path: path.to_string_lossy().into_owned(),
    };
    driver
        .call::<_, csi::NodeUnpublishVolumeResponse>("/csi.v1.Node/NodeUnpublishVolume", question)
        .await
        .map_err(|e| format!("kubernetes.io/csi: Unmounter.TearDownAt failed: {}", crate::chain(&e)))?;
    // drivers should remove it themselves
    let left = match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => std::fs::remove_dir(path),
        Ok(_) => std::fs::remove_file(path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    };
    left.map_err(|e| {
        format!("kubernetes.io/csi: Unmounter.TearDownAt failed to clean mount dir [{}]: {e}", path.display())
    })
}

/// When no pod of this node has the volume any more.
async fn unstage(kubelet: &Kubelet, data: &Data, block: bool) -> Result<(), String> {
    let used = used(kubelet, data).map_err(|e| format!("looking for other users of a volume: {e}"))?;
    if used {
        return Ok(());
    }
    let folder = kubelet.drivers.folder(&data.driver_name, &data.volume_handle);
    let staging =
        kubelet.drivers.staging(&data.driver_name, &data.volume_handle, block.then_some(&*data.spec));
    let driver = kubelet.drivers.get(&data.driver_name)?;
    let features = driver.features().await.map_err(|e| crate::chain(&e))?;
    if features.stage && staging.exists() {
        let question = csi::NodeUnstageVolumeRequest {
            volume_id: data.volume_handle.clone(),
            staging_target_path: staging.to_string_lossy().into_owned(),
        };
        driver
            .call::<_, csi::NodeUnstageVolumeResponse>("/csi.v1.Node/NodeUnstageVolume", question)
            .await
            .map_err(|e| format!("kubernetes.io/csi: attacher.UnmountDevice failed: {}", crate::chain(&e)))?;
    }
    kubelet.drivers.set_made(&staging, false);
    let gone = unless_missing(std::fs::remove_dir(&staging)).and_then(|()| drop_folder(&folder));
    gone.map_err(|e| format!("removing {}: {e}", folder.display()))?;
    if kubelet.drivers.set_in_use(&data.unique(), false) {
        kubelet.node_changed.notify_one();
    }
    Ok(())
}

fn unless_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes what is remembered and its folder, never anything a driver may have left in it.
fn drop_folder(folder: &Path) -> std::io::Result<()> {
    unless_missing(std::fs::remove_file(folder.join(super::DATA)))?;
    unless_missing(std::fs::remove_dir(folder))
}

/// Whether another pod's directory tells of the volume.
fn used(kubelet: &Kubelet, data: &Data) -> std::io::Result<bool> {
    for pod in std::fs::read_dir(kubelet.settings.root_dir.join("pods"))? {
        let others = found(&pod?.path())?;
        if others.iter().any(|(_, o)| o.unique() == data.unique()) {
            return Ok(true);
        }
    }
    Ok(false)
}
