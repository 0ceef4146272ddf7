//! Private keys in the forms Go writes them.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::PkiError;

/// ecPublicKey, prime256v1.
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];
/// rsaEncryption, no parameters.
const RSA: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// Reads a private key: PKCS#8, or SEC 1 (P-256) and PKCS#1 as k3s and openssl write them.
///
/// # Errors
/// It is none of these.
pub fn read_key(name: &str, pem: &str) -> Result<KeyPair, PkiError> {
    let wrong = |source| PkiError::Certificate { name: name.to_owned(), source };
    let malformed = || PkiError::Malformed { name: name.to_owned() };
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| malformed())?;
    let pkcs8 = match &der {
        PrivateKeyDer::Sec1(key) => wrap(P256, key.secret_sec1_der()),
        PrivateKeyDer::Pkcs1(key) => wrap(RSA, key.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(key) => key.secret_pkcs8_der().to_vec(),
        _ => return Err(malformed()),
    };
    KeyPair::try_from(pkcs8).map_err(wrong)
}

/// A new P-256 key, PEM.
///
/// # Errors
/// No randomness.
pub fn new_key() -> Result<String, PkiError> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|source| PkiError::Certificate { name: "key".into(), source })?;
    Ok(pair.serialize_pem())
}

/// A certificate signing request over a key, DER. It names nobody: the server decides whom the certificate names.
///
/// # Errors
/// The key cannot be read.
pub fn request(key: &str) -> Result<Vec<u8>, PkiError> {
    let pair = read_key("request", key)?;
    let wrong = |source| PkiError::Certificate { name: "request".into(), source };
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).map_err(wrong)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(&pair).map_err(wrong)?.der().to_vec())
}

/// PKCS#8 around an older form.
fn wrap(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let mut content = vec![0x02, 0x01, 0x00];
    content.extend_from_slice(algorithm);
    content.extend(tagged(0x04, key));
    tagged(0x30, &content)
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    if length < 128 {
        out.push(length.to_le_bytes()[0]);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | bytes.len().to_le_bytes()[0]);
        out.extend(bytes);
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl ecparam -name prime256v1 -genkey -noout`
    const SEC1: &str = include_str!("testdata/sec1.key");
    /// `openssl genrsa -traditional 2048`
    const PKCS1: &str = include_str!("testdata/pkcs1.key");

    #[test]
    fn keys_of_every_form_sign() {
        for pem in [SEC1, PKCS1, new_key().unwrap().as_str()] {
            read_key("x", pem).unwrap();
            assert!(request(pem).unwrap().len() > 100);
        }
        assert!(read_key("x", "no key").is_err());
    }
}
