//! The writes that bind a claim and a volume, and those that say how either stands.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use reconcile::{Error, Kind, Plan};

use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, is_promised};

/// Binds as far as one plan goes: first both specs, the volume's before the claim's, then, when that is seen, the status.
pub(super) fn bind(
    plan: &mut Plan,
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
) -> Result<(), Error> {
    let mut next = volume.clone();
    let spec = next.spec.get_or_insert_default();
    let bound = spec.claim_ref.as_ref().is_some_and(|r| r.uid.as_deref() == Some(claim.uid()));
    if !is_promised(volume, claim) {
        let annotations = next.metadata.annotations.get_or_insert_default();
        annotations.insert(BOUND_BY_CONTROLLER.into(), "yes".into());
    }
    if !bound {
        spec.claim_ref = Some(ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("PersistentVolumeClaim".into()),
            namespace: claim.metadata.namespace.clone(),
            name: claim.metadata.name.clone(),
            uid: claim.metadata.uid.clone(),
            resource_version: claim.metadata.resource_version.clone(),
            field_path: None,
        });
    }
    plan.update(volume, &next)?;
    let mut next = claim.clone();
    let spec = next.spec.get_or_insert_default();
    let annotations = next.metadata.annotations.get_or_insert_default();
    if spec.volume_name.as_deref() != Some(volume.name()) {
        spec.volume_name = volume.metadata.name.clone();
        annotations.insert(BOUND_BY_CONTROLLER.into(), "yes".into());
    }
    annotations.entry(BIND_COMPLETED.into()).or_insert_with(|| "yes".into());
    plan.update(claim, &next)?;
    if plan.writes.is_empty() {
        volume_phase(plan, volume, "Bound")?;
        claim_phase(plan, claim, "Bound", Some(volume))?;
    }
    Ok(())
}

/// Undoes a binding from the volume's side.
pub(super) fn unbind(plan: &mut Plan, volume: &PersistentVolume) -> Result<(), Error> {
    let mut next = volume.clone();
    let spec = next.spec.get_or_insert_default();
    if volume.annotation(BOUND_BY_CONTROLLER).is_some() {
        spec.claim_ref = None;
        if let Some(annotations) = &mut next.metadata.annotations {
            annotations.remove(BOUND_BY_CONTROLLER);
        }
        next.metadata.annotations.take_if(|a| a.is_empty());
    } else if let Some(reference) = &mut spec.claim_ref {
        reference.uid = None;
    }
    plan.update(volume, &next)?;
    Ok(()) // the phase follows when that is seen
}

/// Says how a volume stands; whether that is news.
pub(super) fn volume_phase(plan: &mut Plan, volume: &PersistentVolume, phase: &str) -> Result<bool, Error> {
    let mut next = volume.clone();
    let status = next.status.get_or_insert_default();
    if status.phase.as_deref() == Some(phase) {
        return Ok(false);
    }
    status.phase = Some(phase.into());
    status.message = None;
    status.reason = None;
    plan.update_status(volume, &next)
}

/// Says how a claim stands, with what its volume gives it; whether that is news.
pub(super) fn claim_phase(
    plan: &mut Plan,
    claim: &PersistentVolumeClaim,
    phase: &str,
    volume: Option<&PersistentVolume>,
) -> Result<bool, Error> {
    let mut next = claim.clone();
    let status = next.status.get_or_insert_default();
    let news = status.phase.as_deref() != Some(phase);
    status.phase = Some(phase.into());
    match volume.and_then(|v| v.spec.as_ref()) {
        Some(spec) => {
            status.access_modes = spec.access_modes.clone();
            // one that was bound before has its own: it may be being resized
            if news {
                status.capacity = spec.capacity.clone();
                let class = spec.volume_attributes_class_name.clone();
                status.current_volume_attributes_class_name = class.filter(|c| !c.is_empty());
            }
        }
        None => {
            status.access_modes = None;
            status.capacity = None;
            status.current_volume_attributes_class_name = None;
        }
    }
    plan.update_status(claim, &next)?;
    Ok(news)
}
