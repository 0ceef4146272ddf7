//! A certificate that names somebody.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Days a leaf lasts.
const DAYS: i64 = 365;
/// Renewed when it would expire within this many days.
const RENEW_DAYS: i64 = 120;

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Naming a client.
    Client,
    /// Naming a server.
    Server,
    /// Naming a server that is a client of its peers.
    Peer,
}

/// What a certificate should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The subject's common name: the user.
    pub common_name: String,
    /// The subject's organizations: the groups.
    pub organizations: Vec<String>,
    /// What it is for.
    pub usage: Usage,
    /// DNS names of a server.
    pub dns: Vec<String>,
    /// Addresses of a server.
    pub ips: Vec<IpAddr>,
}

impl Leaf {
    /// A client certificate.
    pub fn client(common_name: &str, organizations: &[&str]) -> Self {
        let organizations = organizations.iter().map(|o| (*o).to_owned()).collect();
        Self {
            common_name: common_name.into(),
            organizations,
            usage: Usage::Client,
            dns: Vec::new(),
            ips: Vec::new(),
        }
    }

    /// A server certificate.
    pub fn server(common_name: &str, dns: Vec<String>, ips: Vec<IpAddr>) -> Self {
        Self { common_name: common_name.into(), organizations: Vec::new(), usage: Usage::Server, dns, ips }
    }

    pub(crate) fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        for organization in &self.organizations {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = match self.usage {
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Peer => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        for name in &self.dns {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.subject_alt_names.extend(self.ips.iter().map(|ip| SanType::IpAddress(*ip)));
        (params.not_before, params.not_after) = validity(Timestamp::now(), DAYS);
        // the default is made of the key, which is kept at a renewal: no two certificates may share a number
        let mut serial = [0; 16];
        SystemRandom::new().fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
        serial[0] &= 0x7f;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        Ok(params)
    }
}

/// From yesterday (clocks differ) for some days.
pub(crate) fn validity(now: Timestamp, days: i64) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let at = |offset: i64| {
        let date = today.checked_add(offset.days()).unwrap_or(today); // ten years are in the calendar
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (at(-1), at(days))
}

/// Whether a certificate still says what it should, by the right authority, for long enough, over this key.
pub(crate) fn still_good(pem: &str, wanted: &Leaf, authority: &str, key: &KeyPair) -> bool {
    let der = |pem: &str| {
        use rustls_pki_types::pem::PemObject;
        rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).ok() // unreadable: make it anew
    };
    let (Some(leaf), Some(authority)) = (der(pem), der(authority)) else { return false };
    let (Ok((_, leaf)), Ok((_, authority))) =
        (X509Certificate::from_der(&leaf), X509Certificate::from_der(&authority))
    else {
        return false;
    };
    let days_left = (leaf.validity().not_after.timestamp() - Timestamp::now().as_second()) / 86_400;
    days_left > RENEW_DAYS
        && leaf.verify_signature(Some(authority.public_key())).is_ok()
        && leaf.public_key().raw == key.subject_public_key_info()
        && says(&leaf, wanted)
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whom it names.
    pub subject: String,
    /// `ClientAuth`, `ServerAuth`; empty for an authority.
    pub usages: Vec<&'static str>,
    /// When it ends.
    pub not_after: Timestamp,
}

/// Reads the first certificate of a PEM text; `None` when it holds none.
pub fn facts(pem: &str) -> Option<Facts> {
    use rustls_pki_types::pem::PemObject;
    let der = rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let purposes = certificate.extended_key_usage().ok().flatten().map(|e| e.value.clone());
    let has =
        |client: bool| purposes.as_ref().is_some_and(|p| if client { p.client_auth } else { p.server_auth });
    let named = [(has(true), "ClientAuth"), (has(false), "ServerAuth")];
    let usages = named.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect();
    let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
    Some(Facts { subject: certificate.subject().to_string(), usages, not_after })
}

fn says(leaf: &X509Certificate<'_>, wanted: &Leaf) -> bool {
    let texts = |values: &mut dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>>| {
        values.filter_map(|v| v.as_str().ok().map(str::to_owned)).collect::<Vec<_>>() // no text: differs
    };
    let names = texts(&mut leaf.subject().iter_common_name());
    let organizations = texts(&mut leaf.subject().iter_organization());
    let (mut dns, mut ips) = (Vec::new(), Vec::new());
    if let Ok(Some(alternatives)) = leaf.subject_alternative_name() {
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::DNSName(name) => dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => ips.extend(address(bytes)),
                _ => {}
            }
        }
    }
    names.first() == Some(&wanted.common_name)
        && organizations == wanted.organizations
        && dns == wanted.dns
        && ips == wanted.ips
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from), // the length was looked at
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from), // the same
        _ => None,
    }
}
