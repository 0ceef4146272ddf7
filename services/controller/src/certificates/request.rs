//! What a certificate request says, and what each signer lets through.
//!
//! # Upstream
//! `pkg/apis/certificates/helpers.go`

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension};

use super::{CLIENT, KUBELET_CLIENT, KUBELET_SERVING};

/// The parts of a PKCS#10 request that matter here, each as it was written.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) common_name: String,
    pub(super) organizations: Vec<String>,
    /// The subject, DER.
    pub(super) subject: Vec<u8>,
    /// The public key with its algorithm, DER.
    pub(super) public_key: Vec<u8>,
    /// The contents of the alternative names extension, DER.
    pub(super) alternatives: Option<Vec<u8>>,
    pub(super) dns: usize,
    pub(super) ips: usize,
    pub(super) emails: usize,
    pub(super) uris: usize,
}

impl Request {
    /// Reads a request and checks that it is signed by its own key.
    pub(super) fn parse(pem: &[u8]) -> Result<Self, String> {
        let wrong = || "PEM block type must be CERTIFICATE REQUEST".to_owned();
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| wrong())?;
        let (_, csr) = X509CertificationRequest::from_der(&der).map_err(|e| e.to_string())?;
        csr.verify_signature().map_err(|e| e.to_string())?;
        let info = &csr.certification_request_info;
        let text = |v: &x509_parser::x509::AttributeTypeAndValue<'_>| v.as_str().map(str::to_owned);
        let names: Result<Vec<_>, _> = info.subject.iter_common_name().map(text).collect();
        let organizations: Result<Vec<_>, _> = info.subject.iter_organization().map(text).collect();
        let mut request = Self {
            common_name: names.map_err(|e| e.to_string())?.pop().unwrap_or_default(),
            organizations: organizations.map_err(|e| e.to_string())?,
            subject: info.subject.as_raw().to_vec(),
            public_key: info.subject_pki.raw.to_vec(),
            alternatives: None,
            dns: 0,
            ips: 0,
            emails: 0,
            uris: 0,
        };
        for attribute in info.iter_attributes() {
            let x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest(asked) =
                attribute.parsed_attribute()
            else {
                continue;
            };
            for extension in &asked.extensions {
                let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
                    continue;
                };
                request.alternatives = Some(extension.value.to_vec());
                for name in &names.general_names {
                    match name {
                        GeneralName::DNSName(_) => request.dns += 1,
                        GeneralName::IPAddress(_) => request.ips += 1,
                        GeneralName::RFC822Name(_) => request.emails += 1,
                        GeneralName::URI(_) => request.uris += 1,
                        _ => {}
                    }
                }
            }
        }
        Ok(request)
    }

    fn names_a_node(&self) -> Result<(), String> {
        if self.organizations != ["system:nodes"] {
            return Err("subject organization is not system:nodes".into());
        }
        if !self.common_name.starts_with("system:node:") {
            return Err("subject common name does not begin with system:node:".into());
        }
        Ok(())
    }

    /// Whether a kubelet may be a client with it.
    pub(super) fn is_kubelet_client(&self, usages: &[String]) -> Result<(), String> {
        if self.organizations != ["system:nodes"] {
            return Err("subject organization is not system:nodes".into());
        }
        let counts = [(self.dns, "DNS"), (self.emails, "Email"), (self.ips, "IP"), (self.uris, "URI")];
        if let Some((_, what)) = counts.iter().find(|(count, _)| *count > 0) {
            return Err(format!("{what} subjectAltNames are not allowed"));
        }
        self.names_a_node()?;
        exactly(usages, "client auth")
    }

    fn is_kubelet_serving(&self, usages: &[String]) -> Result<(), String> {
        if self.organizations != ["system:nodes"] {
            return Err("subject organization is not system:nodes".into());
        }
        if self.dns == 0 && self.ips == 0 {
            return Err("DNS or IP subjectAltName is required".into());
        }
        if self.emails > 0 {
            return Err("Email subjectAltNames are not allowed".into());
        }
        if self.uris > 0 {
            return Err("URI subjectAltNames are not allowed".into());
        }
        exactly(usages, "server auth")?;
        self.names_a_node()
    }

    /// Whether a signer takes it.
    pub(super) fn fits(&self, signer: &str, usages: &[String]) -> Result<(), String> {
        match signer {
            KUBELET_CLIENT => self.is_kubelet_client(usages),
            KUBELET_SERVING => self.is_kubelet_serving(usages),
            CLIENT => client_usages(usages),
            _ => Ok(()), // the legacy signer takes everything
        }
    }
}

/// Digital signature and one more, with or without key encipherment (RSA keys).
fn exactly(usages: &[String], purpose: &str) -> Result<(), String> {
    let mut given: Vec<&str> = usages.iter().map(String::as_str).collect();
    given.sort_unstable();
    given.dedup();
    let mut full = vec![purpose, "digital signature", "key encipherment"];
    full.sort_unstable();
    let short: Vec<&str> = full.iter().copied().filter(|u| *u != "key encipherment").collect();
    if given == full || given == short {
        return Ok(());
    }
    Err(format!("usages did not match [{}]", full.join(" ")))
}

fn client_usages(usages: &[String]) -> Result<(), String> {
    let known = ["digital signature", "key encipherment", "client auth"];
    if let Some(other) = usages.iter().find(|u| !known.contains(&u.as_str())) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if !usages.iter().any(|u| u == "client auth") {
        return Err("missing required usage for client certificate: client auth".into());
    }
    Ok(())
}
