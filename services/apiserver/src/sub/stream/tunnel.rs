//! Ports by WebSocket: each message carries a piece of the SPDY connection that client and runtime have with each other.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/util/proxy/streamtunnel.go`, `k8s.io/client-go/tools/portforward/tunneling_connection.go`

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use http::{Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use web::Body;

use super::{PROTOCOL, Target, ask, forward, granted};
use crate::errors::{self, Result};
use crate::http::response;
use crate::http::websocket::{Wish, farewell};
use crate::server::Server;

/// How the subprotocols begin and end that carry SPDY; between them stands what SPDY's ends agree on.
const PREFIX: &str = "SPDY/3.1+";
const SUFFIX: &str = ".k8s.io";

/// The bytes of one message at most.
const PIECE: usize = 32 << 10;

/// Whether a subprotocol carries SPDY.
pub(super) fn carries(protocol: &str) -> bool {
    protocol.starts_with(PREFIX) && protocol.ends_with(SUFFIX)
}

/// Connects a client with its kubelet.
pub(super) async fn serve(server: &Server, target: &Target, wish: Wish) -> Result<Response<Body>> {
    let carried = wish.protocols().iter().filter(|protocol| carries(protocol));
    let protocols: Vec<&str> = carried.filter_map(|protocol| protocol.strip_prefix(PREFIX)).collect();
    let answer = ask(server, target, &protocols).await;
    let mut answer = answer.map_err(|e| errors::internal(format!("error dialing backend: {e}")))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(forward::plain(answer));
    }
    if !granted(&answer) {
        let why = "unable to upgrade: missing upgrade headers in response\n";
        return Ok(response::text(StatusCode::INTERNAL_SERVER_ERROR, why));
    }
    let chosen = answer.headers().get(PROTOCOL).and_then(|value| value.to_str().ok());
    let chosen = chosen.map(|protocol| format!("{PREFIX}{}", protocol.trim()));
    let theirs = hyper::upgrade::on(&mut answer);
    let (switch, ours) = wish.accept(chosen.as_deref())?;
    tokio::spawn(async move {
        if let Err(error) = pump(ours, theirs).await {
            tracing::debug!(error = %error, "a tunnel ended");
        }
    });
    Ok(switch)
}

/// Carries bytes both ways until one end is gone.
async fn pump(ours: OnUpgrade, theirs: OnUpgrade) -> std::result::Result<(), web::BoxError> {
    let (ours, theirs) = tokio::try_join!(ours, theirs)?;
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(ours), Role::Server, None).await;
    let (mut sink, mut source) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(TokioIo::new(theirs));
    let up = async {
        while let Some(message) = source.next().await {
            match message? {
                Message::Binary(bytes) => writer.write_all(&bytes).await?,
                Message::Text(_) => return Err("invalid message type received".into()),
                _ => {} // the socket answers the others itself
            }
            writer.flush().await?;
        }
        Ok::<_, web::BoxError>(())
    };
    let down = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(PIECE);
            if reader.read_buf(&mut buffer).await? == 0 {
                break;
            }
            sink.send(Message::binary(buffer.split().freeze())).await?;
        }
        sink.send(farewell()).await?;
        Ok(())
    };
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subprotocols() {
        let cases = [
            ("SPDY/3.1+portforward.k8s.io", true),
            ("SPDY/3.1+portforward.example.com", false),
            ("portforward.k8s.io", false),
            ("v4.channel.k8s.io", false),
        ];
        for (protocol, wanted) in cases {
            assert_eq!(carries(protocol), wanted, "{protocol}");
        }
    }
}
