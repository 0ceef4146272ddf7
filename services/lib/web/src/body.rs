//! Response bodies.

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body of any shape.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body known whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// The writing end of a streamed body. Dropping it ends the body.
#[derive(Debug, Clone)]
pub struct BodySender(mpsc::Sender<Result<Bytes, BoxError>>);

impl BodySender {
    /// Sends a piece, waiting while the peer is slow.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.0.send(Ok(bytes)).await.map_err(|_| Gone)
    }

    /// Ends the body with an error, so that the peer sees a cut and not a proper end.
    pub async fn abort(self, error: BoxError) -> Result<(), Gone> {
        self.0.send(Err(error)).await.map_err(|_| Gone)
    }

    /// Completes when the reader is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// The reader of a streamed body is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client went away")]
pub struct Gone;

/// A body written piece by piece; at most `depth` pieces wait in between.
pub fn channel(depth: usize) -> (BodySender, Body) {
    let (sender, receiver) = mpsc::channel(depth.max(1));
    let pieces =
        futures_util::stream::unfold(receiver, |mut r| async move { r.recv().await.map(|p| (p, r)) });
    (BodySender(sender), StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync())
}
