//! The priority classes of the system.
//!
//! # Upstream
//! `pkg/apis/scheduling/v1/helpers.go`

use std::sync::Arc;

use serde_json::json;

use crate::errors::Result;
use crate::server::Server;

/// Creates what is missing.
pub(super) async fn ensure_all(server: Arc<Server>) -> Result<()> {
    let classes = [
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
        ),
    ];
    for (name, value, description) in classes {
        let class = json!({"metadata": {"name": name}, "value": value, "description": description});
        super::ensure(&server, "scheduling.k8s.io", "priorityclasses", &class).await?;
    }
    Ok(())
}
