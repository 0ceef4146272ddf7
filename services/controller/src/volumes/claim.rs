//! A claim: bound to the smallest volume that fits, or waiting, or lost.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use reconcile::{Ask, Error, Event, Kind, Plan, Pod, View, matches};

use super::bind::{bind, claim_phase};
use super::{
    AGAIN, BIND_COMPLETED, DEFAULT_CLASS, SELECTED_NODE, capacity, claim_class, is_delayed, is_promised,
    offers_access, requested, same_attributes, same_mode, volume_class,
};
use crate::common::{created, is_terminal, node_name};
use crate::protection::claims_of;

/// Provisioners that were once in the tree, and the drivers that took over.
const MIGRATED: [(&str, &str); 7] = [
    ("kubernetes.io/aws-ebs", "ebs.csi.aws.com"),
    ("kubernetes.io/gce-pd", "pd.csi.storage.gke.io"),
    ("kubernetes.io/azure-disk", "disk.csi.azure.com"),
    ("kubernetes.io/azure-file", "file.csi.azure.com"),
    ("kubernetes.io/cinder", "cinder.csi.openstack.org"),
    ("kubernetes.io/vsphere-volume", "csi.vsphere.vmware.com"),
    ("kubernetes.io/portworx-volume", "pxd.portworx.com"),
];
/// Both names of the annotation that tells a provisioner it is its turn.
const PROVISIONER: [&str; 2] =
    ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"];

pub(super) fn sync(plan: &mut Plan, ask: &Ask<'_>, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    if claim.annotation(BIND_COMPLETED).is_some() {
        bound(plan, ask, claim)
    } else {
        unbound(plan, ask, claim)
    }
}

/// The volume a claim names, if it names one.
fn wanted(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|n| !n.is_empty())
}

fn claimant(volume: &PersistentVolume) -> Option<&k8s_openapi::api::core::v1::ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

fn bound(plan: &mut Plan, ask: &Ask<'_>, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let volume = wanted(claim).and_then(|name| ask.view.named::<PersistentVolume>("", name));
    let (reason, message) = match volume {
        None if wanted(claim).is_none() => {
            ("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
        }
        None => ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
        Some(volume) => match claimant(volume) {
            Some(other) if other.uid.as_deref() != Some(claim.uid()) => {
                ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
            }
            _ => return bind(plan, volume, claim),
        },
    };
    if claim_phase(plan, claim, "Lost", None)? {
        plan.events.push(Event::warning(claim, reason, message));
    }
    Ok(())
}

fn pending(plan: &mut Plan, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    claim_phase(plan, claim, "Pending", None)?;
    plan.again(AGAIN);
    Ok(())
}

fn unbound(plan: &mut Plan, ask: &Ask<'_>, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let Some(name) = wanted(claim) else { return open(plan, ask, claim) };
    let Some(volume) = ask.view.named::<PersistentVolume>("", name) else { return pending(plan, claim) };
    match claimant(volume) {
        None => {
            if let Err(why) = satisfies(volume, claim) {
                let message = format!("Cannot bind to requested volume {name:?}: {why}");
                plan.events.push(Event::warning(claim, "VolumeMismatch", message));
                return pending(plan, claim);
            }
            bind(plan, volume, claim)
        }
        Some(_) if is_promised(volume, claim) => bind(plan, volume, claim),
        Some(_) => {
            let message = format!("volume {name:?} already bound to a different claim.");
            plan.events.push(Event::warning(claim, "FailedBinding", message));
            pending(plan, claim)
        }
    }
}

fn satisfies(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<(), String> {
    if volume.deleting() {
        return Err(format!("the volume is marked for deletion {:?}", volume.name()));
    }
    let checks = [
        (capacity(volume) >= requested(claim), "requested PV is too small"),
        (volume_class(volume) == claim_class(claim).unwrap_or_default(), "storageClassName does not match"),
        (same_attributes(volume, claim), "volumeAttributesClassName does not match"),
        (same_mode(volume, claim), "incompatible volumeMode"),
        (offers_access(volume, claim), "incompatible accessMode"),
    ];
    checks.into_iter().find(|(good, _)| !good).map_or(Ok(()), |(_, why)| Err(why.into()))
}

/// The volume promised to a claim, or the smallest that fits, with the fewest access modes.
fn best<'a>(
    view: &'a View,
    claim: &PersistentVolumeClaim,
    delayed: bool,
) -> Option<&'a Arc<PersistentVolume>> {
    let fits = |v: &&Arc<PersistentVolume>| {
        !v.deleting()
            && claimant(v).is_none_or(|_| is_promised(v, claim))
            && capacity(v) >= requested(claim)
            && same_mode(v, claim)
            && same_attributes(v, claim)
            && offers_access(v, claim)
    };
    let candidates: Vec<_> = view.all::<PersistentVolume>().filter(fits).collect();
    if let Some(promised) = candidates.iter().find(|v| is_promised(v, claim)) {
        return Some(promised);
    }
    if delayed {
        return None; // the scheduler's to bind
    }
    let selector = claim.spec.as_ref().and_then(|s| s.selector.as_ref());
    let free = candidates.into_iter().filter(|v| {
        v.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Available")
            && selector.is_none_or(|s| matches(s, v.as_ref()))
            && volume_class(v) == claim_class(claim).unwrap_or_default()
    });
    free.min_by_key(|v| {
        let modes = v.spec.as_ref().and_then(|s| s.access_modes.as_ref()).map_or(0, Vec::len);
        (modes, capacity(v), v.name().to_owned())
    })
}

