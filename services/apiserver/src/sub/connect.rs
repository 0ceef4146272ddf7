//! What is passed on: exec, attach, portforward and logs to kubelets, `proxy` to kubelets, pods and services.
//!
//! Upgrades (SPDY, WebSocket) are handed through byte by byte. Container runtimes know WebSocket's subprotocols up to
//! `v4.channel.k8s.io`; upstream translates `v5`, which can end standard input alone, to SPDY, and this server does not yet.
//!
//! # Upstream
//! `pkg/registry/core/pod/rest/subresources.go`, `pkg/registry/core/pod/strategy.go`

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use meta::field;
use rustls::pki_types::ServerName;
use schema::{Object, Value};
use tokio::net::TcpStream;
use web::Body;

use super::proxy;
use super::rewrite::{self, Links};
use crate::admission::{Operation, Request as Admitted};
use crate::auth::{User, front_proxy};
use crate::errors::{self, Result};
use crate::http::websocket::Wish;
use crate::registry::Endpoint;
use crate::request::RequestInfo;
use crate::request::info::query_pairs;
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

/// Passes a request on.
pub async fn run(
    server: &Arc<Server>,
    endpoint: Arc<Endpoint>,
    info: RequestInfo,
    user: User,
    mut request: Request<Incoming>,
) -> Result<Response<Body>> {
    if info.subresource != "log" {
        // nobody reads warnings of a stream
        let warnings = std::sync::Mutex::default();
        let admitted = Admitted {
            server,
            endpoint: &endpoint,
            subresource: &info.subresource,
            operation: Operation::Connect,
            user: &user,
            namespace: &info.namespace,
            name: &info.name,
            old: None,
            dry_run: false,
            now: jiff::Timestamp::now(),
            warnings: &warnings,
        };
        server.admission.validate(&admitted, None).await?;
    }
    if info.subresource == "proxy"
        && info.rest.is_empty()
        && !info.trailing_slash
        && matches!(request.method(), &http::Method::GET | &http::Method::HEAD)
    {
        return Ok(redirect(request.uri()));
    }
    let target = match (info.resource.as_str(), info.subresource.as_str()) {
        ("pods", "log") => match log(server, &info, &request).await? {
            Some(target) => target,
            None => return Ok(no_content()),
        },
        ("pods", "proxy") => proxy::pod(server, &info).await?,
        ("pods", verb) => stream(server, &info, verb, &request).await?,
        ("services", _) => proxy::service(server, &info).await?,
        _ => proxy::node(server, &info).await?,
    };
    let plain_text = info.subresource == "log";
    // kubelets give logs as plain answers only
    let wish = if plain_text { Wish::read(&mut request) } else { None };
    if wish.is_some() {
        request.headers_mut().remove(header::UPGRADE);
    }
    let answer = pass_on(server, &target, request).await?;
    if let Some(wish) = wish {
        let content = wish.log_content();
        return wish.grant(answer, content);
    }
    if plain_text && answer.status() == StatusCode::OK {
        let mut answer = answer;
        let text = HeaderValue::from_static("text/plain");
        answer.headers_mut().insert(header::CONTENT_TYPE, text);
        return Ok(answer);
    }
    Ok(answer)
}

fn redirect(uri: &Uri) -> Response<Body> {
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let mut answer = Response::new(web::empty());
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{query}", uri.path())) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    answer
}

pub(super) async fn pod(server: &Arc<Server>, info: &RequestInfo) -> Result<Object> {
    let found = server.read("", "pods", &info.namespace, &info.name).await?;
    let resource = meta::GroupResource { group: String::new(), resource: "pods".into() };
    found.ok_or_else(|| errors::not_found(&resource, &info.name))
}

