//! Volumes are attached to the nodes whose pods need them and detached when none does: VolumeAttachments for CSI drivers,
//! and what each node is told of them.
//!
//! # Upstream
//! `pkg/controller/volume/attachdetach`, `pkg/volume/csi/csi_attacher.go`; all attachable volumes are CSI's

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use client::{Key, Patch};
use k8s_openapi::api::core::v1::{CSIPersistentVolumeSource, Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{
    CSIDriver, VolumeAttachment, VolumeAttachmentSource, VolumeAttachmentSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, View, Watch};
use serde_json::json;

use crate::common::{is_terminal, node_name};
use crate::protection::claims_of;

const MANAGED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
/// How long a node may take to unmount before the volume is taken from it.
const UNMOUNT_SECONDS: i64 = 360;

/// The controller; its keys are nodes.
#[derive(Debug)]
pub(crate) struct AttachDetach;

/// A volume the pods of a node need.
struct Needed<'a> {
    volume: &'a Arc<PersistentVolume>,
    source: &'a CSIPersistentVolumeSource,
    pods: Vec<&'a Arc<Pod>>,
}

/// The name under which node and controller speak of a volume.
fn unique_name(source: &CSIPersistentVolumeSource) -> String {
    format!("kubernetes.io/csi/{}^{}", source.driver, source.volume_handle)
}

fn attachment_name(source: &CSIPersistentVolumeSource, node: &str) -> String {
    let text = format!("{}{}{node}", source.volume_handle, source.driver);
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::from("csi-"), |mut name, byte| {
        if write!(name, "{byte:02x}").is_err() {
            tracing::error!("A string cannot be written to"); // it always can
        }
        name
    })
}

/// Whether a driver's volumes are attached at all.
fn attaches(view: &View, driver: &str) -> bool {
    let found = view.named::<CSIDriver>("", driver);
    found.is_none_or(|d| d.spec.attach_required != Some(false))
}

/// The CSI volume behind a claim.
fn volume_of<'a>(
    view: &'a View,
    claim: &Key,
) -> Option<(&'a Arc<PersistentVolume>, &'a CSIPersistentVolumeSource)> {
    let claim = view.get::<PersistentVolumeClaim>(claim)?;
    let name = claim.spec.as_ref()?.volume_name.as_deref()?;
    let volume = view.named::<PersistentVolume>("", name)?;
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    let source = volume.spec.as_ref()?.csi.as_ref()?;
    (reference.uid.as_deref() == Some(claim.uid())).then_some((volume, source))
}

fn needed<'a>(view: &'a View, node: &'a str) -> BTreeMap<String, Needed<'a>> {
    let mut all: BTreeMap<String, Needed<'a>> = BTreeMap::new();
    for pod in view.indexed::<Pod>(node).filter(|p| !is_terminal(p)) {
        for key in claims_of(pod) {
            let Some((volume, source)) = volume_of(view, &key).filter(|(_, s)| attaches(view, &s.driver))
            else {
                continue;
            };
            let entry = all.entry(unique_name(source));
            entry.or_insert_with(|| Needed { volume, source, pods: Vec::new() }).pods.push(pod);
        }
    }
    for needed in all.values_mut() {
        needed.pods.sort_by_key(|p| p.key());
    }
    all
}

/// The CSI source an attachment stands for.
fn source_of<'a>(view: &'a View, attachment: &VolumeAttachment) -> Option<&'a CSIPersistentVolumeSource> {
    let name = attachment.spec.source.persistent_volume_name.as_deref()?;
    view.named::<PersistentVolume>("", name)?.spec.as_ref()?.csi.as_ref()
}

fn is_attached(attachment: &VolumeAttachment) -> bool {
    attachment.status.as_ref().is_some_and(|s| s.attached)
}

/// Whether a volume may be on one node only.
fn is_exclusive(volume: &PersistentVolume) -> bool {
    let modes = volume.spec.as_ref().and_then(|s| s.access_modes.as_deref()).unwrap_or_default();
    !modes.is_empty() && modes.iter().all(|m| m == "ReadWriteOnce" || m == "ReadWriteOncePod")
}

