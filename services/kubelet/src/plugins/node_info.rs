//! What the cluster knows of this node's volume drivers: the CSINode, and the node's labels and annotation.
//!
//! # Upstream
//! `pkg/volume/csi/nodeinfomanager/nodeinfomanager.go`

use std::collections::BTreeMap;
use std::time::Duration;

use client::{DeleteOptions, Key, Patch, PatchParams, Resource};
use cri::plugin::csi::NodeGetInfoResponse;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver, CSINodeSpec, VolumeNodeResources};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use crate::Kubelet;

const NODE_ID: &str = "csi.volume.kubernetes.io/nodeid";
const MIGRATED: &str = "storage.alpha.kubernetes.io/migrated-plugins";
/// In-tree plugins whose volumes CSI drivers serve; the scheduler counts by it.
const PLUGINS: &str = "kubernetes.io/aws-ebs,kubernetes.io/azure-disk,kubernetes.io/azure-file,\
                       kubernetes.io/cinder,kubernetes.io/gce-pd,kubernetes.io/portworx-volume,kubernetes.io/vsphere-volume";
/// How often a change is tried, and the first pause between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

fn key(kubelet: &Kubelet) -> Key {
    Key::new("", &kubelet.name)
}

/// Makes the CSINode, which others wait for, once the node is there.
pub(super) async fn begin(kubelet: &Kubelet) {
    let mut wait = PAUSE;
    while let Err(error) = ensure(kubelet).await {
        tracing::info!(error, "Making the CSINode");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(30));
    }
}

/// The CSINode of this very node.
async fn ensure(kubelet: &Kubelet) -> Result<CSINode, String> {
    let text = |e: client::Error| crate::chain(&e);
    let node: Node = kubelet.client.get(&Resource::of::<Node>(), &key(kubelet)).await.map_err(text)?;
    let uid = node.metadata.uid.unwrap_or_default();
    let resource = Resource::of::<CSINode>();
    match kubelet.client.get::<CSINode>(&resource, &key(kubelet)).await {
        Ok(found) => {
            let mut owners = found.metadata.owner_references.iter().flatten();
            if owners.any(|o| o.kind == "Node" && o.name == kubelet.name && o.uid == uid) {
                return Ok(found);
            }
            // of an earlier node of this name
            kubelet.client.delete(&resource, &key(kubelet), &DeleteOptions::default()).await.map_err(text)?;
        }
        Err(e) if e.is_not_found() => {}
        Err(e) => return Err(text(e)),
    }
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: kubelet.name.clone(),
        uid,
        ..OwnerReference::default()
    };
    let made = CSINode {
        metadata: ObjectMeta {
            name: Some(kubelet.name.clone()),
            annotations: Some(BTreeMap::from([(MIGRATED.to_owned(), PLUGINS.to_owned())])),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: CSINodeSpec::default(),
    };
    kubelet.client.create(&resource, "", &made, "").await.map_err(text)
}

/// Tells of a driver.
///
/// # Errors
/// The API server does not take it.
pub(super) async fn install(
    kubelet: &Kubelet,
    name: &str,
    about: &NodeGetInfoResponse,
) -> Result<(), String> {
    if about.node_id.is_empty() {
        return Err("error adding CSI driver node info: driverNodeID must not be empty".into());
    }
    let topology: BTreeMap<String, String> =
        about.accessible_topology.iter().flat_map(|t| t.segments.clone()).collect();
    retried(|| annotate(kubelet, name, Some(&about.node_id), &topology))
        .await
        .map_err(|e| format!("error updating Node object with CSI driver node info: {e}"))?;
    let count = i32::try_from(about.max_volumes_per_node).unwrap_or(i32::MAX);
    let driver = CSINodeDriver {
        name: name.to_owned(),
        node_id: about.node_id.clone(),
        topology_keys: Some(topology.into_keys().collect()),
        allocatable: (count > 0).then_some(VolumeNodeResources { count: Some(count) }),
    };
    retried(|| list(kubelet, name, Some(&driver)))
        .await
        .map_err(|e| format!("error updating CSINode object with CSI driver node info: {e}"))
}

/// Takes that back.
///
/// # Errors
/// The API server does not take it.
pub(super) async fn uninstall(kubelet: &Kubelet, name: &str) -> Result<(), String> {
    retried(|| list(kubelet, name, None)).await?;
    let nowhere = BTreeMap::new();
    retried(|| annotate(kubelet, name, None, &nowhere)).await
}

async fn retried<F: Future<Output = Result<(), String>>>(act: impl Fn() -> F) -> Result<(), String> {
    let mut wait = PAUSE;
    for _ in 1..TRIES {
        match act().await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::debug!(error, "Telling of a driver"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
    act().await
}

/// The node's id with a driver as an annotation, where it is as labels.
async fn annotate(
    kubelet: &Kubelet,
    name: &str,
    id: Option<&str>,
    topology: &BTreeMap<String, String>,
) -> Result<(), String> {
    let text = |e: client::Error| crate::chain(&e);
    let resource = Resource::of::<Node>();
    let node: Node = kubelet.client.get(&resource, &key(kubelet)).await.map_err(text)?;
    let labels = node.metadata.labels.unwrap_or_default();
    for (key, value) in topology {
        if let Some(other) = labels.get(key).filter(|v| *v != value) {
            return Err(format!(
                "detected topology value collision: driver reported \"{key}\":\"{value}\" but existing label is \"{key}\":\"{other}\""
            ));
        }
    }
    let annotations = node.metadata.annotations.unwrap_or_default();
    let said = annotations.get(NODE_ID);
    let mut ids: BTreeMap<String, String> = match said {
        Some(said) => serde_json::from_str(said)
            .map_err(|e| format!("failed to parse node's {NODE_ID:?} annotation value ({said:?}) err={e}"))?,
        None => BTreeMap::new(),
    };
    match id {
        Some(id) => ids.insert(name.to_owned(), id.to_owned()),
        None => ids.remove(name),
    };
    let value = if ids.is_empty() { Value::Null } else { json!(json!(ids).to_string()) };
    if value.as_str() == said.map(String::as_str) && topology.keys().all(|k| labels.contains_key(k)) {
        return Ok(());
    }
    let metadata = json!({
        "annotations": { NODE_ID: value },
        "labels": topology,
        "resourceVersion": node.metadata.resource_version,
    });
    let patch = Patch::Strategic(json!({ "metadata": metadata }));
    let params = PatchParams::default();
    kubelet.client.patch(&resource, &key(kubelet), &patch, &params).await.map(drop).map_err(text)
}

/// A driver in the CSINode's list, or out of it.
async fn list(kubelet: &Kubelet, name: &str, driver: Option<&CSINodeDriver>) -> Result<(), String> {
    let current = ensure(kubelet).await?;
    let old = current.spec.drivers.iter().find(|d| d.name == name);
    if old == driver {
        return Ok(());
    }
    let others = current.spec.drivers.iter().filter(|d| d.name != name).chain(driver);
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": current.metadata.resource_version },
        "spec": { "drivers": others.collect::<Vec<_>>() },
    }));
    let resource = Resource::of::<CSINode>();
    let params = PatchParams::default();
    let done = kubelet.client.patch(&resource, &key(kubelet), &patch, &params).await;
    done.map(drop).map_err(|e| crate::chain(&e))
}
