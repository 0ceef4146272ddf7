//! The transport under the generated clients: one HTTP/2 connection, made on demand and made again when it is lost.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Mutex;
use tonic::body::Body;

use crate::Endpoint;

/// Any error of the transport; tonic turns it into a status with this as its source.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An endpoint that does not take the connection within this time is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Flow-control windows: a list page of some megabytes shall not wait for window updates.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Larger frames than HTTP/2's default 16 KiB: fewer headers on large pages.
const MAX_FRAME: u32 = 256 << 10;

/// A shared connection to one of several endpoints. Clones share it.
#[derive(Debug, Clone)]
pub struct Channel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    connection: Mutex<Connection>,
}

#[derive(Debug, Default)]
struct Connection {
    sender: Option<SendRequest<Body>>,
    /// The endpoint used last; the next attempt begins with the one after it.
    used: usize,
}

impl Channel {
    /// A channel over `endpoints`; connects with the first request.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self { inner: Arc::new(Inner { endpoints, connection: Mutex::default() }) }
    }
}

impl Inner {
    async fn sender(&self) -> Result<SendRequest<Body>, BoxError> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.sender.as_ref().filter(|s| !s.is_closed()) {
            return Ok(sender.clone());
        }
        let mut last: BoxError = "no endpoint given".into();
        let first = connection.used + usize::from(connection.sender.take().is_some());
        for at in first..first + self.endpoints.len() {
            let at = at % self.endpoints.len();
            match tokio::time::timeout(CONNECT_TIMEOUT, connect(&self.endpoints[at])).await {
                Ok(Ok(sender)) => {
                    *connection = Connection { sender: Some(sender.clone()), used: at };
                    return Ok(sender);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = "connecting took too long".into(),
            }
        }
        Err(last)
    }
}

async fn connect(endpoint: &Endpoint) -> Result<SendRequest<Body>, BoxError> {
    let io = TokioIo::new(endpoint.open().await?);
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .handshake(io)
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "Connection to the store ended");
        }
    });
    Ok(sender)
}

impl tower_service::Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(Authority::from_static("localhost"));
            *request.uri_mut() = Uri::from_parts(parts)?;
            let mut sender = inner.sender().await?;
            sender.ready().await?;
            Ok(sender.send_request(request).await?)
        })
    }
}
