//! Requests of Go's gRPC over unix sockets, made readable.
//!
//! Such a client names the socket's path as `:authority`, which is none, and the HTTP/2 library ends the stream for it
//! before anybody is asked. Nobody here looks at authorities: on its way in the field becomes one more `user-agent`. Both
//! names are equally long, so both sides' tables of fields stay the same.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: usize = 24;
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// A literal that is remembered, its name being number 1 (`:authority`) or 58 (`user-agent`) of the static table.
const AUTHORITY: u8 = 0x40 | 1;
const USER_AGENT: u8 = 0x40 | 58;

/// A connection of a client whose authorities do not matter.
pub(crate) struct Mended<S> {
    stream: S,
    raw: BytesMut,
    whole: BytesMut,
    begun: bool,
}

impl<S> Mended<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, raw: BytesMut::new(), whole: BytesMut::new(), begun: false }
    }

    /// Moves what is complete on.
    fn sort(&mut self) {
        if !self.begun {
            if self.raw.len() < PREFACE {
                return;
            }
            self.whole.unsplit(self.raw.split_to(PREFACE));
            self.begun = true;
        }
        while self.raw.len() >= HEAD {
            let length =
                usize::from(self.raw[0]) << 16 | usize::from(self.raw[1]) << 8 | usize::from(self.raw[2]);
            if self.raw.len() < HEAD + length {
                return;
            }
            let mut frame = self.raw.split_to(HEAD + length);
            if frame[3] == HEADERS {
                let flags = frame[4];
                mend(flags, &mut frame[HEAD..]);
            }
            self.whole.unsplit(frame);
        }
    }
}

/// The end of an integer whose first byte has `bits` bits of it, and its value.
fn integer(block: &[u8], at: usize, bits: u32) -> Option<(usize, usize)> {
    let most = (1usize << bits) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    let mut at = at + 1;
    if value < most {
        return Some((value, at));
    }
    for shift in (0..28).step_by(7) {
        let byte = usize::from(*block.get(at)?);
        at += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

fn text(block: &[u8], at: usize) -> Option<usize> {
    let (length, at) = integer(block, at, 7)?;
    at.checked_add(length).filter(|end| *end <= block.len())
}

/// Renames the authority in a frame of fields; what is not understood is left to the library.
fn mend(flags: u8, payload: &mut [u8]) {
    let padded = usize::from(flags & PADDED != 0);
    let mut at = padded + if flags & PRIORITY != 0 { 5 } else { 0 };
    let padding = if padded == 1 { payload.first().map_or(0, |p| usize::from(*p)) } else { 0 };
    let end = payload.len().saturating_sub(padding);
    let block = &mut payload[..end];
    while let Some(first) = block.get(at).copied() {
        let bits = match first {
            0x80.. => 7,
            0x40.. => 6,
            0x20.. => 5,
            _ => 4,
        };
        let Some((index, mut next)) = integer(block, at, bits) else { return };
        if bits == 6 || bits == 4 {
            let texts = if index == 0 { 2 } else { 1 };
            for _ in 0..texts {
                let Some(after) = text(block, next) else { return };
                next = after;
            }
        }
        if first == AUTHORITY {
            block[at] = USER_AGENT;
        }
        at = next;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.whole.is_empty() {
                let length = self.whole.len().min(out.remaining());
                out.put_slice(&self.whole[..length]);
                self.whole.advance(length);
                return Poll::Ready(Ok(()));
            }
            let mut space = [0; 4096];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.raw.extend_from_slice(read.filled());
            self.sort();
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_becomes_a_user_agent() {
        // :method POST, :scheme http, :path /a, :authority %2Fx, te trailers
        let fields = b"\x83\x86\x44\x02/a\x41\x04%2Fx\x40\x02te\x08trailers";
        let mended = b"\x83\x86\x44\x02/a\x7a\x04%2Fx\x40\x02te\x08trailers";
        let cases: [(u8, &[u8], &[u8]); 3] =
            [(0, b"", b""), (PRIORITY, b"\0\0\0\0\0", b""), (PADDED, b"\x02", b"\x41\x41")];
        for (flags, before, after) in cases {
            let mut payload = [before, fields, after].concat();
            mend(flags, &mut payload);
            assert_eq!(payload, [before, mended, after].concat());
        }
        let mut cut = b"\x41\x40%2F".to_vec();
        mend(0, &mut cut);
        assert_eq!(cut, b"\x41\x40%2F");
    }

    #[tokio::test]
    async fn frames_come_in_pieces() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let headers = b"\0\0\x06\x01\x04\0\0\0\x01\x41\x04%2Fx";
        let data = b"\0\0\x02\0\x01\0\0\0\x01\x41\x41";
        let (mut client, server) = tokio::io::duplex(3);
        let sent = [&preface[..], headers, data].concat();
        let sending = tokio::spawn(async move { client.write_all(&sent).await });
        let mut seen = Vec::new();
        Mended::new(server).read_to_end(&mut seen).await.unwrap();
        sending.await.unwrap().unwrap();
        let mut wanted = [&preface[..], headers, data].concat();
        wanted[PREFACE + HEAD] = USER_AGENT;
        assert_eq!(seen, wanted);
    }
}
