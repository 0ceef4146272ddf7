//! `kube-system/extension-apiserver-authentication`: how aggregated servers know whom we trust.
//!
//! # Upstream
//! `pkg/controlplane/controller/clusterauthenticationtrust`

use std::sync::Arc;

use schema::{Map, Value};
use serde_json::json;

use crate::errors::{self, Result};
use crate::server::Server;

/// Creates the ConfigMap and keeps what it says.
pub(super) async fn ensure_all(server: Arc<Server>) -> Result<()> {
    let settings = &server.settings;
    let mut data = Map::new();
    let read = |path: &std::path::Path| std::fs::read_to_string(path).map_err(errors::internal);
    data.insert("client-ca-file", read(&settings.client_ca_file)?);
    if let Some(file) = &settings.requestheader_client_ca_file {
        let names = serde_json::to_string(&settings.requestheader_allowed_names).map_err(errors::internal)?;
        data.insert("requestheader-allowed-names", names);
        data.insert("requestheader-client-ca-file", read(file)?);
        data.insert("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#);
        data.insert("requestheader-group-headers", r#"["X-Remote-Group"]"#);
        data.insert("requestheader-uid-headers", r#"["X-Remote-Uid"]"#);
        data.insert("requestheader-username-headers", r#"["X-Remote-User"]"#);
    }
    let (namespace, name) = ("kube-system", "extension-apiserver-authentication");
    let empty = json!({"metadata": {"name": name, "namespace": namespace}});
    super::ensure(&server, "", "configmaps", &empty).await?;
    super::edit(&server, ("", "configmaps"), (namespace, name), "", move |object| {
        let target = object.root_mut().map_mut("data");
        for (key, value) in data.iter() {
            target.insert(key.clone(), Value::clone(value));
        }
        target.sort_keys();
    })
    .await
}
