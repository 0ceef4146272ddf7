//! Whether a pod refers to objects of the API: a mirror pod may not.
//!
//! # Upstream
//! `pkg/api/pod/util.go` `HasAPIObjectReference`

use schema::{Object, Value};

/// What other object a pod refers to, by its plural.
pub fn reference(pod: &Object) -> Option<&'static str> {
    if !pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
        return Some("serviceaccounts");
    }
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in pod.list_at(&["spec", field]) {
            let list = |key: &str| container.at(&[key]).and_then(Value::as_list).unwrap_or(&[]);
            let sources = list("env").iter().filter_map(|env| env.at(&["valueFrom"])).chain(list("envFrom"));
            for source in sources {
                let has = |key: &str| source.at(&[key]).is_some_and(|v| !v.is_null());
                if has("secretKeyRef") || has("secretRef") {
                    return Some("secrets");
                }
                if has("configMapKeyRef") || has("configMapRef") {
                    return Some("configmaps");
                }
            }
        }
    }
    if !pod.list_at(&["spec", "imagePullSecrets"]).is_empty() {
        return Some("secrets");
    }
    if !pod.list_at(&["spec", "resourceClaims"]).is_empty() {
        return Some("resourceclaims");
    }
    pod.list_at(&["spec", "volumes"]).iter().find_map(referenced_by)
}

fn referenced_by(volume: &Value) -> Option<&'static str> {
    let has = |value: &Value, path: &[&str]| value.at(path).is_some_and(|v| !v.is_null());
    for (path, what) in [
        (["configMap"], "configmaps (via configmap volumes)"),
        (["secret"], "secrets (via secret volumes)"),
        (["csi"], "csidrivers (via CSI volumes)"),
        (["glusterfs"], "endpoints (via glusterFS volumes)"),
        (["persistentVolumeClaim"], "persistentvolumeclaims"),
        (["ephemeral"], "persistentvolumeclaims (via ephemeral volumes)"),
        (["azureFile"], "secrets (via azureFile volumes)"),
    ] {
        if has(volume, &path) {
            return Some(what);
        }
    }
    let sources = volume.at(&["projected", "sources"]).and_then(Value::as_list).unwrap_or(&[]);
    let kinds = [
        ("configMap", "configmaps (via projected volumes)"),
        ("secret", "secrets (via projected volumes)"),
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    // upstream asks the sources in turn, each for its first kind
    sources.iter().find_map(|source| kinds.iter().find(|(key, _)| has(source, &[key])).map(|(_, what)| *what))
}
