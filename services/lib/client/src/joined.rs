//! Small writes become one: the frames of many requests leave as one TLS record and one system call.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// One HTTP/2 frame of the largest usual size and what precedes it.
const CAPACITY: usize = (16 << 10) + 512;

/// Gathers writes until a flush.
///
/// It does not offer vectored writes, on purpose: where they are offered, HTTP/2 passes bodies of 256 bytes and more on by
/// themselves, each followed by a flush, where otherwise it gathers all that wait to be sent (up to 1 KiB each).
pub(crate) struct Joined<T>(BufWriter<T>);

impl<T: AsyncWrite> Joined<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self(BufWriter::with_capacity(CAPACITY, inner))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Joined<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Joined<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};

    use super::Joined;

    #[tokio::test]
    async fn writes_wait_for_the_flush() {
        let (ours, mut theirs) = duplex(1 << 20);
        let mut joined = Joined::new(ours);
        assert!(!joined.is_write_vectored());
        joined.write_all(b"some ").await.unwrap();
        joined.write_all(b"frames").await.unwrap();
        let mut seen = [0; 32];
        let early = tokio::time::timeout(std::time::Duration::ZERO, theirs.read(&mut seen)).await;
        assert!(early.is_err(), "nothing leaves before the flush");
        joined.flush().await.unwrap();
        let read = theirs.read(&mut seen).await.unwrap();
        assert_eq!(&seen[..read], b"some frames");
        let large = vec![7; 100_000];
        joined.write_all(&large).await.unwrap();
        joined.flush().await.unwrap();
        let mut all = vec![0; large.len()];
        theirs.read_exact(&mut all).await.unwrap();
        assert_eq!(all, large);
    }
}
