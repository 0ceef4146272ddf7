//! APIServices of what this server answers itself.
//!
//! # Upstream
//! `pkg/controlplane/apiserver/aggregator.go` `apiServicesToRegister`,
//! `k8s.io/kube-aggregator/pkg/controllers/autoregister`

use std::sync::Arc;

use futures_util::future::try_join_all;
use serde_json::json;

use crate::aggregate::{GROUP, PLURAL, priorities};
use crate::endpoints::documents;
use crate::errors::Result;
use crate::server::Server;

/// Creates what is missing.
pub(super) async fn ensure_all(server: Arc<Server>) -> Result<()> {
    let served = documents::served(&server);
    let known = priorities::PRIORITIES.iter();
    let ours = known.filter(|(group, version, ..)| {
        served.iter().any(|facts| facts.group == *group && facts.version == *version)
    });
    let objects: Vec<_> = ours
        .map(|(group, version, group_priority, version_priority)| {
            json!({
                "metadata": {
                    "name": format!("{version}.{group}"),
                    "labels": {"kube-aggregator.kubernetes.io/automanaged": "onstart"},
                },
                "spec": {
                    "group": group,
                    "version": version,
                    "groupPriorityMinimum": group_priority,
                    "versionPriority": version_priority,
                },
            })
        })
        .collect();
    try_join_all(objects.iter().map(|object| super::ensure(&server, GROUP, PLURAL, object))).await?;
    Ok(())
}
