//! Discovery: which groups, versions and resources are served, old form and aggregated.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/discovery`

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use schema::discovery;
use schema::table::{Facts, resources};
use serde_json::{Value, json};
use web::Body;

use super::health::Health;
use crate::codec::{self, Type};
use crate::encode;
use crate::errors::{self, Result};
use crate::http::response;
use crate::request::accept::{Media, Offer, clauses, negotiate};
use crate::server::Server;

/// The aggregated form's media type parameters.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Discovery over the schema's facts, as far as the registry serves them.
#[derive(Debug, Default)]
pub struct Documents;

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

/// A document in the form the client takes.
fn plain(document: &Value, accept: &str) -> Result<Response<Body>> {
    let offer = Offer { protobuf: true, table: false, partial: false, list: false };
    let media = negotiate(accept, offer, false)?.media;
    let json = document.to_string();
    let bytes = match media {
        Media::Json => Bytes::from(json),
        Media::Yaml => encode::object::yaml_of(json.as_bytes())?,
        Media::Protobuf => {
            let kind = document["kind"].as_str().unwrap_or("");
            let schema = Type::of(&meta::GroupVersionKind::new("meta.k8s.io", "v1", kind));
            let schema = schema.ok_or_else(|| errors::internal(format!("no schema for {kind}")))?;
            let object = schema.decode(Media::Json, json.as_bytes()).map_err(errors::internal)?.object;
            codec::envelope("v1", kind, &schema.encode_protobuf(&object))
        }
    };
    let mut answer = Response::new(web::full(bytes));
    let kind = HeaderValue::from_static(media.content_type());
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}

/// The aggregated form; a client that has it already is told so.
fn tagged(request: &Request<Incoming>, document: &Value) -> Response<Body> {
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
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, value);
    }
    answer
}

/// What is served besides groups.
const OTHERS: [&str; 8] = [
    "/.well-known/openid-configuration",
    "/apis/",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/openid/v1/jwks",
    "/version",
];

impl Documents {
    /// `/`: the paths there are.
    pub fn paths(&self, server: &Server) -> String {
        let all = served(server);
        let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
        for (group, versions) in discovery::groups(&all) {
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.iter().map(|v| format!("/apis/{group}/{v}")));
        }
        paths.extend(OTHERS.map(str::to_owned));
        for endpoint in Health::ENDPOINTS {
            paths.push(format!("/{endpoint}"));
            paths.extend(Health::names(endpoint).iter().map(|check| format!("/{endpoint}/{check}")));
        }
        paths.sort();
        server.aggregator.add_paths(&mut paths);
        json!({"paths": paths}).to_string()
    }

    /// Answers a discovery path; `None` when it is none.
    ///
    /// # Errors
    /// The client takes no form of it, or no such version is served.
    pub fn answer(
        &self,
        server: &Server,
        path: &str,
        request: &Request<Incoming>,
    ) -> Result<Option<Response<Body>>> {
        let all = served(server);
        let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
        if path.starts_with("/openapi/") {
            return Ok(super::openapi::answer(&all, path, request));
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let document = match parts.as_slice() {
            ["api"] | ["apis"] if wants_aggregated(accept) => {
                let core = parts[0] == "api";
                let mut document = discovery::aggregated(&all, core);
                if let (false, Some(items)) = (core, document["items"].as_array_mut()) {
                    server.aggregator.add_discovery(items);
                }
                return Ok(Some(tagged(request, &document)));
            }
            ["api"] => {
                let listen = server.settings.listen.port();
                let address = std::net::SocketAddr::new(server.settings.advertised(), listen);
                discovery::core_versions(&address.to_string())
            }
            ["apis"] => {
                let mut document = discovery::group_list(&all);
                if let Some(list) = document["groups"].as_array_mut() {
                    server.aggregator.add_groups(list);
                }
                document
            }
            ["apis", group] => match server.aggregator.group(group, discovery::group(&all, group)) {
                Some(document) => document,
                None => return Ok(None),
            },
            ["api", version] => {
                discovery::resource_list(&all, "", version).ok_or_else(errors::unknown_resource)?
            }
            ["apis", group, version] => {
                discovery::resource_list(&all, group, version).ok_or_else(errors::unknown_resource)?
            }
            _ => return Ok(None),
        };
        plain(&document, accept).map(Some)
    }
}