/// Names of pods on other nodes that use a volume, as the event names them.
fn blocking(view: &View, volume: &PersistentVolume, node: &str, namespace: &str) -> String {
    let uses = |p: &&Arc<Pod>| {
        let elsewhere = !node_name(p).is_empty() && node_name(p) != node && !is_terminal(p);
        let same = |key: &Key| volume_of(view, key).is_some_and(|(v, _)| v.uid() == volume.uid());
        elsewhere && claims_of(p).iter().any(same)
    };
    let pods: Vec<_> = view.all::<Pod>().filter(uses).collect();
    let mut local: Vec<&str> = pods.iter().filter(|p| p.namespace() == namespace).map(|p| p.name()).collect();
    local.sort_unstable();
    let others = pods.len() - local.len();
    match (local.is_empty(), others) {
        (true, 0) => {
            "Volume is already exclusively attached to one node and can't be attached to another".into()
        }
        (true, others) => format!("Volume is already used by {others} pod(s) in different namespaces"),
        (false, 0) => format!("Volume is already used by pod(s) {}", local.join(", ")),
        (false, others) => format!(
            "Volume is already used by pod(s) {} and {others} pod(s) in different namespaces",
            local.join(", ")
        ),
    }
}

impl AttachDetach {
    fn attach(plan: &mut Plan, ask: &Ask<'_>, node: &Node, needed: &Needed<'_>) -> Result<(), Error> {
        let (volume, source) = (needed.volume, needed.source);
        let elsewhere = ask.view.all::<VolumeAttachment>().any(|a| {
            a.spec.node_name != node.name()
                && a.spec.source.persistent_volume_name.as_deref() == Some(volume.name())
        });
        if elsewhere && is_exclusive(volume) {
            for pod in &needed.pods {
                let why = blocking(ask.view, volume, node.name(), pod.namespace());
                let message = format!("Multi-Attach error for volume {:?} {why}", volume.name());
                plan.events.push(Event::warning(pod.as_ref(), "FailedAttachVolume", message));
            }
            plan.again(Duration::from_secs(120));
            return Ok(());
        }
        let write = plan.create(&VolumeAttachment {
            metadata: ObjectMeta {
                name: Some(attachment_name(source, node.name())),
                ..ObjectMeta::default()
            },
            spec: VolumeAttachmentSpec {
                attacher: source.driver.clone(),
                node_name: node.name().into(),
                source: VolumeAttachmentSource {
                    persistent_volume_name: volume.metadata.name.clone(),
                    inline_volume_spec: None,
                },
            },
            status: None,
        })?;
        if let Some(pod) = needed.pods.first() {
            let message = format!("AttachVolume.Attach failed for volume {:?} : {{error}}", volume.name());
            write.on_err = Some(Event::warning(pod.as_ref(), "FailedAttachVolume", message));
        }
        Ok(())
    }

    /// Whether a volume may be taken from a node: it is unmounted, or the node has had its time.
    fn may_detach(plan: &mut Plan, ask: &Ask<'_>, node: &Node, name: &str) -> bool {
        let status = node.status.as_ref();
        if !status.is_some_and(|s| s.volumes_in_use.iter().flatten().any(|v| v == name)) {
            return true;
        }
        let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
        if taints.into_iter().any(|t| t.key == OUT_OF_SERVICE) {
            return true;
        }
        let ready = status.iter().flat_map(|s| s.conditions.iter().flatten()).find(|c| c.type_ == "Ready");
        match ready.filter(|c| c.status != "True").and_then(|c| c.last_transition_time.as_ref()) {
            // a healthy node unmounts in its own time
            None => false,
            Some(since) => {
                let left = since.0.as_second() + UNMOUNT_SECONDS - ask.now.as_second();
                if left > 0 {
                    plan.again(Duration::from_secs(u64::try_from(left).unwrap_or(1)));
                }
                left <= 0
            }
        }
    }

    /// Tells the node which of its volumes are attached.
    fn tell(plan: &mut Plan, ask: &Ask<'_>, node: &Node, attached: &BTreeSet<String>) {
        let known = node.status.iter().flat_map(|s| s.volumes_attached.iter().flatten());
        let known: BTreeSet<String> = known.map(|v| v.name.clone()).collect();
        if known == *attached {
            return;
        }
        let list: Vec<_> = attached.iter().map(|name| json!({"name": name, "devicePath": ""})).collect();
        let patch = json!({"metadata": {"uid": node.uid()}, "status": {"volumesAttached": list}});
        plan.patch(node, "status", Patch::Merge(patch));
        for needed in needed(ask.view, node.name()).into_values() {
            let name = unique_name(needed.source);
            if attached.contains(&name) && !known.contains(&name) {
                let message = format!("AttachVolume.Attach succeeded for volume {:?} ", needed.volume.name());
                for pod in needed.pods {
                    plan.events.push(Event::normal(pod.as_ref(), "SuccessfulAttachVolume", message.clone()));
                }
            }
        }
    }
}

