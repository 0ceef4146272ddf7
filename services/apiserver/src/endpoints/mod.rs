//! What is served besides resources: health, version, metrics, discovery, OpenAPI, token issuer documents.

pub mod documents;
pub mod health;
pub mod issuer;
pub mod metrics;
pub mod openapi;
pub mod version;

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use web::Body;

use crate::auth::User;
use crate::errors::{self, Result};
use crate::http::response;
use crate::request::RequestInfo;
use crate::server::Server;

/// Answers a request that is about no resource.
pub async fn answer(
    server: &Arc<Server>,
    info: &RequestInfo,
    _user: &User,
    request: Request<Incoming>,
) -> Result<Response<Body>> {
    let path = info.path.trim_end_matches('/');
    let query = request.uri().query();
    // health is told whatever the method
    if matches!(path, "/healthz" | "/livez" | "/readyz") {
        return Ok(server.health.all(server, &path[1..], query).await);
    }
    if !matches!(info.verb, "get" | "head") {
        return Err(errors::method_not_allowed());
    }
    match path {
        "" => Ok(response::json(server.documents.paths(server))),
        "/version" => Ok(response::json(version::document())),
        "/metrics" => {
            let mut answer = response::text(StatusCode::OK, server.metrics.text(server));
            answer.headers_mut().insert(
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
            );
            Ok(answer)
        }
        "/.well-known/openid-configuration" => issuer::configuration(server),
        "/openid/v1/jwks" => issuer::keys(server),
        _ => {
            for endpoint in health::Health::ENDPOINTS {
                if let Some(check) = path.strip_prefix(&format!("/{endpoint}/")) {
                    return Ok(server.health.one(server, endpoint, check).await);
                }
            }
            match server.documents.answer(server, path, &request)? {
                Some(document) => Ok(document),
                None => Ok(response::text(StatusCode::NOT_FOUND, "404 page not found\n")),
            }
        }
    }
}
