//! The supervisor's answers.
//!
//! # Upstream
//! k3s `pkg/server/handlers/handlers.go`

use std::path::Path;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use pki::signer::{self, Profile};
use web::Body;

use crate::errors::{self, Result};
use crate::server::Server;

/// No signing request is larger.
const MOST: usize = 64 << 10;

fn typed(body: String, kind: &'static str) -> Response<Body> {
    let mut answer = Response::new(web::full(body));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

pub(super) fn plain(body: impl Into<String>) -> Response<Body> {
    typed(body.into(), "text/plain")
}

pub(super) fn json(body: String) -> Response<Body> {
    typed(body, "application/json")
}

/// Whether the API serves.
pub(super) fn ready(server: &Server) -> Result<Response<Body>> {
    if server.peek("", "namespaces", "", "kube-system")?.is_some() {
        return Ok(plain("ok"));
    }
    Err(errors::unavailable("runtime core not ready"))
}

/// The addresses of all API servers.
pub(super) fn api_servers(server: &Arc<Server>) -> Result<Response<Body>> {
    let endpoint = server.endpoint("discovery.k8s.io", "endpointslices")?;
    let mut found: Vec<String> = Vec::new();
    for slice in server.peek_objects("discovery.k8s.io", "endpointslices", "default")? {
        let slice: serde_json::Value =
            serde_json::from_slice(&endpoint.schema.encode_json(&slice)).map_err(errors::internal)?;
        if slice["metadata"]["labels"]["kubernetes.io/service-name"] != "kubernetes" {
            continue;
        }
        let ports = slice["ports"].as_array().cloned().unwrap_or_default();
        let https = ports.iter().find(|p| p["name"] == "https").or(ports.first());
        let port = https.and_then(|p| p["port"].as_u64()).unwrap_or(443);
        let endpoints = slice["endpoints"].as_array().into_iter().flatten();
        let addresses = endpoints.flat_map(|e| e["addresses"].as_array().into_iter().flatten());
        found.extend(addresses.filter_map(|a| a.as_str()).map(|a| match a.contains(':') {
            true => format!("[{a}]:{port}"),
            false => format!("{a}:{port}"),
        }));
    }
    found.sort();
    found.dedup();
    Ok(json(serde_json::Value::from(found).to_string() + "\n"))
}

/// A certificate over the key of the posted request. Agents of old send none: they get a key too, made for this answer.
pub(super) async fn certificate(
    socket: &Path,
    profile: Profile,
    request: Request<Incoming>,
) -> Result<Response<Body>> {
    let posted = *request.method() == Method::POST;
    let body = Limited::new(request.into_body(), MOST).collect().await;
    let body = body.map_err(|e| errors::bad_request(e.to_string()))?.to_bytes();
    let (public, key) = match signer::public_key_of(&body).filter(|_| posted) {
        Some(public) => (public, String::new()),
        None if posted && !body.is_empty() => {
            return Err(errors::bad_request("the body is no certificate signing request"));
        }
        None => {
            let key = pki::new_key().map_err(errors::internal)?;
            let made = pki::request(&key).map_err(errors::internal)?;
            let public = signer::public_key_of(&made)
                .ok_or_else(|| errors::internal("a request just made is none"))?;
            (public, key)
        }
    };
    let chain = signer::ask(socket, profile, &public).await.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "A node's certificate was not signed");
        errors::unavailable(error.to_string())
    })?;
    Ok(plain(format!("{chain}{key}")))
}