impl Controller for AttachDetach {
    fn name(&self) -> &'static str {
        "persistentvolume-attach-detach-controller"
    }

    fn component(&self) -> &'static str {
        "attachdetach-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let node = |name: &str| if name.is_empty() { Vec::new() } else { vec![Key::new("", name)] };
        let users = |view: &View, claim: &Key| -> Vec<Key> {
            let pods = view.list::<Pod>(&claim.namespace).filter(|p| claims_of(p).contains(claim));
            pods.map(|p| node_name(p)).filter(|n| !n.is_empty()).map(|n| Key::new("", n)).collect()
        };
        let of_pod = Watch::map::<Pod>(move |_, pod| {
            let any = pod.volumes.iter().any(|v| v.claim.is_some() || v.ephemeral.is_some());
            if any { node(node_name(pod)) } else { Vec::new() }
        });
        let of_claim = Watch::map::<PersistentVolumeClaim>(move |view, claim| users(view, &claim.key()));
        let of_volume = Watch::map::<PersistentVolume>(move |view, volume| {
            let spec = volume.spec.as_ref().filter(|s| s.csi.is_some());
            let claim = spec.and_then(|s| s.claim_ref.as_ref()).map(|r| {
                Key::new(r.namespace.clone().unwrap_or_default(), r.name.clone().unwrap_or_default())
            });
            claim.map(|key| users(view, &key)).unwrap_or_default()
        });
        let of_attachment = Watch::map::<VolumeAttachment>(move |view, attachment| {
            // one that goes elsewhere may free the volume for those who wait here
            let volume = attachment.spec.source.persistent_volume_name.as_deref().unwrap_or_default();
            let claim = view.named::<PersistentVolume>("", volume).and_then(|v| {
                let reference = v.spec.as_ref()?.claim_ref.as_ref()?;
                Some(Key::new(reference.namespace.clone()?, reference.name.clone()?))
            });
            let mut keys = claim.map(|key| users(view, &key)).unwrap_or_default();
            keys.push(Key::new("", attachment.spec.node_name.clone()));
            keys
        });
        vec![Watch::root::<Node>(), of_pod, of_claim, of_volume, of_attachment, Watch::read::<CSIDriver>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<VolumeAttachment>("create delete"), Permit::sub::<Node>("status", "patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let name = ask.key.name.as_str();
        let mine: Vec<_> = ask.view.all::<VolumeAttachment>().filter(|a| a.spec.node_name == name).collect();
        let Some(node) = ask.view.get::<Node>(ask.key) else {
            // the node is gone: nothing is mounted there any more
            for attachment in mine.into_iter().filter(|a| !a.deleting() && source_of(ask.view, a).is_some()) {
                plan.delete(attachment.as_ref()).together();
            }
            return Ok(plan);
        };
        if node.annotation(MANAGED) != Some("true") {
            return Ok(plan);
        }
        let needed = needed(ask.view, name);
        let (mut attached, mut there) = (BTreeSet::new(), BTreeSet::new());
        let mut going = Vec::new();
        for attachment in mine {
            let Some(source) = source_of(ask.view, attachment) else { continue };
            let unique = unique_name(source);
            let wanted = needed.contains_key(&unique);
            if wanted || !Self::may_detach(&mut plan, ask, node, &unique) {
                if is_attached(attachment) && !attachment.deleting() {
                    attached.insert(unique.clone());
                }
            } else if !attachment.deleting() {
                going.push(attachment);
            }
            there.insert(unique);
        }
        // first the node must not count on what goes
        Self::tell(&mut plan, ask, node, &attached);
        for attachment in going {
            plan.delete(attachment.as_ref());
        }
        for (_, needed) in needed.iter().filter(|(unique, _)| !there.contains(*unique)) {
            Self::attach(&mut plan, ask, node, needed)?;
        }
        Ok(plan)
    }
}
