//! exec, attach and port-forward: the runtime gives an address for each, and bytes are passed through.
//!
//! # Upstream
//! `pkg/kubelet/server/server.go` `getExec`, `getAttach`, `getPortForward`, `getRun`

use std::collections::HashMap;

use cri::v1;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Answer, query, text};
use crate::Kubelet;
use crate::pod::observed::Seen;

type Query = HashMap<String, Vec<String>>;

fn yes(query: &Query, name: &str, other: &str) -> bool {
    [name, other].iter().any(|n| query.get(*n).is_some_and(|v| v.iter().any(|v| v == "1" || v == "true")))
}

fn words(query: &Query, name: &str) -> Vec<String> {
    query.get(name).cloned().unwrap_or_default()
}

/// A running container.
#[expect(clippy::result_large_err, reason = "the answer is sent at once, it is never carried far")]
fn find(kubelet: &Kubelet, namespace: &str, pod: &str, container: &str) -> Result<Seen, Answer> {
    let missing = || text(StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found\n"));
    let handle = kubelet.workers.find(namespace, pod).ok_or_else(missing)?;
    let found = handle.view().observed.newest(container).filter(|c| c.running()).cloned();
    found.ok_or_else(|| {
        text(StatusCode::INTERNAL_SERVER_ERROR, format!("container not found (\"{container}\")"))
    })
}

/// Serves one of them.
pub(super) async fn serve(kubelet: &Kubelet, request: Request<Incoming>, parts: &[&str]) -> Answer {
    let query = query(request.uri());
    let url = match parts {
        // paths with a uid after the pod's name name the same container
        ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container] => {
            exec(kubelet, namespace, pod, container, &query).await
        }
        ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container] => {
            attach(kubelet, namespace, pod, container, &query).await
        }
        ["portForward", namespace, pod] | ["portForward", namespace, pod, _] => {
            port_forward(kubelet, namespace, pod, &query).await
        }
        ["run", namespace, pod, container] | ["run", namespace, pod, _, container] => {
            return run(kubelet, namespace, pod, container, &query).await;
        }
        _ => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    match url {
        Ok(url) => match proxy(request, &url).await {
            Ok(answer) => answer,
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&*error)),
        },
        Err(answer) => answer,
    }
}

fn failed(e: &cri::Error) -> Answer {
    text(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(e))
}

async fn exec(
    kubelet: &Kubelet,
    namespace: &str,
    pod: &str,
    name: &str,
    query: &Query,
) -> Result<String, Answer> {
    let container = find(kubelet, namespace, pod, name)?;
    let tty = yes(query, "tty", "tty");
    let request = v1::ExecRequest {
        container_id: container.id,
        cmd: words(query, "command"),
        tty,
        stdin: yes(query, "input", "stdin"),
        stdout: yes(query, "output", "stdout"),
        stderr: yes(query, "error", "stderr") && !tty,
    };
    if !request.stdin && !request.stdout && !request.stderr {
        return Err(text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr"));
    }
    kubelet.runtime.exec(request).await.map(|a| a.url).map_err(|e| failed(&e))
}

async fn attach(
    kubelet: &Kubelet,
    namespace: &str,
    pod: &str,
    name: &str,
    query: &Query,
) -> Result<String, Answer> {
    let container = find(kubelet, namespace, pod, name)?;
    let handle = kubelet.workers.find(namespace, pod);
    let tty = handle.is_some_and(|h| {
        use crate::pod::facts::PodFacts;
        h.pod().containers().iter().any(|(_, c)| c.name == name && c.tty == Some(true))
    });
    let request = v1::AttachRequest {
        container_id: container.id,
        tty,
        stdin: yes(query, "input", "stdin"),
        stdout: yes(query, "output", "stdout"),
        stderr: yes(query, "error", "stderr") && !tty,
    };
    if !request.stdin && !request.stdout && !request.stderr {
        return Err(text(StatusCode::BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr"));
    }
    kubelet.runtime.attach(request).await.map(|a| a.url).map_err(|e| failed(&e))
}

async fn port_forward(
    kubelet: &Kubelet,
    namespace: &str,
    pod: &str,
    query: &Query,
) -> Result<String, Answer> {
    let missing = || text(StatusCode::NOT_FOUND, format!("pod \"{pod}\" not found\n"));
    let handle = kubelet.workers.find(namespace, pod).ok_or_else(missing)?;
    let sandbox = handle.view().observed.sandbox().filter(|s| s.ready).map(|s| s.id.clone());
    let pod_sandbox_id = sandbox.ok_or_else(missing)?;
    let names = words(query, "port").into_iter().chain(words(query, "ports"));
    let port = names.flat_map(|p| p.split(',').map(str::to_owned).collect::<Vec<_>>());
    let port = port.filter_map(|p| p.parse().ok()).collect(); // SPDY names its ports later, stream by stream
    let request = v1::PortForwardRequest { pod_sandbox_id, port };
    kubelet.runtime.port_forward(request).await.map(|a| a.url).map_err(|e| failed(&e))
}

async fn run(kubelet: &Kubelet, namespace: &str, pod: &str, name: &str, query: &Query) -> Answer {
    let container = match find(kubelet, namespace, pod, name) {
        Ok(container) => container,
        Err(answer) => return answer,
    };
    let cmd = words(query, "cmd")
        .iter()
        .flat_map(|c| c.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let request = v1::ExecSyncRequest { container_id: container.id, cmd, timeout: 0 };
    match kubelet.runtime.exec_sync(request).await {
        Ok(answer) => {
            let mut out = answer.stdout;
            out.extend(answer.stderr);
            let body = String::from_utf8_lossy(&out).into_owned();
            if answer.exit_code == 0 {
                text(StatusCode::OK, body)
            } else {
                let message = format!(
                    "command '{}' exited with {}: {body}",
                    words(query, "cmd").join(" "),
                    answer.exit_code
                );
                text(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
        Err(e) => failed(&e),
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Passes an upgrade on to the runtime's streaming server, and then every byte both ways.
async fn proxy(mut request: Request<Incoming>, url: &str) -> Result<Answer, BoxError> {
    let target: http::Uri = url.parse()?;
    let authority = target.authority().ok_or("the runtime's address has no host")?.clone();
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "Connection to the runtime ended");
        }
    });
    let path = target.path_and_query().map_or("/", |p| p.as_str());
    let mut onward =
        Request::builder().method(request.method().clone()).uri(path).body(Empty::<bytes::Bytes>::new())?;
    *onward.headers_mut() = upgrade_headers(request.headers());
    onward.headers_mut().insert(header::HOST, http::HeaderValue::from_str(authority.as_str())?);
    let mut answer = sender.send_request(onward).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (head, body) = answer.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let mut out = Response::from_parts(head, web::full(bytes));
        out.headers_mut().remove(header::CONNECTION);
        out.headers_mut().remove(header::TRANSFER_ENCODING);
        return Ok(out);
    }
    let mut out = Response::new(web::empty());
    *out.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *out.headers_mut() = answer.headers().clone();
    let theirs = hyper::upgrade::on(&mut answer);
    let ours = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Err(error) = web::splice(ours, theirs).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "Stream ended");
        }
    });
    Ok(out)
}

/// What belongs to the upgrade; who asked and with which right is not the runtime's business.
fn upgrade_headers(all: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    for (name, value) in all {
        if name != header::AUTHORIZATION && name != header::HOST && name != header::CONTENT_LENGTH {
            out.append(name.clone(), value.clone());
        }
    }
    out
}
