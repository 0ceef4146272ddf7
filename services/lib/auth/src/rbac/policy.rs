//! All roles and bindings of a cluster, indexed for the question "may they".

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{PolicyRule, RbacSubject};
use crate::attributes::{Attributes, Subject};

/// What a role is for authorization.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Role {
    /// Its rules; Go writes `null` for none.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub rules: Vec<PolicyRule>,
}

fn null_as_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Which role a binding grants.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleRef {
    /// `rbac.authorization.k8s.io`.
    pub api_group: String,
    /// `ClusterRole` or `Role`.
    pub kind: String,
    /// The role's name.
    pub name: String,
}

/// What a binding is for authorization.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Binding {
    /// The role granted.
    pub role_ref: RoleRef,
    /// To whom.
    #[serde(deserialize_with = "null_as_empty")]
    pub subjects: Vec<RbacSubject>,
}

/// What RBAC says: it never denies, it only allows or has no opinion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Allowed, by what (`RBAC: allowed by …`).
    Allow(String),
    /// No rule; with the problems met on the way (`RBAC: …`) or empty.
    NoOpinion(String),
}

/// All roles and bindings of a cluster. Fed object by object; asked without I/O.
///
/// Roles and bindings of the whole cluster are held under the empty namespace.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    roles: HashMap<(String, String), Role>,
    /// By namespace, then by name: iteration order is upstream's listing order.
    bindings: HashMap<String, BTreeMap<String, Binding>>,
}

impl Policy {
    /// Puts or takes out a role (`namespace` empty for a cluster role).
    pub fn set_role(&mut self, namespace: &str, name: &str, role: Option<Role>) {
        let key = (namespace.to_owned(), name.to_owned());
        match role {
            Some(role) => self.roles.insert(key, role),
            None => self.roles.remove(&key),
        };
    }

    /// Puts or takes out a binding (`namespace` empty for a cluster role binding).
    pub fn set_binding(&mut self, namespace: &str, name: &str, binding: Option<Binding>) {
        match binding {
            Some(binding) => {
                self.bindings.entry(namespace.to_owned()).or_default().insert(name.to_owned(), binding);
            }
            None => {
                if let Some(named) = self.bindings.get_mut(namespace) {
                    named.remove(name);
                }
            }
        }
    }

    /// Whether a request is allowed, and by what.
    ///
    /// # Upstream
    /// `plugin/pkg/auth/authorizer/rbac/rbac.go` `Authorize`
    pub fn authorize(&self, a: &Attributes<'_>) -> Verdict {
        match self.granting(a) {
            Ok(grant) => Verdict::Allow(format!("RBAC: allowed by {}", grant.describe())),
            Err(reason) => Verdict::NoOpinion(reason),
        }
    }

    /// Whether a request is allowed, for who does not ask by what.
    ///
    /// # Errors
    /// It is not; with the reason of [`Verdict::NoOpinion`].
    pub fn allows(&self, a: &Attributes<'_>) -> Result<(), String> {
        self.granting(a).map(drop)
    }

    /// What allows a request, or why nothing does.
    fn granting<'a>(&'a self, a: &Attributes<'a>) -> Result<Grant<'a>, String> {
        let mut problems = Vec::new();
        for grant in self.grants(a.subject, a.namespace) {
            match &grant.rules {
                Ok(rules) if rules.iter().any(|rule| rule.allows(a)) => return Ok(grant),
                Ok(_) => {}
                Err(problem) => problems.push(problem.clone()),
            }
        }
        Err(match problems.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        })
    }

    /// Every rule somebody has in a namespace (empty: at cluster scope), and the problems met.
    pub fn rules_for<'a>(
        &'a self,
        who: Subject<'a>,
        namespace: &'a str,
    ) -> (Vec<&'a PolicyRule>, Vec<String>) {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for grant in self.grants(who, namespace) {
            match grant.rules {
                Ok(granted) => rules.extend(granted),
                Err(problem) => problems.push(problem),
            }
        }
        (rules, problems)
    }

    /// The rules a role reference of a binding in `namespace` stands for.
    ///
    /// # Errors
    /// There is no such role; the text is upstream's.
    pub fn referenced(&self, reference: &RoleRef, namespace: &str) -> Result<&[PolicyRule], String> {
        let (home, plural) = match reference.kind.as_str() {
            "ClusterRole" => ("", "clusterrole"),
            "Role" => (namespace, "role"),
            other => return Err(format!("unsupported role reference kind: {other:?}")),
        };
        let role = self.roles.get(&(home.to_owned(), reference.name.clone()));
        let missing = || format!("{plural}.rbac.authorization.k8s.io {:?} not found", reference.name);
        role.map(|r| r.rules.as_slice()).ok_or_else(missing)
    }

    fn grants<'a>(&'a self, who: Subject<'a>, namespace: &'a str) -> impl Iterator<Item = Grant<'a>> {
        let scopes = [Some(""), Some(namespace).filter(|n| !n.is_empty())];
        scopes.into_iter().flatten().flat_map(move |scope| {
            let bindings = self.bindings.get(scope).into_iter().flatten();
            bindings.filter_map(move |(name, binding)| {
                let subject = binding.subjects.iter().find(|s| s.names(&who, scope))?;
                let rules = self.referenced(&binding.role_ref, scope);
                Some(Grant { scope, name, binding, subject, rules })
            })
        })
    }
}

