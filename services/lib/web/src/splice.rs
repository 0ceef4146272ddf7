//! Bytes handed through between two connections that speak another protocol now.

use std::io;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// Why nothing is handed through any more.
#[derive(Debug, thiserror::Error)]
pub enum SpliceError {
    /// One of the two did not become a stream.
    #[error("the connection was not upgraded")]
    Upgrade(#[from] hyper::Error),
    /// A stream broke.
    #[error("the stream broke")]
    Stream(#[from] io::Error),
}

/// Hands bytes through between two upgraded connections until one side ends, then closes both: a side that has
/// ended neither reads nor answers what comes after, and the other would wait for it for ever.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/util/proxy/upgradeaware.go` `tryUpgrade`
///
/// # Errors
/// An upgrade does not happen, or a connection breaks.
pub async fn splice(ours: OnUpgrade, theirs: OnUpgrade) -> Result<(), SpliceError> {
    let (ours, theirs) = tokio::try_join!(ours, theirs)?;
    Ok(join(TokioIo::new(ours), TokioIo::new(theirs)).await?)
}

async fn join<A, B>(ours: A, theirs: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let ((mut our_end, mut ours), (mut their_end, mut theirs)) =
        (tokio::io::split(ours), tokio::io::split(theirs));
    let copied = tokio::select! {
        copied = tokio::io::copy(&mut our_end, &mut theirs) => copied,
        copied = tokio::io::copy(&mut their_end, &mut ours) => copied,
    };
    // both, whatever becomes of the first
    let closed = tokio::join!(ours.shutdown(), theirs.shutdown());
    copied.map(drop).and(closed.0).and(closed.1)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// What the far side said before it ended arrives, and both sides are closed though the near one goes on.
    #[tokio::test]
    async fn one_end_closes_both() {
        let (mut client, ours) = duplex(64);
        let (mut server, theirs) = duplex(64);
        let joined = tokio::spawn(join(ours, theirs));
        client.write_all(b"in").await.unwrap();
        let mut got = [0; 2];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"in");
        server.write_all(b"last words").await.unwrap();
        drop(server);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        joined.await.unwrap().unwrap();
        assert!(client.write_all(b"more").await.is_err());
    }
}
