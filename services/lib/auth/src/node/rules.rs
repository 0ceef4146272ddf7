//! What every node may do without looking at what it refers to.
//!
//! # Upstream
//! `plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go` `NodeRules`

use crate::rbac::PolicyRule;

/// Verbs, group, resources.
const RULES: &[(&str, &str, &str)] = &[
    ("create", "authentication.k8s.io", "tokenreviews"),
    ("create", "authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews"),
    ("get list watch", "", "services"),
    ("create update patch", "", "events"),
    ("create update patch", "events.k8s.io", "events"),
    ("get", "", "endpoints"),
    ("create get list watch", "certificates.k8s.io", "certificatesigningrequests"),
    ("get watch list", "storage.k8s.io", "csidrivers"),
    ("get list watch", "node.k8s.io", "runtimeclasses"),
];

/// The rules that need no graph; what the graph decides is decided before they are asked.
pub fn rules() -> Vec<PolicyRule> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    let rule = |(verbs, group, resources): &(&str, &str, &str)| PolicyRule {
        verbs: words(verbs),
        api_groups: vec![(*group).to_owned()],
        resources: words(resources),
        ..PolicyRule::default()
    };
    RULES.iter().map(rule).collect()
}