/// The kubelet of a node: address and port. A node that is not there is told of as the resource that was asked for.
pub(super) async fn kubelet(server: &Arc<Server>, plural: &str, node: &str) -> Result<(String, u16)> {
    let resource = meta::GroupResource { group: String::new(), resource: plural.into() };
    let object = server.read("", "nodes", "", node).await?;
    let object = object.ok_or_else(|| errors::not_found(&resource, node))?;
    let port = object.int_at(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).unwrap_or(0);
    let port = u16::try_from(port).ok().filter(|p| *p > 0).unwrap_or(10250);
    let addresses = object.list_at(&["status", "addresses"]);
    let text = |a: &Value, key: &str| a.at(&[key]).and_then(Value::as_str).unwrap_or("").to_owned();
    for kind in ["InternalIP", "Hostname", "InternalDNS", "ExternalIP", "ExternalDNS"] {
        if let Some(found) = addresses.iter().find(|a| text(a, "type") == kind) {
            return Ok((text(found, "address"), port));
        }
    }
    Err(errors::internal(format!("no preferred addresses found; known addresses: {}", addresses.len())))
}

/// The names of all containers of a pod.
fn containers(pod: &Object) -> Vec<String> {
    let fields = ["containers", "initContainers", "ephemeralContainers"];
    let all = fields.iter().flat_map(|f| pod.list_at(&["spec", f]));
    all.filter_map(|c| c.at(&["name"]).and_then(Value::as_str)).map(str::to_owned).collect()
}

/// The container a request is about: the one named, or the only one.
fn container(pod: &Object, wanted: &str) -> Result<String> {
    let all = containers(pod);
    let name = pod.name();
    if !wanted.is_empty() {
        if all.iter().any(|c| c == wanted) {
            return Ok(wanted.to_owned());
        }
        return Err(errors::bad_request(format!("container {wanted} is not valid for pod {name}")));
    }
    let regular = pod.list_at(&["spec", "containers"]);
    match regular {
        [one] => Ok(one.at(&["name"]).and_then(Value::as_str).unwrap_or("").to_owned()),
        _ => {
            let names = |field: &str| {
                let list = pod.list_at(&["spec", field]).iter();
                let names = list.filter_map(|c| c.at(&["name"]).and_then(Value::as_str));
                names.collect::<Vec<_>>().join(" ")
            };
            let mut text = format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                names("containers")
            );
            let inits = names("initContainers");
            if !inits.is_empty() {
                text.push_str(&format!(" or one of the init containers: [{inits}]"));
            }
            Err(errors::bad_request(text))
        }
    }
}

fn scheduled(pod: &Object) -> Result<String> {
    let node = pod.str_at(&["spec", "nodeName"]);
    if node.is_empty() {
        return Err(errors::bad_request(format!("pod {} does not have a host assigned", pod.name())));
    }
    Ok(node.to_owned())
}

fn query_with(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    };
    let parts: Vec<String> = pairs.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

fn switch(text: &str) -> bool {
    !matches!(text, "" | "false" | "0")
}

