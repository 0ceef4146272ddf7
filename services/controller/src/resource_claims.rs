//! Claims of devices: made from templates for the pods that name them, reserved for who uses them, given back after.
//!
//! A key is a pod's, or with the prefix below a claim's (no name of an object has a colon).
//!
//! # Upstream
//! `pkg/controller/resourceclaim`
//!
//! # Differs
//! Pod groups (an alpha feature, off by default) are not known.

use std::sync::Arc;

use client::{Key, Patch};
use k8s_openapi::api::core::v1::PodResourceClaim;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{Ask, Controller, Error, Event, Kind, Need, Permit, Plan, Pod, View, Watch};
use serde_json::json;

use crate::common::{is_terminal, node_name};

const CLAIM: &str = "claim:";
const MADE_FOR: &str = "resource.kubernetes.io/pod-claim-name";
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// Consumers a claim can have at once.
const CONSUMERS: usize = 256;
/// What the server adds to a generated name must still fit.
const LONGEST_BASE: usize = 57;

/// The controller.
#[derive(Debug)]
pub(crate) struct ResourceClaims;

fn is_done(pod: &Pod) -> bool {
    is_terminal(pod) || (pod.deleting() && node_name(pod).is_empty())
}

fn wants(pod: &Pod) -> &[PodResourceClaim] {
    &pod.spec.resource_claims
}

/// The claim a pod's entry stands for: named by the user, or noted in the pod's status. The inner `None` says that
/// none is needed, the outer that it is not known yet.
pub(crate) fn claim_name<'a>(pod: &'a Pod, want: &'a PodResourceClaim) -> Option<Option<&'a str>> {
    if let Some(name) = &want.resource_claim_name {
        return Some(Some(name));
    }
    let (_, claim) = pod.resource_claim_statuses.iter().find(|(entry, _)| **entry == *want.name)?;
    Some(claim.as_deref())
}

/// The claim that was made for a pod's entry, whether the pod's status says so or not.
fn made_for<'a>(view: &'a View, pod: &'a Pod, want: &PodResourceClaim) -> Option<&'a Arc<ResourceClaim>> {
    let mine = view.owned::<ResourceClaim>(pod.uid());
    mine.filter(|c| c.annotation(MADE_FOR) == Some(&want.name)).min_by_key(|c| c.name().to_owned())
}

/// Whom a claim is reserved for.
pub(crate) fn reserved(claim: &ResourceClaim) -> &[ResourceClaimConsumerReference] {
    claim.status.as_ref().and_then(|s| s.reserved_for.as_deref()).unwrap_or_default()
}

fn is_allocated(claim: &ResourceClaim) -> bool {
    claim.status.as_ref().is_some_and(|s| s.allocation.is_some())
}

/// `<pod>-<entry>-`, both shortened alike when that is too long.
fn base(pod: &str, want: &str) -> String {
    let full = format!("{pod}-{want}-");
    if full.len() <= LONGEST_BASE {
        return full;
    }
    let cut = |text: &str| text[..text.len() * LONGEST_BASE / full.len()].to_owned();
    format!("{}-{}", cut(pod), cut(want))
}

fn sync_pod(plan: &mut Plan, ask: &Ask<'_>, pod: &Pod) -> Result<(), Error> {
    let mut made = Vec::new();
    for want in wants(pod) {
        let known = claim_name(pod, want);
        if known == Some(None) {
            continue;
        }
        let there = known.flatten().and_then(|name| ask.view.named::<ResourceClaim>(pod.namespace(), name));
        let Some(template) = &want.resource_claim_template_name else { continue };
        if there.is_some_and(|c| c.controller().is_some_and(|o| o.uid == pod.uid())) {
            continue;
        }
        if let Some(claim) = made_for(ask.view, pod, want) {
            made.push(json!({"name": want.name, "resourceClaimName": claim.name()}));
            continue;
        }
        let Some(found) = ask.view.named::<ResourceClaimTemplate>(pod.namespace(), template) else {
            let message = format!(
                "PodResourceClaim {}: resource claim template {template:?}: resourceclaimtemplate.resource.k8s.io {template:?} not found",
                want.name
            );
            plan.events.push(Event::warning(pod, "FailedResourceClaimCreation", message));
            continue;
        };
        let meta = found.spec.metadata.clone().unwrap_or_default();
        let mut annotations = meta.annotations.unwrap_or_default();
        annotations.insert(MADE_FOR.into(), want.name.clone());
        let mut owner = pod.owner_reference();
        owner.block_owner_deletion = None;
        plan.create(&ResourceClaim {
            metadata: ObjectMeta {
                generate_name: Some(base(pod.name(), &want.name)),
                namespace: Some(pod.namespace().to_owned()),
                annotations: Some(annotations),
                labels: meta.labels,
                owner_references: Some(vec![owner]),
                ..ObjectMeta::default()
            },
            spec: found.spec.spec.clone(),
            status: None,
        })?;
    }
    if !made.is_empty() {
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"resourceClaimStatuses": made}});
        plan.patch(pod, "status", Patch::Strategic(patch));
    }
    if !plan.writes.is_empty() || node_name(pod).is_empty() {
        return Ok(()); // the scheduler reserves for pods it binds
    }
    for name in wants(pod).iter().filter_map(|want| claim_name(pod, want)?) {
        let Some(claim) = ask.view.named::<ResourceClaim>(pod.namespace(), name) else { return Ok(()) };
        let ours = reserved(claim).iter().any(|r| r.uid == pod.uid());
        if is_allocated(claim) && !ours && reserved(claim).len() < CONSUMERS {
            let mut next = ResourceClaim::clone(claim);
            let list = next.status.get_or_insert_default().reserved_for.get_or_insert_default();
            list.push(ResourceClaimConsumerReference {
                api_group: None,
                resource: "pods".into(),
                name: pod.name().into(),
                uid: pod.uid().into(),
            });
            plan.update_status(claim.as_ref(), &next)?;
        }
    }
    Ok(())
}

