//! Node names belong to whoever had them first: by a password the node made, kept as a hash in a Secret. The controller
//! `node-password-controller` takes it away with the node.
//!
//! # Upstream
//! k3s `pkg/nodepassword/{nodepassword,validate}.go`

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::json;

use crate::auth::User;
use crate::errors::{self, Result};
use crate::server::Server;

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty())
}

/// The node's name, if it may have it.
pub(super) async fn check(server: &Arc<Server>, user: &User, headers: &HeaderMap) -> Result<String> {
    let name = text(headers, "k3s-node-name")
        .ok_or_else(|| errors::bad_request("node name not set"))?
        .to_lowercase();
    let password =
        text(headers, "k3s-node-password").ok_or_else(|| errors::bad_request("node password not set"))?;
    if let Some(own) = user.name.strip_prefix("system:node:").filter(|_| user.in_group("system:nodes")) {
        if own != name {
            return Err(errors::bad_request("header node name does not match auth node name"));
        }
        // a deleted node's certificate counts no more
        if server.read("", "nodes", "", &name).await?.is_none() {
            return Err(errors::unauthorized());
        }
    }
    ensure_password(server, &name, password).await?;
    Ok(name)
}

/// Keeps a node's password, or compares it with the one kept.
pub(super) async fn ensure_password(server: &Arc<Server>, node: &str, password: &str) -> Result<()> {
    let name = format!("{node}.node-password.k3s").to_lowercase();
    for _ in 0..2 {
        if let Some(secret) = server.read("", "secrets", "kube-system", &name).await? {
            let endpoint = server.endpoint("", "secrets")?;
            let secret: serde_json::Value =
                serde_json::from_slice(&endpoint.schema.encode_json(&secret)).map_err(errors::internal)?;
            let hash = secret["data"]["hash"].as_str().and_then(|t| STANDARD.decode(t).ok()); // the API server encoded it
            let hash = hash.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
            return same(hash, password, node).await;
        }
        let plain = password.to_owned();
        let hash = tokio::task::spawn_blocking(move || pki::hash_password(&plain))
            .await
            .map_err(errors::internal)?;
        let hash = hash.map_err(errors::internal)?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "k3s.cattle.io/node-password", "immutable": true,
            "metadata": {"name": name, "namespace": "kube-system"}, "data": {"hash": STANDARD.encode(hash)},
        });
        if crate::start::ensure(server, "", "secrets", &secret).await? {
            return Ok(());
        }
        // another server was faster: what it kept counts
    }
    Err(errors::internal("the node password's Secret comes and goes"))
}

async fn same(hash: String, password: &str, node: &str) -> Result<()> {
    let plain = password.to_owned();
    let right = tokio::task::spawn_blocking(move || pki::is_password(&hash, &plain))
        .await
        .map_err(errors::internal)?;
    if right {
        return Ok(());
    }
    let why = format!("unable to verify hash for node '{node}': hash does not match");
    Err(super::accounts::forbidden(&why))
}

/// Marks this machine's node as one of the control plane, which a node may not do itself; `false`: it is not there yet.
///
/// # Upstream
/// k3s `pkg/server/server.go` `setNodeLabelsAndAnnotations`
pub(super) async fn label_server(server: &Arc<Server>, name: &str) -> Result<bool> {
    const LABEL: &str = "node-role.kubernetes.io/control-plane";
    let Some(node) = server.peek("", "nodes", "", name)? else { return Ok(false) };
    if node.label(LABEL).is_none() {
        crate::start::edit(server, ("", "nodes"), ("", name), "", |object| {
            object.metadata_mut().map_mut("labels").insert(LABEL, "true");
        })
        .await?;
    }
    Ok(true)
}

/// The addresses a node says it has.
pub(super) fn addresses(headers: &HeaderMap) -> Result<Vec<IpAddr>> {
    let given = text(headers, "k3s-node-ip").unwrap_or_default();
    let parse = |ip: &str| {
        ip.trim().parse().map_err(|_| errors::bad_request(format!("invalid node IP address {ip}")))
    };
    given.split(',').filter(|ip| !ip.trim().is_empty()).map(parse).collect()
}
