//! Approves what kubelets ask for, when they may ask for it.
//!
//! # Upstream
//! `pkg/controller/certificates/approver/sarapprove.go`

use client::{Patch, Resource};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use reconcile::{Ask, Controller, Error, Kind, Need, Permit, Plan, Watch};
use serde_json::json;

use super::request::Request;
use super::{KUBELET_CLIENT, condition, conditions, issued};

/// The controller.
#[derive(Debug)]
pub(crate) struct Approving;

/// Reviews are only created.
pub(crate) fn access_reviews() -> Permit {
    let resource = Resource {
        group: "authorization.k8s.io".into(),
        version: "v1".into(),
        plural: "subjectaccessreviews".into(),
        kind: "SubjectAccessReview".into(),
        namespaced: false,
    };
    Permit { resource, subresource: "", verbs: "create" }
}

/// Asks whether who made the request may have such certificates; `None` until answered.
fn allowed(
    plan: &mut Plan,
    ask: &Ask<'_>,
    csr: &CertificateSigningRequest,
    subresource: &str,
) -> Result<Option<bool>, Error> {
    let body = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": csr.spec.username, "uid": csr.spec.uid, "groups": csr.spec.groups, "extra": csr.spec.extra,
            "resourceAttributes": {
                "group": "certificates.k8s.io", "resource": "certificatesigningrequests", "verb": "create",
                "subresource": subresource, "version": "*",
            },
        },
    });
    let need = Need::review("/apis/authorization.k8s.io/v1/subjectaccessreviews", body);
    let Some(answer) = plan.need(ask, need) else { return Ok(None) };
    let review = answer.as_ref().map_err(|refusal| Error::Invalid(refusal.to_string()))?;
    Ok(Some(review["status"]["allowed"] == true))
}

impl Controller for Approving {
    fn name(&self) -> &'static str {
        "certificatesigningrequest-approving-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<CertificateSigningRequest>()]
    }

    fn writes(&self) -> Vec<Permit> {
        let mut approve = Permit::of::<CertificateSigningRequest>("approve");
        approve.resource.plural = "signers".into();
        vec![Permit::sub::<CertificateSigningRequest>("approval", "patch update"), approve, access_reviews()]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(csr) = ask.view.get::<CertificateSigningRequest>(ask.key) else { return Ok(plan) };
        let decided = condition(csr, "Approved").is_some() || condition(csr, "Denied").is_some();
        if issued(csr).is_some() || decided || csr.spec.signer_name != KUBELET_CLIENT {
            return Ok(plan);
        }
        let unreadable = |e| Error::Invalid(format!("unable to parse csr {:?}: {e}", csr.name()));
        let request = Request::parse(&csr.spec.request.0).map_err(unreadable)?;
        let usages = csr.spec.usages.clone().unwrap_or_default();
        if request.is_kubelet_client(&usages).is_err() {
            return Ok(plan); // somebody else's to judge
        }
        let own = csr.spec.username.as_deref() == Some(&request.common_name);
        let ways = [
            (
                own,
                "selfnodeclient",
                "Auto approving self kubelet client certificate after SubjectAccessReview.",
            ),
            (true, "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
        ];
        for (_, subresource, message) in ways.into_iter().filter(|(fits, ..)| *fits) {
            match allowed(&mut plan, ask, csr, subresource)? {
                None => return Ok(plan),
                Some(false) => {}
                Some(true) => {
                    let mut all = json!(conditions(csr));
                    if let Some(all) = all.as_array_mut() {
                        all.push(json!({"type": "Approved", "status": "True", "reason": "AutoApproved",
                            "message": message}));
                    }
                    let patch = json!({"metadata": {"uid": csr.uid(),
                        "resourceVersion": csr.metadata.resource_version}, "status": {"conditions": all}});
                    plan.patch(csr.as_ref(), "approval", Patch::Merge(patch));
                    return Ok(plan);
                }
            }
        }
        let tried = if own { "[selfnodeclient nodeclient]" } else { "[nodeclient]" };
        let message =
            format!("recognized csr {:?} as {tried} but subject access review was not approved", csr.name());
        Err(Error::Invalid(message))
    }
}
