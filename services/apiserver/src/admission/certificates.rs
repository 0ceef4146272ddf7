//! Who may approve and sign certificate requests, and what the client signer may never sign.
//!
//! # Upstream
//! `plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}/admission.go`,
//! `plugin/pkg/admission/certificates/util.go` `IsAuthorizedForSignerName`

use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

const GROUP: &str = "certificates.k8s.io";
const PLURAL: &str = "certificatesigningrequests";

/// Only who may `approve` for a signer changes conditions of its requests.
pub struct CertificateApproval;

/// Only who may `sign` for a signer issues for its requests.
pub struct CertificateSigning;

/// Nobody becomes `system:masters` by a certificate request.
pub struct CertificateSubjectRestriction;

/// Whether the user has the verb on the signer, by its name or its domain.
async fn may_for_signer(request: &Request<'_>, verb: &'static str, signer: &str) -> bool {
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    request.may_on(GROUP, "signers", verb, signer).await
        || request.may_on(GROUP, "signers", verb, &format!("{domain}/*")).await
}

fn refuse(request: &Request<'_>, name: &str, verb: &str, signer: &str) -> Result<()> {
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(errors::forbidden(&request.resource(), name, &why))
}

fn is_update(request: &Request<'_>, subresource: &str) -> bool {
    request.operation == Operation::Update
        && request.subresource == subresource
        && request.endpoint.is(GROUP, PLURAL)
}

impl Admission for CertificateApproval {
    fn name(&self) -> &'static str {
        "CertificateApproval"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        is_update(request, "approval")
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        _object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // the signer of what is stored counts: a request may not change its own
            let Some(old) = request.old else { return Ok(()) };
            let signer = old.str_at(&["spec", "signerName"]);
            if may_for_signer(request, "approve", signer).await {
                return Ok(());
            }
            refuse(request, old.name(), "approve", signer)
        })
    }
}

impl Admission for CertificateSigning {
    fn name(&self) -> &'static str {
        "CertificateSigning"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        is_update(request, "status")
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (Some(old), Some(new)) = (request.old, object) else { return Ok(()) };
            let issued = |of: &Object| of.str_at(&["status", "certificate"]).to_owned();
            let conditions = |of: &Object| of.list_at(&["status", "conditions"]).to_vec();
            if issued(old) == issued(new) && conditions(old) == conditions(new) {
                return Ok(());
            }
            let signer = old.str_at(&["spec", "signerName"]);
            if may_for_signer(request, "sign", signer).await {
                return Ok(());
            }
            refuse(request, old.name(), "sign", signer)
        })
    }
}

impl Admission for CertificateSubjectRestriction {
    fn name(&self) -> &'static str {
        "CertificateSubjectRestriction"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.operation == Operation::Create && request.is(GROUP, PLURAL)
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(object.map_or(Ok(()), |object| restrict(request, object))))
    }
}

fn restrict(request: &Request<'_>, object: &Object) -> Result<()> {
    if object.str_at(&["spec", "signerName"]) != "kubernetes.io/kube-apiserver-client" {
        return Ok(());
    }
    let encoded = object.at(&["spec", "request"]).and_then(Value::as_str).unwrap_or("");
    let why = |error: String| {
        let text = format!("failed to parse the request: {error}");
        errors::forbidden(&request.resource(), object.name(), &text)
    };
    let organizations = organizations(encoded).map_err(why)?;
    if organizations.iter().any(|organization| organization == "system:masters") {
        let text =
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
        return Err(errors::forbidden(&request.resource(), object.name(), text));
    }
    Ok(())
}

/// Reads the subject of a request as the API carries it: PEM in base64.
fn subject<T>(
    encoded: &str,
    read: impl FnOnce(&x509_parser::x509::X509Name<'_>) -> T,
) -> std::result::Result<T, String> {
    use base64::Engine as _;
    use x509_parser::prelude::FromDer;
    let pem = base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|e| e.to_string())?;
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).map_err(|e| e.to_string())?;
    let (_, parsed) = x509_parser::certification_request::X509CertificationRequest::from_der(&block.contents)
        .map_err(|e| e.to_string())?;
    Ok(read(&parsed.certification_request_info.subject))
}

/// The subject's organizations.
fn organizations(encoded: &str) -> std::result::Result<Vec<String>, String> {
    subject(encoded, |subject| {
        let names = subject.iter_organization();
        names.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
    })
}

/// The subject's common name, empty for none.
///
/// # Errors
/// It is no certificate request.
pub fn common_name(encoded: &str) -> std::result::Result<String, String> {
    subject(encoded, |subject| {
        let mut names = subject.iter_common_name();
        names.find_map(|name| name.as_str().ok()).unwrap_or("").to_owned()
    })
}
