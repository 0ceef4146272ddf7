//! Claims that ask for more than they have: whoever made the volume is told by an event to wait for.
//!
//! # Upstream
//! `pkg/controller/volume/expand`; every volume is grown by its driver's own controller

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Watch};

use super::{is_promised, requested, size};

/// The controller.
#[derive(Debug)]
pub(crate) struct Expand;

impl Controller for Expand {
    fn name(&self) -> &'static str {
        "persistentvolume-expander-controller"
    }

    fn component(&self) -> &'static str {
        "volume_expand"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<PersistentVolumeClaim>(), Watch::read::<PersistentVolume>()]
    }

    fn writes(&self) -> Vec<Permit> {
        Vec::new()
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(claim) = ask.view.get::<PersistentVolumeClaim>(ask.key) else { return Ok(plan) };
        let status = claim.status.as_ref();
        if status.and_then(|s| s.phase.as_deref()) != Some("Bound") {
            return Ok(plan);
        }
        let has = size(status.and_then(|s| s.capacity.as_ref()?.get("storage")));
        let name = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()).unwrap_or_default();
        let volume = ask.view.named::<PersistentVolume>("", name);
        if requested(claim) <= has || !volume.is_some_and(|v| is_promised(v, claim)) {
            return Ok(plan);
        }
        // said once for each size asked for, not at every other change of the claim
        let asked = (claim.uid().to_owned(), requested(claim));
        if ask.remembered::<(String, i64)>() != Some(&asked) {
            let message = "waiting for an external controller to expand this PVC";
            plan.events.push(Event::warning(claim.as_ref(), "ExternalExpanding", message));
            plan.remember(asked);
        }
        Ok(plan)
    }
}
