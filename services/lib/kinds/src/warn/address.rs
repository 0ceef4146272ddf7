//! Addresses and ranges that are valid and yet read differently by other programs.
//!
//! # Upstream
//! `k8s.io/apimachinery/pkg/util/validation/ip.go` `GetWarningsForIP`, `GetWarningsForCIDR`

use std::fmt::{self, Arguments, Display, Write};
use std::net::IpAddr;

use meta::field::quote;

use super::Warnings;
use crate::validate::address::{masked, parse_cidr, sloppy};

/// An address that is not in its one agreed form. What is no address is for the checks to refuse.
pub(super) fn ip(warnings: &mut Warnings, at: Arguments<'_>, value: &str) {
    let wanted = match value.parse() {
        Ok(IpAddr::V4(_)) => return,
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => return canonical(warnings, at, "address", value, v6),
        },
        Err(_) => match sloppy(value) {
            Some(address) => address,
            None => return,
        },
    };
    let (value, wanted) = (quote(value), quote(&wanted.to_string()));
    warnings.push(format!("{at}: non-standard IP address {value} is invalid: use {wanted}"));
}

/// A range that is not in its one agreed form, or that could as well mean one address.
pub(super) fn cidr(warnings: &mut Warnings, at: Arguments<'_>, value: &str) {
    let Some((address, spelling, length, bits)) = parse_cidr(value) else { return };
    let network = masked(address, bits);
    let ambiguous = network != address;
    if ambiguous {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let (range, single) = (network_text(network, bits), format!("{}/{most}", address.to_canonical()));
        let (value, range, single) = (quote(value), quote(&range), quote(&single));
        warnings.push(format!(
            "{at}: CIDR value {value} is ambiguous in this context (should be {range} or {single}?)"
        ));
    }
    let mapped = address.to_canonical() != address;
    let zeros = spelling.parse::<IpAddr>().is_err() || (length.starts_with('0') && length.len() > 1);
    if mapped || zeros {
        let (value, range) = (quote(value), quote(&network_text(network, bits)));
        warnings.push(format!("{at}: non-standard CIDR value {value} is invalid: use {range}"));
    } else if !ambiguous && address.is_ipv6() {
        canonical(warnings, at, "CIDR value", value, format_args!("{address}/{bits}"));
    }
}

fn canonical(warnings: &mut Warnings, at: Arguments<'_>, what: &str, value: &str, wanted: impl Display) {
    if !is_spelled(value, &wanted) {
        let (value, wanted) = (quote(value), quote(&wanted.to_string()));
        warnings.push(format!("{at}: IPv6 {what} {value} should be in RFC 5952 canonical format ({wanted})"));
    }
}

/// A network as Go writes it: an IPv4 one inside IPv6 by its IPv4 address.
fn network_text(network: IpAddr, bits: u32) -> String {
    let address = network.to_canonical();
    let bits = if address == network { bits } else { bits.saturating_sub(96) };
    format!("{address}/{bits}")
}

/// Whether a text is just how a value is written.
fn is_spelled(text: &str, value: &impl Display) -> bool {
    let mut rest = Rest(text);
    write!(rest, "{value}").is_ok() && rest.0.is_empty()
}

/// What is left of a text when what is written is taken from its start.
struct Rest<'a>(&'a str);

impl Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}
