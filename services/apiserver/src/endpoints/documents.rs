//! Discovery: which groups, versions and resources are served, old form and aggregated.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/discovery`

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use schema::table::{Facts, resources};
use serde_json::{Value, json};
use web::Body;

use crate::http::response;
use crate::request::accept::clauses;
use crate::server::Server;

/// The aggregated form's media type parameters.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Discovery over the schema's facts, as far as the registry serves them.
#[derive(Debug, Default)]
pub struct Documents;

fn verbs(list: &[&str]) -> Value {
    list.iter().map(|v| Value::from(*v)).collect()
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The built-in resources that are served.
pub(crate) fn served(server: &Server) -> Vec<&'static Facts> {
    let registry = server.registry();
    let on = |f: &&Facts| {
        let stored = registry.find(f.group, f.version, f.plural).is_some();
        // reviews and bindings are answered without being stored
        stored || (f.storage_hash.is_empty() && server.settings.serves(&f.kind_in_place()))
    };
    resources().iter().filter(on).collect()
}

/// A resource's kind at its own group and version, for switches.
trait InPlace {
    fn kind_in_place(&self) -> meta::GroupVersionKind;
}

impl InPlace for Facts {
    fn kind_in_place(&self) -> meta::GroupVersionKind {
        meta::GroupVersionKind::new(self.group, self.version, &self.kind.kind)
    }
}

/// Groups in order with their versions.
fn groups<'a>(all: &[&'a Facts]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for facts in all.iter().filter(|f| !f.group.is_empty()) {
        match groups.iter_mut().find(|(g, _)| *g == facts.group) {
            Some((_, versions)) if versions.contains(&facts.version) => {}
            Some((_, versions)) => versions.push(facts.version),
            None => groups.push((facts.group, vec![facts.version])),
        }
    }
    groups
}

fn group_document(group: &str, versions: &[&str]) -> Value {
    let one = |v: &&str| json!({"groupVersion": group_version(group, v), "version": v});
    let versions: Vec<Value> = versions.iter().map(one).collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

fn resource_list(all: &[&Facts], group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for facts in all.iter().filter(|f| f.group == group && f.version == version) {
        let mut one = json!({
            "name": facts.plural,
            "singularName": facts.singular,
            "namespaced": facts.namespaced,
            "kind": facts.kind.kind,
            "verbs": verbs(&facts.verbs),
        });
        if !facts.short_names.is_empty() {
            one["shortNames"] = verbs(&facts.short_names);
        }
        if !facts.categories.is_empty() {
            one["categories"] = verbs(&facts.categories);
        }
        if !facts.storage_hash.is_empty() {
            one["storageVersionHash"] = facts.storage_hash.into();
        }
        list.push(one);
        for sub in &facts.subresources {
            let mut one = json!({
                "name": format!("{}/{}", facts.plural, sub.name),
                "singularName": "",
                "namespaced": facts.namespaced,
                "kind": sub.kind.kind,
                "verbs": verbs(&sub.verbs),
            });
            if (sub.kind.group.as_str(), sub.kind.version.as_str()) != (group, version) {
                one["group"] = sub.kind.group.as_str().into();
                one["version"] = sub.kind.version.as_str().into();
            }
            list.push(one);
        }
    }
    (!list.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version(group, version),
            "resources": list,
        })
    })
}

fn response_kind(kind: &meta::GroupVersionKind, group: &str, version: &str) -> Value {
    let own = kind.group == group && kind.version == version;
    let (g, v) = if own { ("", "") } else { (kind.group.as_str(), kind.version.as_str()) };
    json!({"group": g, "version": v, "kind": kind.kind})
}

