//! The documents by which others verify our service account tokens.

use std::sync::Arc;

use http::{HeaderValue, Response, header};
use web::Body;

use crate::errors::{self, Result};
use crate::http::response;
use crate::server::Server;

fn cached(mut answer: Response<Body>, kind: &'static str) -> Response<Body> {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    answer
}

/// `/.well-known/openid-configuration`
pub fn configuration(server: &Arc<Server>) -> Result<Response<Body>> {
    let Some(keys) = &server.tokens.public else { return Err(errors::unknown_resource()) };
    let base = format!(
        "https://{}",
        std::net::SocketAddr::new(server.settings.advertised(), server.settings.listen.port())
    );
    let document = serde_json::json!({
        "issuer": server.tokens.issuer,
        "jwks_uri": format!("{base}/openid/v1/jwks"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": keys.algorithms(),
    });
    Ok(cached(response::json(document.to_string()), "application/json"))
}

/// `/openid/v1/jwks`
pub fn keys(server: &Arc<Server>) -> Result<Response<Body>> {
    let Some(keys) = &server.tokens.public else { return Err(errors::unknown_resource()) };
    Ok(cached(response::json(keys.jwks().to_string()), "application/jwk-set+json"))
}
