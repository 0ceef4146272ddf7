//! A certificate authority in two files.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SubjectPublicKeyInfo,
};

use crate::files::{read, write_private, write_public};
use crate::keys::read_key;
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
    /// Reads `<name>.crt` and `<name>.key` in `dir`, or makes them: CN `<common_name>@<seconds>`. What is there (k3s's
    /// own, or an administrator's) is used as it is; a certificate without its key is an error, not a reason to
    /// replace it.
    ///
    /// # Errors
    /// The files cannot be read, used or written.
    pub fn ensure(dir: &Path, name: &str, common_name: &str) -> Result<Self, PkiError> {
        let (certificate, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        if read(&certificate)?.is_none() && read(&key)?.is_none() {
            let wrong = |source| PkiError::Certificate { name: name.to_owned(), source };
            let (pem, pair) = make(common_name).map_err(wrong)?;
            write_private(&key, pair.serialize_pem().as_bytes())?;
            write_public(&certificate, pem.as_bytes())?;
        }
        Self::load(&certificate, &key)
    }

    /// Reads an authority: the first certificate signs, any others are its chain.
    ///
    /// # Errors
    /// The files cannot be read or used.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, PkiError> {
        let name = certificate.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let there = |path: &Path| {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            let error = PkiError::File { action: "reading", path: path.to_owned(), source: missing };
            read(path)?.ok_or(error)
        };
        let (pem, pair) = (there(certificate)?, read_key(&name, &there(key)?)?);
        let wrong = |source| PkiError::Certificate { name: name.clone(), source };
        let issuer = Issuer::from_ca_cert_pem(&pem, pair).map_err(wrong)?;
        Ok(Self { name, certificate: pem, issuer })
    }

    /// The certificate and its chain, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The signing certificate alone, PEM.
    pub fn without_chain(&self) -> String {
        const END: &str = "-----END CERTIFICATE-----";
        let end = self.certificate.find(END).map_or(self.certificate.len(), |at| at + END.len());
        format!("{}\n", &self.certificate[..end])
    }

    /// Keeps `<path>.crt` and `<path>.key` as `leaf` wants them; true when the certificate is new.
    ///
    /// # Errors
    /// The files cannot be read, made or written.
    pub fn keep(&self, path: &Path, wanted: &Leaf) -> Result<bool, PkiError> {
        // not with_extension: names have dots
        let file = |end: &str| {
            path.with_file_name(format!("{}.{end}", path.file_name().unwrap_or_default().to_string_lossy()))
        };
        let (certificate, key) = (file("crt"), file("key"));
        let name = path.display().to_string();
        let wrong = |source| PkiError::Certificate { name: name.clone(), source };
        let pair = match read(&key)? {
            Some(pem) => read_key(&name, &pem)?,
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

    /// Signs a certificate over somebody else's key (a DER SubjectPublicKeyInfo); gives the chain.
    ///
    /// # Errors
    /// The key is of a kind that cannot be certified.
    pub fn sign(&self, public_key: &[u8], wanted: &Leaf) -> Result<String, PkiError> {
        let wrong = |source| PkiError::Certificate { name: wanted.common_name.clone(), source };
        let key = SubjectPublicKeyInfo::from_der(public_key).map_err(wrong)?;
        let signed = wanted.params().and_then(|p| p.signed_by(&key, &self.issuer)).map_err(wrong)?;
        Ok(format!("{}{}", signed.pem(), self.certificate))
    }
}

fn make(common_name: &str) -> Result<(String, KeyPair), rcgen::Error> {
    let now = jiff::Timestamp::now();
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("{common_name}@{}", now.as_second()));
    (params.not_before, params.not_after) = leaf::validity(now, YEARS * 365);
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok((params.self_signed(&pair)?.pem(), pair))
}
