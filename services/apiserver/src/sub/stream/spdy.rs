//! The part of SPDY 3.1 that a client of exec and attach needs: open streams, send and receive data, answer pings.
//!
//! Header blocks are only written: what is said in the replies' is of no use here. They are compressed without SPDY's
//! dictionary, as zlib's format allows. Runtimes know no flow control and neither does this.
//!
//! # Upstream
//! `github.com/moby/spdystream`

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
/// The flag of a stream's last frame.
const FIN: u8 = 1;
/// The bytes of one data frame at most.
const PIECE: usize = 32 << 10;

/// What the other end says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A stream was accepted.
    Reply(u32),
    /// A piece of a stream, perhaps its last.
    Data { stream: u32, bytes: Bytes, last: bool },
    /// A stream is refused or torn down.
    Reset(u32),
    /// To be sent back where the number is even; otherwise it comes back.
    Ping(u32),
    /// Nothing will follow.
    Away,
    /// What a client need not know.
    Other,
}

/// Takes the first whole frame off what has come so far.
fn take(waiting: &mut BytesMut) -> Option<Frame> {
    let head: [u8; 8] = waiting.get(..8)?.try_into().ok()?;
    let [a, b, c, d, flags, x, y, z] = head;
    let length = u32::from_be_bytes([0, x, y, z]) as usize;
    if waiting.len() < 8 + length {
        waiting.reserve(8 + length - waiting.len());
        return None;
    }
    waiting.advance(8);
    let bytes = waiting.split_to(length).freeze();
    if a & 0x80 == 0 {
        return Some(Frame::Data { stream: u32::from_be_bytes([a, b, c, d]), bytes, last: flags & FIN != 0 });
    }
    let first = bytes.get(..4).map_or(0, |mut word| word.get_u32());
    Some(match u16::from_be_bytes([c, d]) {
        SYN_REPLY => Frame::Reply(first),
        RST_STREAM => Frame::Reset(first),
        PING => Frame::Ping(first),
        GOAWAY => Frame::Away,
        _ => Frame::Other,
    })
}

/// The receiving half of a connection.
pub(super) struct Reader<R> {
    io: R,
    waiting: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from here.
    pub(super) fn new(io: R) -> Self {
        Self { io, waiting: BytesMut::new() }
    }

    /// The next frame; none when the connection has ended.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = take(&mut self.waiting) {
                return Ok(Some(frame));
            }
            self.waiting.reserve(PIECE);
            if self.io.read_buf(&mut self.waiting).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// The sending half of a connection.
pub(super) struct Writer<W> {
    io: W,
    headers: Compress,
    stream: u32,
    ping: u32,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Writes to here.
    pub(super) fn new(io: W) -> Self {
        // a client's numbers are odd
        Self { io, headers: Compress::new(Compression::fast(), true), stream: 1, ping: 1 }
    }

    /// Opens a stream of a type: its number.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn open(&mut self, kind: &str) -> io::Result<u32> {
        let stream = self.stream;
        self.stream += 2;
        let frame = opening(&mut self.headers, stream, "streamtype", kind)?;
        self.io.write_all(&frame).await?;
        self.io.flush().await?;
        Ok(stream)
    }

    /// Sends a stream's data.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn data(&mut self, stream: u32, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.io.write_all(&head(stream, 0, piece.len())).await?;
            self.io.write_all(piece).await?;
        }
        self.io.flush().await
    }

    /// Ends this side of a stream.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn end(&mut self, stream: u32) -> io::Result<()> {
        self.io.write_all(&head(stream, FIN, 0)).await?;
        self.io.flush().await
    }

    /// Asks whether the other end is there.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn ping(&mut self) -> io::Result<()> {
        let number = self.ping;
        self.ping = number.wrapping_add(2);
        self.pong(number).await
    }

    /// Sends a ping back.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn pong(&mut self, number: u32) -> io::Result<()> {
        self.io.write_all(&control(PING, &number.to_be_bytes())).await?;
        self.io.flush().await
    }
}

/// The head of a data frame.
fn head(stream: u32, flags: u8, length: usize) -> [u8; 8] {
    let ([a, b, c, d], [_, x, y, z]) = (stream.to_be_bytes(), (length as u32).to_be_bytes());
    [a, b, c, d, flags, x, y, z]
}

/// A control frame without flags.
fn control(kind: u16, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(8 + body.len());
    frame.put_u16(VERSION);
    frame.put_u16(kind);
    frame.put_u32(body.len() as u32);
    frame.put_slice(body);
    frame
}

/// The frame that opens a stream with one header.
fn opening(headers: &mut Compress, stream: u32, name: &str, value: &str) -> io::Result<BytesMut> {
    let mut block = BytesMut::new();
    block.put_u32(1);
    for text in [name, value] {
        block.put_u32(text.len() as u32);
        block.put_slice(text.as_bytes());
    }
    let mut body = Vec::with_capacity(256 + 2 * block.len());
    body.put_u32(stream);
    body.put_u32(0); // associated with no other
    body.put_u16(0); // priority and slot
    headers.compress_vec(&block, &mut body, FlushCompress::Sync).map_err(io::Error::other)?;
    Ok(control(SYN_STREAM, &body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        let data = |stream, bytes: &'static [u8], last| Frame::Data { stream, bytes: bytes.into(), last };
        let cases: &[(&[u8], Option<Frame>, usize)] = &[
            (b"", None, 0),
            (b"\0\0\0\x05\0\0\0\x02h", None, 9),
            (b"\0\0\0\x05\0\0\0\x02hi+", Some(data(5, b"hi", false)), 1),
            (b"\0\0\0\x05\x01\0\0\0", Some(data(5, b"", true)), 0),
            (b"\x80\x03\0\x02\0\0\0\x06\0\0\0\x03zz", Some(Frame::Reply(3)), 0),
            (b"\x80\x03\0\x03\0\0\0\x08\0\0\0\x03\0\0\0\x05", Some(Frame::Reset(3)), 0),
            (b"\x80\x03\0\x06\0\0\0\x04\0\0\0\x02", Some(Frame::Ping(2)), 0),
            (b"\x80\x03\0\x07\0\0\0\x08\0\0\0\x03\0\0\0\0", Some(Frame::Away), 0),
            (b"\x80\x03\0\x09\0\0\0\x08\0\0\0\x03\0\0\0\0", Some(Frame::Other), 0),
        ];
        for (sent, wanted, rest) in cases {
            let mut waiting = BytesMut::from(*sent);
            assert_eq!((&take(&mut waiting), waiting.len()), (wanted, *rest), "{sent:?}");
        }
    }

    #[test]
    fn header_blocks_are_one_zlib_stream() {
        let mut headers = Compress::new(Compression::fast(), true);
        let mut inflate = flate2::Decompress::new(true);
        for (stream, kind) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
            let frame = opening(&mut headers, stream, "streamtype", kind).unwrap();
            let length = u32::from_be_bytes(frame[4..8].try_into().unwrap()) as usize;
            assert_eq!((&frame[..4], length), (&b"\x80\x03\0\x01"[..], frame.len() - 8));
            assert_eq!(frame[8..12], u32::to_be_bytes(stream));
            let mut block = Vec::with_capacity(256);
            inflate.decompress_vec(&frame[18..], &mut block, flate2::FlushDecompress::Sync).unwrap();
            let wanted =
                format!("\0\0\0\x01\0\0\0\x0astreamtype\0\0\0{}{kind}", char::from(kind.len() as u8));
            assert_eq!(String::from_utf8(block).unwrap(), wanted);
        }
    }
}
