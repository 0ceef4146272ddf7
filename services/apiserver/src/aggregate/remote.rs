//! The way to another API server: its Service's endpoints, and TLS under the name of the Service.
//!
//! # Upstream
//! `k8s.io/kube-aggregator/pkg/controllers/status/remote/remote_available_controller.go` `BuildTransportConfig`,
//! `k8s.io/apiserver/pkg/util/proxy/proxy.go` `ResolveEndpoint`

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use schema::Value;
use tokio::net::TcpStream;
use web::Body;

use crate::auth::{User, front_proxy};
use crate::server::Server;
use crate::sub;

/// How long a request of ours may take.
const OWN: Duration = Duration::from_secs(5);

/// Another API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its Service's namespace.
    pub namespace: String,
    /// Its Service's name.
    pub name: String,
    /// Its Service's port.
    pub port: u16,
    /// Whether anybody's certificate will do.
    pub insecure: bool,
    /// The authorities its certificate is judged by, as PEM.
    pub authority: Vec<u8>,
}

/// Why another server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    /// Its Service has no endpoint, or is none.
    #[error("{0}")]
    Nowhere(String),
    /// The TLS it asks for cannot be set up.
    #[error("{0}")]
    Tls(String),
    /// Nobody answers there.
    #[error("{0}")]
    Connection(String),
    /// It did not answer in time.
    #[error("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")]
    Slow,
}

/// A connection to one of a server's endpoints.
pub(super) struct Connection {
    /// Sends requests.
    pub(super) sender: SendRequest<Body>,
    /// `host:port` of the endpoint.
    pub(super) authority: String,
}

/// What another server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) media: String,
    pub(super) body: Bytes,
}

impl Remote {
    /// One of its endpoints, any: host and port.
    pub(super) fn resolve(&self, server: &Arc<Server>) -> Result<(String, u16), Unreachable> {
        let nowhere = Unreachable::Nowhere;
        let service = server.peek("", "services", &self.namespace, &self.name);
        let service = service.map_err(|e| nowhere(e.to_string()))?;
        let service = service.ok_or_else(|| nowhere(format!("service {:?} not found", self.name)))?;
        let kind = service.str_at(&["spec", "type"]);
        if !matches!(kind, "ClusterIP" | "LoadBalancer" | "NodePort") {
            return Err(nowhere(format!("unsupported service type {kind:?}")));
        }
        let ports = service.list_at(&["spec", "ports"]);
        let port = ports.iter().find(|p| int(p, "port") == Some(i64::from(self.port)));
        let port = port.ok_or_else(|| {
            nowhere(format!("no service port {} found for service {:?}", self.port, self.name))
        })?;
        let name = port.at(&["name"]).and_then(Value::as_str).unwrap_or("");
        let mut targets = sub::proxy::ready_endpoints(server, &self.namespace, &self.name, name)
            .map_err(|e| nowhere(e.to_string()))?;
        if targets.is_empty() {
            return Err(nowhere(format!("no endpoints available for service {:?}", self.name)));
        }
        let at = usize::from(uuid::Uuid::new_v4().as_bytes()[0]) % targets.len();
        Ok(targets.swap_remove(at))
    }

