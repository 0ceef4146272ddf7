//! `/openapi/v2` and `/openapi/v3`: the schema's documents, made when first asked for.
//!
//! # Upstream
//! `k8s.io/kube-openapi/pkg/handler3/handler.go`

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use schema::table::Facts;
use serde_json::{Value, json};
use web::Body;

use super::version::GIT_VERSION;
use crate::http::response;
use crate::request::info::query_pairs;

fn hash(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA512, text.as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02X}")).collect()
}

fn versions(served: &[&Facts]) -> Vec<(String, String, String)> {
    let mut all: Vec<(String, String, String)> = Vec::new();
    for facts in served {
        let path = match facts.group {
            "" => format!("api/{}", facts.version),
            group => format!("apis/{group}/{}", facts.version),
        };
        if !all.iter().any(|(p, _, _)| *p == path) {
            all.push((path, facts.group.into(), facts.version.into()));
        }
    }
    all
}

/// The content type of OpenAPI 2 in protobuf; who asks may write `@` in place of its third dot.
const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The OpenAPI 2 document in the first form of `Accept` that there is.
fn second(served: &[&Facts], request: &Request<Incoming>) -> Response<Body> {
    let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let protobuf =
        accept.split(',').find_map(|kind| match kind.split(';').next().unwrap_or_default().trim() {
            kind if kind.replace('@', ".") == V2_PROTOBUF => Some(true),
            "" | "*/*" | "application/*" | "application/json" => Some(false),
            _ => None,
        });
    let Some(protobuf) = protobuf else {
        let mut answer = Response::new(web::empty());
        *answer.status_mut() = StatusCode::NOT_ACCEPTABLE;
        return answer;
    };
    let document = schema::openapi::v2(served, GIT_VERSION);
    let text = document.to_string();
    let etag = hash(&text);
    let body = if protobuf { schema::openapi::v2_protobuf(&document) } else { text.into() };
    let mut answer = with_etag(request, body, &etag);
    if protobuf {
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(V2_PROTOBUF));
    }
    answer
}

fn with_etag(request: &Request<Incoming>, text: Vec<u8>, etag: &str) -> Response<Body> {
    let quoted = format!("\"{etag}\"");
    let known =
        request.headers().get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == quoted.as_bytes());
    let encoding = request.headers().get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or("");
    let mut answer =
        if known { Response::new(web::empty()) } else { response::compressed(encoding, text.into()) };
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(value) = HeaderValue::from_str(&quoted) {
        headers.insert(header::ETAG, value);
    }
    answer
}

/// A hash of what is served: the documents' address changes with it.
fn fingerprint(served: &[&Facts], group: &str, version: &str) -> String {
    let of = served.iter().filter(|f| f.group == group && f.version == version);
    let names: Vec<&str> = of.map(|f| f.plural).collect();
    hash(&format!("{GIT_VERSION} {} {group}/{version} {}", crate::codec::fingerprint(), names.join(",")))
}

/// Answers an OpenAPI path; `None` when it is none.
pub fn answer(served: &[&Facts], path: &str, request: &Request<Incoming>) -> Option<Response<Body>> {
    if path == "/openapi/v2" {
        return Some(second(served, request));
    }
    if path == "/openapi/v3" {
        let mut paths = serde_json::Map::new();
        for (path, group, version) in versions(served) {
            let hash = fingerprint(served, &group, &version);
            paths.insert(
                path.clone(),
                json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
            );
        }
        let index = json!({"paths": Value::Object(paths)}).to_string();
        let mut answer = Response::new(web::full(index));
        // upstream's writer guesses from the text
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        return Some(answer);
    }
    let wanted = path.strip_prefix("/openapi/v3/")?;
    let Some((path, group, version)) = versions(served).into_iter().find(|(p, _, _)| p == wanted) else {
        let mut answer = Response::new(web::empty());
        *answer.status_mut() = StatusCode::NOT_FOUND;
        return Some(answer);
    };
    let current = fingerprint(served, &group, &version);
    let query = query_pairs(request.uri().query());
    let asked = query.iter().find(|(k, _)| k == "hash").map(|(_, v)| v.as_str());
    if asked.is_some_and(|asked| asked != current) {
        let mut answer = Response::new(web::empty());
        *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
        let location = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={current}")).ok()?;
        answer.headers_mut().insert(header::LOCATION, location);
        return Some(answer);
    }
    let text = schema::openapi::v3(served, &group, &version, GIT_VERSION).to_string();
    let mut answer = with_etag(request, text.into(), &current);
    if asked.is_some() {
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let year = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(365 * 24);
        let expires = year.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        headers.extend(HeaderValue::from_str(&expires).ok().map(|v| (header::EXPIRES, v)));
    }
    Some(answer)
}
