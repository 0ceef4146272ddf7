//! A certificate authority in two files.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use crate::files::{read, write_private, write_public};
use crate::{Leaf, PkiError, leaf};

/// Years an authority lasts, as k3s'.
const YEARS: i64 = 10;

/// A certificate authority that can sign.
pub struct Authority {
    name: String,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads `<name>.crt` and `<name>.key` in `dir`, or makes them: CN `k3s-<name>@<seconds>`.
    ///
    /// # Errors
    /// The files cannot be read, used or written.
    pub fn ensure(dir: &Path, name: &str) -> Result<Self, PkiError> {
        let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        let wrong = |source| PkiError::Certificate { name: name.to_owned(), source };
        let (pem, pair) = match (read(&certificate)?, read(&key)?) {
            (Some(pem), Some(key)) => (pem, KeyPair::from_pem(&key).map_err(wrong)?),
            _ => {
                let (pem, pair) = make(name).map_err(wrong)?;
                write_private(&key, pair.serialize_pem().as_bytes())?;
                write_public(&certificate, pem.as_bytes())?;
                (pem, pair)
            }
        };
        let issuer = Issuer::from_ca_cert_pem(&pem, pair).map_err(wrong)?;
        Ok(Self { name: name.to_owned(), certificate: pem, issuer })
    }

    /// The certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Keeps `<path>.crt` and `<path>.key` as `leaf` wants them; true when the certificate is new.
    ///
    /// # Errors
    /// The files cannot be read, made or written.
    pub fn keep(&self, path: &Path, wanted: &Leaf) -> Result<bool, PkiError> {
        let (certificate, key) = (path.with_extension("crt"), path.with_extension("key"));
        let wrong = |source| PkiError::Certificate { name: path.display().to_string(), source };
        let pair = match read(&key)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(wrong)?,
            None => {
                let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
                write_private(&key, pair.serialize_pem().as_bytes())?;
                pair
            }
        };
        let there = read(&certificate)?;
        if there.is_some_and(|pem| leaf::still_good(&pem, wanted, &self.certificate, &pair)) {
            return Ok(false);
        }
        let signed = wanted.params().and_then(|p| p.signed_by(&pair, &self.issuer)).map_err(wrong)?;
        // the chain: the leaf, then its authority
        write_public(&certificate, format!("{}{}", signed.pem(), self.certificate).as_bytes())?;
        Ok(true)
    }
}

fn make(name: &str) -> Result<(String, KeyPair), rcgen::Error> {
    let now = jiff::Timestamp::now();
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("k3s-{name}@{}", now.as_second()));
    (params.not_before, params.not_after) = leaf::validity(now, YEARS * 365);
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((params.self_signed(&pair)?.pem(), pair))
}
