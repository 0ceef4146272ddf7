//! A volume: available, bound, released, and what its reclaim policy says then.

use client::Key;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use reconcile::{Ask, Body, Error, Event, Kind, Need, Plan};

use super::bind::{unbind, volume_phase};
use super::{AGAIN, MIGRATED_TO, PROVISIONED_BY, same_mode};

/// The claim a volume was bound to, if that very one still exists.
enum Claimant {
    There(Box<PersistentVolumeClaim>),
    Gone,
    /// The API server is being asked.
    Unknown,
}

fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}

fn claimant(plan: &mut Plan, ask: &Ask<'_>, key: &Key, uid: &str, released: bool) -> Result<Claimant, Error> {
    let known = ask.view.get::<PersistentVolumeClaim>(key);
    if let Some(known) = known.filter(|c| c.uid() == uid) {
        return Ok(Claimant::There(Box::new(PersistentVolumeClaim::clone(known))));
    }
    if released && known.is_none() {
        return Ok(Claimant::Gone);
    }
    // the cache may lag behind, and a volume must not be reclaimed in error
    let need = Need::read(PersistentVolumeClaim::resource().object(key, ""));
    let Some(answer) = plan.need(ask, need) else { return Ok(Claimant::Unknown) };
    match answer {
        Ok(value) => {
            let live = PersistentVolumeClaim::from_value(value)?;
            Ok(if live.uid() == uid { Claimant::There(Box::new(live)) } else { Claimant::Gone })
        }
        Err(refusal) if refusal.is_not_found() => Ok(Claimant::Gone),
        Err(refusal) => Err(Error::Invalid(refusal.to_string())),
    }
}

pub(super) fn sync(plan: &mut Plan, ask: &Ask<'_>, volume: &PersistentVolume) -> Result<(), Error> {
    let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
    let uid = reference.and_then(|r| r.uid.as_deref()).unwrap_or_default();
    let Some(reference) = reference.filter(|_| !uid.is_empty()) else {
        volume_phase(plan, volume, "Available")?;
        return Ok(());
    };
    let key =
        Key::new(reference.namespace.clone().unwrap_or_default(), reference.name.clone().unwrap_or_default());
    let released = matches!(phase(volume), "Released" | "Failed");
    let claim = match claimant(plan, ask, &key, uid, released)? {
        Claimant::Unknown => return Ok(()),
        Claimant::Gone => return release(plan, volume),
        Claimant::There(claim) => claim,
    };
    match claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()).filter(|n| !n.is_empty()) {
        None if !same_mode(volume, &claim) => {
            let name = claim.name();
            let message = format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {name:?} due to incompatible volumeMode."
            );
            plan.events.push(Event::warning(volume, "VolumeMismatch", message));
            let message = format!(
                "Cannot bind PersistentVolume {:?} to requested PersistentVolumeClaim due to incompatible volumeMode.",
                volume.name()
            );
            plan.events.push(Event::warning(claim.as_ref(), "VolumeMismatch", message));
        }
        None => {} // the claim's side finishes it: this volume's change has led to it
        Some(name) if name == volume.name() => {
            volume_phase(plan, volume, "Bound")?;
        }
        Some(_) if volume.annotation(PROVISIONED_BY).is_some() && policy(volume) == "Delete" => {
            return release(plan, volume);
        }
        Some(_) => return unbind(plan, volume),
    }
    Ok(())
}

fn policy(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|s| s.persistent_volume_reclaim_policy.as_deref()).unwrap_or("Retain")
}

fn release(plan: &mut Plan, volume: &PersistentVolume) -> Result<(), Error> {
    if !matches!(phase(volume), "Released" | "Failed") {
        volume_phase(plan, volume, "Released")?;
        return Ok(()); // reclaimed when that is seen
    }
    if volume.annotation(MIGRATED_TO).is_some_and(|m| !m.is_empty()) {
        return Ok(());
    }
    let (reason, message) = match policy(volume) {
        "Retain" => return Ok(()),
        "Delete" if is_external(volume) => return Ok(()),
        "Delete" => {
            let why = "no deletable volume plugin matched";
            let name = volume.name();
            ("VolumeFailedDelete", format!("error getting deleter volume plugin for volume {name:?}: {why}"))
        }
        "Recycle" => ("VolumeFailedRecycle", "No recycler plugin found for the volume!".into()),
        _ => ("VolumeUnknownReclaimPolicy", "Volume has unrecognized PersistentVolumeReclaimPolicy".into()),
    };
    if phase(volume) == "Failed" {
        return Ok(());
    }
    let mut next = volume.clone();
    let status = next.status.get_or_insert_default();
    status.phase = Some("Failed".into());
    status.message = Some(message.clone());
    plan.update_status(volume, &next)?;
    plan.events.push(Event::warning(volume, reason, message));
    plan.again(AGAIN);
    Ok(())
}

/// Whether somebody else deletes the volume.
fn is_external(volume: &PersistentVolume) -> bool {
    let provisioner = volume.annotation(PROVISIONED_BY).filter(|p| !p.is_empty());
    provisioner.is_some_and(|p| !p.starts_with("kubernetes.io/"))
        || volume.annotation(MIGRATED_TO).is_some()
        || volume.spec.as_ref().is_some_and(|s| s.csi.is_some())
}