/// Whether a consumer still uses the claim; `None` while the API server is asked.
fn is_used(
    plan: &mut Plan,
    ask: &Ask<'_>,
    namespace: &str,
    consumer: &ResourceClaimConsumerReference,
) -> Result<Option<bool>, Error> {
    if consumer.resource != "pods" || consumer.api_group.as_deref().is_some_and(|g| !g.is_empty()) {
        return Ok(Some(true)); // not ours to judge
    }
    if let Some(pod) = ask.view.named::<Pod>(namespace, &consumer.name) {
        return Ok(Some(pod.uid() == consumer.uid && !is_done(pod)));
    }
    let path = Pod::resource().object(&Key::new(namespace, consumer.name.clone()), "");
    match plan.need(ask, Need::read(path)) {
        None => Ok(None),
        Some(Ok(pod)) => Ok(Some(pod["metadata"]["uid"] == consumer.uid)),
        Some(Err(refusal)) if refusal.is_not_found() => Ok(Some(false)),
        Some(Err(refusal)) => Err(Error::Invalid(refusal.to_string())),
    }
}

fn sync_claim(plan: &mut Plan, ask: &Ask<'_>, claim: &ResourceClaim) -> Result<(), Error> {
    let mut left = Vec::new();
    for consumer in reserved(claim) {
        if is_used(plan, ask, claim.namespace(), consumer)? == Some(true) {
            left.push(consumer.clone());
        }
    }
    if !plan.needs.is_empty() {
        return Ok(());
    }
    let held = claim.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER);
    let freed = left.is_empty() && held && (!reserved(claim).is_empty() || claim.deleting());
    if left.len() < reserved(claim).len() || (freed && is_allocated(claim)) {
        let mut next = ResourceClaim::clone(claim);
        let status = next.status.get_or_insert_default();
        if freed {
            status.allocation = None;
        }
        status.reserved_for = Some(left).filter(|l| !l.is_empty());
        plan.update_status(claim, &next)?;
        return Ok(()); // the finalizer goes when that is seen
    }
    if held && !is_allocated(claim) && reserved(claim).is_empty() {
        let mut next = ResourceClaim::clone(claim);
        next.metadata.finalizers.get_or_insert_default().retain(|f| f != FINALIZER);
        plan.update(claim, &next)?;
        return Ok(());
    }
    let owner = claim.controller().filter(|o| o.kind == "Pod" && o.api_version == "v1");
    if let Some(owner) = owner.filter(|_| !claim.deleting() && reserved(claim).is_empty()) {
        let pod = ask.view.named::<Pod>(claim.namespace(), &owner.name).filter(|p| p.uid() == owner.uid);
        // one without its pod is the garbage collector's
        if pod.is_some_and(|p| is_done(p)) {
            plan.delete(claim);
        }
    }
    Ok(())
}

fn claim_key(namespace: &str, name: &str) -> Key {
    Key::new(namespace, format!("{CLAIM}{name}"))
}

impl Controller for ResourceClaims {
    fn name(&self) -> &'static str {
        "resourceclaim-controller"
    }

    fn component(&self) -> &'static str {
        "resource_claim"
    }

    fn watches(&self) -> Vec<Watch> {
        let of_pod = Watch::map::<Pod>(|view, pod| {
            if wants(pod).is_empty() {
                return Vec::new();
            }
            let named = wants(pod).iter().filter_map(|want| claim_name(pod, want)?.map(str::to_owned));
            let owned = view.owned::<ResourceClaim>(pod.uid()).map(|c| c.name().to_owned());
            let claims = named.chain(owned).map(|name| claim_key(pod.namespace(), &name));
            claims.chain([pod.key()]).collect()
        });
        let of_claim = Watch::map::<ResourceClaim>(|view, claim| {
            let uses = |p: &&Arc<Pod>| {
                wants(p).iter().any(|want| claim_name(p, want).flatten() == Some(claim.name()))
                    || claim.controller().is_some_and(|o| o.uid == p.uid())
            };
            let pods = view.list::<Pod>(claim.namespace()).filter(uses).map(|p| p.key());
            pods.chain([claim_key(claim.namespace(), claim.name())]).collect()
        });
        let of_template = Watch::map::<ResourceClaimTemplate>(|view, template| {
            let uses = |p: &&Arc<Pod>| {
                wants(p).iter().any(|w| w.resource_claim_template_name.as_deref() == Some(template.name()))
            };
            view.list::<Pod>(template.namespace()).filter(uses).map(|p| p.key()).collect()
        });
        vec![of_pod, of_claim, of_template]
    }

    fn writes(&self) -> Vec<Permit> {
        let mut binding = Permit::sub::<ResourceClaim>("binding", "patch update");
        binding.resource.plural = "resourceclaims".into();
        vec![
            Permit::of::<ResourceClaim>("create delete patch"),
            Permit::sub::<ResourceClaim>("status", "patch"),
            binding,
            Permit::sub::<Pod>("status", "patch"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        match ask.key.name.strip_prefix(CLAIM) {
            Some(name) => {
                if let Some(claim) = ask.view.named::<ResourceClaim>(&ask.key.namespace, name) {
                    sync_claim(&mut plan, ask, claim)?;
                }
            }
            None => {
                if let Some(pod) = ask.view.get::<Pod>(ask.key).filter(|p| !p.deleting() && !is_done(p)) {
                    sync_pod(&mut plan, ask, pod)?;
                }
            }
        }
        Ok(plan)
    }
}
