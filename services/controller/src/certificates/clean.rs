//! Clears away requests nobody needs any more.
//!
//! # Upstream
//! `pkg/controller/certificates/cleaner/cleaner.go`

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use reconcile::{Ask, Controller, Error, Permit, Plan, Watch};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{condition, conditions, issued};
use crate::common::created;

const DECIDED: i64 = 3600;
const PENDING: i64 = 24 * 3600;

/// The controller.
#[derive(Debug)]
pub(crate) struct Cleaning;

/// When an issued certificate ends; `None` for an unreadable one.
fn ends(pem: &[u8]) -> Option<i64> {
    let der = CertificateDer::from_pem_slice(pem).ok()?; // unreadable, see above
    let (_, certificate) = X509Certificate::from_der(&der).ok()?; // the same
    Some(certificate.validity().not_after.timestamp())
}

/// When a request shall go, if it is known.
fn due(csr: &CertificateSigningRequest) -> Option<i64> {
    let after = |kind: &str, seconds: i64| {
        let since = condition(csr, kind)?.last_update_time.as_ref()?;
        Some(since.0.as_second() + seconds)
    };
    let pending = conditions(csr).is_empty().then(|| created(csr).as_second().saturating_add(PENDING));
    let approved = match issued(csr) {
        Some(pem) => {
            let expired = condition(csr, "Approved").and_then(|_| ends(pem));
            [after("Approved", DECIDED), expired].into_iter().flatten().min()
        }
        None => after("Approved", PENDING),
    };
    [pending, approved, after("Denied", DECIDED), after("Failed", DECIDED)].into_iter().flatten().min()
}

impl Controller for Cleaning {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-cleaner-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<CertificateSigningRequest>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<CertificateSigningRequest>("delete")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(csr) = ask.view.get::<CertificateSigningRequest>(ask.key) else { return Ok(plan) };
        match due(csr) {
            Some(at) if at < ask.now.as_second() => {
                plan.delete(csr.as_ref());
            }
            Some(at) if at < Timestamp::MAX.as_second() => {
                let left = u64::try_from(at - ask.now.as_second()).unwrap_or(0);
                plan.again(Duration::from_secs(left + 1));
            }
            _ => {}
        }
        Ok(plan)
    }
}
