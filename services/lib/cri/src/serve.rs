//! Answering unary gRPC calls on a unix socket.

use std::convert::Infallible;
use std::future::Future;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::net::UnixListener;

use crate::authority::Mended;
use crate::grpc::{Code, unframe};

/// Questions longer than this are not read.
const MAX_QUESTION: usize = 4 << 20;

/// A call is not done.
#[derive(Debug)]
pub struct Refusal {
    /// What kind.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// Of no kind gRPC has a name for, as Go's servers send plain errors.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self { code: Code(2), message: message.into() }
    }
}

/// An encoded answer.
pub type Answer = Result<Vec<u8>, Refusal>;

/// Reads a question and writes its answer.
///
/// # Errors
/// The question is no such message, or `act` refuses.
pub async fn answer<Q, R, F>(question: Bytes, act: impl FnOnce(Q) -> F) -> Answer
where
    Q: Message + Default,
    R: Message,
    F: Future<Output = Result<R, Refusal>>,
{
    let question = Q::decode(question).map_err(|e| Refusal { code: Code(13), message: e.to_string() })?;
    Ok(act(question).await?.encode_to_vec())
}

/// Answers calls until dropped; `handler` gets the call's path and its message.
pub async fn serve<H, F>(listener: UnixListener, handler: H)
where
    H: Fn(String, Bytes) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "Accepting on a plugin socket");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let handler = handler.clone();
        let service = service_fn(move |request| respond(handler.clone(), request));
        connections.spawn(async move {
            let serving = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(Mended::new(stream)), service);
            if let Err(error) = serving.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "Connection of a plugin ended");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn respond<H, F>(handler: H, request: Request<Incoming>) -> Result<Response<Body>, Infallible>
where
    H: Fn(String, Bytes) -> F,
    F: Future<Output = Answer>,
{
    let path = request.uri().path().to_owned();
    let answer = match Limited::new(request.into_body(), MAX_QUESTION).collect().await {
        Ok(body) => {
            let mut framed = body.to_bytes();
            match unframe("", &mut framed) {
                Ok(question) => handler(path, question).await,
                Err(e) => Err(Refusal { code: Code(13), message: e.to_string() }),
            }
        }
        Err(e) => Err(Refusal { code: Code(13), message: e.to_string() }),
    };
    let mut data = BytesMut::new();
    let (code, message) = match answer {
        Ok(answer) => {
            data.put_u8(0);
            data.put_u32(u32::try_from(answer.len()).unwrap_or(u32::MAX)); // answers are short
            data.extend_from_slice(&answer);
            (0, String::new())
        }
        Err(refusal) => (refusal.code.0, refusal.message),
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    if let Ok(text) = HeaderValue::from_str(&encode(&message)) {
        trailers.insert("grpc-message", text);
    }
    let body = Full::new(data.freeze()).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// gRPC sends messages percent-encoded.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (0x20..0x7f).contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
