//! What is passed on: exec, attach, portforward and logs to kubelets, `proxy` to kubelets, pods and services.
//!
//! # Upstream
//! `pkg/registry/core/pod/rest/subresources.go`, `pkg/registry/core/pod/strategy.go`

use std::sync::Arc;

use http::header;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use meta::field;
use schema::{Object, Value};
use web::Body;

use super::forward::{Target, pass_on};
use super::proxy;
use super::stream::{self, Streams};
use crate::admission::{Operation, Request as Admitted};
use crate::auth::User;
use crate::errors::{self, Result};
use crate::http::websocket::Wish;
use crate::registry::Endpoint;
use crate::request::RequestInfo;
use crate::request::info::query_pairs;
use crate::server::Server;

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
    if let ("pods", verb @ ("exec" | "attach" | "portforward")) =
        (info.resource.as_str(), info.subresource.as_str())
    {
        stream::may_create(server, &info, &user).await?;
        let (target, streams) = stream_target(server, &info, verb, &request).await?;
        return stream::serve(server, target, streams, request).await;
    }
    let target = match (info.resource.as_str(), info.subresource.as_str()) {
        ("pods", "log") => match log(server, &info, &request).await? {
            Some(target) => target,
            None => return Ok(no_content()),
        },
        ("pods", _) => proxy::pod(server, &info).await?,
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

/// Where a stream leads: a kubelet's address with the request's options, and the streams that are wanted of a container.
async fn stream_target(
    server: &Arc<Server>,
    info: &RequestInfo,
    verb: &str,
    request: &Request<Incoming>,
) -> Result<(Target, Option<Streams>)> {
    let pod = pod(server, info).await?;
    let query = query_pairs(request.uri().query());
    let value = |key: &str| query.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str());
    let (namespace, name) = (&info.namespace, &info.name);
    if verb == "portforward" {
        let (host, port) = kubelet(server, &info.resource, &scheduled(&pod)?).await?;
        let ports: Vec<(&str, &str)> =
            query.iter().filter(|(k, _)| k == "ports").map(|(_, v)| ("port", v.as_str())).collect();
        let path = format!("/portForward/{namespace}/{name}{}", query_with(&ports));
        return Ok((Target { tls: true, kubelet: true, host, port, path }, None));
    }
    let container = container(&pod, value("container"))?;
    let (host, port) = kubelet(server, &info.resource, &scheduled(&pod)?).await?;
    let asked = |key: &str| switch(value(key));
    let streams = Streams {
        stdin: asked("stdin"),
        stdout: asked("stdout"),
        stderr: asked("stderr"),
        tty: asked("tty"),
    };
    let wanted = [streams.stdin, streams.stdout, streams.stderr, streams.tty];
    let names = ["input", "output", "error", "tty"].into_iter().zip(wanted);
    let mut pairs: Vec<_> = names.filter(|(_, wanted)| *wanted).map(|(name, _)| (name, "1")).collect();
    if verb == "exec" {
        pairs.extend(query.iter().filter(|(k, _)| k == "command").map(|(k, v)| (k.as_str(), v.as_str())));
    }
    let path = format!("/{verb}/{namespace}/{name}/{container}{}", query_with(&pairs));
    Ok((Target { tls: true, kubelet: true, host, port, path }, Some(streams)))
}
