//! Judging a client certificate after the handshake.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::Reloading;
use crate::tls::{TlsError, read_certificates};

/// Whom a certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The subject's common name: the user.
    pub common_name: String,
    /// The subject's organizations: the groups.
    pub organizations: Vec<String>,
    /// Lower-case hexadecimal SHA-256 of the certificate, for audit's credential id.
    pub fingerprint: String,
}

/// Why a certificate names nobody.
#[derive(Debug, thiserror::Error)]
pub enum UntrustedError {
    /// The chain does not lead to the authority, or is out of date, or is not for clients.
    #[error("verifying the client certificate")]
    Chain(#[from] rustls::Error),
    /// The certificate is malformed.
    #[error("client certificate: {0}")]
    Malformed(String),
}

/// A client certificate authority bundle that follows its file.
#[derive(Debug)]
pub struct ClientCa {
    verifier: Reloading<Arc<dyn ClientCertVerifier>, TlsError>,
}

impl ClientCa {
    /// Reads the bundle.
    ///
    /// # Errors
    /// The file cannot be read or holds no usable certificate.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let path = path.into();
        let verifier = Reloading::new(vec![path.clone()], move || {
            let mut roots = RootCertStore::empty();
            for certificate in read_certificates(&path)? {
                roots.add(certificate).map_err(|source| TlsError::Key { path: path.clone(), source })?;
            }
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crate::provider())
                .build()
                .map_err(|e| TlsError::Setup(rustls::Error::General(e.to_string())))
        })?;
        Ok(Self { verifier })
    }

    /// Verifies a presented chain (leaf first) at this moment and reads whom it names.
    ///
    /// # Errors
    /// The chain is not trusted or malformed.
    pub fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<ClientIdentity, UntrustedError> {
        let (leaf, intermediates) =
            chain.split_first().ok_or_else(|| UntrustedError::Malformed("no certificate".into()))?;
        self.verifier.current().verify_client_cert(leaf, intermediates, UnixTime::now())?;
        identity(leaf)
    }
}

fn identity(leaf: &CertificateDer<'_>) -> Result<ClientIdentity, UntrustedError> {
    let (_, parsed) =
        X509Certificate::from_der(leaf).map_err(|e| UntrustedError::Malformed(e.to_string()))?;
    let texts = |attributes: &mut dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>>| {
        attributes.filter_map(|a| a.as_str().ok().map(str::to_owned)).collect::<Vec<_>>() // not text: no name
    };
    let common_name = texts(&mut parsed.subject().iter_common_name()).into_iter().next().unwrap_or_default();
    let organizations = texts(&mut parsed.subject().iter_organization());
    let digest = ring::digest::digest(&ring::digest::SHA256, leaf);
    let fingerprint = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    Ok(ClientIdentity { common_name, organizations, fingerprint })
}
