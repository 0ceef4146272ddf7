//! Expressions of rules.

use crate::attr::{close, open, put, put_text, put_u32};

/// One of the sixteen 32-bit registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reg(pub u8);

impl Reg {
    fn number(self) -> u32 {
        u32::from(self.0) + 8
    }
}

/// Where a payload offset counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// The network header.
    Network,
    /// The transport header.
    Transport,
}

/// A fact about the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaKey {
    /// The packet's mark.
    Mark,
    /// The name of the device it came in by.
    InName,
    /// The name of the device it leaves by.
    OutName,
    /// The transport protocol.
    Protocol,
}

/// A fact about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtKey {
    /// New, established, …
    State,
    /// Destination rewritten, …
    Status,
}

/// Where a packet goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Dropped.
    Drop,
    /// Let through.
    Accept,
    /// Back to the calling chain.
    Return,
    /// Through a chain and back.
    Jump(String),
    /// Into a chain.
    Goto(String),
}

impl Verdict {
    /// As the data of an element or of an immediate.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>, kind: u16) {
        let (code, chain) = match self {
            Self::Drop => (0i32, None),
            Self::Accept => (1, None),
            Self::Return => (-5, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
        };
        let data = open(buffer, kind);
        let verdict = open(buffer, 2);
        put(buffer, 1, &code.to_be_bytes());
        if let Some(chain) = chain {
            put_text(buffer, 2, chain);
        }
        close(buffer, verdict);
        close(buffer, data);
    }
}

