//! As much of certificates and keys as tells whether they belong together.
//!
//! # Upstream
//! `pkg/registry/core/secret/strategy.go` `warningsForSecret`; RFC 5208, 5915, 8017 for the wrappings of keys

use x509_parser::asn1_rs::{Any, BitString, Class, FromDer, Integer, OctetString, Oid, Sequence, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::AlgorithmIdentifier;

/// A kind of key with its public half, where that is written down: `n` of RSA, the point of an elliptic curve.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    Rsa(Vec<u8>),
    Ec(Option<Vec<u8>>),
    Ed25519(Option<Vec<u8>>),
    Other,
}

/// What is wrong with a certificate, or its key.
pub(super) fn certificate(der: &[u8]) -> Result<Key, &'static str> {
    if Sequence::from_der(der).is_err() {
        return Err("x509: malformed certificate");
    }
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "x509: malformed tbs certificate")?;
    let key = certificate.public_key();
    Ok(match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => Key::Rsa(number(rsa.modulus)),
        Ok(PublicKey::EC(point)) => Key::Ec(Some(point.data().to_vec())),
        _ if key.algorithm.algorithm == OID_SIG_ED25519 => {
            Key::Ed25519(Some(key.subject_public_key.data.to_vec()))
        }
        _ => Key::Other,
    })
}

/// A private key in any of its three wrappings.
pub(super) fn private_key(der: &[u8]) -> Option<Key> {
    let content = sequence(der)?;
    rsa(&content).or_else(|| wrapped(&content)).or_else(|| curve(&content))
}

/// A number without the zero that says that it is not negative.
fn number(bytes: &[u8]) -> Vec<u8> {
    bytes.strip_prefix(&[0]).unwrap_or(bytes).to_vec()
}

fn sequence(der: &[u8]) -> Option<Vec<u8>> {
    let (_, sequence) = Sequence::from_der(der).ok()?; // another wrapping
    Some(sequence.content.into_owned())
}

fn rsa(content: &[u8]) -> Option<Key> {
    let (rest, _version) = Integer::from_der(content).ok()?; // another wrapping
    let (mut rest, modulus) = Integer::from_der(rest).ok()?; // another wrapping
    // exponents, primes and what is computed from them
    for _ in 0..6 {
        (rest, _) = Integer::from_der(rest).ok()?; // another wrapping
    }
    Some(Key::Rsa(number(modulus.as_ref())))
}

fn wrapped(content: &[u8]) -> Option<Key> {
    let (rest, _version) = Integer::from_der(content).ok()?; // another wrapping
    let (rest, identifier) = AlgorithmIdentifier::from_der(rest).ok()?; // another wrapping
    let (_, key) = OctetString::from_der(rest).ok()?; // another wrapping
    let is = |oid: Oid<'_>| identifier.algorithm == oid;
    if is(OID_PKCS1_RSAENCRYPTION) {
        rsa(&sequence(key.as_ref())?)
    } else if is(OID_KEY_TYPE_EC_PUBLIC_KEY) {
        curve(&sequence(key.as_ref())?)
    } else if is(OID_SIG_ED25519) {
        Some(Key::Ed25519(None))
    } else {
        Some(Key::Other)
    }
}

fn curve(content: &[u8]) -> Option<Key> {
    let (rest, version) = Integer::from_der(content).ok()?; // another wrapping
    if version.as_ref() != [1] {
        return None;
    }
    let (mut rest, _private) = OctetString::from_der(rest).ok()?; // another wrapping
    let mut point = None;
    // the curve's name and the public half are optional
    while let Ok((after, part)) = Any::from_der(rest) {
        if part.class() == Class::ContextSpecific && part.tag() == Tag(1) {
            let (_, bits) = BitString::from_der(part.data).ok()?; // no key
            point = Some(bits.data.to_vec());
        }
        rest = after;
    }
    Some(Key::Ec(point))
}