fn aggregated_resources(all: &[&Facts], group: &str, version: &str) -> Vec<Value> {
    let of = all.iter().filter(|f| f.group == group && f.version == version);
    of.map(|facts| {
        let mut one = json!({
            "resource": facts.plural,
            "responseKind": response_kind(&facts.kind, group, version),
            "scope": if facts.namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": facts.singular,
            "verbs": verbs(&facts.verbs),
        });
        if !facts.short_names.is_empty() {
            one["shortNames"] = verbs(&facts.short_names);
        }
        if !facts.categories.is_empty() {
            one["categories"] = verbs(&facts.categories);
        }
        let subs: Vec<Value> = facts
            .subresources
            .iter()
            .map(|s| {
                json!({
                    "subresource": s.name,
                    "responseKind": response_kind(&s.kind, group, version),
                    "verbs": verbs(&s.verbs),
                })
            })
            .collect();
        if !subs.is_empty() {
            one["subresources"] = subs.into();
        }
        one
    })
    .collect()
}

fn aggregated(all: &[&Facts], core: bool) -> Value {
    let groups = if core { vec![("", vec!["v1"])] } else { groups(all) };
    let items: Vec<Value> = groups
        .into_iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|v| json!({"version": v, "resources": aggregated_resources(all, group, v), "freshness": "Current"}))
                .collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn wants_aggregated(accept: &str) -> bool {
    for clause in clauses(accept) {
        if clause.param("as") == "APIGroupDiscoveryList" {
            if clause.param("g") == "apidiscovery.k8s.io"
                && clause.param("v") == "v2"
                && clause.media == "application/json"
            {
                return true;
            }
            continue;
        }
        if matches!(clause.media, "application/json" | "*/*" | "application/*") {
            return false;
        }
    }
    false
}

fn with_etag(request: &Request<Incoming>, document: &Value) -> Response<Body> {
    let bytes = document.to_string();
    let digest = ring::digest::digest(&ring::digest::SHA512, bytes.as_bytes());
    let hex: String = digest.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    let etag = format!("\"{hex}\"");
    let known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == etag.as_bytes());
    let mut answer = if known { Response::new(web::empty()) } else { response::json(bytes) };
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, value);
    }
    answer
}

impl Documents {
    /// `/`: the paths there are.
    pub fn paths(&self, server: &Server) -> String {
        let all = served(server);
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
        for (group, versions) in groups(&all) {
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.iter().map(|v| format!("/apis/{group}/{v}")));
        }
        for path in ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"] {
            paths.push(path.to_owned());
        }
        paths.sort();
        server.aggregator.add_paths(&mut paths);
        json!({"paths": paths}).to_string()
    }

    /// Answers a discovery path; `None` when it is none.
    pub fn answer(&self, server: &Server, path: &str, request: &Request<Incoming>) -> Option<Response<Body>> {
        let all = served(server);
        let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
        if path.starts_with("/openapi/") {
            return super::openapi::answer(&all, path, request);
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let document = match parts.as_slice() {
            ["api"] | ["apis"] if wants_aggregated(accept) => {
                let mut document = aggregated(&all, parts[0] == "api");
                if let (["apis"], Some(items)) = (parts.as_slice(), document["items"].as_array_mut()) {
                    server.aggregator.add_discovery(items);
                }
                return Some(with_etag(request, &document));
            }
            ["api"] => {
                let address =
                    std::net::SocketAddr::new(server.settings.advertised(), server.settings.listen.port());
                json!({
                    "kind": "APIVersions",
                    "versions": ["v1"],
                    "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address.to_string()}],
                })
            }
            ["apis"] => {
                let mut list: Vec<Value> = groups(&all).iter().map(|(g, v)| group_document(g, v)).collect();
                server.aggregator.add_groups(&mut list);
                json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
            }
            ["apis", group] => {
                let ours = groups(&all).into_iter().find(|(g, _)| g == group).map(|found| {
                    let mut document = group_document(found.0, &found.1);
                    document["kind"] = "APIGroup".into();
                    document["apiVersion"] = "v1".into();
                    document
                });
                server.aggregator.group(group, ours)?
            }
            ["api", version] => resource_list(&all, "", version)?,
            ["apis", group, version] => resource_list(&all, group, version)?,
            _ => return None,
        };
        let mut answer = response::json(document.to_string());
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
        Some(answer)
    }
}
