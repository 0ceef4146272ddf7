//! Join tokens: `K10<hash>::<user>:<password>`, or the password alone.

use ring::rand::{SecureRandom, SystemRandom};

use crate::PkiError;

/// A join token taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of the server's authority, hexadecimal; empty in the short form.
    pub authority_hash: String,
    /// `server` or `node`; empty in the short form.
    pub user: String,
    /// The secret.
    pub password: String,
}

impl Token {
    /// Reads either form. `None`: it begins like the long form and is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix("K10") else {
            let short =
                Self { authority_hash: String::new(), user: String::new(), password: text.to_owned() };
            return (!text.is_empty()).then_some(short);
        };
        let (hash, credentials) = rest.split_once("::")?;
        let (user, password) = credentials.split_once(':').unwrap_or(("", credentials));
        let valid = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) && !password.is_empty();
        valid.then(|| Self {
            authority_hash: hash.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.authority_hash.is_empty() {
            return f.write_str(&self.password);
        }
        write!(f, "K10{}::{}:{}", self.authority_hash, self.user, self.password)
    }
}

/// The hash of a server's authority as tokens carry it: SHA-256 of the PEM text, or of the root's DER when the text is
/// a chain, so that an intermediate can be exchanged.
///
/// # Upstream
/// k3s `pkg/clientaccess/token.go` `hashCA`
pub fn authority_hash(pem: &str) -> String {
    use rustls_pki_types::pem::PemObject;
    let chain = rustls_pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok);
    let chain: Vec<_> = chain.collect(); // what is no certificate is no part of the chain
    let root = chain.last().filter(|_| chain.len() > 1);
    let bytes = root.map_or(pem.as_bytes(), |der| der.as_ref());
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Random bytes as hexadecimal text.
///
/// # Errors
/// The system gives no randomness.
pub fn random_hex(bytes: usize) -> Result<String, PkiError> {
    let mut buffer = vec![0; bytes];
    SystemRandom::new().fill(&mut buffer).map_err(|_| PkiError::Random)?;
    Ok(buffer.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let hash = "a".repeat(64);
        let long = format!("K10{hash}::server:s3cret");
        let token = Token::parse(&long).unwrap();
        assert_eq!((token.user.as_str(), token.password.as_str()), ("server", "s3cret"));
        assert_eq!(token.to_string(), long);
        assert_eq!(Token::parse("s3cret").unwrap().to_string(), "s3cret");
        for bad in ["", "K10abc::server:x", "K10", &format!("K10{hash}::")] {
            assert_eq!(Token::parse(bad), None, "{bad}");
        }
    }
}
