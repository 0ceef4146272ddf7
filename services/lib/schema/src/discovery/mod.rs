//! Discovery documents, derived from the resource facts.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/discovery` and its `aggregated` package

use serde_json::{Value, json};

use crate::table::Facts;

/// Groups with their versions, in the order of `served`; the core group is not among them.
pub fn groups<'a>(served: &[&'a Facts]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for facts in served.iter().filter(|f| !f.group.is_empty()) {
        match groups.iter_mut().find(|(g, _)| *g == facts.group) {
            Some((_, versions)) if versions.contains(&facts.version) => {}
            Some((_, versions)) => versions.push(facts.version),
            None => groups.push((facts.group, vec![facts.version])),
        }
    }
    groups
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `/api`, for a server reached at `address`.
pub fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub fn group_list(served: &[&Facts]) -> Value {
    let list: Vec<Value> = groups(served).iter().map(|(g, v)| group_entry(g, v)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
}

/// `/apis/GROUP`; `None` when nothing of it is served.
pub fn group(served: &[&Facts], name: &str) -> Option<Value> {
    let all = groups(served);
    let (name, versions) = all.iter().find(|(g, _)| *g == name)?;
    let mut document = group_entry(name, versions);
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

fn group_entry(group: &str, versions: &[&str]) -> Value {
    let one = |v: &&str| json!({"groupVersion": group_version(group, v), "version": v});
    let versions: Vec<Value> = versions.iter().map(one).collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// `/api/v1` or `/apis/GROUP/VERSION`; `None` when nothing of it is served.
pub fn resource_list(served: &[&Facts], group: &str, version: &str) -> Option<Value> {
    let list: Vec<Value> = of(served, group, version).flat_map(|f| entries(f, group, version)).collect();
    if list.is_empty() {
        return None;
    }
    let mut document =
        json!({"kind": "APIResourceList", "groupVersion": group_version(group, version), "resources": list});
    if !group.is_empty() {
        document["apiVersion"] = "v1".into(); // the core group's list has never had one
    }
    Some(document)
}

fn of<'a>(served: &[&'a Facts], group: &str, version: &str) -> impl Iterator<Item = &'a Facts> {
    served.iter().copied().filter(move |f| f.group == group && f.version == version)
}

fn entries(facts: &Facts, group: &str, version: &str) -> Vec<Value> {
    let mut main = json!({
        "name": facts.plural,
        "singularName": facts.singular,
        "namespaced": facts.namespaced,
        "kind": facts.kind.kind,
        "verbs": facts.verbs,
    });
    names(facts, &mut main);
    if !facts.storage_hash.is_empty() {
        main["storageVersionHash"] = facts.storage_hash.into();
    }
    foreign(&facts.kind, group, version, &mut main);
    let mut all = vec![main];
    for sub in &facts.subresources {
        let mut one = json!({
            "name": format!("{}/{}", facts.plural, sub.name),
            "singularName": "",
            "namespaced": facts.namespaced,
            "kind": sub.kind.kind,
            "verbs": sub.verbs,
        });
        foreign(&sub.kind, group, version, &mut one);
        all.push(one);
    }
    all
}

fn names(facts: &Facts, entry: &mut Value) {
    if !facts.short_names.is_empty() {
        entry["shortNames"] = json!(facts.short_names);
    }
    if !facts.categories.is_empty() {
        entry["categories"] = json!(facts.categories);
    }
}

/// Names the kind's group and version where they are not the list's own.
fn foreign(kind: &meta::GroupVersionKind, group: &str, version: &str, entry: &mut Value) {
    if kind.group != group || kind.version != version {
        entry["group"] = kind.group.as_str().into();
        entry["version"] = kind.version.as_str().into();
    }
}

/// `/api` (with `core`) or `/apis` in the aggregated form, `apidiscovery.k8s.io/v2`.
pub fn aggregated(served: &[&Facts], core: bool) -> Value {
    let of_core = || of(served, "", "v1").next().map(|_| ("", vec!["v1"])).into_iter().collect();
    let groups = if core { of_core() } else { groups(served) };
    let item = |(group, versions): (&str, Vec<&str>)| {
        let version = |v: &str| {
            let resources: Vec<Value> = of(served, group, v).map(|f| resource(f, group, v)).collect();
            json!({"version": v, "resources": resources, "freshness": "Current"})
        };
        let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
        json!({"metadata": metadata, "versions": versions.into_iter().map(version).collect::<Vec<_>>()})
    };
    let items: Vec<Value> = groups.into_iter().map(item).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn resource(facts: &Facts, group: &str, version: &str) -> Value {
    let mut one = json!({
        "resource": facts.plural,
        "responseKind": response_kind(&facts.kind, group, version),
        "scope": if facts.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": facts.singular,
        "verbs": facts.verbs,
    });
    names(facts, &mut one);
    let sub = |s: &crate::table::SubFacts| {
        json!({
            "subresource": s.name,
            "responseKind": response_kind(&s.kind, group, version),
            "verbs": s.verbs,
        })
    };
    if !facts.subresources.is_empty() {
        one["subresources"] = facts.subresources.iter().map(sub).collect();
    }
    one
}

fn response_kind(kind: &meta::GroupVersionKind, group: &str, version: &str) -> Value {
    let own = kind.group == group && kind.version == version;
    let (g, v) = if own { ("", "") } else { (kind.group.as_str(), kind.version.as_str()) };
    json!({"group": g, "version": v, "kind": kind.kind})
}
