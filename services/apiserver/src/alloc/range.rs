//! Ranges of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address range in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    base: IpAddr,
    bits: u8,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("invalid CIDR address: {text}");
        let (base, bits) = text.split_once('/').ok_or_else(bad)?;
        let base: IpAddr = base.parse().map_err(|_| bad())?;
        let bits: u8 = bits.parse().map_err(|_| bad())?;
        if bits > if base.is_ipv4() { 32 } else { 128 } {
            return Err(bad());
        }
        let range = Self { base, bits };
        Ok(Self { base: range.address(0), bits })
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl Range {
    fn host_bits(self) -> u32 {
        u32::from(if self.is_ipv4() { 32 } else { 128 } - self.bits)
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(self) -> bool {
        self.base.is_ipv4()
    }

    /// `IPv4` or `IPv6`.
    pub fn family(self) -> &'static str {
        if self.is_ipv4() { "IPv4" } else { "IPv6" }
    }

    /// The n-th address.
    pub fn address(self, n: u128) -> IpAddr {
        let mask = if self.host_bits() >= 128 { 0 } else { u128::MAX << self.host_bits() };
        let value = (number(self.base) & mask).wrapping_add(n);
        match self.base {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(value as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(value)),
        }
    }

    /// How many addresses there are to give: without network and (IPv4) broadcast; at most 2^32.
    pub fn size(self) -> u128 {
        let all = 1u128 << self.host_bits().min(32);
        all.saturating_sub(if self.is_ipv4() { 2 } else { 1 })
    }

    /// Whether an address may be given out of it.
    pub fn contains(self, address: IpAddr) -> bool {
        if address.is_ipv4() != self.is_ipv4() {
            return false;
        }
        let offset = number(address).wrapping_sub(number(self.base));
        offset >= 1 && offset <= self.size()
    }

    /// Where the band for automatic choice begins: below it are those that users choose.
    ///
    /// # Upstream
    /// `pkg/registry/core/service/ipallocator/cidrallocator.go` `calculateRangeOffset`
    pub fn dynamic_from(self) -> u128 {
        let size = self.size();
        if size < 16 { 0 } else { (size / 16).min(256) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range: Range = "10.43.0.0/16".parse().unwrap();
        assert_eq!(range.address(1).to_string(), "10.43.0.1");
        assert!(range.contains("10.43.255.254".parse().unwrap()));
        for outside in ["10.43.0.0", "10.43.255.255", "10.44.0.1", "fd00::1"] {
            assert!(!range.contains(outside.parse().unwrap()), "{outside}");
        }
        assert_eq!(range.dynamic_from(), 256);
        assert_eq!("10.0.0.7/24".parse::<Range>().unwrap().to_string(), "10.0.0.0/24");
        assert!("10.0.0.0/33".parse::<Range>().is_err());
    }
}
