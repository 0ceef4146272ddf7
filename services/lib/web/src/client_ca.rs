//! Judging a client certificate after the handshake.
//!
//! Every request is judged, so that an authority taken away or a certificate that ends counts at once on connections
//! that stand; a signature is only checked anew after a while.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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

/// How long a verdict counts.
const VERDICT_LIFE: Duration = Duration::from_secs(60);
/// Verdicts kept: as many clients as a large cluster has. Beyond them all are judged anew.
const VERDICTS: usize = 16_384;

/// A client certificate authority bundle that follows its file.
#[derive(Debug)]
pub struct ClientCa {
    verifier: Reloading<Arc<dyn ClientCertVerifier>, TlsError>,
    verdicts: Mutex<Verdicts>,
}

/// Chains found good by one state of the bundle.
#[derive(Debug, Default)]
struct Verdicts {
    verifier: Option<Arc<Arc<dyn ClientCertVerifier>>>,
    good: HashMap<Box<[CertificateDer<'static>]>, Verdict>,
}

#[derive(Debug)]
struct Verdict {
    identity: ClientIdentity,
    until_seconds: u64,
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
        Ok(Self { verifier, verdicts: Mutex::default() })
    }

    /// Verifies a presented chain (leaf first) at this moment and reads whom it names.
    ///
    /// # Errors
    /// The chain is not trusted or malformed.
    pub fn verify(&self, chain: &[CertificateDer<'static>]) -> Result<ClientIdentity, UntrustedError> {
        let (leaf, intermediates) =
            chain.split_first().ok_or_else(|| UntrustedError::Malformed("no certificate".into()))?;
        let (verifier, now) = (self.verifier.current(), UnixTime::now());
        if let Some(identity) = self.known(&verifier, chain, now) {
            return Ok(identity);
        }
        verifier.verify_client_cert(leaf, intermediates, now)?;
        let identity = identity(leaf)?;
        let mut until_seconds = now.as_secs() + VERDICT_LIFE.as_secs();
        for certificate in chain {
            until_seconds = until_seconds.min(end_seconds(certificate)?);
        }
        let verdict = Verdict { identity: identity.clone(), until_seconds };
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.good.len() >= VERDICTS {
            verdicts.good.clear();
        }
        if !verdicts.verifier.as_ref().is_some_and(|other| Arc::ptr_eq(other, &verifier)) {
            *verdicts = Verdicts { verifier: Some(verifier), good: HashMap::new() };
        }
        verdicts.good.insert(chain.into(), verdict);
        Ok(identity)
    }

    fn known(
        &self,
        verifier: &Arc<Arc<dyn ClientCertVerifier>>,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Option<ClientIdentity> {
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.verifier.as_ref().filter(|other| Arc::ptr_eq(other, verifier))?;
        let verdict = verdicts.good.get(chain).filter(|verdict| now.as_secs() < verdict.until_seconds)?;
        Some(verdict.identity.clone())
    }
}

/// The last second a certificate counts.
fn end_seconds(certificate: &CertificateDer<'_>) -> Result<u64, UntrustedError> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|e| UntrustedError::Malformed(e.to_string()))?;
    Ok(u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0))
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