fn no_content() -> Response<Body> {
    let mut answer = Response::new(web::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Where a container's log is; nowhere before its pod has a node.
async fn log(
    server: &Arc<Server>,
    info: &RequestInfo,
    request: &Request<Incoming>,
) -> Result<Option<Target>> {
    let pod = pod(server, info).await?;
    let query = query_pairs(request.uri().query());
    let value = |key: &str| query.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
    log_options(info, value)?;
    let container = container(&pod, value("container"))?;
    let node = pod.str_at(&["spec", "nodeName"]).to_owned();
    if node.is_empty() {
        return Ok(None);
    }
    let mut pairs = Vec::new();
    for key in ["follow", "previous", "timestamps"] {
        if switch(value(key)) {
            pairs.push((key, "true"));
        }
    }
    for key in ["sinceSeconds", "sinceTime", "tailLines", "limitBytes"] {
        if !value(key).is_empty() {
            pairs.push((key, value(key)));
        }
    }
    let (host, port) = kubelet(server, &info.resource, &node).await?;
    let path = format!("/containerLogs/{}/{}/{container}{}", info.namespace, info.name, query_with(&pairs));
    Ok(Some(Target { tls: true, kubelet: true, host, port, path }))
}

/// What a log may be asked for.
///
/// # Upstream
/// `pkg/apis/core/validation/validation.go` `ValidatePodLogOptions`
fn log_options<'a>(info: &RequestInfo, value: impl Fn(&str) -> &'a str) -> Result<()> {
    let number = |key: &str| value(key).parse::<i64>().ok(); // what is no number the kubelet refuses
    let mut problems = Vec::new();
    if let Some(lines) = number("tailLines").filter(|n| *n < 0) {
        let text = "must be greater than or equal to 0";
        problems.push(field::Error::invalid("tailLines", lines, text));
    }
    for key in ["limitBytes", "sinceSeconds"] {
        if let Some(n) = number(key).filter(|n| *n < 1) {
            problems.push(field::Error::invalid(key, n, "must be greater than 0"));
        }
    }
    if !value("sinceSeconds").is_empty() && !value("sinceTime").is_empty() {
        let text = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        problems.push(field::Error::forbidden("", text));
    }
    match problems.as_slice() {
        [] => Ok(()),
        problems => Err(errors::invalid("", "PodLogOptions", &info.name, problems)),
    }
}

async fn stream(
    server: &Arc<Server>,
    info: &RequestInfo,
    verb: &str,
    request: &Request<Incoming>,
) -> Result<Target> {
    let pod = pod(server, info).await?;
    let query = query_pairs(request.uri().query());
    let value = |key: &str| query.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
    let (namespace, name) = (&info.namespace, &info.name);
    if verb == "portforward" {
        let (host, port) = kubelet(server, &info.resource, &scheduled(&pod)?).await?;
        let ports: Vec<(&str, &str)> =
            query.iter().filter(|(k, _)| k == "ports").map(|(_, v)| ("port", v.as_str())).collect();
        let path = format!("/portForward/{namespace}/{name}{}", query_with(&ports));
        return Ok(Target { tls: true, kubelet: true, host, port, path });
    }
    let container = container(&pod, value("container"))?;
    let (host, port) = kubelet(server, &info.resource, &scheduled(&pod)?).await?;
    let mut pairs = Vec::new();
    for (from, to) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if switch(value(from)) {
            pairs.push((to, "1"));
        }
    }
    if verb == "exec" {
        pairs.extend(query.iter().filter(|(k, _)| k == "command").map(|(k, v)| (k.as_str(), v.as_str())));
    }
    let path = format!("/{verb}/{namespace}/{name}/{container}{}", query_with(&pairs));
    Ok(Target { tls: true, kubelet: true, host, port, path })
}

/// Headers that are about one connection only.
pub(crate) fn hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "upgrade" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding"
    )
}

async fn pass_on(
    server: &Arc<Server>,
    target: &Target,
    request: Request<Incoming>,
) -> Result<Response<Body>> {
    let dial = |e: &dyn std::fmt::Display| {
        errors::unavailable(format!(
            "error trying to reach service: dial tcp {}:{}: {e}",
            target.host, target.port
        ))
    };
    let tcp = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(|e| dial(&e))?;
    tcp.set_nodelay(true).map_err(|e| dial(&e))?;
    if !target.tls {
        return exchange(TokioIo::new(tcp), target, request).await;
    }
    let config = if target.kubelet { &server.kubelets.kubelet } else { &server.kubelets.insecure };
    let name = match target.host.parse::<IpAddr>() {
        Ok(address) => ServerName::IpAddress(address.into()),
        Err(_) => ServerName::try_from(target.host.clone()).map_err(|e| dial(&e))?,
    };
    let tls =
        tokio_rustls::TlsConnector::from(config.clone()).connect(name, tcp).await.map_err(|e| dial(&e))?;
    exchange(TokioIo::new(tls), target, request).await
}

async fn exchange<I>(io: I, target: &Target, mut request: Request<Incoming>) -> Result<Response<Body>>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(errors::internal)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = %error, "a proxied connection ended");
        }
    });
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
    let (mut parts, body) = answer.into_parts();
    let dropped: Vec<HeaderName> = parts.headers.keys().filter(|n| hop_by_hop(n)).cloned().collect();
    for name in dropped {
        parts.headers.remove(name);
    }
    let body = body.map_err(|e| -> web::BoxError { Box::new(e) }).boxed_unsync();
    match links {
        Some(links) => rewrite::answer(&links, Response::from_parts(parts, body)).await,
        None => Ok(Response::from_parts(parts, body)),
    }
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
    fn authority(&self) -> String {
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
    let (ours, theirs) = match tokio::try_join!(ours, theirs) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(error = %error, "an upgrade did not happen");
            return;
        }
    };
    let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
    if let Err(error) = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await {
        tracing::debug!(error = %error, "a stream ended");
    }
}
