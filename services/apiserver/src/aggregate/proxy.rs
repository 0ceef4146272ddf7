//! Passing a request on to the server that answers its group and version.
//!
//! # Upstream
//! `k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go` `proxyHandler.ServeHTTP`

use std::sync::Arc;

use http::header::{self, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use web::{Body, Peer};

use super::remote::{Connection, speak_for};
use super::{ApiService, Remote};
use crate::auth::User;
use crate::http::response;
use crate::server::Server;
use crate::sub::forward::{hop_by_hop, splice};

/// Answers a request by what the other server says to it.
pub async fn pass_on(
    server: &Arc<Server>,
    service: &ApiService,
    user: &User,
    peer: &Peer,
    request: Request<Incoming>,
) -> Response<Body> {
    let unavailable = || response::text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n");
    let Some(remote) = service.remote.as_ref().filter(|_| service.available) else { return unavailable() };
    let (host, port) = match remote.resolve(server) {
        Ok(target) => target,
        Err(error) => {
            let name = format!("{}/{}", remote.namespace, remote.name);
            tracing::warn!(service = name, error = %error, "no endpoint of an aggregated server");
            return unavailable();
        }
    };
    match exchange(server, remote, (&host, port), user, peer, request).await {
        Ok(answer) => answer,
        Err(why) => response::text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn exchange(
    server: &Arc<Server>,
    remote: &Remote,
    (host, port): (&str, u16),
    user: &User,
    peer: &Peer,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, web::BoxError> {
    let connection = remote.connect(server, host, port).await?;
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let ours = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let onward = onward(request, &connection, user, peer, upgrade)?;
    let mut sender = connection.sender;
    let mut answer = sender.send_request(onward).await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(ours) = ours
    {
        let theirs = hyper::upgrade::on(&mut answer);
        tokio::spawn(splice(ours, theirs));
        let (parts, _) = answer.into_parts();
        return Ok(Response::from_parts(parts, web::empty()));
    }
    let (mut parts, body) = answer.into_parts();
    let dropped: Vec<HeaderName> = parts.headers.keys().filter(|n| hop_by_hop(n)).cloned().collect();
    for name in dropped {
        parts.headers.remove(name);
    }
    let body = body.map_err(|e| -> web::BoxError { Box::new(e) }).boxed_unsync();
    Ok(Response::from_parts(parts, body))
}

/// The request as the other server gets it: without the client's credentials, in the user's name.
fn onward(
    request: Request<Incoming>,
    connection: &Connection,
    user: &User,
    peer: &Peer,
    upgrade: Option<HeaderValue>,
) -> Result<Request<Body>, web::BoxError> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = body.map_err(|e| -> web::BoxError { Box::new(e) }).boxed_unsync();
    let mut onward = Request::builder().method(parts.method).uri(path).body(body)?;
    let headers = onward.headers_mut();
    for (name, value) in &parts.headers {
        let credential = *name == header::AUTHORIZATION || name.as_str().starts_with("impersonate-");
        if !hop_by_hop(name) && *name != header::HOST && !credential {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::HOST, HeaderValue::from_str(&connection.authority)?);
    if let web::Addr::Tcp(address) = peer.addr {
        headers.append("x-forwarded-for", HeaderValue::from_str(&address.ip().to_string())?);
    }
    speak_for(headers, user);
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, upgrade);
    }
    Ok(onward)
}
