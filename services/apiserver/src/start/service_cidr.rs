//! The default range of ClusterIPs.
//!
//! # Upstream
//! `pkg/controlplane/controller/defaultservicecidr`

use std::sync::Arc;

use schema::{Map, Value};
use serde_json::json;

use crate::errors::{self, Result};
use crate::server::Server;
use crate::verbs::meta::timestamp;

const GROUP: &str = "networking.k8s.io";

/// Creates the `ServiceCIDR` and reports it ready.
pub(super) async fn ensure_all(server: Arc<Server>) -> Result<()> {
    let ranges = server.settings.service_ranges().map_err(errors::internal)?;
    let cidrs: Vec<String> = ranges.iter().map(ToString::to_string).collect();
    let found = server.read(GROUP, "servicecidrs", "", "kubernetes").await?;
    if found.is_none() {
        let object = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": cidrs}});
        super::ensure(&server, GROUP, "servicecidrs", &object).await?;
    }
    let ready = found.is_some_and(|o| !o.list_at(&["status", "conditions"]).is_empty());
    if ready {
        return Ok(());
    }
    let now = timestamp(jiff::Timestamp::now());
    super::edit(&server, (GROUP, "servicecidrs"), ("", "kubernetes"), "status", move |object| {
        let mut condition = Map::new();
        condition.insert("type", "Ready");
        condition.insert("status", "True");
        condition.insert("lastTransitionTime", now.as_str());
        condition.insert("reason", "");
        condition.insert("message", "Kubernetes default Service CIDR is ready");
        object.set(&["status", "conditions"], vec![Value::Map(condition)]);
    })
    .await
}
