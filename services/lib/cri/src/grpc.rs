//! Unary and server-streaming gRPC calls over a unix socket.

use std::marker::PhantomData;
use std::path::PathBuf;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// Messages larger than this are refused, as upstream's client does.
const MAX_MESSAGE: usize = 16 << 20;

/// gRPC's status codes, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u16);

impl Code {
    /// The thing is not there.
    pub const NOT_FOUND: Code = Code(5);
    /// Too late.
    pub const DEADLINE_EXCEEDED: Code = Code(4);
    /// The call does not exist there.
    pub const UNIMPLEMENTED: Code = Code(12);
    /// Nobody answers.
    pub const UNAVAILABLE: Code = Code(14);

    /// Upstream's spelling.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "OK",
            1 => "Canceled",
            3 => "InvalidArgument",
            4 => "DeadlineExceeded",
            5 => "NotFound",
            6 => "AlreadyExists",
            7 => "PermissionDenied",
            8 => "ResourceExhausted",
            9 => "FailedPrecondition",
            10 => "Aborted",
            11 => "OutOfRange",
            12 => "Unimplemented",
            13 => "Internal",
            14 => "Unavailable",
            15 => "DataLoss",
            16 => "Unauthenticated",
            _ => "Unknown",
        }
    }
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime's socket cannot be reached.
    #[error("connecting to {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke under the call.
    #[error("calling {method}")]
    Transport {
        /// The call.
        method: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The runtime answered with a failure; rendered as Go's gRPC does, since events show it.
    #[error("rpc error: code = {} desc = {message}", code.name())]
    Status {
        /// What kind.
        code: Code,
        /// The runtime's text.
        message: String,
    },
}

impl Error {
    /// Whether what the call is about is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { code: Code::NOT_FOUND, .. })
    }

    /// Whether the runtime does not know the call.
    pub fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Status { code: Code::UNIMPLEMENTED, .. })
    }
}

type Sender = http2::SendRequest<Full<Bytes>>;

/// A connection to a unix socket; made on first use and again when it is lost.
#[derive(Debug)]
pub struct Connection {
    path: PathBuf,
    current: Mutex<Option<Sender>>,
}

impl Connection {
    /// To this socket.
    pub fn new(path: PathBuf) -> Self {
        Self { path, current: Mutex::new(None) }
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Connect { path: self.path.clone(), source: source.into() }
    }

    async fn sender(&self) -> Result<Sender, Error> {
        let mut current = self.current.lock().await;
        if let Some(sender) = current.as_ref().filter(|s| !s.is_closed()) {
            return Ok(sender.clone());
        }
        let io = TokioIo::new(UnixStream::connect(&self.path).await.map_err(|e| self.broken(e))?);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(io)
            .await
            .map_err(|e| self.broken(e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = &error as &dyn std::error::Error, "Runtime connection ended");
            }
        });
        *current = Some(sender.clone());
        Ok(sender)
    }

    async fn send(
        &self,
        method: &'static str,
        message: &impl Message,
    ) -> Result<http::Response<Incoming>, Error> {
        let mut body = BytesMut::with_capacity(message.encoded_len() + 5);
        body.put_u8(0);
        body.put_u32(u32::try_from(message.encoded_len()).map_err(|e| self.broken(e))?);
        message.encode(&mut body).map_err(|e| self.broken(e))?;
        let mut request = Request::post(format!("http://localhost{method}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Full::new(body.freeze()))
            .map_err(|e| self.broken(e))?;
        loop {
            let mut sender = self.sender().await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut failed) => {
                    let unsent = failed.take_message();
                    *self.current.lock().await = None;
                    match unsent {
                        Some(again) => request = again,
                        None => return Err(Error::Transport { method, source: failed.into_error().into() }),
                    }
                }
            }
        }
    }

    /// One message each way.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn call<A: Message, R: Message + Default>(
        &self,
        method: &'static str,
        message: A,
    ) -> Result<R, Error> {
        let (head, body) = self.send(method, &message).await?.into_parts();
        status(&head.headers)?;
        let transport = |source: hyper::Error| Error::Transport { method, source: source.into() };
        let collected = body.collect().await.map_err(transport)?;
        if let Some(trailers) = collected.trailers() {
            status(trailers)?;
        }
        let mut bytes = collected.to_bytes();
        decode(method, &mut bytes)
    }

    /// One message there, many back.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stream<A: Message, R: Message + Default>(
        &self,
        method: &'static str,
        message: A,
    ) -> Result<Stream<R>, Error> {
        let (head, body) = self.send(method, &message).await?.into_parts();
        status(&head.headers)?;
        Ok(Stream { method, body, buffer: BytesMut::new(), message: PhantomData })
    }
}

fn decode<R: Message + Default>(method: &'static str, bytes: &mut Bytes) -> Result<R, Error> {
    R::decode(unframe(method, bytes)?).map_err(|e| Error::Transport { method, source: e.into() })
}

/// Takes one message out of its frame.
pub(crate) fn unframe(method: &'static str, bytes: &mut Bytes) -> Result<Bytes, Error> {
    let short = || Error::Transport { method, source: "message is cut short".into() };
    if bytes.remaining() < 5 {
        return Err(short());
    }
    let (compressed, length) = (bytes.get_u8(), bytes.get_u32() as usize);
    if compressed != 0 || length > MAX_MESSAGE || bytes.remaining() < length {
        return Err(short());
    }
    Ok(bytes.split_to(length))
}

fn status(headers: &HeaderMap) -> Result<(), Error> {
    let Some(code) = headers.get("grpc-status").and_then(|c| c.to_str().ok()) else { return Ok(()) };
    let code = Code(code.parse().unwrap_or(2)); // not a number: unknown
    if code.0 == 0 {
        return Ok(());
    }
    let message = headers.get("grpc-message").map_or(&b""[..], |m| m.as_bytes());
    Err(Error::Status { code, message: percent_decode(message) })
}

/// gRPC sends messages percent-encoded.
fn percent_decode(text: &[u8]) -> String {
    let hex = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while i < text.len() {
        match (text[i], text.get(i + 1).and_then(|b| hex(*b)), text.get(i + 2).and_then(|b| hex(*b))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                i += 3;
            }
            (byte, ..) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The answers of a server-streaming call.
#[derive(Debug)]
pub struct Stream<R> {
    method: &'static str,
    body: Incoming,
    buffer: BytesMut,
    message: PhantomData<fn() -> R>,
}

impl<R: Message + Default> Stream<R> {
    /// The next answer; `None` at the proper end.
    ///
    /// # Errors
    /// The connection broke or the runtime ended the call with a failure.
    pub async fn next(&mut self) -> Result<Option<R>, Error> {
        loop {
            if self.buffer.len() >= 5 {
                let length =
                    u32::from_be_bytes([self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]]);
                if self.buffer.len() >= 5 + length as usize {
                    let mut frame = self.buffer.split_to(5 + length as usize).freeze();
                    return decode(self.method, &mut frame).map(Some);
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(e)) => return Err(Error::Transport { method: self.method, source: e.into() }),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            status(&trailers)?;
                        }
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_read_from_trailers() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", "5".parse().unwrap());
        headers.insert("grpc-message", "no%20such%0athing%".parse().unwrap());
        let error = status(&headers).unwrap_err();
        assert!(error.is_not_found());
        assert_eq!(error.to_string(), "rpc error: code = NotFound desc = no such\nthing%");
    }
}
