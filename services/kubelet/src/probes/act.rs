//! One look at a container: a command, a request, a connection. Hooks use the same means.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cri::v1;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::{Container, GRPCAction, HTTPGetAction, LifecycleHandler, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;

use crate::pod::facts::PodFacts;

use super::{HttpTarget, Surroundings, http_get};

/// What a look found.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All is well.
    Good,
    /// It is not, and why.
    Bad(String),
    /// There was no way to look.
    Unknown(String),
}

/// The text Go has for an error of the system: `connection refused`.
fn go_error(e: &std::io::Error) -> String {
    match e.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => e.to_string(),
    }
}

/// A connection, or why there is none, as Go says it.
///
/// # Errors
/// `dial tcp 10.0.0.1:80: connect: connection refused` and the like.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let failed = |e| {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("dial tcp {host}:{port}: connect: {}", go_error(&e))
    };
    TcpStream::connect((host, port)).await.map_err(failed)
}

/// A port by number, or by its name in the container.
pub fn port(c: &Container, port: &IntOrString) -> Option<u16> {
    match port {
        IntOrString::Int(number) => u16::try_from(*number).ok(), // checked by the API server
        IntOrString::String(name) => {
            let named = c.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name));
            match named {
                Some(p) => u16::try_from(p.container_port).ok(), // as above
                None => name.parse().ok(),                       // neither name nor number: no port
            }
        }
    }
}

/// Where a request goes.
pub fn target(c: &Container, action: &HTTPGetAction, ip: &str, agent: &str) -> Option<HttpTarget> {
    let headers = action.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone()));
    Some(HttpTarget {
        https: action.scheme.as_deref() == Some("HTTPS"),
        host: action.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| ip.to_owned()),
        port: port(c, &action.port)?,
        path: action.path.clone().unwrap_or_else(|| "/".into()),
        headers: headers.collect(),
        agent: agent.to_owned(),
    })
}

/// Looks once.
pub async fn probe(
    around: &Surroundings,
    id: &str,
    c: &Container,
    probe: &Probe,
    timeout: Duration,
) -> Outcome {
    let no_port = || Outcome::Unknown("invalid port".into());
    if let Some(action) = &probe.exec {
        return command(&around.runtime, id, action.command.clone().unwrap_or_default(), timeout).await;
    }
    if let Some(action) = &probe.http_get {
        let Some(target) = target(c, action, &around.ip, "kube-probe/1.36") else { return no_port() };
        return request(&target, timeout).await;
    }
    if let Some(action) = &probe.tcp_socket {
        let Some(port) = port(c, &action.port) else { return no_port() };
        let host = action.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| around.ip.clone());
        return match tokio::time::timeout(timeout, dial(&host, port)).await {
            Ok(Ok(_)) => Outcome::Good,
            Ok(Err(text)) => Outcome::Bad(text),
            Err(_) => Outcome::Bad(format!("dial tcp {host}:{port}: i/o timeout")),
        };
    }
    if let Some(action) = &probe.grpc {
        return match tokio::time::timeout(timeout, health(&around.ip, action)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Bad(format!(
                "timeout: failed to connect service \"{}:{}\" within {}s: context deadline exceeded",
                around.ip,
                action.port,
                timeout.as_secs()
            )),
        };
    }
    Outcome::Unknown("missing probe handler".into())
}

async fn command(runtime: &cri::Runtime, id: &str, cmd: Vec<String>, timeout: Duration) -> Outcome {
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
    let request = v1::ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: seconds };
    match runtime.exec_sync(request).await {
        Ok(answer) if answer.exit_code == 0 => Outcome::Good,
        Ok(answer) => {
            let mut text = String::from_utf8_lossy(&answer.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&answer.stderr));
            Outcome::Bad(text)
        }
        Err(cri::Error::Status { code: cri::Code::DEADLINE_EXCEEDED, .. }) => {
            Outcome::Bad(format!("command timed out after {}s", timeout.as_secs()))
        }
        Err(e) => Outcome::Unknown(crate::chain(&e)),
    }
}

