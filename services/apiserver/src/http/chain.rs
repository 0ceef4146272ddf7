//! The chain every request goes through: request info, authentication, impersonation, authorization, then a verb
//! or an endpoint of its own, then the headers every answer carries.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/server/config.go` `DefaultBuildHandlerChain`

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use web::{Body, Peer};

use super::websocket::{Content, Wish};
use super::{limits, response};
use crate::aggregate;
use crate::audit::{Asked, Audit, Record};
use crate::auth::{Attributes, Credentials, Decision, User, impersonate, refusal};
use crate::encode;
use crate::endpoints;
use crate::errors::{self, Result};
use crate::request::RequestInfo;
use crate::request::info::query_pairs;
use crate::server::Server;
use crate::sub;
use crate::verbs::{Call, patch};

/// The largest body of a request.
const MAX_BODY: usize = 3 << 20;
/// The longest a request that is not long running may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Answers one request.
pub async fn handle(server: Arc<Server>, request: Request<Incoming>, peer: Arc<Peer>) -> Response<Body> {
    if let Some(supervisor) = crate::supervisor::of(&server, request.uri().path()) {
        return Box::pin(supervisor.handle(&server, request, &peer)).await;
    }
    let started = std::time::Instant::now();
    let info = RequestInfo::read(request.method(), request.uri());
    let accept = text(request.headers(), "accept").to_owned();
    let id = match text(request.headers(), "audit-id") {
        "" => uuid::Uuid::new_v4().to_string(),
        given => given.to_owned(),
    };
    let audited = Audited::new(&server, &request, &info, &peer, &id);
    let long = info.long_running();
    let label = (
        info.verb,
        info.group.clone(),
        info.version.clone(),
        info.resource.clone(),
        info.subresource.clone(),
    );
    let answered = bounded(&server, request, &peer, info, &audited).await;
    let mut response = answered.unwrap_or_else(|error| response::of_error(&error, &accept));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("audit-id", id);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    }
    server.metrics.request(&label, response.status().as_u16(), started.elapsed());
    match audited.into_record() {
        Some(record) => record.answered(response, long).await,
        None => response,
    }
}

/// The audit record of a request: begun once it is known who asks, or at the end when that is never known.
struct Audited {
    audit: Option<(Arc<Audit>, Facts)>,
    record: OnceLock<Record>,
}

/// What the record needs of a request, which is consumed meanwhile.
struct Facts {
    id: String,
    uri: http::Uri,
    info: RequestInfo,
    name: String,
    headers: http::HeaderMap,
    source: Option<std::net::IpAddr>,
    received: jiff::Timestamp,
}

impl Audited {
    fn new(server: &Server, request: &Request<Incoming>, info: &RequestInfo, peer: &Peer, id: &str) -> Self {
        let facts = || Facts {
            id: id.to_owned(),
            uri: request.uri().clone(),
            info: info.clone(),
            name: info.effective_name(request.uri()).to_string(),
            headers: request.headers().clone(),
            source: match peer.addr {
                web::Addr::Tcp(address) => Some(address.ip()),
                _ => None,
            },
            received: jiff::Timestamp::now(),
        };
        Self { audit: server.audit.clone().map(|audit| (audit, facts())), record: OnceLock::new() }
    }

    fn begin(&self, user: Option<&User>, acting: Option<&User>) {
        let Some((audit, facts)) = &self.audit else { return };
        self.record.get_or_init(|| {
            let asked = Asked {
                id: &facts.id,
                uri: &facts.uri,
                info: &facts.info,
                name: &facts.name,
                headers: &facts.headers,
                source: facts.source,
                received: facts.received,
            };
            audit.begin(&asked, user, acting)
        });
    }

    fn annotate(&self, key: &str, value: impl Into<String>) {
        if let Some(record) = self.record.get() {
            record.annotate(key, value);
        }
    }

    fn body(&self, body: &Bytes) {
        if let Some(record) = self.record.get() {
            record.request(body);
        }
    }

    fn into_record(self) -> Option<Record> {
        self.begin(None, None);
        self.record.into_inner()
    }
}

fn text<'a>(headers: &'a http::HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
}

/// How long a request may take: the client may ask for less than the server's own limit.
fn limit(info: &RequestInfo, uri: &http::Uri) -> Option<Duration> {
    if info.long_running() {
        return None;
    }
    let query = query_pairs(uri.query());
    let asked = query.iter().find(|(k, _)| k == "timeout").map(|(_, v)| v.as_str());
    let asked = asked.and_then(crate::settings::parse_duration).filter(|d| !d.is_zero());
    Some(asked.map_or(TIMEOUT, |d| d.min(TIMEOUT)))
}

async fn bounded(
    server: &Arc<Server>,
    request: Request<Incoming>,
    peer: &Arc<Peer>,
    info: RequestInfo,
    audited: &Audited,
) -> Result<Response<Body>> {
    let limit = limit(&info, request.uri());
    let work = Box::pin(chain(server, request, peer, info, audited));
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            Err(errors::timeout(&format!("request did not complete within requested timeout - {seconds}s")))
        }),
    }
}

