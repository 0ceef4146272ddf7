//! As much of certificates and keys as tells whether they belong together.
//!
//! # Upstream
//! `pkg/registry/core/secret/strategy.go` `warningsForSecret`; RFC 5280, 5208, 5915, 8017 for the structures

const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const BYTES: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const TAGGED_0: u8 = 0xa0;
const TAGGED_1: u8 = 0xa1;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// A kind of key with its public half, where that is written down: `n` of RSA, the point of an elliptic curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Rsa(&'a [u8]),
    Ec(Option<&'a [u8]>),
    Ed25519(Option<&'a [u8]>),
    Other,
}

/// Encoded elements one after another.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (digits.iter().fold(0, |n, digit| n << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The next element, which has this tag.
    fn read(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }

    /// What is in the next element, which is a sequence.
    fn open(&mut self) -> Option<Der<'a>> {
        self.read(SEQUENCE).map(Der)
    }

    /// The next element if it has this tag; it may be left out.
    fn maybe(&mut self, tag: u8) -> Option<&'a [u8]> {
        (self.0.first() == Some(&tag)).then(|| self.read(tag)).flatten()
    }
}

/// What is wrong with a certificate, or its key.
pub(super) fn certificate(der: &[u8]) -> Result<Key<'_>, &'static str> {
    let broken = "x509: malformed certificate";
    let mut whole = Der(der).open().ok_or(broken)?;
    let mut signed = whole.open().ok_or("x509: malformed tbs certificate")?;
    subject_key(&mut signed).ok_or(broken)
}

fn subject_key<'a>(signed: &mut Der<'a>) -> Option<Key<'a>> {
    signed.maybe(TAGGED_0);
    signed.read(INTEGER)?;
    // signature's algorithm, issuer, validity, subject
    for _ in 0..4 {
        signed.open()?;
    }
    let mut info = signed.open()?;
    let algorithm = info.open()?.read(OBJECT)?;
    let key = info.read(BITS)?.split_first()?.1;
    Some(match algorithm {
        RSA => Key::Rsa(Der(key).open()?.read(INTEGER)?),
        EC => Key::Ec(Some(key)),
        ED25519 => Key::Ed25519(Some(key)),
        _ => Key::Other,
    })
}

/// A private key in any of its three wrappings.
pub(super) fn private_key(der: &[u8]) -> Option<Key<'_>> {
    let content = Der(der).open()?;
    rsa(content).or_else(|| wrapped(content)).or_else(|| curve(content))
}

fn rsa(mut content: Der<'_>) -> Option<Key<'_>> {
    content.read(INTEGER)?;
    let modulus = content.read(INTEGER)?;
    // exponents, primes and what is computed from them
    for _ in 0..6 {
        content.read(INTEGER)?;
    }
    Some(Key::Rsa(modulus))
}

fn wrapped(mut content: Der<'_>) -> Option<Key<'_>> {
    content.read(INTEGER)?;
    let algorithm = content.open()?.read(OBJECT)?;
    let key = content.read(BYTES)?;
    match algorithm {
        RSA => rsa(Der(key).open()?),
        EC => curve(Der(key).open()?),
        ED25519 => Some(Key::Ed25519(None)),
        _ => Some(Key::Other),
    }
}

fn curve(mut content: Der<'_>) -> Option<Key<'_>> {
    content.read(INTEGER).filter(|version| *version == [1])?;
    content.read(BYTES)?;
    content.maybe(TAGGED_0);
    let point = content.maybe(TAGGED_1).and_then(|tagged| Some(Der(tagged).read(BITS)?.split_first()?.1));
    Some(Key::Ec(point))
}