    /// The name its certificate must have.
    fn server_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }

    /// Dials an endpoint with the front proxy's certificate, which is read anew each time since it is renewed.
    pub(super) async fn connect(
        &self,
        server: &Server,
        host: &str,
        port: u16,
    ) -> Result<Connection, Unreachable> {
        let settings = &server.settings;
        let identity = match (&settings.proxy_client_cert_file, &settings.proxy_client_key_file) {
            (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
            _ => None,
        };
        let trust =
            if self.insecure { crate::tls::Trust::Anybody } else { crate::tls::Trust::Pem(&self.authority) };
        let config = crate::tls::config(trust, identity).map_err(|e| Unreachable::Tls(e.to_string()))?;
        let name = ServerName::try_from(self.server_name()).map_err(|e| Unreachable::Tls(e.to_string()))?;
        let broken =
            |e: &dyn std::fmt::Display| Unreachable::Connection(format!("dial tcp {host}:{port}: {e}"));
        let tcp = TcpStream::connect((host, port)).await.map_err(|e| broken(&e))?;
        tcp.set_nodelay(true).map_err(|e| broken(&e))?;
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        let tls = tls.map_err(|e| Unreachable::Connection(format!("tls: {e}")))?;
        let made = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await;
        let (sender, connection) = made.map_err(|e| broken(&e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(error = %error, "a connection to an aggregated server ended");
            }
        });
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Connection { sender, authority })
    }

    /// Asks it something for ourselves; the URL asked, and what came of it.
    pub(super) async fn get(
        &self,
        server: &Arc<Server>,
        path: &str,
        accept: &str,
    ) -> (String, Result<Answer, Unreachable>) {
        let (host, port) = match self.resolve(server) {
            Ok(target) => target,
            Err(error) => return (String::new(), Err(error)),
        };
        let asked = tokio::time::timeout(OWN, async {
            let mut connection = self.connect(server, &host, port).await?;
            let answer =
                connection.get(path, accept).await.map_err(|e| Unreachable::Connection(e.to_string()))?;
            let media = answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
            let (status, media) = (answer.status(), media.unwrap_or("").to_owned());
            let body =
                answer.into_body().collect().await.map_err(|e| Unreachable::Connection(e.to_string()))?;
            Ok::<_, Unreachable>(Answer { status, media, body: body.to_bytes() })
        });
        let url = format!("https://{host}:{port}{path}");
        (url, asked.await.unwrap_or(Err(Unreachable::Slow)))
    }
}

fn int(value: &Value, key: &str) -> Option<i64> {
    value.at(&[key]).and_then(Value::as_int)
}

impl Connection {
    async fn get(&mut self, path: &str, accept: &str) -> Result<Response<Incoming>, BadRequest> {
        let mut request = Request::builder().uri(path).body(web::empty())?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(&self.authority)?);
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept)?);
        let aggregator = User {
            name: "system:kube-aggregator".into(),
            groups: vec!["system:masters".into()],
            ..User::default()
        };
        speak_for(headers, &aggregator);
        Ok(self.sender.send_request(request).await?)
    }
}

/// Why a request of ours was not answered.
#[derive(Debug, thiserror::Error)]
enum BadRequest {
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error(transparent)]
    Header(#[from] header::InvalidHeaderValue),
    #[error(transparent)]
    Connection(#[from] hyper::Error),
}

/// Says for whom a request is made; what the client said about that is taken away.
///
/// # Upstream
/// `k8s.io/client-go/transport/round_trippers.go` `SetAuthProxyHeaders`
pub(super) fn speak_for(headers: &mut HeaderMap, user: &User) {
    front_proxy::clear(headers);
    let mut add = |name: HeaderName, value: &str| {
        // what no header can say is not said: the other server then knows less of the user, never more
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(name, value);
        }
    };
    add(HeaderName::from_static("x-remote-user"), &user.name);
    if !user.uid.is_empty() {
        add(HeaderName::from_static("x-remote-uid"), &user.uid);
    }
    for group in &user.groups {
        add(HeaderName::from_static("x-remote-group"), group);
    }
    for (key, values) in &user.extra {
        let name = HeaderName::try_from(format!("x-remote-extra-{}", escaped(key)));
        for value in values {
            if let Ok(name) = &name {
                add(name.clone(), value);
            }
        }
    }
}

/// A key as part of a header's name: what no header's name may have is percent-encoded, and the percent sign.
fn escaped(key: &str) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        if byte != b'%' && (byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte)) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_who_we_say() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", HeaderValue::from_static("system:admin"));
        headers.insert("x-remote-extra-evil", HeaderValue::from_static("1"));
        let extra = [("authentication.kubernetes.io/pod-name".to_owned(), vec!["p".to_owned()])];
        let user = User {
            name: "jane".into(),
            uid: "u1".into(),
            groups: vec!["a".into(), "b".into()],
            extra: extra.into_iter().collect(),
        };
        speak_for(&mut headers, &user);
        let all =
            |name: &str| headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect::<Vec<_>>();
        assert_eq!(all("x-remote-user"), ["jane"]);
        assert_eq!(all("x-remote-uid"), ["u1"]);
        assert_eq!(all("x-remote-group"), ["a", "b"]);
        assert_eq!(all("x-remote-extra-authentication.kubernetes.io%2fpod-name"), ["p"]);
        assert!(!headers.contains_key("x-remote-extra-evil"));
    }
}
