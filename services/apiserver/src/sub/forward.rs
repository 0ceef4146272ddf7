//! Passing a request on to a kubelet, a pod or a service; upgrades are handed through byte by byte.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go` `UpgradeAwareHandler`

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use web::Body;

use super::rewrite::{self, Links};
use crate::auth::front_proxy;
use crate::errors::{self, Result};
use crate::server::Server;
use crate::settings::Settings;

/// The way to kubelets: how connections to them are secured.
pub struct Kubelets {
    kubelet: Arc<rustls::ClientConfig>,
    insecure: Arc<rustls::ClientConfig>,
}

impl Kubelets {
    /// Reads certificates.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn from_settings(settings: &Settings) -> anyhow::Result<Self> {
        let files = (&settings.kubelet_client_certificate, &settings.kubelet_client_key);
        let identity = match files {
            (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
            _ => None,
        };
        let authority = settings.kubelet_certificate_authority.as_deref();
        Ok(Self {
            kubelet: Arc::new(crate::tls::client_config(authority, identity)?),
            insecure: Arc::new(crate::tls::client_config(None, None)?),
        })
    }
}

/// Where a request goes.
pub(super) struct Target {
    pub(super) tls: bool,
    pub(super) kubelet: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

/// Headers that are about one connection only.
pub(crate) fn hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "upgrade" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding"
    )
}

/// Passes a request on and its answer back.
pub(super) async fn pass_on(
    server: &Arc<Server>,
    target: &Target,
    request: Request<Incoming>,
) -> Result<Response<Body>> {
    let dialled = connect(server, target).await;
    let sender = dialled.map_err(|e| errors::unavailable(format!("error trying to reach service: {e}")))?;
    exchange(sender, target, request).await
}

/// Why a target cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("dial tcp {authority}: {why}")]
pub(super) struct Unreachable {
    authority: String,
    why: String,
}

/// Opens a connection to a target.
pub(super) async fn connect(
    server: &Server,
    target: &Target,
) -> std::result::Result<SendRequest<Body>, Unreachable> {
    let failed =
        |e: &dyn std::fmt::Display| Unreachable { authority: target.authority(), why: e.to_string() };
    let tcp = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(|e| failed(&e))?;
    tcp.set_nodelay(true).map_err(|e| failed(&e))?;
    if !target.tls {
        return handshake(TokioIo::new(tcp)).await.map_err(|e| failed(&e));
    }
    let config = if target.kubelet { &server.kubelets.kubelet } else { &server.kubelets.insecure };
    let name = match target.host.parse::<IpAddr>() {
        Ok(address) => ServerName::IpAddress(address.into()),
        Err(_) => ServerName::try_from(target.host.clone()).map_err(|e| failed(&e))?,
    };
    let connector = tokio_rustls::TlsConnector::from(config.clone());
    let tls = connector.connect(name, tcp).await.map_err(|e| failed(&e))?;
    handshake(TokioIo::new(tls)).await.map_err(|e| failed(&e))
}

async fn handshake<I>(io: I) -> hyper::Result<SendRequest<Body>>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = %error, "a proxied connection ended");
        }
    });
    Ok(sender)
}

async fn exchange(
    mut sender: SendRequest<Body>,
    target: &Target,
    mut request: Request<Incoming>,
) -> Result<Response<Body>> {
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let links = links(target, &request);
    let ours = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let mut path = target.path.clone();
    if !path.contains('?')
        && let Some(query) = parts.uri.query()
        && !target.kubelet_stream()
    {
        path = format!("{path}?{query}");
    }
    let body = body.map_err(|e| -> web::BoxError { Box::new(e) }).boxed_unsync();
    let mut onward =
        Request::builder().method(parts.method).uri(path).body(body).map_err(errors::internal)?;
    for (name, value) in &parts.headers {
        if !hop_by_hop(name) && *name != header::HOST && *name != header::AUTHORIZATION {
            onward.headers_mut().append(name.clone(), value.clone());
        }
    }
    front_proxy::clear(onward.headers_mut());
    if let Some(links) = &links
        && let Ok(uri) = HeaderValue::from_str(&format!("{}{}", links.prefix, target.path))
    {
        onward.headers_mut().insert("x-forwarded-uri", uri);
    }
    let host = target.authority();
    onward.headers_mut().insert(header::HOST, HeaderValue::from_str(&host).map_err(errors::internal)?);
    if let Some(upgrade) = upgrade {
        onward.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        onward.headers_mut().insert(header::UPGRADE, upgrade);
    }
    let mut answer = sender.send_request(onward).await.map_err(|e| errors::unavailable(e.to_string()))?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(ours) = ours
    {
        let theirs = hyper::upgrade::on(&mut answer);
        tokio::spawn(splice(ours, theirs));
        let (parts, _) = answer.into_parts();
        return Ok(Response::from_parts(parts, web::empty()));
    }
    let answer = plain(answer);
    match links {
        Some(links) => rewrite::answer(&links, answer).await,
        None => Ok(answer),
    }
}

/// An answer that is no upgrade, as the client gets it.
pub(super) fn plain(answer: Response<Incoming>) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    let dropped: Vec<HeaderName> = parts.headers.keys().filter(|n| hop_by_hop(n)).cloned().collect();
    for name in dropped {
        parts.headers.remove(name);
    }
    Response::from_parts(parts, body.map_err(|e| -> web::BoxError { Box::new(e) }).boxed_unsync())
}

/// How the links of what a proxy answers are rewritten; streams of kubelets have none.
fn links(target: &Target, request: &Request<Incoming>) -> Option<Links> {
    if target.kubelet_stream() {
        return None;
    }
    let uri = request.uri();
    let asked = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let host = asked.or_else(|| uri.authority().map(|a| a.as_str())).unwrap_or("");
    let path = target.path.split('?').next().unwrap_or("");
    let prefix = uri.path().strip_suffix(path).unwrap_or(uri.path()).trim_end_matches('/');
    Some(Links { source: target.authority(), host: host.to_owned(), prefix: prefix.to_owned() })
}

impl Target {
    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }

    /// Whether the path is made of the request's options already.
    fn kubelet_stream(&self) -> bool {
        self.kubelet
            && ["/containerLogs/", "/exec/", "/attach/", "/portForward/"]
                .iter()
                .any(|p| self.path.starts_with(p))
    }
}

/// Hands bytes through between two upgraded connections until one ends.
pub(crate) async fn splice(ours: hyper::upgrade::OnUpgrade, theirs: hyper::upgrade::OnUpgrade) {
    if let Err(error) = web::splice(ours, theirs).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a stream ended");
    }
}
