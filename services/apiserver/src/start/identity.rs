//! The Lease by which other parts know this server.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/server/options`, `pkg/controlplane/apiserver/server.go`

use std::sync::Arc;

use serde_json::json;

use crate::errors::{self, Result};
use crate::server::Server;

fn identity(host: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, host.as_bytes());
    let letters = digest.as_ref().iter().take(16);
    let encoded: String =
        letters.map(|b| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(b % 32)])).collect();
    format!("apiserver-{encoded}")
}

/// Creates or renews the Lease.
pub(super) async fn renew(server: Arc<Server>) -> Result<()> {
    let host = daemon::host_name().map_err(errors::internal)?;
    let name = identity(&host);
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let lease = json!({
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {
                "apiserver.kubernetes.io/identity": "kube-apiserver",
                "kubernetes.io/hostname": host,
            },
        },
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 3600, "renewTime": now},
    });
    let group = "coordination.k8s.io";
    if super::ensure(&server, group, "leases", &lease).await? {
        return Ok(());
    }
    super::edit(&server, (group, "leases"), ("kube-system", &name), "", move |object| {
        object.set(&["spec", "renewTime"], now.as_str());
    })
    .await
}
