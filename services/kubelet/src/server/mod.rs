//! What this node serves: 10250 for the API server and for metrics, 10248 for its own health.
//!
//! # Upstream
//! `pkg/kubelet/server/server.go`

mod auth;
mod cadvisor;
mod logs;
mod metrics;
mod stats;
mod streams;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;
use web::{Body, Listener, Peer, TlsConfig};

use crate::Kubelet;

type Answer = Response<Body>;

fn text(code: StatusCode, body: impl Into<String>) -> Answer {
    let mut answer = Response::new(web::full(body.into()));
    *answer.status_mut() = code;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn json<T: serde::Serialize>(value: &T) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let mut answer = Response::new(web::full(bytes));
            let kind = http::HeaderValue::from_static("application/json");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            answer
        }
        Err(e) => text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()),
    }
}

/// A query's values by name, decoded.
fn query(uri: &http::Uri) -> HashMap<String, Vec<String>> {
    let mut out: HashMap<String, Vec<String>> = HashMap::new();
    for pair in uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        out.entry(decode(name)).or_default().push(decode(value));
    }
    out
}

fn decode(text: &str) -> String {
    let hex = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).map(|d| d as u8);
    let bytes = text.as_bytes();
    let (mut out, mut i) = (Vec::with_capacity(bytes.len()), 0);
    while i < bytes.len() {
        match (bytes[i], hex(bytes.get(i + 1)), hex(bytes.get(i + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                i += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The running servers; they stop with this.
#[derive(Debug)]
pub struct Servers {
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// Binds and serves.
///
/// # Errors
/// A port is taken or the certificates cannot be used.
pub async fn start(kubelet: Arc<Kubelet>, context: &mut daemon::Context) -> anyhow::Result<Servers> {
    let stop = context.shutdown.clone();
    let settings = &kubelet.settings;
    let mut tasks = Vec::new();
    let address = SocketAddr::new(settings.address.parse().context("address")?, settings.port);
    let listeners = context.listeners("kubelet", async || Listener::tcp(address).await).await;
    let listeners = listeners.with_context(|| format!("listening on {address}"))?;
    let tls = TlsConfig::from_files(&settings.tls_cert_file, &settings.tls_private_key_file)?;
    let auth = Arc::new(auth::Auth::new(&kubelet)?);
    let shared = Arc::clone(&kubelet);
    let service = move |request: Request<Incoming>, peer: Arc<Peer>| {
        let (kubelet, auth) = (Arc::clone(&shared), Arc::clone(&auth));
        async move {
            match auth.check(&kubelet, &request, &peer).await {
                Ok(()) => route(kubelet, request).await,
                Err(refused) => refused,
            }
        }
    };
    for listener in listeners {
        let serving = web::serve(listener, Some(tls.clone()), service.clone(), stop.clone());
        tasks.push(AbortOnDropHandle::new(tokio::spawn(serving)));
    }
    if settings.healthz_port != 0 {
        let address = settings.healthz_bind_address.parse().context("healthzBindAddress")?;
        let address = SocketAddr::new(address, settings.healthz_port);
        let listeners = context.listeners("healthz", async || Listener::tcp(address).await).await;
        let listeners = listeners.with_context(|| format!("listening on {address}"))?;
        let health = |request: Request<Incoming>, _: Arc<Peer>| async move {
            match request.uri().path() {
                "/healthz" | "/livez" | "/readyz" => text(StatusCode::OK, "ok"),
                _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
            }
        };
        for listener in listeners {
            tasks.push(AbortOnDropHandle::new(tokio::spawn(web::serve(
                listener,
                None,
                health,
                stop.clone(),
            ))));
        }
        context.feed_watchdog_from_port(address);
    } else {
        context.feed_watchdog(|| async { Ok(()) }); // nothing to ask: that this loop runs
    }
    Ok(Servers { _tasks: tasks })
}

async fn route(kubelet: Arc<Kubelet>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let parts: Vec<String> = path.trim_matches('/').split('/').map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let get = request.method() == Method::GET;
    match parts.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => text(StatusCode::OK, "ok"),
        ["pods"] if get => {
            let items: Vec<_> = kubelet.workers.handles().iter().map(|h| with_status(h)).collect();
            json(&json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items }))
        }
        ["runningpods"] if get => running(&kubelet),
        ["configz"] if get => json(&json!({ "kubeletconfig": configuration(&kubelet) })),
        ["metrics"] if get => metrics::own(&kubelet).await,
        ["metrics", "resource"] if get => metrics::resource(&kubelet).await,
        ["metrics", "cadvisor"] if get => cadvisor::metrics(&kubelet).await,
        ["metrics", "probes"] if get => text(StatusCode::OK, ""),
        ["stats", "summary"] => stats::summary(&kubelet, &query(request.uri())).await,
        ["containerLogs", namespace, pod, container] if get => {
            logs::container(&kubelet, namespace, pod, container, &query(request.uri())).await
        }
        ["logs", rest @ ..] if get => logs::node(rest),
        ["exec" | "attach" | "portForward" | "run", ..] => streams::serve(&kubelet, request, &parts).await,
        ["checkpoint", namespace, pod, container] if request.method() == Method::POST => {
            checkpoint(&kubelet, namespace, pod, container).await
        }
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn with_status(handle: &crate::pod::workers::Handle) -> k8s_openapi::api::core::v1::Pod {
    let mut pod = handle.pod().as_ref().clone();
    pod.status = Some(handle.view().status);
    pod
}

fn running(kubelet: &Kubelet) -> Answer {
    let all = kubelet.workers.handles();
    let items: Vec<_> = all
        .iter()
        .filter(|h| h.view().observed.running().next().is_some())
        .map(|h| {
            let (pod, view) = (h.pod(), h.view());
            let containers: Vec<_> = view
                .observed
                .running()
                .map(|c| json!({ "name": c.name, "image": c.image, "resources": {} }))
                .collect();
            let meta = &pod.metadata;
            json!({
                "metadata": { "name": meta.name, "namespace": meta.namespace, "uid": meta.uid },
                "spec": { "containers": containers }, "status": {},
            })
        })
        .collect();
    json(&json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items }))
}

/// The settings in force, as upstream names them.
fn configuration(kubelet: &Kubelet) -> serde_json::Value {
    let mut all = serde_json::to_value(&kubelet.settings).unwrap_or_default(); // settings were read from JSON
    // what upstream takes as flags is no part of its configuration
    for flag in ["kubeconfig", "nodeIP", "hostnameOverride", "nodeLabels", "rootDir"] {
        all.as_object_mut().and_then(|o| o.remove(flag));
    }
    all["cgroupDriver"] = json!(if kubelet.cgroups.systemd { "systemd" } else { "cgroupfs" });
    all
}

async fn checkpoint(kubelet: &Kubelet, namespace: &str, pod: &str, container: &str) -> Answer {
    let found = kubelet.workers.find(namespace, pod);
    let id =
        found.and_then(|h| h.view().observed.newest(container).filter(|c| c.running()).map(|c| c.id.clone()));
    let Some(container_id) = id else {
        return text(StatusCode::NOT_FOUND, format!("container {container} does not exist"));
    };
    let dir = kubelet.settings.root_dir.join("checkpoints");
    if let Err(e) = std::fs::create_dir_all(&dir) {
        return text(StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    }
    let now = jiff::Timestamp::now();
    let location = dir.join(format!("checkpoint-{pod}_{namespace}-{container}-{now}.tar"));
    let location = location.to_string_lossy().into_owned();
    let request =
        cri::v1::CheckpointContainerRequest { container_id, location: location.clone(), timeout: 0 };
    match kubelet.runtime.checkpoint_container(request).await {
        Ok(_) => json(&json!({ "items": [location] })),
        Err(e) if e.is_unimplemented() => text(StatusCode::NOT_FOUND, e.to_string()),
        Err(e) => text(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&e)),
    }
}
