//! nftables: tables, chains, sets, maps and rules, changed in atomic batches.

mod batch;
mod dump;
mod expr;

pub use batch::{Batch, Hook, HookPoint, SetKind, SetSpec};
pub use dump::{Element, Nft};
pub use expr::{Base, CtKey, Expr, MetaKey, Reg, Verdict};

/// An address family of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

impl Family {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Ip => 2,
            Self::Ip6 => 10,
        }
    }

    /// Bytes of an address.
    pub fn address_len(self) -> u8 {
        match self {
            Self::Ip => 4,
            Self::Ip6 => 16,
        }
    }

    /// As nft writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }
}

/// A table: its family and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// The family.
    pub family: Family,
    /// The name.
    pub name: &'static str,
}

/// What a field of a set's key or value is. Numbers are nft's own, so that it prints them as meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A transport protocol.
    Protocol,
    /// A port.
    Port,
    /// A number in host byte order.
    Number,
}

impl Field {
    fn id(self) -> u32 {
        match self {
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Number => 19,
        }
    }

    /// Bytes without padding.
    fn size(self) -> u32 {
        match self {
            Self::Ipv4 | Self::Number => 4,
            Self::Ipv6 => 16,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    /// Bytes in a register.
    pub fn padded(self) -> u32 {
        self.size().next_multiple_of(4)
    }
}

/// nft's number of a type made of fields.
fn type_of(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |all, field| (all << 6) | field.id())
}

/// Bytes of a key made of fields: fields of a concatenation are padded, a single one is not.
fn len_of(fields: &[Field]) -> u32 {
    match fields {
        [one] => one.size(),
        many => many.iter().map(|f| f.padded()).sum(),
    }
}
