//! What other servers serve, and our documents with it.
//!
//! # Upstream
//! `k8s.io/kube-aggregator/pkg/apiserver/{handler_apis,handler_discovery}.go`,
//! `k8s.io/apiserver/pkg/endpoints/installer.go` `ConvertGroupVersionIntoToDiscovery`

use std::cmp::Ordering;
use std::sync::{Arc, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};

use super::{Aggregator, ApiService, Remote, priorities};
use crate::server::Server;

/// The aggregated form, asked for.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Where a group and version's resources are listed.
pub(super) fn path_of(service: &ApiService) -> String {
    if service.group.is_empty() {
        return format!("/api/{}", service.version);
    }
    format!("/apis/{}/{}", service.group, service.version)
}

/// Asks a server anew what it serves of a group and version; one that is not available leaves what is known, stale.
pub(super) async fn refresh(server: &Arc<Server>, name: &str, service: &ApiService, available: bool) {
    let Some(remote) = &service.remote else { return };
    let fetched = if available { fetch(server, service, remote).await } else { None };
    let mut documents = server.aggregator.documents.write().unwrap_or_else(PoisonError::into_inner);
    let freshness = if fetched.is_some() { "Current" } else { "Stale" };
    let known = || documents.get(name).cloned();
    let mut document = fetched.or_else(known).unwrap_or_else(|| json!({"version": service.version}));
    document["freshness"] = freshness.into();
    documents.insert(name.to_owned(), document);
}

async fn fetch(server: &Arc<Server>, service: &ApiService, remote: &Remote) -> Option<Value> {
    let (_, answer) = remote.get(server, "/apis", AGGREGATED).await;
    let answer = answer.ok()?; // the availability check has the reason already
    let is_aggregated = answer.media.contains("as=APIGroupDiscoveryList") && answer.media.contains("v=v2");
    if answer.status == StatusCode::OK && is_aggregated {
        let list: Value = parsed(service, &answer.body)?;
        let groups = list["items"].as_array()?;
        let group = groups.iter().find(|g| g["metadata"]["name"] == service.group.as_str())?;
        let mut versions = group["versions"].as_array()?.iter();
        return versions.find(|v| v["version"] == service.version.as_str()).cloned();
    }
    let (_, answer) = remote.get(server, &path_of(service), "application/json").await;
    let answer = answer.ok().filter(|answer| answer.status == StatusCode::OK)?;
    let list = parsed(service, &answer.body)?;
    let resources = converted(list["resources"].as_array()?);
    Some(json!({"version": service.version, "resources": resources}))
}

fn parsed(service: &ApiService, body: &[u8]) -> Option<Value> {
    match serde_json::from_slice(body) {
        Ok(value) => Some(value),
        Err(error) => {
            let group = &service.group;
            tracing::warn!(group, error = %error, "unreadable discovery of an aggregated server");
            None
        }
    }
}

/// The old form's resources in the new form.
fn converted(list: &[Value]) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let text = |r: &Value, key: &str| r[key].as_str().unwrap_or("").to_owned();
    let kind = |r: &Value| json!({"group": text(r, "group"), "version": text(r, "version"), "kind": text(r, "kind")});
    let scope = |r: &Value| if r["namespaced"] == true { "Namespaced" } else { "Cluster" };
    let main = |r: &&Value| !text(r, "name").contains('/');
    for resource in list.iter().filter(main) {
        let mut one = json!({
            "resource": text(resource, "name"),
            "responseKind": kind(resource),
            "scope": scope(resource),
            "singularResource": text(resource, "singularName"),
            "verbs": resource["verbs"],
        });
        for key in ["shortNames", "categories"] {
            if resource[key].is_array() {
                one[key] = resource[key].clone();
            }
        }
        all.push(one);
    }
    for resource in list {
        let name = text(resource, "name");
        let Some((parent, sub)) = name.split_once('/') else { continue };
        let at = all.iter().position(|r| r["resource"] == parent).unwrap_or_else(|| {
            let kind = json!({"group": "", "version": "", "kind": ""});
            all.push(
                json!({"resource": parent, "scope": scope(resource), "responseKind": kind, "verbs": []}),
            );
            all.len() - 1
        });
        let one = json!({"subresource": sub, "responseKind": kind(resource), "verbs": resource["verbs"]});
        match all[at]["subresources"].as_array_mut() {
            Some(subs) => subs.push(one),
            None => all[at]["subresources"] = json!([one]),
        }
    }
    all
}

/// The order of versions in a group: by priority, then stable before beta before alpha, then the higher number.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/version/helpers.go` `CompareKubeAwareVersionStrings`
fn version_order(a: &ApiService, b: &ApiService) -> Ordering {
    let key = |s: &ApiService| (s.version_priority, aware(&s.version));
    key(b).cmp(&key(a)).then_with(|| a.version.cmp(&b.version))
}

/// A version as something to be compared: stability, major and minor number; lowest for what is none.
fn aware(version: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, rest) = (rest[..end].parse().ok()?, &rest[end..]);
        let minor = |text: &str| if text.is_empty() { Some(0) } else { text.parse().ok() };
        match rest {
            "" => Some((3, major, 0)),
            rest if rest.starts_with("beta") => Some((2, major, minor(&rest[4..])?)),
            rest if rest.starts_with("alpha") => Some((1, major, minor(&rest[5..])?)),
            _ => None,
        }
    };
    parse().unwrap_or((0, 0, 0))
}

