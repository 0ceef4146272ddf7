//! The namespaces every cluster has.

use std::sync::Arc;

use serde_json::json;

use crate::errors::Result;
use crate::server::Server;

/// Creates what is missing.
pub(super) async fn ensure_all(server: Arc<Server>) -> Result<()> {
    for name in ["kube-system", "kube-public", "kube-node-lease", "default"] {
        if server.peek("", "namespaces", "", name)?.is_none() {
            super::ensure(&server, "", "namespaces", &json!({"metadata": {"name": name}})).await?;
        }
    }
    Ok(())
}
