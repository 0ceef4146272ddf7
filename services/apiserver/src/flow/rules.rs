//! Which requests a FlowSchema is about.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/util/flowcontrol/rule.go`

use serde::Deserialize;

use crate::auth::User;
use crate::request::RequestInfo;

const ALL: &str = "*";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FlowSchema {
    pub(super) spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub(super) matching_precedence: i64,
    pub(super) priority_level_configuration: Named,
    pub(super) rules: Vec<Rules>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Named {
    pub(super) name: String,
    namespace: String,
}

/// One rule: any of its subjects with any of its requests.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rules {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    kind: String,
    user: Named,
    group: Named,
    service_account: Named,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
}

fn one_of(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == ALL || one == wanted)
}

impl Rules {
    pub(super) fn match_request(&self, user: &User, info: &RequestInfo) -> bool {
        let about = if info.is_resource {
            self.resource_rules.iter().any(|rule| rule.matches(info))
        } else {
            self.non_resource_rules.iter().any(|rule| rule.matches(info))
        };
        about && self.subjects.iter().any(|subject| subject.matches(user))
    }
}

impl Subject {
    fn matches(&self, user: &User) -> bool {
        match self.kind.as_str() {
            "User" => self.user.name == ALL || self.user.name == user.name,
            "Group" => self.group.name == ALL || user.in_group(&self.group.name),
            "ServiceAccount" => {
                let account = user.name.strip_prefix("system:serviceaccount:");
                account.and_then(|account| account.split_once(':')).is_some_and(|(namespace, name)| {
                    let own = &self.service_account;
                    own.namespace == namespace && (own.name == ALL || own.name == name)
                })
            }
            _ => false,
        }
    }
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let place = match info.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => one_of(&self.namespaces, namespace),
        };
        let resource = match info.subresource.as_str() {
            "" => info.resource.clone(),
            subresource => format!("{}/{subresource}", info.resource),
        };
        place
            && one_of(&self.verbs, info.verb)
            && one_of(&self.api_groups, &info.group)
            && one_of(&self.resources, &resource)
    }
}

impl PathRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let path = |url: &String| {
            url == ALL || *url == info.path || url.strip_suffix('*').is_some_and(|p| info.path.starts_with(p))
        };
        one_of(&self.verbs, info.verb) && self.urls.iter().any(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_matched() {
        let rules: Rules = serde_json::from_value(serde_json::json!({
            "subjects": [
                {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}},
                {"kind": "Group", "group": {"name": "writers"}},
            ],
            "resourceRules": [
                {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes/status"], "clusterScope": true},
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["leases"], "namespaces": ["*"]},
            ],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/open/*"]}],
        }))
        .unwrap();
        let asked = |user: &str, group: &str, path: &[&str]| {
            let user = User { name: user.into(), groups: vec![group.into()], ..User::default() };
            let uri = path.concat().parse().unwrap();
            rules.match_request(&user, &RequestInfo::read(&http::Method::GET, &uri))
        };
        let account = "system:serviceaccount:kube-system:any";
        assert!(asked(account, "", &["/api/v1/nodes/a/status"]));
        assert!(!asked(account, "", &["/api/v1/nodes/a"]));
        assert!(!asked("system:serviceaccount:other:any", "", &["/api/v1/nodes/a/status"]));
        assert!(asked("jane", "writers", &["/apis/coordination.k8s.io/v1/namespaces/a/leases"]));
        assert!(!asked("jane", "writers", &["/apis/coordination.k8s.io/v1/leases"]));
        assert!(asked("jane", "writers", &["/open/door"]));
        assert!(!asked("jane", "readers", &["/healthz"]));
    }
}
