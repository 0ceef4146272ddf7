//! Signing and verification keys from PEM files.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey, EncodeRsaPrivateKey};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};

use super::Claims;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The PEM holds no RSA or P-256 key.
    #[error("no RSA or ECDSA P-256 key in the PEM data")]
    Unsupported,
    /// The key cannot be used for signing.
    #[error("service account key")]
    Unusable(#[from] jsonwebtoken::errors::Error),
}

/// A public key in the forms it is needed in.
#[derive(Clone)]
struct PublicKey {
    id: String,
    algorithm: Algorithm,
    decoding: DecodingKey,
    jwk: Value,
}

/// Signs tokens.
#[derive(Clone)]
pub struct SigningKey {
    encoding: EncodingKey,
    public: PublicKey,
}

/// Verifies tokens by any of several keys, newest first.
#[derive(Clone, Default)]
pub struct PublicKeys(Vec<PublicKey>);

impl std::fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|k| &k.id)).finish()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key (PKCS#1, PKCS#8 or SEC 1).
    ///
    /// # Errors
    /// The PEM holds no key of a kind that is supported.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let rsa = rsa::RsaPrivateKey::from_pkcs1_pem(pem)
            .or_else(|_| rsa::RsaPrivateKey::from_pkcs8_pem(pem).map_err(drop));
        if let Ok(key) = rsa {
            let public = public_rsa(&key.to_public_key())?;
            let der = key.to_pkcs1_der().map_err(|_| KeyError::Unsupported)?;
            return Ok(Self { encoding: EncodingKey::from_rsa_der(der.as_bytes()), public });
        }
        let ec = p256::SecretKey::from_sec1_pem(pem)
            .or_else(|_| p256::SecretKey::from_pkcs8_pem(pem).map_err(drop));
        let key = ec.map_err(|()| KeyError::Unsupported)?;
        let der = key.to_pkcs8_der().map_err(|_| KeyError::Unsupported)?;
        Ok(Self { encoding: EncodingKey::from_ec_der(der.as_bytes()), public: public_ec(&key.public_key())? })
    }

    /// Signs claims ([`Claims`], or those of a legacy token).
    ///
    /// # Errors
    /// The key refuses.
    pub fn sign<T: serde::Serialize>(&self, claims: &T) -> Result<String, KeyError> {
        let mut header = Header::new(self.public.algorithm);
        header.typ = None;
        header.kid = Some(self.public.id.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.encoding)?)
    }
}

impl PublicKeys {
    /// Reads the keys of PEM texts: public ones, or private ones of which the public half is taken.
    ///
    /// # Errors
    /// A text holds no key of a kind that is supported.
    pub fn from_pems<'a>(pems: impl IntoIterator<Item = &'a str>) -> Result<Self, KeyError> {
        let blocks = pems.into_iter().flat_map(split_pem);
        let keys: Result<Vec<_>, _> = blocks.map(|block| public_key(&block)).collect();
        let mut keys = keys?;
        let mut seen = std::collections::HashSet::new();
        keys.retain(|key| seen.insert(key.id.clone()));
        if keys.is_empty() { Err(KeyError::Unsupported) } else { Ok(Self(keys)) }
    }

    /// The claims of a token one of the keys signed. Times, issuer and audience are judged by the caller.
    pub fn verify(&self, token: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?; // not a token of ours
        let by_id = |key: &&PublicKey| header.kid.as_ref().is_none_or(|kid| *kid == key.id);
        self.0.iter().filter(by_id).find_map(|key| {
            let mut validation = Validation::new(key.algorithm);
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            jsonwebtoken::decode(token, &key.decoding, &validation).ok().map(|data| data.claims)
        })
    }

    /// The set as served at `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        json!({ "keys": self.0.iter().map(|key| &key.jwk).collect::<Vec<_>>() })
    }

    /// The signing algorithms in use, for the discovery document.
    pub fn algorithms(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(|key| format!("{:?}", key.algorithm)).collect();
        names.sort();
        names.dedup();
        names
    }
}

fn split_pem(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN") {
        let Some(end) = rest[start..].find("-----END").and_then(|e| {
            let tail = start + e + 8;
            rest[tail..].find("-----").map(|f| tail + f + 5)
        }) else {
            break;
        };
        blocks.push(format!("{}\n", &rest[start..end]));
        rest = &rest[end..];
    }
    // parameters precede a SEC 1 key in openssl's output
    blocks.retain(|b| !b.contains("PARAMETERS") && !b.contains("CERTIFICATE"));
    blocks
}

fn public_key(pem: &str) -> Result<PublicKey, KeyError> {
    if pem.contains("PRIVATE KEY") {
        return SigningKey::from_pem(pem).map(|key| key.public);
    }
    let rsa = rsa::RsaPublicKey::from_public_key_pem(pem)
        .or_else(|_| rsa::RsaPublicKey::from_pkcs1_pem(pem).map_err(drop));
    if let Ok(key) = rsa {
        return public_rsa(&key);
    }
    let key = p256::PublicKey::from_public_key_pem(pem).map_err(|_| KeyError::Unsupported)?;
    public_ec(&key)
}

/// # Upstream
/// `pkg/serviceaccount/jwt.go` `keyIDFromPublicKey`
fn key_id(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, der))
}

fn public_rsa(key: &rsa::RsaPublicKey) -> Result<PublicKey, KeyError> {
    let der = key.to_public_key_der().map_err(|_| KeyError::Unsupported)?;
    let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
    let id = key_id(der.as_bytes());
    let decoding = DecodingKey::from_rsa_raw_components(&n, &e);
    let jwk = json!({"use": "sig", "kty": "RSA", "kid": id, "alg": "RS256",
        "n": URL_SAFE_NO_PAD.encode(&n), "e": URL_SAFE_NO_PAD.encode(&e)});
    Ok(PublicKey { id, algorithm: Algorithm::RS256, decoding, jwk })
}

fn public_ec(key: &p256::PublicKey) -> Result<PublicKey, KeyError> {
    let der = key.to_public_key_der().map_err(|_| KeyError::Unsupported)?;
    let point = key.to_encoded_point(false);
    let coordinate =
        |c: Option<&p256::FieldBytes>| c.map(|c| URL_SAFE_NO_PAD.encode(c)).ok_or(KeyError::Unsupported);
    let (x, y) = (coordinate(point.x())?, coordinate(point.y())?);
    let id = key_id(der.as_bytes());
    let decoding = DecodingKey::from_ec_components(&x, &y)?;
    let jwk = json!({"use": "sig", "kty": "EC", "kid": id, "crv": "P-256", "alg": "ES256", "x": x, "y": y});
    Ok(PublicKey { id, algorithm: Algorithm::ES256, decoding, jwk })
}
