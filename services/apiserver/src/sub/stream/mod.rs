//! exec, attach and portforward: which of a client's ways to speak are handed through and which are translated.
//!
//! Kubelets and container runtimes speak SPDY and WebSocket's subprotocols up to `v4.channel.k8s.io`. What is newer ends
//! here: `v5.channel.k8s.io`, which can end standard input alone, and SPDY in WebSocket messages for ports.
//!
//! # Upstream
//! `pkg/registry/core/pod/rest/subresources.go`, `pkg/registry/core/pod/rest/authorize.go`,
//! `k8s.io/apiserver/pkg/util/proxy/translatinghandler.go`

mod spdy;
mod translate;
mod tunnel;

use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use web::Body;

use super::forward::{self, Target};
use crate::auth::{Attributes, Decision, User};
use crate::errors::{self, Result};
use crate::http::websocket::{self, Wish};
use crate::request::RequestInfo;
use crate::server::Server;

/// SPDY as an upgrade is called.
const SPDY: &str = "SPDY/3.1";
/// The header by which SPDY's ends agree on what they say through it.
const PROTOCOL: &str = "x-stream-protocol-version";

/// The streams of a process that a client wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
}

/// Who may get a stream must be allowed to create it: a WebSocket is asked for by GET.
pub(super) async fn may_create(server: &Server, info: &RequestInfo, user: &User) -> Result<()> {
    if info.verb == "create" {
        return Ok(()); // asked already
    }
    let info = RequestInfo { verb: "create", ..info.clone() };
    let attributes =
        Attributes { user, info: &info, name: &info.name, field_selector: "", label_selector: "" };
    let reason = match server.authorizer.authorize(&attributes).await {
        Decision::Allow => return Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => reason,
    };
    let resource = meta::GroupResource { group: info.group.clone(), resource: info.resource.clone() };
    Err(errors::forbidden(&resource, &info.name, &reason))
}

/// Serves a stream: of a container where `streams` are named, of ports otherwise.
pub(super) async fn serve(
    server: &Arc<Server>,
    target: Target,
    streams: Option<Streams>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>> {
    let protocols = websocket::protocols(request.headers());
    let ours = |protocol: &String| match streams {
        Some(_) => protocol == translate::PROTOCOL,
        None => tunnel::carries(protocol),
    };
    if !protocols.iter().any(ours) {
        if !upgrades(request.headers()) {
            return Err(errors::bad_request("Upgrade request required"));
        }
        return forward::pass_on(server, &target, request).await;
    }
    let wish = Wish::read(&mut request).ok_or_else(|| errors::bad_request("missing Sec-WebSocket-Key"))?;
    match streams {
        Some(streams) => translate::serve(server, target, streams, wish),
        None => tunnel::serve(server, &target, wish).await,
    }
}

fn upgrades(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.into_iter().any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

/// Asks a kubelet for SPDY: its answer, which need not be an upgrade.
async fn ask(
    server: &Server,
    target: &Target,
    protocols: &[&str],
) -> std::result::Result<Response<Incoming>, web::BoxError> {
    let mut request = Request::builder().method("POST").uri(&target.path).body(web::empty())?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_str(&target.authority())?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(SPDY));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    for protocol in protocols {
        headers.append(PROTOCOL, HeaderValue::from_str(protocol)?);
    }
    Ok(forward::connect(server, target).await?.send_request(request).await?)
}

/// Whether a kubelet's answer is the upgrade that was asked for.
fn granted(answer: &Response<Incoming>) -> bool {
    let upgrade = answer.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
    answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && upgrades(answer.headers())
        && upgrade.is_some_and(|value| value.to_ascii_uppercase().contains(SPDY))
}
