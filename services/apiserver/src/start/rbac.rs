//! The roles and bindings every cluster starts with: created when missing, completed when they lack something.
//!
//! # Upstream
//! `pkg/registry/rbac/rest/storage_rbac.go`, `k8s.io/component-helpers/auth/rbac/reconciliation`

use std::sync::Arc;

use crate::errors::Result;
use crate::server::Server;

/// The plural of a kind of the RBAC group.
fn plural(kind: &str) -> &'static str {
    match kind {
        "ClusterRole" => "clusterroles",
        "ClusterRoleBinding" => "clusterrolebindings",
        "Role" => "roles",
        _ => "rolebindings",
    }
}

fn missing(wanted: &serde_json::Value, have: &serde_json::Value, list: &str) -> Vec<serde_json::Value> {
    let have = have[list].as_array().cloned().unwrap_or_default();
    let wanted = wanted[list].as_array().cloned().unwrap_or_default();
    wanted.into_iter().filter(|w| !have.contains(w)).collect()
}

/// Brings all of them into place.
pub(super) async fn reconcile(server: Arc<Server>) -> Result<()> {
    for object in auth::rbac::bootstrap::objects() {
        reconcile_one(&server, &object).await?;
    }
    Ok(())
}

/// Creates a role or binding, or adds what it lacks.
pub(crate) async fn reconcile_one(server: &Arc<Server>, object: &serde_json::Value) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let plural = plural(object["kind"].as_str().unwrap_or(""));
    if super::ensure(server, group, plural, object).await? {
        return Ok(());
    }
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or("").to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let Some(stored) = server.read(group, plural, &namespace, &name).await? else { return Ok(()) };
    if stored.annotation("rbac.authorization.kubernetes.io/autoupdate") == Some("false") {
        return Ok(());
    }
    let endpoint = server.endpoint(group, plural)?;
    let have = serde_json::from_slice(&endpoint.schema.encode_json(&stored)).unwrap_or_default();
    let list = if plural.ends_with("bindings") { "subjects" } else { "rules" };
    // an aggregated role's rules are its controller's
    let add = missing(object, &have, list);
    if add.is_empty() || !object["aggregationRule"].is_null() {
        return Ok(());
    }
    let add = crate::codec::parse_json(&serde_json::to_vec(&add).unwrap_or_default());
    let add = add.map_err(crate::errors::internal)?;
    super::edit(server, (group, plural), (&namespace, &name), "", move |object| {
        let key = if list == "rules" { "rules" } else { "subjects" };
        let slot = object.root_mut().get_or_insert_with(key, || schema::Value::List(Vec::new()));
        if let (Some(target), Some(more)) = (slot.as_list_mut(), add.as_list()) {
            target.extend(more.iter().cloned());
        }
    })
    .await
}
