//! Claims and volumes brought together, and what becomes of volumes whose claim is gone.
//!
//! One controller for both kinds: a key with a namespace is a claim's, one without a volume's.
//!
//! # Upstream
//! `pkg/controller/volume/persistentvolume`, `k8s.io/component-helpers/storage/volume`
//!
//! # Differs
//! There are no in-tree provisioners, deleters or recyclers (upstream has them for host paths and NFS only): a volume with
//! the `Recycle` policy fails with upstream's event for a volume nobody can recycle.

mod attach;
mod bind;
mod claim;
mod expand;
mod volume;

pub(crate) use attach::AttachDetach;
pub(crate) use expand::Expand;

use std::time::Duration;

use client::Key;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use meta::quantity::Quantity;
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Pod, View, Watch};

const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const MIGRATED_TO: &str = "pv.kubernetes.io/migrated-to";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// How often an unbound claim is looked at again, and its user told.
const AGAIN: Duration = Duration::from_secs(15);

/// The controller.
#[derive(Debug)]
pub(crate) struct Binder;

/// The class a claim asks for; `None` when it leaves that open, empty when it wants none.
fn claim_class(claim: &PersistentVolumeClaim) -> Option<&str> {
    let named = claim.spec.as_ref().and_then(|s| s.storage_class_name.as_deref());
    claim.annotation(CLASS).or(named)
}

fn volume_class(volume: &PersistentVolume) -> &str {
    let named = volume.spec.as_ref().and_then(|s| s.storage_class_name.as_deref());
    volume.annotation(CLASS).or(named).unwrap_or_default()
}

fn is_delayed(view: &View, claim: &PersistentVolumeClaim) -> bool {
    let class = view.named::<StorageClass>("", claim_class(claim).unwrap_or_default());
    class.is_some_and(|c| c.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
}

/// The claim a volume is promised to, when it is this one (by uid, where there is one).
fn is_promised(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
    reference.is_some_and(|r| {
        r.name.as_deref() == Some(claim.name())
            && r.namespace.as_deref() == Some(claim.namespace())
            && r.uid.as_deref().is_none_or(|uid| uid.is_empty() || uid == claim.uid())
    })
}

fn size(text: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity>) -> i64 {
    // the server lets no malformed quantity in
    text.and_then(|q| Quantity::parse(&q.0).ok()).map_or(0, |q| q.value())
}

fn requested(claim: &PersistentVolumeClaim) -> i64 {
    let resources = claim.spec.as_ref().and_then(|s| s.resources.as_ref());
    size(resources.and_then(|r| r.requests.as_ref()?.get("storage")))
}

fn capacity(volume: &PersistentVolume) -> i64 {
    size(volume.spec.as_ref().and_then(|s| s.capacity.as_ref()?.get("storage")))
}

fn mode(mode: Option<&String>) -> &str {
    mode.map_or("Filesystem", String::as_str)
}

fn same_mode(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let of_volume = volume.spec.as_ref().and_then(|s| s.volume_mode.as_ref());
    mode(of_volume) == mode(claim.spec.as_ref().and_then(|s| s.volume_mode.as_ref()))
}

fn same_attributes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let of_volume = volume.spec.as_ref().and_then(|s| s.volume_attributes_class_name.as_deref());
    let of_claim = claim.spec.as_ref().and_then(|s| s.volume_attributes_class_name.as_deref());
    of_volume.unwrap_or_default() == of_claim.unwrap_or_default()
}

fn offers_access(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let offered = volume.spec.as_ref().and_then(|s| s.access_modes.as_deref()).unwrap_or_default();
    let wanted = claim.spec.as_ref().and_then(|s| s.access_modes.as_deref()).unwrap_or_default();
    wanted.iter().all(|mode| offered.contains(mode))
}

impl Controller for Binder {
    fn name(&self) -> &'static str {
        "persistentvolume-binder-controller"
    }

    fn component(&self) -> &'static str {
        "persistentvolume-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let of_volume = Watch::map::<PersistentVolume>(|view, volume| {
            let reference = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
            let named = reference.map(|r| {
                Key::new(r.namespace.clone().unwrap_or_default(), r.name.clone().unwrap_or_default())
            });
            let waiting = view.all::<PersistentVolumeClaim>().filter(|c| {
                let wants = c.spec.as_ref().and_then(|s| s.volume_name.as_deref());
                wants == Some(volume.name()) || (reference.is_none() && wants.unwrap_or_default().is_empty())
            });
            let mut keys: Vec<Key> = waiting.map(|c| c.key()).chain(named).collect();
            keys.push(volume.key());
            keys
        });
        let of_claim = Watch::map::<PersistentVolumeClaim>(|view, claim| {
            let wants = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()).unwrap_or_default();
            let promised =
                view.all::<PersistentVolume>().filter(|v| is_promised(v, claim) || v.name() == wants);
            promised.map(|v| v.key()).chain([claim.key()]).collect()
        });
        let of_class = Watch::map::<StorageClass>(|view, _| {
            let open = view.all::<PersistentVolumeClaim>().filter(|c| c.annotation(BIND_COMPLETED).is_none());
            open.map(|c| c.key()).collect()
        });
        vec![of_volume, of_claim, of_class, Watch::read::<Pod>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::of::<PersistentVolume>("patch"),
            Permit::sub::<PersistentVolume>("status", "patch"),
            Permit::of::<PersistentVolumeClaim>("patch"),
            Permit::sub::<PersistentVolumeClaim>("status", "patch"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        if ask.key.namespace.is_empty() {
            if let Some(volume) = ask.view.get::<PersistentVolume>(ask.key) {
                volume::sync(&mut plan, ask, volume)?;
            }
        } else if let Some(claim) = ask.view.get::<PersistentVolumeClaim>(ask.key) {
            claim::sync(&mut plan, ask, claim)?;
        }
        Ok(plan)
    }
}
