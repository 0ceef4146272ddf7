//! Claims and volumes in use cannot vanish: finalizers, taken away when the last user is gone.
//!
//! # Upstream
//! `pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}`

use client::{Key, Patch};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use reconcile::{Ask, Body, Controller, Error, Kind, Need, Permit, Plan, Pod, Volume, Watch};
use serde_json::json;

use crate::common::node_name;
use crate::ephemeral::{claim_name, is_for};

const CLAIM: &str = "kubernetes.io/pvc-protection";
const VOLUME: &str = "kubernetes.io/pv-protection";
const CLASS: &str = "kubernetes.io/vac-protection";

/// Protects claims that pods use.
#[derive(Debug)]
pub(crate) struct Claims;

/// Protects volumes that are bound.
#[derive(Debug)]
pub(crate) struct Volumes;

/// Protects volume attribute classes that claims or volumes name.
#[derive(Debug)]
pub(crate) struct AttributeClasses;

fn has<K: Body>(object: &K, finalizer: &str) -> bool {
    object.metadata().finalizers.iter().flatten().any(|f| f == finalizer)
}

fn add<K: Kind + Body>(plan: &mut Plan, object: &K, finalizer: &str) -> Result<(), Error> {
    let mut next = object.clone();
    next.metadata_mut().finalizers.get_or_insert_default().push(finalizer.into());
    plan.update(object, &next)?;
    Ok(())
}

fn remove<K: Kind>(plan: &mut Plan, object: &K, finalizer: &str) -> Result<(), Error> {
    let patch =
        json!({"metadata": {"uid": object.uid(), "$deleteFromPrimitiveList/finalizers": [finalizer]}});
    plan.patch(object, "", Patch::Strategic(patch));
    Ok(())
}

fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    !node_name(pod).is_empty()
        && pod.volumes.iter().any(|v| {
            let named = v.claim.as_deref() == Some(claim.name());
            let made = v.ephemeral.is_some() && claim_name(pod, v) == claim.name();
            named || (made && !pod.is_shut_down() && is_for(claim, pod))
        })
}

/// The keys of the claims a pod names.
pub(crate) fn claims_of(pod: &Pod) -> Vec<Key> {
    let name = |v: &Volume| match &v.claim {
        Some(claim) => Some(claim.clone()),
        None => v.ephemeral.as_ref().map(|_| claim_name(pod, v)),
    };
    pod.volumes.iter().filter_map(name).map(|name| Key::new(pod.namespace(), name)).collect()
}

impl Controller for Claims {
    fn name(&self) -> &'static str {
        "persistentvolumeclaim-protection-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<PersistentVolumeClaim>(), Watch::map::<Pod>(|_, pod| claims_of(pod))]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<PersistentVolumeClaim>("patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(claim) = ask.view.get::<PersistentVolumeClaim>(ask.key) else { return Ok(plan) };
        if !claim.deleting() {
            if !has(claim.as_ref(), CLAIM) {
                add(&mut plan, claim.as_ref(), CLAIM)?;
            }
            return Ok(plan);
        }
        let used = ask.view.list::<Pod>(claim.namespace()).any(|p| uses(p, claim));
        if used || !has(claim.as_ref(), CLAIM) {
            return Ok(plan);
        }
        // a pod may be missing in the cache: the server says whether there is one
        let need = Need::read(Pod::resource().collection(claim.namespace()));
        let Some(answer) = plan.need(ask, need) else { return Ok(plan) };
        let list = answer.as_ref().map_err(|refusal| Error::Invalid(refusal.to_string()))?;
        for pod in list["items"].as_array().into_iter().flatten() {
            if uses(&Pod::project(pod.to_string().as_bytes())?, claim) {
                return Ok(plan);
            }
        }
        remove(&mut plan, claim.as_ref(), CLAIM)?;
        Ok(plan)
    }
}

impl Controller for Volumes {
    fn name(&self) -> &'static str {
        "persistentvolume-protection-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<PersistentVolume>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<PersistentVolume>("patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(volume) = ask.view.get::<PersistentVolume>(ask.key) else { return Ok(plan) };
        let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
        match (volume.deleting(), has(volume.as_ref(), VOLUME)) {
            (false, false) => add(&mut plan, volume.as_ref(), VOLUME)?,
            (true, true) if phase != Some("Bound") => remove(&mut plan, volume.as_ref(), VOLUME)?,
            _ => {}
        }
        Ok(plan)
    }
}

/// The attribute classes a claim names.
fn classes_of(claim: &PersistentVolumeClaim) -> Vec<&str> {
    let wanted = claim.spec.as_ref().and_then(|s| s.volume_attributes_class_name.as_deref());
    let status = claim.status.as_ref();
    let current = status.and_then(|s| s.current_volume_attributes_class_name.as_deref());
    let target =
        status.and_then(|s| s.modify_volume_status.as_ref()?.target_volume_attributes_class_name.as_deref());
    [wanted, current, target].into_iter().flatten().filter(|c| !c.is_empty()).collect()
}

fn class_of(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref()?.volume_attributes_class_name.as_deref().filter(|c| !c.is_empty())
}

impl Controller for AttributeClasses {
    fn name(&self) -> &'static str {
        "volumeattributesclass-protection-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let keys = |names: Vec<&str>| names.into_iter().map(|n| Key::new("", n)).collect::<Vec<_>>();
        vec![
            Watch::root::<VolumeAttributesClass>(),
            Watch::map::<PersistentVolumeClaim>(move |_, claim| keys(classes_of(claim))),
            Watch::map::<PersistentVolume>(move |_, volume| keys(class_of(volume).into_iter().collect())),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<VolumeAttributesClass>("patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(class) = ask.view.get::<VolumeAttributesClass>(ask.key) else { return Ok(plan) };
        let used = || {
            ask.view.all::<PersistentVolumeClaim>().any(|c| classes_of(c).contains(&class.name()))
                || ask.view.all::<PersistentVolume>().any(|v| class_of(v) == Some(class.name()))
        };
        match (class.deleting(), has(class.as_ref(), CLASS)) {
            (false, false) => add(&mut plan, class.as_ref(), CLASS)?,
            (true, true) if !used() => remove(&mut plan, class.as_ref(), CLASS)?,
            _ => {}
        }
        Ok(plan)
    }
}
