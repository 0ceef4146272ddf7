//! The daemon's role, from what its controllers declare to write, and its binding to upstream's identity.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::Settings;

/// A ClusterRole with every write the controllers of `settings` declare, and reading everything.
///
/// # Errors
/// A controller cannot be made from the settings.
pub fn cluster_role(settings: &Settings) -> anyhow::Result<Value> {
    let mut rules: BTreeMap<(String, BTreeSet<String>), BTreeSet<String>> = BTreeMap::new();
    // what is published matters not for what may be written
    let settings = &Settings { root_ca_file: Some("/dev/null".into()), ..settings.clone() };
    for controller in crate::chosen(settings)? {
        for permit in controller.writes() {
            let verbs = permit.verbs.split(' ').map(str::to_owned).collect();
            let plural = if permit.subresource.is_empty() {
                permit.resource.plural.to_string()
            } else {
                format!("{}/{}", permit.resource.plural, permit.subresource)
            };
            rules.entry((permit.resource.group.to_string(), verbs)).or_default().insert(plural);
        }
    }
    let mut list = vec![
        json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"]}),
        json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]}),
        // the garbage collector: deletes and patches whatever has owners
        json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["delete", "patch", "update"]}),
        json!({"nonResourceURLs": ["*"], "verbs": ["get"]}),
    ];
    list.extend(rules.into_iter().map(
        |((group, verbs), resources)| json!({"apiGroups": [group], "resources": resources, "verbs": verbs}),
    ));
    Ok(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "k3s-rs:controller"},
        "rules": list,
    }))
}

/// The role bound to the user this daemon is, beside what upstream's bootstrap policy gives that user.
fn bound(role: &Value) -> Value {
    let name = &role["metadata"]["name"];
    json!({"apiVersion": "v1", "kind": "List", "items": [role, {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-controller-manager"}],
    }]})
}

/// Prints role and binding, for `k3s-rs-controller role`.
pub fn print_role() -> std::process::ExitCode {
    use std::io::Write;
    let text =
        cluster_role(&Settings::default()).and_then(|role| Ok(serde_json::to_string_pretty(&bound(&role))?));
    match text.and_then(|text| Ok(writeln!(std::io::stdout(), "{text}")?)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = &*error as &dyn std::error::Error, "Printing the role");
            std::process::ExitCode::FAILURE
        }
    }
}
