//! Pods.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::class::{AffinityTerm, Class, OwnerRef, Parts, SpreadConstraint, Toleration, WeightedTerm};
use super::resources::{ContainerSpec, ContainerState, Demand, List, ResourceSpec};
use super::selector::{Labels, NodeSelector, WeightedNodeTerm};
use super::{image_hash, resources};

/// What is kept of a pod.
#[derive(Debug, Clone, Default)]
pub struct Pod {
    /// The namespace is the class's.
    pub name: String,
    /// The uid.
    pub uid: Arc<str>,
    /// The revision this was read at.
    pub revision: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// What it shares with its like.
    pub class: Arc<Class>,
    /// Where it runs; empty when nowhere yet.
    pub node: String,
    /// Where room is being made for it.
    pub nominated: String,
    /// Who places it.
    pub scheduler: String,
    /// The priority.
    pub priority: i32,
    /// Whether it may displace others.
    pub preempts: bool,
    /// Whether it is going.
    pub deleting: bool,
    /// When it was started, or asked for.
    pub started: Option<Timestamp>,
    /// The one node it is made for, if its affinity names it: a DaemonSet's pods then share a class.
    pub only: Option<String>,
    /// What it waits for before it may be placed.
    pub gates: Vec<String>,
    /// Claims it uses.
    pub volumes: Vec<VolumeUse>,
    /// Disks that cannot be shared.
    pub disks: Vec<Disk>,
    /// Its `PodScheduled` condition.
    pub scheduled: Option<Condition>,
    /// Whether it goes because a scheduler wants its room.
    pub preempted: bool,
}

/// A claim a pod uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUse {
    /// The claim's name.
    pub claim: String,
    /// Whether the claim is made for this pod.
    pub ephemeral: bool,
}

/// A condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    #[serde(rename = "type")]
    kind: String,
    /// `True`, `False`.
    pub status: String,
    /// A word.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// A disk named in a pod, which two pods of a node cannot (always) both have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What the two must have in common.
    pub id: (&'static str, String),
    /// Of several names one in common is enough; none for disks with one name.
    pub monitors: Vec<String>,
    /// Two readers may share it.
    pub shareable: bool,
}