async fn request(target: &HttpTarget, timeout: Duration) -> Outcome {
    let url = target.url();
    match tokio::time::timeout(timeout, http_get(target)).await {
        Ok(Ok(answer)) if (200..400).contains(&answer.code) => Outcome::Good,
        Ok(Ok(answer)) => Outcome::Bad(format!("HTTP probe failed with statuscode: {}", answer.code)),
        Ok(Err(e)) => Outcome::Bad(format!("Get \"{url}\": {}", crate::chain(&*e))),
        Err(_) => Outcome::Bad(format!(
            "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )),
    }
}

/// `grpc.health.v1.Health/Check`.
async fn health(ip: &str, action: &GRPCAction) -> Outcome {
    let service = action.service.clone().unwrap_or_default();
    let mut message = BytesMut::new();
    if !service.is_empty() {
        prost::encoding::string::encode(1, &service, &mut message);
    }
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend(&message);
    let call = async {
        let port = u16::try_from(action.port)?;
        let stream = TcpStream::connect((ip, port)).await?;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
        let request = http::Request::post(format!("http://{ip}:{port}/grpc.health.v1.Health/Check"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("user-agent", "kube-probe/1.36")
            .body(Full::new(Bytes::from(body)))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let collected = body.collect().await?;
        drop(connection);
        let in_trailers = collected.trailers().and_then(|t| t.get("grpc-status")).cloned();
        let code = in_trailers.or_else(|| head.headers.get("grpc-status").cloned());
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((code, collected.to_bytes()))
    };
    match call.await {
        // the answer's one field is its status: 1 is SERVING
        Ok((code, bytes)) if code.as_ref().is_none_or(|c| c == "0") => match bytes.get(5..) {
            Some([0x08, 1, ..]) => Outcome::Good,
            Some([0x08, status, ..]) => {
                let name = match status {
                    2 => "NOT_SERVING",
                    3 => "SERVICE_UNKNOWN",
                    _ => "UNKNOWN",
                };
                Outcome::Bad(format!("service unhealthy (responded with \"{name}\")"))
            }
            _ => Outcome::Bad("service unhealthy (responded with \"UNKNOWN\")".into()),
        },
        Ok((code, _)) => Outcome::Bad(format!("error: health rpc probe failed: status {code:?}")),
        Err(e) => Outcome::Bad(format!("error: health rpc probe failed: {}", crate::chain(&*e))),
    }
}

/// Runs a lifecycle hook.
///
/// # Errors
/// Its failure, in upstream's words.
///
/// # Upstream
/// `pkg/kubelet/lifecycle/handlers.go`
pub async fn hook(
    runtime: &cri::Runtime,
    id: &str,
    pod: &Pod,
    c: &Container,
    handler: &LifecycleHandler,
    ip: &str,
) -> Result<(), String> {
    let whose = format!("for Container \"{}\" in Pod \"{}\" failed - error", c.name, pod.full_name());
    if let Some(action) = &handler.exec {
        let cmd = action.command.clone().unwrap_or_default();
        let shown = cmd.join(" ");
        let request = v1::ExecSyncRequest { container_id: id.to_owned(), cmd, timeout: 0 };
        return match runtime.exec_sync(request).await {
            Ok(answer) if answer.exit_code == 0 => Ok(()),
            Ok(answer) => Err(format!(
                "Exec lifecycle hook ([{shown}]) {whose}: command '{shown}' exited with {}: {}, message: {:?}",
                answer.exit_code,
                String::from_utf8_lossy(&answer.stderr),
                String::from_utf8_lossy(&[answer.stdout, answer.stderr.clone()].concat()),
            )),
            Err(e) => {
                Err(format!("Exec lifecycle hook ([{shown}]) {whose}: {}, message: \"\"", crate::chain(&e)))
            }
        };
    }
    if let Some(action) = &handler.http_get {
        let target = target(c, action, ip, "kube-lifecycle/1.36").ok_or("invalid port")?;
        let answer = match http_get(&target).await {
            // upstream tries again in plain text what answers TLS with plain text
            Err(_) if target.https => http_get(&HttpTarget { https: false, ..target }).await,
            other => other,
        };
        return match answer {
            Ok(answer) if (200..400).contains(&answer.code) => Ok(()),
            Ok(answer) => Err(format!(
                "HTTP lifecycle hook ({}) {whose}: HTTP probe failed with statuscode: {}",
                action.path.as_deref().unwrap_or_default(),
                answer.code
            )),
            Err(e) => Err(format!(
                "HTTP lifecycle hook ({}) {whose}: {}",
                action.path.as_deref().unwrap_or_default(),
                crate::chain(&*e)
            )),
        };
    }
    if let Some(action) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    Err(format!("invalid handler: {handler:?}"))
}