/// A group others serve versions of.
struct Group {
    name: String,
    priority: i32,
    /// By APIService, the preferred one first.
    versions: Vec<(String, Arc<ApiService>)>,
}

impl Aggregator {
    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (name, service) in self.remotes().into_iter().filter(|(_, s)| !s.group.is_empty()) {
            match groups.iter_mut().find(|g| g.name == service.group) {
                Some(group) => {
                    group.priority = group.priority.max(service.group_priority);
                    group.versions.push((name, service));
                }
                None => groups.push(Group {
                    name: service.group.clone(),
                    priority: service.group_priority,
                    versions: vec![(name, service)],
                }),
            }
        }
        for group in &mut groups {
            group.versions.sort_by(|(_, a), (_, b)| version_order(a, b));
        }
        groups.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
        groups
    }

    /// Adds to the groups of `/apis` in the old form.
    pub fn add_groups(&self, list: &mut Vec<Value>) {
        for group in self.groups() {
            let ours =
                place(list, &group, |g| g["name"].as_str(), || json!({"name": group.name, "versions": []}));
            add_versions(ours, &group);
        }
    }

    /// `/apis/GROUP` with what others serve of it; `ours` is what we do.
    pub fn group(&self, name: &str, ours: Option<Value>) -> Option<Value> {
        let Some(group) = self.groups().into_iter().find(|g| g.name == name) else { return ours };
        let head = || json!({"kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": []});
        let mut document = ours.unwrap_or_else(head);
        add_versions(&mut document, &group);
        Some(document)
    }

    /// Adds to the groups of `/apis` in the aggregated form.
    pub fn add_discovery(&self, items: &mut Vec<Value>) {
        let groups = self.groups();
        let documents = self.documents.read().unwrap_or_else(PoisonError::into_inner);
        for group in groups {
            let new = || json!({"metadata": {"name": group.name}, "versions": []});
            let ours = place(items, &group, |g| g["metadata"]["name"].as_str(), new);
            let Some(versions) = ours["versions"].as_array_mut() else { continue };
            for (name, service) in &group.versions {
                let unknown = || json!({"version": service.version, "freshness": "Stale"});
                versions.push(documents.get(name).cloned().unwrap_or_else(unknown));
            }
        }
    }

    /// Adds to the paths of `/`.
    pub fn add_paths(&self, paths: &mut Vec<String>) {
        for group in self.groups() {
            paths.push(format!("/apis/{}", group.name));
            paths.extend(group.versions.iter().map(|(_, s)| path_of(s)));
        }
        paths.sort();
        paths.dedup();
    }
}

/// A group's entry in a list of groups: the one there is, or a new one where its priority puts it.
fn place<'a>(
    list: &'a mut Vec<Value>,
    group: &Group,
    name_of: impl Fn(&Value) -> Option<&str>,
    new: impl FnOnce() -> Value,
) -> &'a mut Value {
    let known = list.iter().position(|entry| name_of(entry) == Some(group.name.as_str()));
    let at = known.unwrap_or_else(|| {
        let behind = |entry: &Value| {
            let name = name_of(entry).unwrap_or("");
            let priority = priorities::group(name).unwrap_or(i32::MAX);
            priority < group.priority || (priority == group.priority && *name > *group.name)
        };
        let at = list.iter().position(behind).unwrap_or(list.len());
        list.insert(at, new());
        at
    });
    &mut list[at]
}

fn add_versions(document: &mut Value, group: &Group) {
    let one =
        |s: &ApiService| json!({"groupVersion": format!("{}/{}", s.group, s.version), "version": s.version});
    if let Some(versions) = document["versions"].as_array_mut() {
        versions.extend(group.versions.iter().map(|(_, s)| one(s)));
    }
    document["preferredVersion"] = document["versions"][0].clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_order() {
        let mut all = ["v1alpha1", "v10", "v2beta2", "v2", "foo1", "v2beta10", "v11alpha2"];
        all.sort_by_key(|v| std::cmp::Reverse(aware(v)));
        assert_eq!(all, ["v10", "v2", "v2beta10", "v2beta2", "v11alpha2", "v1alpha1", "foo1"]);
    }

    #[test]
    fn the_old_form_converted() {
        let list = json!([
            {"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get"], "shortNames": ["th"]},
            {"name": "things/status", "singularName": "", "namespaced": true, "kind": "Thing", "verbs": ["update"]},
        ]);
        let kind = json!({"group": "", "version": "", "kind": "Thing"});
        let wanted = json!([{
            "resource": "things", "responseKind": kind, "scope": "Namespaced", "singularResource": "thing", "verbs": ["get"],
            "shortNames": ["th"],
            "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["update"]}],
        }]);
        assert_eq!(Value::Array(converted(list.as_array().unwrap())), wanted);
    }

    #[test]
    fn groups_stand_where_their_priority_puts_them() {
        let mut list = vec![
            json!({"name": "apiregistration.k8s.io"}),
            json!({"name": "apps"}),
            json!({"name": "node.k8s.io"}),
        ];
        let group = |name: &str, priority| Group { name: name.into(), priority, versions: Vec::new() };
        for (name, priority) in [("low.io", 100), ("mid.io", 17000), ("low.io", 100)] {
            place(&mut list, &group(name, priority), |g| g["name"].as_str(), || json!({"name": name}));
        }
        let names: Vec<&str> = list.iter().filter_map(|g| g["name"].as_str()).collect();
        assert_eq!(names, ["apiregistration.k8s.io", "apps", "mid.io", "node.k8s.io", "low.io"]);
    }
}
