//! A socket to the kernel's netfilter subsystems.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt};

use crate::Error;

/// Length of a netlink header.
pub(crate) const HEADER: usize = 16;
/// Length of the netfilter header behind it.
pub(crate) const GENERIC: usize = 4;
/// This is a request.
pub(crate) const REQUEST: u16 = 1;
/// Answer even if all went well.
pub(crate) const ACK: u16 = 4;
/// Give everything there is.
pub(crate) const DUMP: u16 = 0x300;
/// Make it if it is not there.
pub(crate) const CREATE: u16 = 0x400;
/// Behind what is there.
pub(crate) const APPEND: u16 = 0x800;

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Room for the largest transaction: a cold sync of tens of thousands of Services.
const BUFFER: usize = 64 << 20;

/// A socket to netfilter.
#[derive(Debug)]
pub(crate) struct Netfilter {
    socket: Socket,
    receive: Vec<u8>,
}

/// Starts a message; [`finish`] ends it. `kind` is subsystem and message, `family` the address family.
pub(crate) fn start(
    buffer: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    id: u16,
) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&0u32.to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
    buffer.extend_from_slice(&sequence.to_ne_bytes());
    buffer.extend_from_slice(&0u32.to_ne_bytes());
    buffer.extend_from_slice(&[family, 0]);
    buffer.extend_from_slice(&id.to_be_bytes());
    start
}

/// Ends what [`start`] started.
pub(crate) fn finish(buffer: &mut [u8], start: usize) {
    let length = (buffer.len() - start) as u32;
    buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

impl Netfilter {
    pub(crate) fn open() -> Result<Self, Error> {
        let failed = |what| move |source| Error::Socket { what, source };
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(failed("opening"))?;
        socket.bind_auto().map_err(failed("binding"))?;
        setsockopt(&socket, sockopt::SndBufForce, &BUFFER)
            .and_then(|()| setsockopt(&socket, sockopt::RcvBufForce, &BUFFER))
            .map_err(io::Error::from)
            .map_err(failed("sizing buffers"))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed("connecting"))?;
        Ok(Self { socket, receive: Vec::with_capacity(64 << 10) })
    }

    /// Sends a buffer of messages and reads acknowledgements until the one of message `last`, giving the first
    /// refusal. The kernel has worked through all of them when `send` returns.
    pub(crate) fn transact(&mut self, messages: &[u8], last: u32) -> Result<(), Error> {
        self.send(messages)?;
        let mut refused = None;
        loop {
            let received = self.receive()?;
            for (kind, sequence, body) in messages_of(&received) {
                if kind != ERROR {
                    continue;
                }
                let code = i32::from_ne_bytes(
                    body.get(..4).and_then(|b| b.try_into().ok()).ok_or(Error::Malformed)?,
                );
                if code != 0 && refused.is_none() {
                    let source = io::Error::from_raw_os_error(-code);
                    refused = Some(Error::Refused { index: sequence, source });
                }
                if sequence == last || (refused.is_some() && sequence == 0) {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends a dump request and gives each answer's body (behind the netfilter header) with its message type.
    pub(crate) fn dump(&mut self, request: &[u8], mut take: impl FnMut(u16, &[u8])) -> Result<(), Error> {
        self.send(request)?;
        loop {
            let received = self.receive()?;
            for (kind, sequence, body) in messages_of(&received) {
                match kind {
                    DONE => return Ok(()),
                    ERROR => {
                        let code = body.get(..4).and_then(|b| b.try_into().ok());
                        let code = code.map(i32::from_ne_bytes).ok_or(Error::Malformed)?;
                        if code == 0 {
                            return Ok(());
                        }
                        let source = io::Error::from_raw_os_error(-code);
                        return Err(Error::Refused { index: sequence, source });
                    }
                    _ => take(kind, body.get(GENERIC..).ok_or(Error::Malformed)?),
                }
            }
        }
    }

    fn send(&self, messages: &[u8]) -> Result<(), Error> {
        let sent = self.socket.send(messages, 0);
        let sent = sent.map_err(|source| Error::Socket { what: "sending", source })?;
        if sent == messages.len() { Ok(()) } else { Err(Error::Malformed) }
    }

    fn receive(&mut self) -> Result<Vec<u8>, Error> {
        self.receive.clear();
        self.receive.reserve(64 << 10);
        let failed = |source| Error::Socket { what: "receiving", source };
        self.socket.recv(&mut self.receive, 0).map_err(failed)?;
        Ok(std::mem::take(&mut self.receive))
    }
}

/// The messages in a datagram as (type, sequence, body).
fn messages_of(mut bytes: &[u8]) -> impl Iterator<Item = (u16, u32, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let sequence = u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, sequence, body))
    })
}
