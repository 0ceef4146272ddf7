//! What is written to the audit log, and how much of it.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/audit/policy/checker.go`, `k8s.io/apiserver/pkg/apis/audit/v1/types.go`

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::auth::User;
use crate::request::RequestInfo;

/// How much of a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who did what.
    Metadata,
    /// The request's object as well.
    Request,
    /// The answer as well.
    RequestResponse,
}

impl Level {
    /// As events name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// A moment of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// It came.
    RequestReceived,
    /// A long answer has begun.
    ResponseStarted,
    /// The answer is complete.
    ResponseComplete,
    /// The handler died.
    Panic,
}

impl Stage {
    /// As events name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

/// A policy file: the first rule that matches decides.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

/// What a policy says of one request.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// How much is written.
    pub level: Level,
    /// At which moments not.
    pub omit_stages: Vec<Stage>,
    /// Whether `managedFields` are left out of objects.
    pub omit_managed_fields: bool,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// The file cannot be read or is no policy.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let tree = yaml::parse(text)?;
        let known = tree["kind"] == "Policy" && tree["apiVersion"] == "audit.k8s.io/v1";
        anyhow::ensure!(known, "not a Policy of audit.k8s.io/v1");
        let mut policy: Self = serde_json::from_value(tree)?;
        anyhow::ensure!(!policy.rules.is_empty(), "loaded illegal policy with 0 rules");
        for rule in &mut policy.rules {
            rule.omit_stages.extend(&policy.omit_stages);
        }
        Ok(policy)
    }

    /// What it says of a request; `name` is the object's.
    pub fn judge(&self, user: Option<&User>, info: &RequestInfo, name: &str) -> Verdict {
        match self.rules.iter().find(|rule| rule.matches(user, info, name)) {
            Some(rule) => Verdict {
                level: rule.level,
                omit_stages: rule.omit_stages.clone(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
            None => Verdict {
                level: Level::None,
                omit_stages: self.omit_stages.clone(),
                omit_managed_fields: self.omit_managed_fields,
            },
        }
    }
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|entry| entry == text)
}

impl Rule {
    fn matches(&self, user: Option<&User>, info: &RequestInfo, name: &str) -> bool {
        if !self.users.is_empty() && !user.is_some_and(|user| has(&self.users, &user.name)) {
            return false;
        }
        let grouped = |user: &User| user.groups.iter().any(|group| has(&self.user_groups, group));
        if !self.user_groups.is_empty() && !user.is_some_and(grouped) {
            return false;
        }
        if !self.verbs.is_empty() && !has(&self.verbs, info.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return info.is_resource && self.matches_resource(info, name);
        }
        if !self.non_resource_urls.is_empty() {
            return !info.is_resource
                && self.non_resource_urls.iter().any(|url| matches_path(url, &info.path));
        }
        true
    }

    fn matches_resource(&self, info: &RequestInfo, name: &str) -> bool {
        if !self.namespaces.is_empty() && !has(&self.namespaces, &info.namespace) {
            return false;
        }
        let combined = match info.subresource.as_str() {
            "" => info.resource.clone(),
            subresource => format!("{}/{subresource}", info.resource),
        };
        let matches_one = |wanted: &String| {
            wanted == "*"
                || *wanted == combined
                || wanted.strip_prefix("*/").is_some_and(|sub| sub == info.subresource && !sub.is_empty())
                || wanted.strip_suffix("/*").is_some_and(|resource| resource == info.resource)
        };
        self.resources.is_empty()
            || self.resources.iter().filter(|r| r.group == info.group || r.group == "*").any(|r| {
                r.resources.is_empty()
                    || ((r.resource_names.is_empty() || has(&r.resource_names, name))
                        && r.resources.iter().any(matches_one))
            })
    }
}

fn matches_path(wanted: &str, path: &str) -> bool {
    wanted == "*"
        || wanted == path
        || wanted.strip_suffix('*').is_some_and(|start| path.starts_with(start.trim_end_matches('*')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_rule_that_matches() {
        let text = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: [system:kube-proxy]
  verbs: [watch]
- level: Request
  resources: [{group: '', resources: [pods/*, secrets]}]
- level: RequestResponse
  resources: [{group: apps}]
- level: None
  nonResourceURLs: ['/healthz*']
- level: Metadata
";
        let policy = Policy::parse(text).unwrap();
        let info = |group: &str, resource: &str, sub: &str| RequestInfo {
            is_resource: true,
            verb: "watch",
            group: group.into(),
            resource: resource.into(),
            subresource: sub.into(),
            ..RequestInfo::default()
        };
        let proxy = User { name: "system:kube-proxy".into(), ..User::default() };
        let path = RequestInfo { path: "/healthz/etcd".into(), verb: "get", ..RequestInfo::default() };
        for (user, info, level) in [
            (Some(&proxy), info("", "pods", ""), Level::None),
            (None, info("", "pods", "log"), Level::Request),
            (None, info("", "pods", ""), Level::Request),
            (None, info("", "secrets", ""), Level::Request),
            (None, info("", "secrets", "x"), Level::Metadata),
            (None, info("apps", "deployments", "scale"), Level::RequestResponse),
            (None, path, Level::None),
        ] {
            let verdict = policy.judge(user, &info, "");
            assert_eq!(verdict.level, level, "{info:?}");
            assert_eq!(verdict.omit_stages, [Stage::RequestReceived]);
        }
    }
}
