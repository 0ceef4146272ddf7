//! Signs approved requests.
//!
//! # Upstream
//! `pkg/controller/certificates/signer/signer.go`, `…/authority/policies.go`
//!
//! The certificate is put together here: the subject, the key and the alternative names are the request's own bytes, which
//! rcgen's parameters would lose (a subject with two organizations).

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rcgen::{KeyPair, SigningKey as _};
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Watch};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};
use yasna::models::{ObjectIdentifier, UTCTime};
use yasna::{DERWriter, Tag};

use super::request::Request;
use super::{CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY, condition, issued};

/// The longest a certificate lasts.
const LONGEST: i64 = 365 * 24 * 3600;
const SHORTEST: i64 = 600;
/// How far back it begins, unless it is a short one.
const BACKDATE: i64 = 300;
const SHORT: i64 = 8 * 3600;

/// Who signs.
pub(crate) struct Authority {
    key: KeyPair,
    /// Its subject, DER.
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    not_after: i64,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The built-in signers.
#[derive(Debug)]
pub(crate) struct Signing {
    /// Who signs; without one nothing is signed.
    pub(crate) authority: Option<Authority>,
}

impl Authority {
    /// Reads certificate and key, PEM.
    pub(crate) fn new(certificate: &str, key: &str) -> anyhow::Result<Self> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())?;
        let (_, parsed) = X509Certificate::from_der(&der)?;
        let mut key_id = None;
        for extension in parsed.extensions() {
            if let ParsedExtension::SubjectKeyIdentifier(id) = extension.parsed_extension() {
                key_id = Some(id.0.to_vec());
            }
        }
        let (subject, not_after) =
            (parsed.subject().as_raw().to_vec(), parsed.validity().not_after.timestamp());
        Ok(Self { key: pki::read_key("key", key)?, subject, key_id, not_after })
    }

    fn algorithm(&self, w: DERWriter<'_>) -> Result<(), String> {
        let algorithm = self.key.algorithm();
        let (oid, null): (&[u64], bool) = if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
            (&[1, 2, 840, 10045, 4, 3, 2], false)
        } else if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
            (&[1, 2, 840, 10045, 4, 3, 3], false)
        } else if algorithm == &rcgen::PKCS_ED25519 {
            (&[1, 3, 101, 112], false)
        } else if algorithm == &rcgen::PKCS_RSA_SHA256 {
            (&[1, 2, 840, 113_549, 1, 1, 11], true)
        } else {
            return Err("the signing key is of an unsupported kind".into());
        };
        w.write_sequence(|w| {
            w.next().write_oid(&ObjectIdentifier::from_slice(oid));
            if null {
                w.next().write_null();
            }
        });
        Ok(())
    }

    /// A certificate for a request, PEM.
    fn sign(
        &self,
        request: &Request,
        usages: &[String],
        seconds: Option<i32>,
        now: Timestamp,
    ) -> Result<String, String> {
        let wanted = seconds.map_or(LONGEST, |s| i64::from(s).clamp(SHORTEST, LONGEST));
        let short = wanted < SHORT;
        let from = now.as_second() - BACKDATE;
        // what is short is not made shorter by its early beginning
        let until = if short { now.as_second() + wanted } else { from + wanted }.min(self.not_after);
        let serial = ring::digest::digest(
            &ring::digest::SHA256,
            &[request.public_key.as_slice(), &now.as_nanosecond().to_be_bytes()].concat(),
        );
        let mut failed = Ok(());
        let body = yasna::construct_der(|w| {
            w.write_sequence(|w| {
                w.next().write_tagged(Tag::context(0), |w| w.write_u8(2));
                // 15 bytes: positive, and within the 20 that are allowed
                w.next().write_bigint_bytes(&serial.as_ref()[..15], true);
                failed = self.algorithm(w.next());
                raw(w.next(), &self.subject);
                w.next().write_sequence(|w| {
                    time(w.next(), from);
                    time(w.next(), until);
                });
                raw(w.next(), &request.subject);
                raw(w.next(), &request.public_key);
                w.next().write_tagged(Tag::context(3), |w| self.extensions(w, request, usages));
            });
        });
        failed?;
        let signature = self.key.sign(&body).map_err(|e| e.to_string())?;
        let mut failed = Ok(());
        let der = yasna::construct_der(|w| {
            w.write_sequence(|w| {
                raw(w.next(), &body);
                failed = self.algorithm(w.next());
                w.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        failed?;
        Ok(pem(&der))
    }

    fn extensions(&self, w: DERWriter<'_>, request: &Request, usages: &[String]) {
        w.write_sequence(|w| {
            let bits = usages.iter().filter_map(|u| key_usage(u)).fold(0u16, |all, bit| all | (1 << bit));
            if bits != 0 {
                // bit 0 is the first of the string
                let bytes = [(bits as u8).reverse_bits(), ((bits >> 8) as u8).reverse_bits()];
                let length = 16 - usize::try_from(bits.leading_zeros()).unwrap_or(0);
                let length_bytes = length.div_ceil(8);
                let value = yasna::construct_der(|w| w.write_bitvec_bytes(&bytes[..length_bytes], length));
                extension(w.next(), &[2, 5, 29, 15], true, &value);
            }
            let purposes: Vec<&[u64]> = usages.iter().filter_map(|u| purpose(u)).collect();
            if !purposes.is_empty() {
                let value = yasna::construct_der(|w| {
                    w.write_sequence(|w| {
                        for oid in &purposes {
                            w.next().write_oid(&ObjectIdentifier::from_slice(oid));
                        }
                    });
                });
                extension(w.next(), &[2, 5, 29, 37], false, &value);
            }
            // no authority of its own
            extension(w.next(), &[2, 5, 29, 19], true, &yasna::construct_der(|w| w.write_sequence(|_| {})));
            if let Some(id) = &self.key_id {
                let value = yasna::construct_der(|w| {
                    w.write_sequence(|w| {
                        w.next().write_tagged_implicit(Tag::context(0), |w| w.write_bytes(id));
                    });
                });
                extension(w.next(), &[2, 5, 29, 35], false, &value);
            }
            if let Some(names) = &request.alternatives {
                extension(w.next(), &[2, 5, 29, 17], false, names);
            }
        });
    }
}

/// What is DER already.
fn raw(w: DERWriter<'_>, der: &[u8]) {
    match yasna::parse_der(der, |reader| reader.read_tagged_der()) {
        Ok(value) => w.write_tagged_der(&value),
        Err(error) => tracing::error!(error = ?error, "A parsed value is no DER"),
    }
}

fn extension(w: DERWriter<'_>, oid: &[u64], critical: bool, value: &[u8]) {
    w.write_sequence(|w| {
        w.next().write_oid(&ObjectIdentifier::from_slice(oid));
        if critical {
            w.next().write_bool(true);
        }
        w.next().write_bytes(value);
    });
}

fn time(w: DERWriter<'_>, seconds: i64) {
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    if at.year() < 2050 {
        w.write_utctime(&UTCTime::from_datetime(at));
    } else {
        w.write_generalized_time(&yasna::models::GeneralizedTime::from_datetime(at));
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|b| char::from(*b)));
        out.push('\n');
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

/// The number of a key usage's bit.
fn key_usage(usage: &str) -> Option<u16> {
    Some(match usage {
        "signing" | "digital signature" => 0,
        "content commitment" => 1,
        "key encipherment" => 2,
        "data encipherment" => 3,
        "key agreement" => 4,
        "cert sign" => 5,
        "crl sign" => 6,
        "encipher only" => 7,
        "decipher only" => 8,
        _ => return None,
    })
}

/// The object identifier of an extended key usage.
fn purpose(usage: &str) -> Option<&'static [u64]> {
    Some(match usage {
        "any" => &[2, 5, 29, 37, 0],
        "server auth" => &[1, 3, 6, 1, 5, 5, 7, 3, 1],
        "client auth" => &[1, 3, 6, 1, 5, 5, 7, 3, 2],
        "code signing" => &[1, 3, 6, 1, 5, 5, 7, 3, 3],
        "email protection" | "s/mime" => &[1, 3, 6, 1, 5, 5, 7, 3, 4],
        "ipsec end system" => &[1, 3, 6, 1, 5, 5, 7, 3, 5],
        "ipsec tunnel" => &[1, 3, 6, 1, 5, 5, 7, 3, 6],
        "ipsec user" => &[1, 3, 6, 1, 5, 5, 7, 3, 7],
        "timestamping" => &[1, 3, 6, 1, 5, 5, 7, 3, 8],
        "ocsp signing" => &[1, 3, 6, 1, 5, 5, 7, 3, 9],
        "microsoft sgc" => &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3],
        "netscape sgc" => &[2, 16, 840, 1, 113_730, 4, 1],
        _ => return None,
    })
}

impl Controller for Signing {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-signing-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<CertificateSigningRequest>()]
    }

    fn writes(&self) -> Vec<Permit> {
        let mut sign = Permit::of::<CertificateSigningRequest>("sign");
        sign.resource.plural = "signers".into();
        vec![Permit::sub::<CertificateSigningRequest>("status", "patch"), sign]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(csr) = ask.view.get::<CertificateSigningRequest>(ask.key) else { return Ok(plan) };
        let signer = csr.spec.signer_name.as_str();
        let Some(authority) = &self.authority else { return Ok(plan) };
        if ![KUBELET_CLIENT, KUBELET_SERVING, CLIENT, LEGACY].contains(&signer) {
            return Ok(plan);
        }
        let failed = condition(csr, "Failed").is_some_and(|c| c.status == "True");
        let (approved, denied) = (condition(csr, "Approved").is_some(), condition(csr, "Denied").is_some());
        if !approved || denied || failed || issued(csr).is_some() {
            return Ok(plan);
        }
        let unreadable = |e| Error::Invalid(format!("unable to parse csr {:?}: {e}", csr.name()));
        let request = Request::parse(&csr.spec.request.0).map_err(unreadable)?;
        let usages = csr.spec.usages.clone().unwrap_or_default();
        let mut next = CertificateSigningRequest::clone(csr);
        let status = next.status.get_or_insert_default();
        if let Err(message) = request.fits(signer, &usages) {
            let now = Time(ask.now);
            status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
                type_: "Failed".into(),
                status: "True".into(),
                reason: Some("SignerValidationFailure".into()),
                message: Some(message),
                last_update_time: Some(now),
                last_transition_time: None,
            });
        } else {
            let signed = authority.sign(&request, &usages, csr.spec.expiration_seconds, ask.now);
            let pem = signed.map_err(|e| Error::Invalid(format!("error auto signing csr: {e}")))?;
            status.certificate = Some(ByteString(pem.into_bytes()));
        }
        plan.update_status(csr.as_ref(), &next)?;
        Ok(plan)
    }
}
