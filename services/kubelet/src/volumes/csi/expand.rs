//! A file system that grows with its volume.
//!
//! # Upstream
//! `pkg/volume/csi/expander.go`, `pkg/volume/util/operationexecutor/node_expander.go`

use client::{Key, Patch, PatchParams, Resource};
use cri::plugin::csi;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::json;

use super::driver::Driver;
use super::persistent::Claimed;
use super::publish::{Target, capability};
use crate::Kubelet;
use crate::events::Kind;
use crate::quantity::value;

/// Lets the driver grow what is on the volume, when the volume is larger than its claim says.
pub(super) async fn if_larger(
    kubelet: &Kubelet,
    pod: &Pod,
    driver: &Driver,
    claimed: &Claimed,
    target: &Target,
) -> Result<(), String> {
    let capacity = claimed.volume.spec.as_ref().and_then(|s| s.capacity.as_ref());
    let Some(wanted) = capacity.and_then(|c| c.get("storage")) else { return Ok(()) };
    let status = claimed.claim.status.clone().unwrap_or_default();
    let pending = status.conditions.iter().flatten().any(|c| c.type_ == "FileSystemResizePending")
        || status.allocated_resource_statuses.iter().flatten().any(|(_, s)| s.starts_with("NodeResize"));
    let told = status.capacity.as_ref().and_then(|c| c.get("storage")).map_or(0, value);
    if !pending || target.read_only || value(wanted) <= told {
        return Ok(());
    }
    let features = driver.features().await.map_err(|e| crate::chain(&e))?;
    if features.expand {
        let text = |p: &std::path::Path| p.to_string_lossy().into_owned();
        let question = csi::NodeExpandVolumeRequest {
            volume_id: target.data.volume_handle.clone(),
            volume_path: text(&target.path),
            capacity_range: Some(csi::CapacityRange { required_bytes: value(wanted), limit_bytes: 0 }),
            staging_target_path: target.staging.as_deref().map(text).unwrap_or_default(),
            volume_capability: Some(capability(pod, target, features)),
            ..Default::default()
        };
        driver
            .call::<_, csi::NodeExpandVolumeResponse>("/csi.v1.Node/NodeExpandVolume", question)
            .await
            .map_err(|e| format!("MountVolume.NodeExpandVolume failed: {}", crate::chain(&e)))?;
    }
    let done = json!({ "status": {
        "capacity": { "storage": wanted },
        "allocatedResourceStatuses": null,
        "conditions": [
            { "type": "FileSystemResizePending", "$patch": "delete" },
            { "type": "Resizing", "$patch": "delete" },
        ],
    }});
    let metadata = &claimed.claim.metadata;
    let key = Key::new(
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
    );
    let params = PatchParams { subresource: "status", field_manager: "" };
    let resource = Resource::of::<PersistentVolumeClaim>();
    let patched = kubelet.client.patch(&resource, &key, &Patch::Strategic(done), &params).await;
    patched.map_err(|e| crate::chain(&e))?;
    let text = format!(
        "MountVolume.NodeExpandVolume succeeded for volume \"{}\" {}",
        target.data.spec, kubelet.name
    );
    kubelet.events.pod(pod, "", Kind::Normal, "FileSystemResizeSuccessful", &text);
    Ok(())
}