/// An expression: loads registers, compares them, or acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    /// Loads bytes of the packet.
    Payload {
        /// Into.
        to: Reg,
        /// From which header.
        base: Base,
        /// At which byte.
        offset: u32,
        /// How many.
        len: u32,
    },
    /// Loads a fact about the packet.
    Meta(Reg, MetaKey),
    /// Sets the packet's mark.
    SetMark(Reg),
    /// Loads a fact about the connection.
    Ct(Reg, CtKey),
    /// Goes on if the register has (`true`) or has not (`false`) this value.
    Compare(Reg, bool, Vec<u8>),
    /// Goes on if the register's bytes are in a range, both ends included.
    Within(Reg, Vec<u8>, Vec<u8>),
    /// Loads a constant.
    Constant(Reg, Vec<u8>),
    /// `register = (register & mask) ^ xor`.
    Bitwise(Reg, Vec<u8>, Vec<u8>),
    /// Goes on if the key is (`true`) or is not (`false`) in a set.
    InSet(Reg, &'static str, bool),
    /// Loads a map's value for a key; without one the rule does not match.
    Map(Reg, &'static str, Reg),
    /// Goes where a verdict map says.
    VerdictMap(Reg, &'static str),
    /// A random number below the modulus.
    Random(Reg, u32),
    /// Adds key and value to a map, or refreshes them, with a time to live in seconds.
    Remember {
        /// The map.
        map: &'static str,
        /// The key.
        key: Reg,
        /// The value.
        value: Reg,
        /// Seconds.
        seconds: u32,
    },
    /// Rewrites the destination to the address and port in registers.
    Dnat {
        /// The family of the address (2 or 10).
        family: super::Family,
        /// The address.
        address: Reg,
        /// The port.
        port: Reg,
    },
    /// Rewrites the source to the outgoing device's address, ports at random.
    Masquerade,
    /// Loads the kind of the destination's or source's (`true`) address: 2 is local.
    AddressType(Reg, bool),
    /// Answers "port unreachable".
    Reject(super::Family),
    /// Counts packets and bytes.
    Counter,
    /// Decides.
    Verdict(Verdict),
}

impl Expr {
    /// The source address into a register.
    pub fn source(family: super::Family, to: Reg) -> Self {
        let (offset, len) = if family == super::Family::Ip { (12, 4) } else { (8, 16) };
        Self::Payload { to, base: Base::Network, offset, len }
    }

    /// The destination address into a register.
    pub fn destination(family: super::Family, to: Reg) -> Self {
        let (offset, len) = if family == super::Family::Ip { (16, 4) } else { (24, 16) };
        Self::Payload { to, base: Base::Network, offset, len }
    }

    /// The destination port into a register.
    pub fn port(to: Reg) -> Self {
        Self::Payload { to, base: Base::Transport, offset: 2, len: 2 }
    }

    /// The source address (`true`) or the destination address into a register.
    pub fn address(family: super::Family, source: bool, to: Reg) -> Self {
        if source { Self::source(family, to) } else { Self::destination(family, to) }
    }

    pub(crate) fn write(&self, buffer: &mut Vec<u8>) {
        let element = open(buffer, 1);
        put_text(buffer, 1, self.name());
        let data = open(buffer, 2);
        self.write_data(buffer);
        close(buffer, data);
        close(buffer, element);
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::Meta(..) | Self::SetMark(_) => "meta",
            Self::Ct(..) => "ct",
            Self::Compare(..) => "cmp",
            Self::Within(..) => "range",
            Self::Constant(..) => "immediate",
            Self::Bitwise(..) => "bitwise",
            Self::InSet(..) | Self::Map(..) | Self::VerdictMap(..) => "lookup",
            Self::Random(..) => "numgen",
            Self::Remember { .. } => "dynset",
            Self::Dnat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::AddressType(..) => "fib",
            Self::Reject(_) => "reject",
            Self::Counter => "counter",
            Self::Verdict(_) => "immediate",
        }
    }

    fn write_data(&self, b: &mut Vec<u8>) {
        match self {
            Self::SetMark(from) => {
                put_u32(b, 2, meta_number(MetaKey::Mark));
                put_u32(b, 3, from.number());
            }
            Self::Compare(reg, equal, value) => {
                put_u32(b, 1, reg.number());
                put_u32(b, 2, u32::from(!equal));
                put_value(b, 3, value);
            }
            Self::Within(reg, first, last) => {
                put_u32(b, 1, reg.number());
                put_u32(b, 2, 0);
                put_value(b, 3, first);
                put_value(b, 4, last);
            }
            Self::Bitwise(reg, mask, xor) => {
                put_u32(b, 1, reg.number());
                put_u32(b, 2, reg.number());
                put_u32(b, 3, mask.len() as u32);
                put_value(b, 4, mask);
                put_value(b, 5, xor);
            }
            Self::InSet(..) | Self::Map(..) | Self::VerdictMap(..) => self.write_lookup(b),
            Self::Payload { .. }
            | Self::Meta(..)
            | Self::Ct(..)
            | Self::Constant(..)
            | Self::Random(..)
            | Self::AddressType(..) => self.write_load(b),
            Self::Remember { map, key, value, seconds } => {
                put_text(b, 1, map);
                put_u32(b, 3, 1);
                put_u32(b, 4, key.number());
                put_u32(b, 5, value.number());
                put(b, 6, &(u64::from(*seconds) * 1000).to_be_bytes());
            }
            Self::Dnat { family, address, port } => {
                put_u32(b, 1, 1);
                put_u32(b, 2, u32::from(family.number()));
                put_u32(b, 3, address.number());
                put_u32(b, 5, port.number());
            }
            Self::Masquerade => put_u32(b, 1, 1 << 4),
            Self::Reject(family) => {
                put_u32(b, 1, 0);
                put(b, 2, &[if *family == super::Family::Ip { 3 } else { 4 }]);
            }
            Self::Counter => {}
            Self::Verdict(verdict) => {
                put_u32(b, 1, 0);
                verdict.write(b, 2);
            }
        }
    }

    /// What puts a value of the packet, of the kernel or of its own into a register.
    fn write_load(&self, b: &mut Vec<u8>) {
        match self {
            Self::Payload { to, base, offset, len } => {
                put_u32(b, 1, to.number());
                put_u32(b, 2, if *base == Base::Network { 1 } else { 2 });
                put_u32(b, 3, *offset);
                put_u32(b, 4, *len);
            }
            Self::Meta(to, key) => {
                put_u32(b, 1, to.number());
                put_u32(b, 2, meta_number(*key));
            }
            Self::Ct(to, key) => {
                put_u32(b, 1, to.number());
                put_u32(b, 2, if *key == CtKey::State { 0 } else { 2 });
            }
            Self::Constant(to, value) => {
                put_u32(b, 1, to.number());
                put_value(b, 2, value);
            }
            Self::Random(to, modulus) => {
                put_u32(b, 1, to.number());
                put_u32(b, 2, *modulus);
                put_u32(b, 3, 1);
                put_u32(b, 4, 0);
            }
            Self::AddressType(to, source) => {
                put_u32(b, 1, to.number());
                put_u32(b, 2, 3);
                put_u32(b, 3, if *source { 1 } else { 2 });
            }
            _ => {}
        }
    }

    fn write_lookup(&self, b: &mut Vec<u8>) {
        match self {
            Self::InSet(key, set, within) => {
                put_text(b, 1, set);
                put_u32(b, 2, key.number());
                if !within {
                    put_u32(b, 5, 1);
                }
            }
            Self::Map(key, map, to) => {
                put_text(b, 1, map);
                put_u32(b, 2, key.number());
                put_u32(b, 3, to.number());
            }
            Self::VerdictMap(key, map) => {
                put_text(b, 1, map);
                put_u32(b, 2, key.number());
                put_u32(b, 3, 0);
            }
            _ => {}
        }
    }
}

fn meta_number(key: MetaKey) -> u32 {
    match key {
        MetaKey::Mark => 3,
        MetaKey::InName => 6,
        MetaKey::OutName => 7,
        MetaKey::Protocol => 16,
    }
}

fn put_value(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let data = open(buffer, kind);
    put(buffer, 1, value);
    close(buffer, data);
}