struct Grant<'a> {
    scope: &'a str,
    name: &'a str,
    binding: &'a Binding,
    subject: &'a RbacSubject,
    rules: Result<&'a [PolicyRule], String>,
}

impl Grant<'_> {
    fn describe(&self) -> String {
        let (kind, name) = match self.scope {
            "" => ("ClusterRoleBinding", self.name.to_owned()),
            namespace => ("RoleBinding", format!("{}/{namespace}", self.name)),
        };
        let role = &self.binding.role_ref;
        let subject = self.subject.describe(self.scope);
        format!("{kind} {name:?} of {} {:?} to {subject}", role.kind, role.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bootstrap;
    use super::*;

    fn ask<'a>(who: Subject<'a>, verb: &'a str, namespace: &'a str, resource: &'a str) -> Attributes<'a> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let path = "";
        Attributes {
            subject: who,
            verb,
            namespace,
            group: "",
            resource,
            subresource,
            name: "",
            path,
            fields: &[],
        }
    }

    #[test]
    fn bootstrap_policy_says_what_upstreams_does() {
        let policy = bootstrap::policy();
        let masters = ["system:masters".to_owned(), "system:authenticated".to_owned()];
        let admin = Subject { name: "admin", groups: &masters };
        let scheduler = Subject { name: "system:kube-scheduler", groups: &[] };
        let gc = Subject { name: "system:serviceaccount:kube-system:generic-garbage-collector", groups: &[] };
        let allowed = |a: Attributes<'_>| matches!(policy.authorize(&a), Verdict::Allow(_));
        assert!(allowed(ask(admin, "delete", "x", "pods/whatever")));
        assert!(allowed(ask(scheduler, "create", "x", "pods/binding")));
        assert!(!allowed(ask(scheduler, "create", "x", "pods")));
        assert!(allowed(ask(gc, "delete", "x", "configmaps")));
        let anonymous = ["system:unauthenticated".to_owned()];
        let nobody = Subject { name: "system:anonymous", groups: &anonymous };
        let version = Attributes { path: "/version", verb: "get", ..ask(nobody, "get", "", "") };
        assert!(allowed(version));
        assert!(!allowed(Attributes { path: "/metrics", ..version }));
        let discovery = Attributes { subject: admin, path: "/apis/apps/v1", ..version };
        assert!(allowed(discovery));
    }

    #[test]
    fn verdicts_name_the_binding_and_missing_roles() {
        let mut policy = Policy::default();
        let subject =
            RbacSubject { kind: "ServiceAccount".into(), name: "bob".into(), ..RbacSubject::default() };
        let role_ref = RoleRef { kind: "ClusterRole".into(), name: "view".into(), ..RoleRef::default() };
        policy.set_binding("x", "bobs", Some(Binding { role_ref, subjects: vec![subject] }));
        let bob = Subject { name: "system:serviceaccount:x:bob", groups: &[] };
        let list = ask(bob, "list", "x", "pods");
        let missing = "RBAC: clusterrole.rbac.authorization.k8s.io \"view\" not found";
        assert_eq!(policy.authorize(&list), Verdict::NoOpinion(missing.into()));
        let pods = PolicyRule {
            verbs: vec!["list".into()],
            api_groups: vec!["".into()],
            resources: vec!["pods".into()],
            ..PolicyRule::default()
        };
        policy.set_role("", "view", Some(Role { rules: vec![pods] }));
        let by =
            "RBAC: allowed by RoleBinding \"bobs/x\" of ClusterRole \"view\" to ServiceAccount \"bob/x\"";
        assert_eq!(policy.authorize(&list), Verdict::Allow(by.into()));
        assert_eq!(policy.authorize(&ask(bob, "list", "y", "pods")), Verdict::NoOpinion(String::new()));
    }
}
