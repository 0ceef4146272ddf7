//! Roles our daemons need beside upstream's: the API server puts them in place when it starts.

use std::path::Path;

use serde_json::{Value, json};

use crate::BootstrapError;

const RBAC: &str = "rbac.authorization.k8s.io";

/// All of them, as a JSON list.
pub(super) fn all(libexec: &Path) -> Result<Value, BootstrapError> {
    let read = ["get", "list", "watch"];
    let mut objects = vec![
        binding("kube-apiserver-kubelet-admin", "system:kubelet-api-admin", "kube-apiserver"),
        // flannel's identity on every node
        role(
            "system:k3s-controller",
            json!([
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch", "patch"]},
                {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
                {"apiGroups": [""], "resources": ["namespaces", "pods", "services", "endpoints"], "verbs": read},
                {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
            ]),
        ),
        binding("system:k3s-controller", "system:k3s-controller", "system:k3s-controller"),
        // proxy also does NetworkPolicy
        role(
            "k3s-rs:proxy",
            json!([
                {"apiGroups": [""], "resources": ["namespaces", "pods", "nodes"], "verbs": read},
                {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read},
            ]),
        ),
        binding("k3s-rs:proxy", "k3s-rs:proxy", "system:kube-proxy"),
    ];
    objects.extend(of_controller(libexec)?);
    Ok(Value::Array(objects))
}

fn role(name: &str, rules: Value) -> Value {
    json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

fn binding(name: &str, role: &str, user: &str) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    })
}

/// What the controllers write, they alone know: a role and its binding.
fn of_controller(libexec: &Path) -> Result<Vec<Value>, BootstrapError> {
    let program = libexec.join("k3s-rs-controller");
    let wrong = |reason: String| BootstrapError::Program { program: program.clone(), reason };
    let output =
        std::process::Command::new(&program).arg("role").output().map_err(|e| wrong(e.to_string()))?;
    if !output.status.success() {
        return Err(wrong(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let mut list: Value = serde_json::from_slice(&output.stdout).map_err(|e| wrong(e.to_string()))?;
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(wrong("what it printed for `role` is no list".into())),
    }
}
