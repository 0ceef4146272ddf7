//! One rule, and whom a binding names.

use serde::{Deserialize, Serialize};

use crate::attributes::{Attributes, Subject, service_account};

/// A rule of a role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// Verbs; `*` is all.
    pub verbs: Vec<String>,
    /// API groups; `*` is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Resources, `pods/log`, `*/scale`; `*` is all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names; none means any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths, the last character may be `*`.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

impl PolicyRule {
    /// Whether the rule allows a request.
    ///
    /// # Upstream
    /// `plugin/pkg/auth/authorizer/rbac/rbac.go` `RuleAllows`, `pkg/apis/rbac/v1/evaluation_helpers.go`
    pub fn allows(&self, a: &Attributes<'_>) -> bool {
        if !has_or_all(&self.verbs, a.verb) {
            return false;
        }
        if !a.is_resource() {
            return self.non_resource_urls.iter().any(|rule| path_matches(rule, a.path));
        }
        has_or_all(&self.api_groups, a.group)
            && self.resources.iter().any(|rule| resource_matches(rule, a.resource, a.subresource))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|n| n == a.name))
    }
}

fn has_or_all(set: &[String], wanted: &str) -> bool {
    set.iter().any(|s| s == "*" || s == wanted)
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    match rule.split_once('/') {
        Some((r, s)) => s == subresource && (r == "*" || r == resource),
        None => false,
    }
}

pub(crate) fn path_matches(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

/// Whom a binding names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RbacSubject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// `rbac.authorization.k8s.io`, empty for service accounts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// The name.
    pub name: String,
    /// The service account's namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

impl RbacSubject {
    /// Whether it names who asks; `namespace` is the binding's.
    ///
    /// # Upstream
    /// `pkg/registry/rbac/validation/rule.go` `appliesToUser`
    pub fn names(&self, who: &Subject<'_>, namespace: &str) -> bool {
        match self.kind.as_str() {
            "User" => self.name == who.name,
            "Group" => who.groups.contains(&self.name),
            "ServiceAccount" => {
                let home = if self.namespace.is_empty() { namespace } else { &self.namespace };
                !home.is_empty() && service_account(who.name) == Some((home, self.name.as_str()))
            }
            _ => false,
        }
    }

    /// How a verdict names it.
    pub(crate) fn describe(&self, binding_namespace: &str) -> String {
        if self.kind == "ServiceAccount" {
            let home = if self.namespace.is_empty() { binding_namespace } else { &self.namespace };
            return format!("{} \"{}/{home}\"", self.kind, self.name);
        }
        format!("{} {:?}", self.kind, self.name)
    }
}
