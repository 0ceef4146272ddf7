//! The connection: one for HTTP/2, one more for each upgrade.

use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;

use crate::config::{ClusterConfig, ConfigError, Token};
use crate::error::from_response;
use crate::joined::Joined;
use crate::{Client, Error, tls};

/// The bytes of a connection after an upgrade (exec, port-forward).
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes taken from the kernel at once: TLS by itself asks for 4 KiB, a quarter of one of its own records.
const READ: usize = 32 << 10;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Sender = http2::SendRequest<Full<Bytes>>;

/// See [`Client`].
pub(crate) struct Connection {
    config: ClusterConfig,
    user_agent: HeaderValue,
    authority: Authority,
    /// The header of a token that does not change.
    token: Option<HeaderValue>,
    current: Mutex<Option<Sender>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("server", &self.authority.as_str()).finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(config: ClusterConfig, user_agent: &str) -> Result<Self, ConfigError> {
        tls::client_config(&config, b"h2")?; // unreadable certificates are told at start, not at first use
        let host = if config.host.contains(':') { format!("[{}]", config.host) } else { config.host.clone() };
        let authority = format!("{host}:{}", config.port);
        let authority =
            Authority::try_from(authority).map_err(|_| ConfigError::Server(config.host.clone()))?;
        let token = match &config.token {
            Some(Token::Inline(token)) => Some(bearer(token).map_err(|_| ConfigError::Token)?),
            _ => None,
        };
        let user_agent = HeaderValue::from_str(&format!("{user_agent}/{}", env!("CARGO_PKG_VERSION")))
            .unwrap_or(HeaderValue::from_static("k3s-rs"));
        Ok(Self { config, user_agent, authority, token, current: Mutex::new(None) })
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Connect { server: self.authority.to_string(), source: source.into() }
    }

    async fn dial(&self, protocol: &[u8]) -> Result<Box<dyn Io>, Error> {
        let config = tls::client_config(&self.config, protocol).map_err(|e| self.broken(e))?;
        let name = self.config.tls_name.as_ref().unwrap_or(&self.config.host).clone();
        let name = ServerName::try_from(name).map_err(|e| self.broken(e))?;
        let connector = tokio_rustls::TlsConnector::from(config);
        let dial = async {
            Ok::<Box<dyn Io>, std::io::Error>(match &self.config.socket {
                Some(path) => {
                    let unix = BufReader::with_capacity(READ, UnixStream::connect(path).await?);
                    Box::new(connector.connect(name, unix).await?)
                }
                None => {
                    let tcp = TcpStream::connect((self.config.host.as_str(), self.config.port)).await?;
                    tcp.set_nodelay(true)?;
                    Box::new(connector.connect(name, BufReader::with_capacity(READ, tcp)).await?)
                }
            })
        };
        let io = tokio::time::timeout(CONNECT_TIMEOUT, dial).await.map_err(|e| self.broken(e))?;
        io.map_err(|e| self.broken(e))
    }

    async fn sender(&self) -> Result<Sender, Error> {
        let mut current = self.current.lock().await;
        if let Some(sender) = current.as_ref().filter(|s| !s.is_closed()) {
            return Ok(sender.clone());
        }
        let io = TokioIo::new(Joined::new(self.dial(b"h2").await?));
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_timeout(Duration::from_secs(15))
            .keep_alive_while_idle(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .handshake(io)
            .await
            .map_err(|e| self.broken(e))?;
        let server = self.authority.to_string();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(server, error = &error as &dyn std::error::Error, "Connection ended");
            }
        });
        *current = Some(sender.clone());
        Ok(sender)
    }

    fn prepare(&self, request: &mut Request<Full<Bytes>>, absolute: bool) -> Result<(), Error> {
        if absolute {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.scheme = Some(Scheme::HTTPS);
            parts.authority = Some(self.authority.clone());
            parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from_parts(parts).map_err(http::Error::from)?;
        } else {
            let host = HeaderValue::from_str(self.authority.as_str()).map_err(http::Error::from)?;
            request.headers_mut().insert(header::HOST, host);
        }
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        let token = match &self.config.token {
            Some(Token::File(path)) => {
                let token = std::fs::read_to_string(path).map_err(|e| self.broken(e))?;
                Some(bearer(&token)?)
            }
            _ => self.token.clone(),
        };
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, token);
        }
        Ok(())
    }
}

fn bearer(token: &str) -> Result<HeaderValue, http::Error> {
    Ok(HeaderValue::from_str(&format!("Bearer {}", token.trim()))?)
}

impl Client {
    /// Sends a request (path and query as its URI) and gives the response, whatever its code, as soon as its head
    /// is there.
    ///
    /// # Errors
    /// No connection, or it broke. A request that was not sent because the connection had just closed is sent
    /// again on a new one.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        self.inner.prepare(&mut request, true)?;
        loop {
            let mut sender = self.inner.sender().await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut failed) => {
                    let again = failed.take_message();
                    // dropping the dead connection makes the next turn dial; dialling itself fails for good
                    *self.inner.current.lock().await = None;
                    match again {
                        Some(unsent) => request = unsent,
                        None => return Err(Error::Transport(failed.into_error().into())),
                    }
                }
            }
        }
    }

    /// Sends a request and gives the whole body of a success.
    ///
    /// # Errors
    /// As `send`; a non-2xx answer is `Error::Api`.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> Result<Bytes, Error> {
        let response = self.send(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| Error::Transport(e.into()))?.to_bytes();
        if head.status.is_success() { Ok(body) } else { Err(from_response(head.status, &body)) }
    }

    /// Sends an upgrade request over HTTP/1.1 on a connection of its own and gives the switched connection.
    ///
    /// # Errors
    /// As `call`; any answer but 101 is `Error::Api`.
    pub async fn upgrade(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(http::response::Parts, Upgraded), Error> {
        self.inner.prepare(&mut request, false)?;
        let io = TokioIo::new(self.inner.dial(b"http/1.1").await?);
        let (mut sender, connection) = http1::handshake(io).await.map_err(|e| self.inner.broken(e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(error = &error as &dyn std::error::Error, "Connection ended");
            }
        });
        let mut response = sender.send_request(request).await.map_err(|e| Error::Transport(e.into()))?;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|e| Error::Transport(e.into()))?;
            return Err(from_response(status, &body.to_bytes()));
        }
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(|e| Error::Transport(e.into()))?;
        Ok((response.into_parts().0, TokioIo::new(upgraded)))
    }

    /// The server's `host:port`.
    pub fn server(&self) -> &str {
        self.inner.authority.as_str()
    }
}
