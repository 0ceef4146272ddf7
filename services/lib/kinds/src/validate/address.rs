//! Addresses and ranges of addresses.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/util/validation/ip.go`; `pkg/apis/core/validation/validation.go` `ValidateEndpointIP`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meta::field;

use super::Errors;

/// Reads an address as Go once did: zeros before a number do not count.
pub(crate) fn sloppy(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let parts: Vec<&str> = text.split('.').collect();
    let number = |part: &&str| {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        part.trim_start_matches('0')
            .parse::<u8>()
            .ok()
            .or((part.trim_start_matches('0').is_empty()).then_some(0))
            .filter(|_| digits)
    };
    let numbers: Vec<u8> = parts.iter().filter_map(number).collect();
    <[u8; 4]>::try_from(numbers).ok().filter(|_| parts.len() == 4).map(|n| IpAddr::V4(Ipv4Addr::from(n)))
}

/// An address; what `before` held may stay.
pub(super) fn ip(errors: &mut Errors, path: &str, value: &str, before: &[&str]) -> bool {
    if before.contains(&value) {
        return true;
    }
    let problem = match (sloppy(value), value.parse::<IpAddr>()) {
        (None, _) => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        (_, Err(_)) => "must not have leading 0s",
        (_, Ok(IpAddr::V6(v6))) if v6.to_ipv4_mapped().is_some() => "must not be an IPv4-mapped IPv6 address",
        _ => return true,
    };
    errors.push(field::Error::invalid_str(path, value, problem));
    false
}

/// An address that traffic may be sent to.
pub(super) fn endpoint(errors: &mut Errors, path: &str, value: &str) {
    let Some(address) = sloppy(value) else {
        errors.push(field::Error::invalid_str(path, value, "must be a valid IP address"));
        return;
    };
    let (local, multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    let mut bad = |problem: &str| errors.push(field::Error::invalid_str(path, value, problem));
    if address.is_unspecified() {
        bad(&format!("may not be unspecified ({value})"));
    }
    if address.is_loopback() {
        bad("may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if local {
        bad("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        bad("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// Reads a range as Go once did: the address, how it and the length are spelled, and the length.
pub(crate) fn parse_cidr(value: &str) -> Option<(IpAddr, &str, &str, u32)> {
    let (address, bits) = value.split_once('/')?;
    let most = if address.contains(':') { 128 } else { 32 };
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    Some((sloppy(address)?, address, bits, bits.parse::<u32>().ok().filter(|n| digits && *n <= most)?))
}

/// A range of addresses; what `before` held may stay.
pub(super) fn cidr(errors: &mut Errors, path: &str, value: &str, before: &[&str]) {
    if before.contains(&value) {
        return;
    }
    let problem = match parse_cidr(value) {
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        Some((_, address, bits, _))
            if address.parse::<IpAddr>().is_err() || (bits.starts_with('0') && bits.len() > 1) =>
        {
            "must not have leading 0s in IP or prefix length"
        }
        Some((IpAddr::V6(v6), ..)) if v6.to_ipv4_mapped().is_some() => {
            "must not have an IPv4-mapped IPv6 address"
        }
        Some((address, _, _, bits)) if masked(address, bits) != address => {
            "must not have bits set beyond the prefix length"
        }
        Some(_) => return,
    };
    errors.push(field::Error::invalid_str(path, value, problem));
}

pub(crate) fn masked(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_addresses() {
        let said = |check: &dyn Fn(&mut Errors)| {
            let mut errors = Errors::new();
            check(&mut errors);
            errors.first().map_or(String::new(), |e| e.detail.clone())
        };
        for (value, wanted) in [
            ("10.0.0.0/8", ""),
            ("::/0", ""),
            ("10.0.0.1/8", "must not have bits set beyond the prefix length"),
            ("10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
            ("010.0.0.0/8", "must not have leading 0s in IP or prefix length"),
            ("10.0.0.0/08", "must not have leading 0s in IP or prefix length"),
            ("10.0.0.0", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
        ] {
            assert_eq!(said(&|e| cidr(e, "x", value, &[])), wanted, "{value}");
        }
        for (value, wanted) in [
            ("1.2.3.4", ""),
            ("1.2.3.04", "must not have leading 0s"),
            ("1.2.3", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
            ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"),
        ] {
            assert_eq!(
                said(&|e| {
                    ip(e, "x", value, &[]);
                }),
                wanted,
                "{value}"
            );
        }
    }
}
