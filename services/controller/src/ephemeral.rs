//! Claims for volumes that live as long as their pod.
//!
//! # Upstream
//! `pkg/controller/volume/ephemeral`, `k8s.io/component-helpers/storage/ephemeral`

use client::Key;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, Volume, Watch};

/// The controller.
#[derive(Debug)]
pub(crate) struct EphemeralVolumes;

/// The name of the claim of a pod's ephemeral volume.
pub(crate) fn claim_name(pod: &Pod, volume: &Volume) -> String {
    format!("{}-{}", pod.name(), volume.name)
}

/// Whether a claim was made for a pod.
pub(crate) fn is_for(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    claim.controller().is_some_and(|owner| owner.uid == pod.uid())
}

impl Controller for EphemeralVolumes {
    fn name(&self) -> &'static str {
        "ephemeral-volume-controller"
    }

    fn component(&self) -> &'static str {
        "ephemeral_volume"
    }

    fn watches(&self) -> Vec<Watch> {
        let of_claim = Watch::map::<PersistentVolumeClaim>(|_, claim| {
            let owner = claim.controller().filter(|o| o.kind == "Pod");
            owner.map(|o| Key::new(claim.namespace(), o.name.clone())).into_iter().collect()
        });
        let asks = |pod: &Pod| pod.volumes.iter().any(|v| v.ephemeral.is_some());
        let of_pod = Watch::root::<Pod>().when::<Pod>(move |_, new| new.is_some_and(asks));
        vec![of_pod, of_claim]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<PersistentVolumeClaim>("create")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(pod) = ask.view.get::<Pod>(ask.key).filter(|p| !p.deleting()) else { return Ok(plan) };
        for volume in pod.volumes.iter() {
            let Some(template) = volume.ephemeral.as_ref().and_then(|e| e.volume_claim_template.as_ref())
            else {
                continue;
            };
            let name = claim_name(pod, volume);
            if let Some(known) = ask.view.named::<PersistentVolumeClaim>(pod.namespace(), &name) {
                if !is_for(known, pod) {
                    let message = format!(
                        "ephemeral volume {}: PVC {}/{name} was not created for pod {}/{} (pod is not owner)",
                        volume.name,
                        pod.namespace(),
                        pod.namespace(),
                        pod.name()
                    );
                    plan.events.push(Event::warning(pod.as_ref(), "FailedBinding", message));
                }
                continue;
            }
            let meta = template.metadata.clone().unwrap_or_default();
            plan.create(&PersistentVolumeClaim {
                metadata: ObjectMeta {
                    name: Some(name),
                    namespace: Some(pod.namespace().to_owned()),
                    annotations: meta.annotations,
                    labels: meta.labels,
                    owner_references: Some(vec![pod.owner_reference()]),
                    ..ObjectMeta::default()
                },
                spec: Some(template.spec.clone()),
                status: None,
            })?;
        }
        Ok(plan)
    }
}
