//! The node's sign of life.
//!
//! # Upstream
//! `k8s.io/component-helpers/apimachinery/lease/controller.go`

use std::sync::Arc;
use std::time::Duration;

use client::{Client, Key, Patch, PatchParams, Resource};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use serde_json::json;

use crate::Kubelet;

const NAMESPACE: &str = "kube-node-lease";

/// Renews the lease for ever, at a quarter of its duration.
pub async fn run(kubelet: Arc<Kubelet>) {
    let seconds = kubelet.settings.node_lease_duration_seconds;
    let period = Duration::from_secs(u64::from(seconds.max(4).unsigned_abs()) / 4);
    loop {
        let pause = match renew(&kubelet, seconds).await {
            Ok(()) => period,
            Err(error) => {
                tracing::warn!(error = crate::chain(&error), "Renewing the node's lease");
                Duration::from_secs(1)
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn renew(kubelet: &Kubelet, seconds: i32) -> Result<(), client::Error> {
    let resource = Resource::of::<Lease>();
    let key = Key::new(NAMESPACE, &kubelet.name);
    let spec = json!({
        "holderIdentity": kubelet.name,
        "leaseDurationSeconds": seconds,
        "renewTime": MicroTime(Timestamp::now()),
    });
    let patch = Patch::Merge(json!({ "spec": spec }));
    match kubelet.client.patch(&resource, &key, &patch, &PatchParams::default()).await {
        Ok(_) => Ok(()),
        Err(e) if e.is_not_found() => create(&kubelet.client, kubelet, seconds).await,
        Err(e) => Err(e),
    }
}

async fn create(client: &Client, kubelet: &Kubelet, seconds: i32) -> Result<(), client::Error> {
    // owned by the node, so that it goes with it
    let node: Node = client.get(&Resource::of::<Node>(), &Key::new("", &kubelet.name)).await?;
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: kubelet.name.clone(),
        uid: node.metadata.uid.unwrap_or_default(),
        ..OwnerReference::default()
    };
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(kubelet.name.clone()),
            namespace: Some(NAMESPACE.into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(kubelet.name.clone()),
            lease_duration_seconds: Some(seconds),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    };
    client
        .create::<_, serde::de::IgnoredAny>(&Resource::of::<Lease>(), NAMESPACE, &lease, "")
        .await
        .map(|_| ())
}
