//! Hashes of node passwords as k3s keeps them in Secrets.
//!
//! # Upstream
//! k3s `pkg/authenticator/hash/scrypt.go`

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

use crate::PkiError;

const LOG_N: u8 = 15;
const R: u32 = 8;
const P: u32 = 1;
const KEY: usize = 64;
const SALT: usize = 8;

/// Hashes a password: `$1:<salt>:15:8:1:<key>`. Takes 32 MiB for a moment.
///
/// # Errors
/// No randomness.
pub fn hash_password(password: &str) -> Result<String, PkiError> {
    let mut salt = [0; SALT];
    SystemRandom::new().fill(&mut salt).map_err(|_| PkiError::Random)?;
    let key = derive(password, &salt, LOG_N, R, P, KEY).ok_or(PkiError::Random)?;
    let salt: String = salt.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("$1:{salt}:{LOG_N}:{R}:{P}:{}", STANDARD_NO_PAD.encode(key)))
}

/// Whether a password is the one hashed; a malformed hash fits none.
pub fn is_password(hash: &str, password: &str) -> bool {
    let check = || {
        let mut parts = hash.strip_prefix("$1:")?.splitn(5, ':');
        let salt = unhex(parts.next()?)?;
        let (n, r, p) =
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let key = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let again = derive(password, &salt, n, r, p, key.len())?;
        let tag = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes);
        Some(tag(&key).as_ref() == tag(&again).as_ref())
    };
    check().unwrap_or(false)
}

fn derive(password: &str, salt: &[u8], log_n: u8, r: u32, p: u32, length: usize) -> Option<Vec<u8>> {
    let params = scrypt::Params::new(log_n, r, p, length).ok()?;
    let mut key = vec![0; length];
    scrypt::scrypt(password.as_bytes(), salt, &params, &mut key).ok()?;
    Some(key)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|d| std::str::from_utf8(d).ok().and_then(|d| u8::from_str_radix(d, 16).ok())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_k3s_are_understood() {
        let hash = hash_password("s3cret").unwrap();
        assert!(is_password(&hash, "s3cret") && !is_password(&hash, "other"));
        // golang.org/x/crypto/scrypt: Key("password", 0102030405060708, 1<<15, 8, 1, 64)
        let go = include_str!("testdata/scrypt.txt").trim();
        assert!(is_password(go, "password"));
        assert!(!is_password("$2:00:15:8:1:AA", "password") && !is_password("", ""));
    }
}
