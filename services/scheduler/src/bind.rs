//! Carries out a placement: volumes first, then the binding.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/volumebinding/binder.go` `BindPodVolumes`, `defaultbinder/default_binder.go`

use std::time::Duration;

use client::{Cache, Client, Key, Patch, PatchParams, Resource};
use k8s_openapi::api::core::v1 as core;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use crate::model::{Claim, Pod, Volume};
use crate::plugins::volume_binding::Promises;

/// Why a placement came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// The API server did not take the binding.
    #[error("running Bind plugin \"DefaultBinder\": {0}")]
    Bind(String),
    /// Volumes were not bound.
    #[error("running PreBind plugin \"VolumeBinding\": binding volumes: {0}")]
    Volumes(String),
}

/// What binding volumes needs.
#[derive(Debug, Clone)]
pub(crate) struct Volumes {
    pub(crate) claims: Cache<Claim>,
    pub(crate) volumes: Cache<Volume>,
    /// Changes whenever a claim or a volume does.
    pub(crate) changed: watch::Receiver<u64>,
}

#[derive(Serialize)]
struct Binding<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta<'a>,
    target: Target<'a>,
}

#[derive(Serialize)]
struct Meta<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
}

#[derive(Serialize)]
struct Target<'a> {
    kind: &'static str,
    name: &'a str,
}

/// Binds a pod to the node it says.
///
/// # Errors
/// The API server's words.
pub(crate) async fn bind(client: &Client, pod: &Pod) -> Result<(), BindError> {
    let body = Binding {
        api_version: "v1",
        kind: "Binding",
        metadata: Meta { namespace: pod.namespace(), name: &pod.name, uid: &pod.uid },
        target: Target { kind: "Node", name: &pod.node },
    };
    let path = Resource::of::<core::Pod>().object(&pod.key(), "binding");
    client.post(path, &body).await.map(|_| ()).map_err(|error| BindError::Bind(words(&error)))
}

fn words(error: &client::Error) -> String {
    match error.status() {
        Some(status) => status.message.clone(),
        None => error.to_string(),
    }
}

/// Writes what was promised and waits until it is so.
///
/// # Errors
/// Why it will not be so.
pub(crate) async fn volumes(
    client: &Client,
    from: &mut Volumes,
    promises: &Promises,
    node: &str,
    limit: Duration,
) -> Result<(), BindError> {
    for (volume, claim) in &promises.bindings {
        let mut body = json!({"metadata": {"resourceVersion": volume.revision}, "spec": {"claimRef": {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": claim.namespace, "name": claim.name,
            "uid": claim.uid, "resourceVersion": claim.revision,
        }}});
        if !volume.is_for(claim) && !volume.bound_by_controller {
            body["metadata"]["annotations"] = json!({"pv.kubernetes.io/bound-by-controller": "yes"});
        }
        let key = Key::new("", volume.name.clone());
        write(client, &Resource::of::<core::PersistentVolume>(), &key, body).await?;
    }
    for claim in &promises.provisions {
        let annotations = json!({"volume.kubernetes.io/selected-node": node});
        let body = json!({"metadata": {"resourceVersion": claim.revision, "annotations": annotations}});
        let key = Key::new(claim.namespace.clone(), claim.name.clone());
        write(client, &Resource::of::<core::PersistentVolumeClaim>(), &key, body).await?;
    }
    let wait = async {
        loop {
            from.changed.mark_unchanged();
            if is_done(from, promises, node)? {
                return Ok(());
            }
            if from.changed.changed().await.is_err() {
                return Err(BindError::Volumes("the scheduler stops".into()));
            }
        }
    };
    match tokio::time::timeout(limit, wait).await {
        Ok(done) => done,
        Err(_) => Err(BindError::Volumes("context deadline exceeded".into())),
    }
}

async fn write(
    client: &Client,
    resource: &Resource,
    key: &Key,
    body: serde_json::Value,
) -> Result<(), BindError> {
    let written = client.patch(resource, key, &Patch::Merge(body), &PatchParams::default()).await;
    written.map(|_| ()).map_err(|error| BindError::Volumes(words(&error)))
}

/// # Upstream
/// `binder.go` `checkBindings`
fn is_done(from: &Volumes, promises: &Promises, node: &str) -> Result<bool, BindError> {
    let (claims, volumes) = (from.claims.snapshot(), from.volumes.snapshot());
    let error = |text: String| Err(BindError::Volumes(text));
    let mut all = true;
    for (volume, claim) in &promises.bindings {
        let Some(volume_now) = volumes.get(&Key::new("", volume.name.clone())) else {
            return error(format!(
                "failed to check binding: could not find v1.PersistentVolume {:?}",
                volume.name
            ));
        };
        let Some(claim_now) = claims.get(&Key::new(claim.namespace.clone(), claim.name.clone())) else {
            return error(format!(
                "failed to check binding: could not find v1.PersistentVolumeClaim {:?}",
                claim.name
            ));
        };
        if volume_now.revision == volume.revision {
            all = false; // not seen yet
            continue;
        }
        if volume_now.claim.as_ref().is_none_or(|c| c.uid.is_empty()) {
            return error(format!("ClaimRef got reset for pv {:?}", volume.name));
        }
        all &= claim_now.is_fully_bound();
    }
    for claim in &promises.provisions {
        let Some(now) = claims.get(&Key::new(claim.namespace.clone(), claim.name.clone())) else {
            return error(format!(
                "failed to check provisioning pvc: could not find v1.PersistentVolumeClaim {:?}",
                claim.name
            ));
        };
        if now.revision == claim.revision {
            all = false; // not seen yet
            continue;
        }
        if now.selected_node.as_deref() != Some(node) {
            return error(format!("provisioning failed for PVC {:?}", claim.name));
        }
        all &= now.is_fully_bound();
    }
    Ok(all)
}