async fn chain(
    server: &Arc<Server>,
    request: Request<Incoming>,
    peer: &Arc<Peer>,
    info: RequestInfo,
    audited: &Audited,
) -> Result<Response<Body>> {
    let credentials = Credentials { headers: request.headers(), path: &info.path, peer };
    let user = match server.authenticator.authenticate(&credentials).await? {
        Some(user) => user,
        None if server.settings.anonymous_auth => User::anonymous(),
        None => return Err(errors::unauthorized()),
    };
    let acting = match impersonate::impersonate(request.headers(), &user, &*server.authorizer).await {
        Ok(acting) => acting,
        Err(error) => {
            audited.begin(Some(&user), None);
            return Ok(response::of_refusal(&error, text(request.headers(), "accept")));
        }
    };
    audited.begin(Some(&user), acting.as_ref());
    let user = acting.unwrap_or(user);
    let flow = server.flows.classify(&user, &info);
    let accept = text(request.headers(), "accept").to_owned();
    let answered = permitted(server, request, info, user, peer, audited).await;
    let mut response = answered.unwrap_or_else(|error| response::of_error(&error, &accept));
    if let Some(flow) = flow {
        flow.mark(response.headers_mut());
    }
    Ok(response)
}

/// The chain once it is known who asks.
async fn permitted(
    server: &Arc<Server>,
    request: Request<Incoming>,
    info: RequestInfo,
    user: User,
    peer: &Arc<Peer>,
    audited: &Audited,
) -> Result<Response<Body>> {
    let Some(_place) = server.in_flight.enter(&user, &info) else { return Ok(limits::too_many()) };
    let allowed = authorize(server, &info, &user, request.uri()).await;
    let decision = if allowed.is_ok() { "allow" } else { "forbid" };
    audited.annotate("authorization.k8s.io/decision", decision);
    audited.annotate("authorization.k8s.io/reason", "");
    if let Err(error) = allowed {
        return Ok(response::of_refusal(&error, text(request.headers(), "accept")));
    }
    if let Some(service) = server.aggregator.answers(&info.path) {
        return Ok(Box::pin(aggregate::proxy::pass_on(server, &service, &user, peer, request)).await);
    }
    if !info.is_resource {
        return Box::pin(endpoints::answer(server, &info, &user, request)).await;
    }
    resource(server, info, user, request, audited).await
}

async fn authorize(server: &Arc<Server>, info: &RequestInfo, user: &User, uri: &http::Uri) -> Result<()> {
    let name = info.effective_name(uri);
    let query = query_pairs(uri.query());
    let value = |key: &str| query.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
    let attributes = Attributes {
        user,
        info,
        name: &name,
        field_selector: value("fieldSelector"),
        label_selector: value("labelSelector"),
    };
    let reason = match server.authorizer.authorize(&attributes).await {
        Decision::Allow => return Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => reason,
    };
    let mut why = refusal(&attributes);
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    let resource = meta::GroupResource { group: info.group.clone(), resource: info.resource.clone() };
    Err(errors::forbidden(&resource, &name, &why))
}

async fn read_body(request: Request<Incoming>) -> Result<Bytes> {
    let limited = Limited::new(request.into_body(), MAX_BODY);
    match limited.collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(errors::too_large(format!("limit is {MAX_BODY}")))
        }
        Err(error) => Err(errors::bad_request(error.to_string())),
    }
}

/// What a client is told of a resource that is on its way out.
///
/// # Upstream
/// `k8s.io/apiserver/pkg/endpoints/deprecation/deprecation.go` `WarningMessage`
fn deprecation(info: &RequestInfo) -> Option<&'static str> {
    match (info.group.as_str(), info.version.as_str(), info.resource.as_str()) {
        ("", "v1", "endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        }
        _ => None,
    }
}

async fn resource(
    server: &Arc<Server>,
    info: RequestInfo,
    user: User,
    mut request: Request<Incoming>,
    audited: &Audited,
) -> Result<Response<Body>> {
    let registry = server.registry();
    let group_version = match info.group.as_str() {
        "" => info.version.clone(),
        group => format!("{group}/{}", info.version),
    };
    if sub::is_virtual(&info) {
        return Box::pin(sub::answer_virtual(server, info, user, request)).await;
    }
    let Some(endpoint) = registry.find(&info.group, &info.version, &info.resource).cloned() else {
        if registry.has_version(&group_version) {
            return Err(errors::unknown_resource());
        }
        return Ok(response::text(StatusCode::NOT_FOUND, "404 page not found\n"));
    };
    if sub::is_connect(&info) {
        return Box::pin(sub::connect::run(server, endpoint, info, user, request)).await;
    }
    if *request.method() == http::Method::HEAD {
        return Err(errors::method_not_allowed());
    }
    let query = request.uri().query().map(str::to_owned);
    let headers = request.headers().clone();
    let wish = if info.verb == "watch" { Wish::read(&mut request) } else { None };
    let body = match info.verb {
        "get" | "list" | "watch" => Bytes::new(),
        _ => read_body(request).await?,
    };
    audited.body(&body);
    // a patch of a type that is none is refused before anybody looks at what it is for
    let content = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let known = info.verb != "patch" || patch::has_type(content);
    let warnings = deprecation(&info).filter(|_| known).map(str::to_owned).into_iter().collect();
    let call = Call {
        server: server.clone(),
        endpoint,
        info,
        user,
        query,
        headers,
        body,
        now: jiff::Timestamp::now(),
        warnings: Mutex::new(warnings),
    };
    let answer = call.run().await;
    let mut response = match answer.and_then(|answer| encode::respond(&call, answer)) {
        Ok(response) => response,
        Err(error) => response::of_error(&error, call.header("accept")),
    };
    let warnings = call.warnings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    response::add_warnings(response.headers_mut(), &warnings);
    drop(warnings);
    let Some(wish) = wish else { return Ok(response) };
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let framed = kind.is_some_and(|kind| kind.contains("protobuf"));
    wish.grant(response, if framed { Content::Framed } else { Content::Lines })
}