fn open(plan: &mut Plan, ask: &Ask<'_>, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let delayed = is_delayed(ask.view, claim);
    if let Some(volume) = best(ask.view, claim, delayed) {
        return bind(plan, volume, claim);
    }
    if claim_class(claim).is_none()
        && let Some(class) = default_class(ask.view)
    {
        let mut next = claim.clone();
        next.spec.get_or_insert_default().storage_class_name = Some(class.name().into());
        plan.update(claim, &next)?;
        return Ok(());
    }
    if delayed && claim.annotation(SELECTED_NODE).is_none() {
        plan.events.push(waiting(ask.view, claim));
        return pending(plan, claim);
    }
    match claim_class(claim).filter(|c| !c.is_empty()) {
        Some(class) => provision(plan, ask, claim, class),
        None => {
            let message = "no persistent volumes available for this claim and no storage class is set";
            plan.events.push(Event::normal(claim, "FailedBinding", message));
            pending(plan, claim)
        }
    }
}

/// The newest class marked as default.
fn default_class(view: &View) -> Option<&Arc<StorageClass>> {
    let marked = |c: &&Arc<StorageClass>| {
        [DEFAULT_CLASS, "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|a| c.annotation(a) == Some("true"))
    };
    let newest = |c: &&Arc<StorageClass>| (created(c.as_ref()), std::cmp::Reverse(c.name().to_owned()));
    view.all::<StorageClass>().filter(marked).max_by_key(newest)
}

fn waiting(view: &View, claim: &PersistentVolumeClaim) -> Event {
    let uses =
        |p: &&Arc<Pod>| !is_terminal(p) && node_name(p).is_empty() && claims_of(p).contains(&claim.key());
    let mut pods: Vec<&str> = view.list::<Pod>(claim.namespace()).filter(uses).map(|p| p.name()).collect();
    pods.sort_unstable();
    match pods.as_slice() {
        [] => {
            let message = "waiting for first consumer to be created before binding";
            Event::normal(claim, "WaitForFirstConsumer", message)
        }
        [pod] => {
            Event::normal(claim, "WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled"))
        }
        pods => {
            let message = format!("waiting for pods {} to be scheduled", pods.join(","));
            Event::normal(claim, "WaitForPodScheduled", message)
        }
    }
}

/// Tells the provisioner that it is its turn.
fn provision(
    plan: &mut Plan,
    ask: &Ask<'_>,
    claim: &PersistentVolumeClaim,
    class: &str,
) -> Result<(), Error> {
    plan.again(AGAIN);
    let fail = |plan: &mut Plan, message: String| {
        plan.events.push(Event::warning(claim, "ProvisioningFailed", message));
        Ok(())
    };
    let Some(found) = ask.view.named::<StorageClass>("", class) else {
        return fail(plan, format!("storageclass.storage.k8s.io {class:?} not found"));
    };
    let given = found.provisioner.as_str();
    let provisioner = MIGRATED.iter().find(|(old, _)| *old == given).map_or(given, |(_, driver)| *driver);
    if provisioner.starts_with("kubernetes.io/") {
        return fail(plan, format!("no volume plugin matched name: {provisioner}"));
    }
    let mut next = claim.clone();
    let annotations = next.metadata.annotations.get_or_insert_default();
    for name in PROVISIONER {
        annotations.insert(name.into(), provisioner.into());
    }
    plan.update(claim, &next)?;
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
         system administrator. If volume creation is delayed, please verify that the provisioner is running and \
         correctly registered."
    );
    plan.events.push(Event::normal(claim, "ExternalProvisioning", message));
    Ok(())
}
