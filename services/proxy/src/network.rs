//! Address ranges.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use netlink::nft::Family;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address range as a prefix, host bits cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text is no address range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct InvalidNetwork(String);

impl Network {
    /// The range's family.
    pub fn family(&self) -> Family {
        family(self.address)
    }

    /// The mask as bytes.
    pub fn mask(&self) -> Vec<u8> {
        let bytes = usize::from(self.family().address_len());
        let bits = u32::from(self.prefix);
        (0..bytes as u32)
            .map(|i| match bits.saturating_sub(i * 8) {
                0 => 0,
                n @ 1..8 => 0xffu8 << (8 - n),
                _ => 0xff,
            })
            .collect()
    }

    /// The first address as bytes.
    pub fn first(&self) -> Vec<u8> {
        bytes(self.address)
    }

    /// The last address as bytes.
    pub fn last(&self) -> Vec<u8> {
        self.first().iter().zip(self.mask()).map(|(a, m)| a | !m).collect()
    }

    /// Whether an address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        family(address) == self.family()
            && bytes(address).iter().zip(self.mask()).zip(self.first()).all(|((a, m), n)| a & m == n)
    }
}

/// The family of an address.
pub fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ip } else { Family::Ip6 }
}

/// An address as bytes.
pub fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        if prefix > family(address).address_len() * 8 {
            return Err(invalid());
        }
        let mask = Self { address, prefix }.mask();
        let cleared: Vec<u8> = bytes(address).iter().zip(mask).map(|(a, m)| a & m).collect();
        let address = match <[u8; 4]>::try_from(cleared.as_slice()) {
            Ok(four) => IpAddr::from(four),
            Err(_) => <[u8; 16]>::try_from(cleared.as_slice()).map(IpAddr::from).map_err(|_| invalid())?,
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let n: Network = "10.42.7.9/20".parse().expect("valid");
        assert_eq!(n.to_string(), "10.42.0.0/20");
        assert_eq!((n.mask(), n.last()), (vec![255, 255, 240, 0], vec![10, 42, 15, 255]));
        assert!(n.contains("10.42.15.1".parse().expect("address")));
        assert!(!n.contains("10.42.16.1".parse().expect("address")));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("fd00::/64".parse::<Network>().expect("valid").contains("fd00::7".parse().expect("address")));
    }
}