#[derive(Deserialize)]
struct Object {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    generation: i64,
    deletion_timestamp: Option<String>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Owner {
    api_version: String,
    kind: String,
    name: String,
    controller: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    scheduler_name: String,
    priority: i32,
    preemption_policy: String,
    node_selector: Labels,
    affinity: Affinity,
    tolerations: Vec<Toleration>,
    topology_spread_constraints: Vec<SpreadConstraint>,
    containers: Vec<ContainerSpec>,
    init_containers: Vec<ContainerSpec>,
    overhead: List,
    resources: ResourceSpec,
    scheduling_gates: Vec<Gate>,
    volumes: Vec<VolumeSpec>,
    resource_claims: Vec<Gate>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Gate {
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: NodeAffinity,
    pod_affinity: PodAffinity,
    pod_anti_affinity: PodAffinity,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<NodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<WeightedNodeTerm>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Vec<AffinityTerm>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<WeightedTerm>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<serde::de::IgnoredAny>,
    image: Option<ImageSource>,
    gce_persistent_disk: Option<DiskSource>,
    aws_elastic_block_store: Option<DiskSource>,
    iscsi: Option<DiskSource>,
    rbd: Option<DiskSource>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSource {
    claim_name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ImageSource {
    reference: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DiskSource {
    pd_name: String,
    #[serde(rename = "volumeID")]
    volume_id: String,
    iqn: String,
    monitors: Vec<String>,
    pool: String,
    image: String,
    read_only: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    nominated_node_name: String,
    start_time: Option<Timestamp>,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerState>,
    init_container_statuses: Vec<ContainerState>,
}

impl Pod {
    /// Makes what is kept of a pod's JSON.
    ///
    /// # Errors
    /// It is no pod.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Object { metadata, mut spec, mut status } = serde_json::from_slice(bytes)?;
        status.container_statuses.append(&mut status.init_container_statuses);
        let condition = |kind: &str| status.conditions.iter().find(|c| c.kind == kind);
        let infeasible = condition("PodResizePending").is_some_and(|c| c.reason == "Infeasible");
        let demand = Demand::of(&resources::Parts {
            containers: &spec.containers,
            init_containers: &spec.init_containers,
            states: &status.container_statuses,
            pod_level: &spec.resources.requests,
            overhead: &spec.overhead,
            resize_infeasible: infeasible,
        });
        let preempted = condition("DisruptionTarget")
            .is_some_and(|c| c.status == "True" && c.reason == "PreemptionByScheduler");
        let scheduled = condition("PodScheduled").cloned();
        let only = spec.take_only_node();
        Ok(Self {
            volumes: spec.volumes.iter().filter_map(|v| v.claim(&metadata.name)).collect(),
            disks: spec.volumes.iter().filter_map(VolumeSpec::disk).collect(),
            gates: spec.scheduling_gates.iter().map(|gate| gate.name.clone()).collect(),
            uid: metadata.uid.into(),
            generation: metadata.generation,
            revision: metadata.resource_version,
            deleting: metadata.deletion_timestamp.is_some(),
            node: spec.node_name.clone(),
            nominated: status.nominated_node_name,
            scheduler: spec.scheduler_name.clone(),
            priority: spec.priority,
            preempts: spec.preemption_policy != "Never",
            started: status.start_time,
            only,
            scheduled,
            preempted,
            name: metadata.name,
            class: Class::shared(spec.parts(
                metadata.namespace,
                metadata.labels,
                &metadata.owner_references,
                demand,
            )),
        })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.class.namespace
    }

    /// Namespace and name.
    pub fn key(&self) -> client::Key {
        client::Key::new(self.class.namespace.clone(), self.name.clone())
    }
}

impl Spec {
    /// Takes the node's name out of the affinity when it is all that one term says about fields. Spreading looks at
    /// the whole affinity, so it is left to pods that are not spread.
    fn take_only_node(&mut self) -> Option<String> {
        let selector = self.affinity.node_affinity.required.as_mut()?;
        let [term] = selector.node_selector_terms.as_mut_slice() else { return None };
        let [field] = term.match_fields.as_mut_slice() else { return None };
        let is_name = field.key == "metadata.name" && field.operator == "In" && field.values.len() == 1;
        if !is_name || !self.topology_spread_constraints.is_empty() {
            return None;
        }
        let name = field.values.pop();
        term.match_fields.clear();
        if term.match_expressions.is_empty() {
            self.affinity.node_affinity.required = None;
        }
        name
    }

    fn parts(self, namespace: String, labels: Labels, owners: &[Owner], demand: Demand) -> Parts {
        let all = || self.init_containers.iter().chain(&self.containers);
        let volume_images = self.volumes.iter().filter_map(|v| v.image.as_ref());
        let images = all()
            .map(|c| image_hash(&c.image))
            .chain(volume_images.map(|image| image_hash(&image.reference)))
            .collect();
        let sidecars = self.init_containers.iter().filter(|c| c.restart_policy == "Always");
        let owner = owners.iter().find(|o| o.controller);
        Parts {
            owner: owner.map(|o| OwnerRef {
                api_version: o.api_version.clone(),
                kind: o.kind.clone(),
                name: o.name.clone(),
            }),
            images,
            containers: self.init_containers.len() + self.containers.len(),
            ports: self
                .containers
                .iter()
                .chain(sidecars)
                .flat_map(|c| c.ports.iter().filter_map(|p| p.port()))
                .collect(),
            namespace,
            labels,
            demand,
            node_selector: self.node_selector,
            node_affinity: self.affinity.node_affinity.required,
            node_preferences: self.affinity.node_affinity.preferred,
            affinity: self.affinity.pod_affinity.required,
            preferred_affinity: self.affinity.pod_affinity.preferred,
            anti_affinity: self.affinity.pod_anti_affinity.required,
            preferred_anti_affinity: self.affinity.pod_anti_affinity.preferred,
            tolerations: self.tolerations,
            spread: self.topology_spread_constraints,
            claims_devices: !self.resource_claims.is_empty(),
        }
    }
}

impl VolumeSpec {
    /// # Upstream
    /// `k8s.io/component-helpers/storage/ephemeral/ephemeral.go` `VolumeClaimName`
    fn claim(&self, pod: &str) -> Option<VolumeUse> {
        if let Some(source) = &self.persistent_volume_claim {
            return Some(VolumeUse { claim: source.claim_name.clone(), ephemeral: false });
        }
        self.ephemeral.is_some().then(|| VolumeUse { claim: format!("{pod}-{}", self.name), ephemeral: true })
    }

    /// # Upstream
    /// `pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go` `isVolumeConflict`
    fn disk(&self) -> Option<Disk> {
        let disk = |kind, name: String, source: &DiskSource, shareable| Disk {
            id: (kind, name),
            monitors: source.monitors.clone(),
            shareable,
        };
        if let Some(s) = &self.gce_persistent_disk {
            return Some(disk("gce", s.pd_name.clone(), s, s.read_only));
        }
        if let Some(s) = &self.aws_elastic_block_store {
            return Some(disk("aws", s.volume_id.clone(), s, false));
        }
        if let Some(s) = &self.iscsi {
            return Some(disk("iscsi", s.iqn.clone(), s, s.read_only));
        }
        let s = self.rbd.as_ref()?;
        let pool = if s.pool.is_empty() { "rbd" } else { &s.pool };
        Some(disk("rbd", format!("{pool}/{}", s.image), s, s.read_only))
    }
}

impl Disk {
    /// Whether both cannot be on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        let met = self.monitors.is_empty() || self.monitors.iter().any(|m| other.monitors.contains(m));
        self.id == other.id && met && !(self.shareable && other.shareable)
    }
}

#[cfg(test)]
mod tests {
    use super::Pod;

    fn demand(spec: &str) -> (i64, i64, i64, i64) {
        let json = format!(r#"{{"metadata":{{"name":"p","namespace":"d","uid":"u"}},"spec":{spec}}}"#);
        let pod = Pod::project(json.as_bytes()).unwrap();
        let d = &pod.class.demand;
        (d.requests.cpu, d.requests.memory, d.nonzero_cpu, d.score_cpu)
    }

    #[test]
    fn demands() {
        const CPU: fn(&str) -> String = |cpu| format!(r#""resources":{{"requests":{{"cpu":"{cpu}"}}}}"#);
        let container = |cpu: &str| format!(r#"{{"name":"c","image":"i",{}}}"#, CPU(cpu));
        let sidecar =
            |cpu: &str| format!(r#"{{"name":"s","image":"i","restartPolicy":"Always",{}}}"#, CPU(cpu));
        for (spec, expected) in [
            (r#"{"containers":[{"name":"c","image":"i"}]}"#.to_owned(), (0, 0, 100, 100)),
            (format!(r#"{{"containers":[{0},{0}]}}"#, container("250m")), (500, 0, 500, 500)),
            (format!(r#"{{"containers":[{}],"initContainers":[{}]}}"#, container("1"), container("3")), (3000, 0, 3000, 3000)),
            (
                format!(r#"{{"containers":[{}],"initContainers":[{},{}]}}"#, container("1"), sidecar("1"), container("2")),
                (3000, 0, 3000, 3000),
            ),
            (
                format!(r#"{{"containers":[{}],"overhead":{{"cpu":"100m"}}}}"#, container("1")),
                (1100, 0, 1100, 1100),
            ),
            (
                r#"{"containers":[{"name":"c","image":"i"}],"resources":{"requests":{"cpu":"2","memory":"1Ki"}}}"#.to_owned(),
                (2000, 1024, 2000, 100),
            ),
        ] {
            assert_eq!(demand(&spec), expected, "{spec}");
        }
    }
}
