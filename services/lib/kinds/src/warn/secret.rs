//! Certificates and keys in secrets.
//!
//! # Upstream
//! `pkg/registry/core/secret/strategy.go` `warningsForSecret`; the texts are those of Go's `tls.X509KeyPair`
//!
//! # Differs
//! Nothing is computed: a key that does not carry its public half (Ed25519, some of elliptic curves) is taken to belong
//! to its certificate, and a certificate is not read further than to its key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schema::Object;

use super::Warnings;
use super::der::{self, Key};
use crate::tree::text;

/// A Secret.
pub(crate) fn secret(object: &Object, _: Option<&Object>) -> Warnings {
    if text(object.root(), "type") != "kubernetes.io/tls" {
        return Warnings::new();
    }
    pair(&pem(object, "tls.crt"), &pem(object, "tls.key")).err().into_iter().collect()
}

/// A key's bytes as text. What is absent, or is no text, has no blocks; what is no base64 was refused before.
fn pem(object: &Object, key: &str) -> String {
    let data = STANDARD.decode(object.str_at(&["data", key])).unwrap_or_default();
    String::from_utf8_lossy(&data).into_owned()
}

fn pair(certificate: &str, key: &str) -> Result<(), String> {
    let certificate = certificate_block(certificate)?;
    let key = key_block(key)?;
    let public = der::certificate(&certificate)?;
    let private = der::private_key(&key).ok_or("tls: failed to parse private key")?;
    Ok(belong(&public, &private)?)
}

fn belong(public: &Key, private: &Key) -> Result<(), &'static str> {
    let same = match (public, private) {
        (_, Key::Other) => return Err("tls: found unknown private key type in PKCS#8 wrapping"),
        (Key::Other, _) => return Err("tls: unknown public key algorithm"),
        (Key::Rsa(a), Key::Rsa(b)) => a == b,
        (Key::Ec(a), Key::Ec(b)) | (Key::Ed25519(a), Key::Ed25519(b)) => b.is_none() || a == b,
        _ => return Err("tls: private key type does not match public key type"),
    };
    if same { Ok(()) } else { Err("tls: private key does not match public key") }
}

/// The first certificate.
fn certificate_block(text: &str) -> Result<Vec<u8>, String> {
    let mut others = Vec::new();
    let mut first = None;
    for (kind, der) in blocks(text) {
        match kind {
            "CERTIFICATE" => first = first.or(Some(der)),
            other => others.push(other),
        }
    }
    first.ok_or_else(|| match others[..] {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [kind] if kind.ends_with("PRIVATE KEY") => {
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may \
             have been switched"
                .to_owned()
        }
        _ => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the \
             following types: [{}]",
            others.join(" ")
        ),
    })
}

/// The first private key.
fn key_block(text: &str) -> Result<Vec<u8>, String> {
    let mut others = Vec::new();
    for (kind, der) in blocks(text) {
        if kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY") {
            return Ok(der);
        }
        others.push(kind);
    }
    Err(match others[..] {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        ["CERTIFICATE"] => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        _ => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks \
             of the following types: [{}]",
            others.join(" ")
        ),
    })
}

/// PEM blocks with their kinds; what is not well-formed is passed over.
fn blocks(text: &str) -> impl Iterator<Item = (&str, Vec<u8>)> {
    let mut open: Option<(&str, String)> = None;
    text.lines().filter_map(move |line| {
        let marker = |word: &str| line.trim_end().strip_prefix(word)?.strip_suffix("-----");
        if let Some(kind) = marker("-----BEGIN ") {
            open = Some((kind, String::new()));
            return None;
        }
        if line.starts_with("-----END ") {
            let (kind, body) = open.take().filter(|(kind, _)| marker("-----END ") == Some(kind))?;
            return Some((kind, STANDARD.decode(body).ok()?));
        }
        // lines with a colon are headers
        if let Some((_, body)) = open.as_mut().filter(|_| !line.contains(':')) {
            body.extend(line.chars().filter(|c| !c.is_whitespace()));
        }
        None
    })
}
