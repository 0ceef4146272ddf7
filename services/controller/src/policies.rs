//! What is known of validating admission policies: which generation was looked at.
//!
//! # Upstream
//! `pkg/controller/validatingadmissionpolicystatus`
//!
//! # Differs
//! Expressions are not checked against the types they will see: `typeChecking` never has warnings.

use k8s_openapi::api::admissionregistration::v1::{TypeChecking, ValidatingAdmissionPolicy};
use reconcile::{Ask, Controller, Error, Permit, Plan, Watch};

/// The controller.
#[derive(Debug)]
pub(crate) struct PolicyStatus;

impl Controller for PolicyStatus {
    fn name(&self) -> &'static str {
        "validatingadmissionpolicy-status-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<ValidatingAdmissionPolicy>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::sub::<ValidatingAdmissionPolicy>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(policy) = ask.view.get::<ValidatingAdmissionPolicy>(ask.key) else { return Ok(plan) };
        let seen = policy.status.as_ref().and_then(|s| s.observed_generation).unwrap_or(0);
        if policy.metadata.generation.unwrap_or(0) <= seen {
            return Ok(plan);
        }
        let mut next = ValidatingAdmissionPolicy::clone(policy);
        let status = next.status.get_or_insert_default();
        status.observed_generation = policy.metadata.generation;
        status.type_checking = Some(TypeChecking::default());
        plan.update_status(policy.as_ref(), &next)?;
        Ok(plan)
    }
}
