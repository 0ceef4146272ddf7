//! IPv4 ranges.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnet {
    /// The first address.
    pub first: Ipv4Addr,
    /// Bits of the prefix.
    pub prefix: u8,
}

/// A text is no IPv4 range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no IPv4 range; dual-stack and IPv6-only pod networks are not supported yet")]
pub struct InvalidSubnet(String);

impl Subnet {
    /// The mask as a number.
    pub fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// The address of the bridge: the one behind the first.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.first).wrapping_add(1))
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidSubnet(text.to_owned());
        let (first, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let first: Ipv4Addr = first.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().ok().filter(|p| *p <= 32).ok_or_else(invalid)?;
        let cleared = Self { first, prefix };
        Ok(Self { first: Ipv4Addr::from(u32::from(first) & cleared.mask()), prefix })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, want) in
            [("10.42.3.7/24", Some("10.42.3.0/24")), ("0.0.0.0/0", Some("0.0.0.0/0")), ("fd00::/64", None)]
        {
            assert_eq!(text.parse::<Subnet>().ok().map(|s| s.to_string()).as_deref(), want);
        }
    }
}
