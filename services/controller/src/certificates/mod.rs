//! Certificates asked for through the API: kubelets' are approved, approved ones signed, old requests cleared away.
//!
//! # Upstream
//! `pkg/controller/certificates`

mod approve;
mod clean;
mod request;
mod sign;

pub(crate) use approve::Approving;
pub(crate) use clean::Cleaning;
pub(crate) use sign::{Authority, Signing};

use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};

pub(crate) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub(crate) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub(crate) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub(crate) const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// The conditions of a request.
fn conditions(csr: &CertificateSigningRequest) -> &[CertificateSigningRequestCondition] {
    csr.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default()
}

fn condition<'a>(
    csr: &'a CertificateSigningRequest,
    kind: &str,
) -> Option<&'a CertificateSigningRequestCondition> {
    conditions(csr).iter().find(|c| c.type_ == kind)
}

/// The certificate, PEM, once issued.
fn issued(csr: &CertificateSigningRequest) -> Option<&[u8]> {
    csr.status.as_ref()?.certificate.as_ref().map(|c| c.0.as_slice()).filter(|c| !c.is_empty())
}
