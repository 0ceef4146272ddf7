//! Answers as WebSocket messages, for clients that cannot read a stream: watches and logs.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/handlers/watch.go` `HandleWS`,
//! `k8s.io/streaming/pkg/httpstream/wsstream/stream.go`

use base64::Engine as _;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use web::Body;

use crate::errors::{self, Result};

const BEARER: &str = "base64url.bearer.authorization.k8s.io.";
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How an answer becomes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Events, a line each.
    Lines,
    /// Events with their length before them.
    Framed,
    /// Bytes, in pieces as they come.
    Pieces,
    /// The same in base64.
    Encoded,
}

/// A client's wish to speak WebSocket.
pub struct Wish {
    upgrade: OnUpgrade,
    accept: String,
    protocols: Vec<String>,
}

fn says(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
}

/// The last message of a connection that ends as it should: clients take one without a code for a failure.
pub fn farewell() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

/// The subprotocols a request names that asks for a WebSocket.
pub fn protocols(headers: &HeaderMap) -> Vec<String> {
    if !says(headers, header::UPGRADE, "websocket") || !says(headers, header::CONNECTION, "upgrade") {
        return Vec::new();
    }
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let protocols = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    protocols.map(|p| p.trim().to_owned()).filter(|p| !p.starts_with(BEARER)).collect()
}

impl Wish {
    /// The wish of a request, if it has one.
    pub fn read<B>(request: &mut http::Request<B>) -> Option<Self> {
        let headers = request.headers();
        let asks =
            says(headers, header::UPGRADE, "websocket") && says(headers, header::CONNECTION, "upgrade");
        let key = headers.get(header::SEC_WEBSOCKET_KEY)?.to_str().ok().filter(|_| asks)?;
        let digest =
            ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
        let accept = base64::engine::general_purpose::STANDARD.encode(digest);
        let protocols = protocols(headers);
        Some(Self { accept, protocols, upgrade: hyper::upgrade::on(request) })
    }

    /// The subprotocols the client knows.
    pub fn protocols(&self) -> &[String] {
        &self.protocols
    }

    /// The answer that grants it with a subprotocol, and what becomes the connection once that is sent.
    ///
    /// # Errors
    /// The answer cannot be made.
    pub fn accept(self, protocol: Option<&str>) -> Result<(Response<Body>, OnUpgrade)> {
        let mut switch = Response::new(web::empty());
        *switch.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = switch.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        let accept = HeaderValue::from_str(&self.accept).map_err(errors::internal)?;
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(protocol) = protocol {
            let chosen = HeaderValue::from_str(protocol).map_err(errors::internal)?;
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
        }
        Ok((switch, self.upgrade))
    }

    /// How a log is wanted: the first protocol both know.
    pub fn log_content(&self) -> Content {
        let base64 = self.protocols.iter().find(|p| p.ends_with("binary.k8s.io"));
        if base64.is_some_and(|p| p == "base64.binary.k8s.io") { Content::Encoded } else { Content::Pieces }
    }

    /// Hands a successful answer on as messages; an error stays what it is.
    ///
    /// # Errors
    /// The answer cannot be made.
    pub fn grant(self, answer: Response<Body>, content: Content) -> Result<Response<Body>> {
        if !answer.status().is_success() {
            return Ok(answer);
        }
        let protocol = self.protocols.first().cloned();
        let (switch, upgrade) = self.accept(protocol.as_deref())?;
        let body = answer.into_body();
        tokio::spawn(async move {
            if let Err(error) = pump(upgrade, body, content).await {
                tracing::debug!(error = %error, "a WebSocket ended");
            }
        });
        Ok(switch)
    }
}

async fn pump(
    upgrade: OnUpgrade,
    mut body: Body,
    content: Content,
) -> std::result::Result<(), web::BoxError> {
    let io = TokioIo::new(upgrade.await?);
    let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    let (mut sink, mut source) = socket.split();
    let mut waiting = BytesMut::new();
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // what the client says is not listened to, only that it leaves
            said = source.next() => match said {
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(()),
            },
        };
        let Some(frame) = frame else { break };
        let Ok(data) = frame?.into_data() else { continue };
        waiting.extend_from_slice(&data);
        while let Some(message) = next(&mut waiting, content) {
            sink.send(message).await?;
        }
    }
    sink.send(farewell()).await?;
    Ok(())
}

/// The next whole message of what has come so far.
fn next(waiting: &mut BytesMut, content: Content) -> Option<Message> {
    if waiting.is_empty() {
        return None;
    }
    match content {
        Content::Lines => {
            let end = waiting.iter().position(|byte| *byte == b'\n')?;
            let line = waiting.split_to(end + 1);
            Some(Message::text(String::from_utf8_lossy(&line).into_owned()))
        }
        Content::Framed => {
            let length = u32::from_be_bytes(waiting.get(..4)?.try_into().ok()?) as usize;
            if waiting.len() < 4 + length {
                return None;
            }
            waiting.advance(4);
            Some(Message::binary(waiting.split_to(length).freeze()))
        }
        Content::Pieces => Some(Message::binary(waiting.split().freeze())),
        Content::Encoded => {
            let piece: Bytes = waiting.split().freeze();
            Some(Message::text(base64::engine::general_purpose::STANDARD.encode(piece)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let all = |text: &[u8], content| {
            let mut waiting = BytesMut::from(text);
            let mut found = Vec::new();
            while let Some(message) = next(&mut waiting, content) {
                found.push(message.into_data().to_vec());
            }
            (found, waiting.len())
        };
        assert_eq!(all(b"a\nb\nc", Content::Lines), (vec![b"a\n".to_vec(), b"b\n".to_vec()], 1));
        assert_eq!(all(b"\0\0\0\x01a\0\0\0\x02b", Content::Framed), (vec![b"a".to_vec()], 5));
        assert_eq!(all(b"ab", Content::Pieces), (vec![b"ab".to_vec()], 0));
        assert_eq!(all(b"ab", Content::Encoded), (vec![b"YWI=".to_vec()], 0));
    }
}
