//! Kubeconfigs.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// A kubeconfig with everything in it. `identity` is certificate and key, PEM.
pub fn kubeconfig(server: &str, authority: &str, identity: (&str, &str)) -> String {
    let data = |pem: &str| STANDARD.encode(pem);
    yaml::to_string(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": {
            "server": server, "certificate-authority-data": data(authority),
        }}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
        "preferences": {},
        "users": [{"name": "default", "user": {
            "client-certificate-data": data(identity.0), "client-key-data": data(identity.1),
        }}],
    }))
}

/// A kubeconfig that names files, so that they can be renewed under it. The form is that of k3s's `server/cred`.
pub fn kubeconfig_of_files(server: &str, authority: &Path, certificate: &Path, key: &Path) -> String {
    yaml::to_string(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server, "certificate-authority": authority}}],
        "contexts": [{"name": "Default", "context": {"cluster": "local", "namespace": "default", "user": "user"}}],
        "current-context": "Default",
        "preferences": {},
        "users": [{"name": "user", "user": {"client-certificate": certificate, "client-key": key}}],
    }))
}
