//! Volumes, claims and what says where they can be.

use std::collections::BTreeMap;

use meta::Quantity;
use serde::Deserialize;

use super::resources::List;
use super::selector::{Labels, NodeSelector, Selector};

/// A PersistentVolume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    /// The name.
    pub name: String,
    /// The revision this was read at.
    pub revision: String,
    /// The labels.
    pub labels: Labels,
    /// Whether it is going.
    pub deleting: bool,
    /// Its class, empty for none.
    pub class: String,
    /// Bytes.
    pub size: i64,
    /// `ReadWriteOnce` and so on.
    pub modes: Vec<String>,
    /// `Filesystem` or `Block`.
    pub mode: String,
    /// `spec.volumeAttributesClassName`.
    pub attributes_class: String,
    /// The claim it is for.
    pub claim: Option<ClaimRef>,
    /// Nodes it can be reached from; `None` for all.
    pub nodes: Option<NodeSelector>,
    /// `Available`, `Bound`, …
    pub phase: String,
    /// CSI driver and handle.
    pub csi: Option<(String, String)>,
    /// Whether the annotation of a binding by a controller is there.
    pub bound_by_controller: bool,
}

/// A reference to a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid, empty when a person wrote the reference.
    pub uid: String,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
    /// The revision this was read at.
    pub revision: String,
    /// Whether it is going.
    pub deleting: bool,
    /// The uid of the pod it was made for.
    pub owner: String,
    /// Its class, empty for none.
    pub class: String,
    /// Bytes.
    pub size: Option<i64>,
    /// `ReadWriteOnce` and so on.
    pub modes: Vec<String>,
    /// `Filesystem` or `Block`.
    pub mode: String,
    /// `spec.volumeAttributesClassName`.
    pub attributes_class: String,
    /// Which volumes will do.
    pub selector: Option<Selector>,
    /// The volume it has.
    pub volume: String,
    /// Whether binding is complete.
    pub bound: bool,
    /// The node chosen for it.
    pub selected_node: Option<String>,
    /// `Pending`, `Bound`, `Lost`.
    pub phase: String,
}

/// A StorageClass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageClass {
    /// Who makes volumes.
    #[serde(default)]
    pub provisioner: String,
    /// `Immediate` or `WaitForFirstConsumer`.
    pub volume_binding_mode: Option<String>,
    /// Where volumes can be made; empty for everywhere.
    #[serde(default)]
    pub allowed_topologies: Vec<TopologyTerm>,
}

/// Conditions of which a node must match all.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopologyTerm {
    #[serde(default)]
    match_label_expressions: Vec<TopologyValues>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct TopologyValues {
    key: String,
    #[serde(default)]
    values: Vec<String>,
}

/// A CSINode: how many volumes of a driver a node takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsiNode {
    /// By driver; `None` without a limit.
    pub drivers: BTreeMap<String, Option<i64>>,
}

/// A CSIDriver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Driver {
    /// Whether it says how much room there is.
    pub tells_capacity: bool,
}

/// A CSIStorageCapacity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// Of which class.
    pub class: String,
    /// From which nodes; `None` for none.
    pub topology: Option<Selector>,
    /// Bytes of the largest volume there is room for.
    pub limit: Option<i64>,
}

/// A VolumeAttachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The driver.
    pub attacher: String,
    /// To which node.
    pub node: String,
    /// Which volume.
    pub volume: Option<String>,
}

#[derive(Deserialize)]
struct Object<S, T = serde::de::IgnoredAny> {
    metadata: Meta,
    spec: S,
    status: Option<T>,
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
    deletion_timestamp: Option<String>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Owner {
    uid: String,
    controller: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Phase {
    phase: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct VolumeSpec {
    capacity: List,
    access_modes: Vec<String>,
    volume_mode: Option<String>,
    storage_class_name: String,
    volume_attributes_class_name: Option<String>,
    claim_ref: Option<ClaimRef>,
    node_affinity: Option<VolumeNodes>,
    csi: Option<Csi>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct VolumeNodes {
    required: Option<NodeSelector>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Csi {
    driver: String,
    volume_handle: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ClaimSpec {
    access_modes: Vec<String>,
    volume_mode: Option<String>,
    storage_class_name: Option<String>,
    volume_attributes_class_name: Option<String>,
    selector: Option<Selector>,
    volume_name: String,
    resources: super::resources::ResourceSpec,
}

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn storage(list: &List) -> Option<i64> {
    // an amount that cannot be read is not stored by the API server
    list.get("storage").and_then(|text| Quantity::parse(text).ok()).map(|quantity| quantity.value())
}

impl Volume {
    /// Makes what is kept of a PersistentVolume's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Object { metadata, spec, status } = serde_json::from_slice::<Object<VolumeSpec, Phase>>(bytes)?;
        let class = metadata.annotations.get(BETA_CLASS).cloned().unwrap_or(spec.storage_class_name);
        Ok(Self {
            class,
            name: metadata.name,
            revision: metadata.resource_version,
            bound_by_controller: metadata.annotations.contains_key("pv.kubernetes.io/bound-by-controller"),
            labels: metadata.labels,
            deleting: metadata.deletion_timestamp.is_some(),
            size: storage(&spec.capacity).unwrap_or(0),
            modes: spec.access_modes,
            mode: spec.volume_mode.unwrap_or_else(|| "Filesystem".into()),
            attributes_class: spec.volume_attributes_class_name.unwrap_or_default(),
            claim: spec.claim_ref,
            nodes: spec.node_affinity.and_then(|affinity| affinity.required),
            phase: status.unwrap_or_default().phase,
            csi: spec.csi.map(|csi| (csi.driver, csi.volume_handle)),
        })
    }

    /// Whether it is (to be) bound to a claim.
    ///
    /// # Upstream
    /// `k8s.io/component-helpers/storage/volume/pv_helpers.go` `IsVolumeBoundToClaim`
    pub fn is_for(&self, claim: &Claim) -> bool {
        self.claim.as_ref().is_some_and(|r| {
            r.name == claim.name && r.namespace == claim.namespace && (r.uid.is_empty() || r.uid == claim.uid)
        })
    }
}

impl Claim {
    /// Makes what is kept of a claim's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Object { metadata, spec, status } = serde_json::from_slice::<Object<ClaimSpec, Phase>>(bytes)?;
        let annotation = |name: &str| metadata.annotations.get(name).cloned();
        let owner = metadata.owner_references.into_iter().find(|o| o.controller);
        Ok(Self {
            class: annotation(BETA_CLASS).or(spec.storage_class_name).unwrap_or_default(),
            bound: annotation("pv.kubernetes.io/bind-completed").is_some(),
            selected_node: annotation("volume.kubernetes.io/selected-node"),
            namespace: metadata.namespace,
            name: metadata.name,
            uid: metadata.uid,
            revision: metadata.resource_version,
            deleting: metadata.deletion_timestamp.is_some(),
            owner: owner.map(|o| o.uid).unwrap_or_default(),
            size: storage(&spec.resources.requests),
            modes: spec.access_modes,
            mode: spec.volume_mode.unwrap_or_else(|| "Filesystem".into()),
            attributes_class: spec.volume_attributes_class_name.unwrap_or_default(),
            selector: spec.selector,
            volume: spec.volume_name,
            phase: status.unwrap_or_default().phase,
        })
    }

    /// Whether it has its volume for good.
    pub fn is_fully_bound(&self) -> bool {
        !self.volume.is_empty() && self.bound
    }
}

impl StorageClass {
    /// Makes what is kept of a StorageClass's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Whether volumes wait for a pod.
    pub fn waits(&self) -> bool {
        self.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
    }

    /// Whether volumes can be made for a node.
    pub fn reaches(&self, labels: &Labels) -> bool {
        let holds = |e: &TopologyValues| labels.get(&e.key).is_some_and(|v| e.values.contains(v));
        let all = |term: &TopologyTerm| {
            !term.match_label_expressions.is_empty() && term.match_label_expressions.iter().all(holds)
        };
        self.allowed_topologies.is_empty() || self.allowed_topologies.iter().any(all)
    }
}

#[derive(Deserialize)]
struct CsiNodeSpec {
    drivers: Option<Vec<NodeDriver>>,
}

#[derive(Deserialize)]
struct NodeDriver {
    name: String,
    allocatable: Option<NodeLimit>,
}

#[derive(Deserialize)]
struct NodeLimit {
    count: Option<i64>,
}

impl CsiNode {
    /// Makes what is kept of a CSINode's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: Object<CsiNodeSpec> = serde_json::from_slice(bytes)?;
        let drivers = object.spec.drivers.into_iter().flatten();
        Ok(Self { drivers: drivers.map(|d| (d.name, d.allocatable.and_then(|a| a.count))).collect() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DriverSpec {
    storage_capacity: Option<bool>,
}

impl Driver {
    /// Makes what is kept of a CSIDriver's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: Object<DriverSpec> = serde_json::from_slice(bytes)?;
        Ok(Self { tells_capacity: object.spec.storage_capacity.unwrap_or(false) })
    }
}

impl Capacity {
    /// Makes what is kept of a CSIStorageCapacity's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Object {
            #[serde(default)]
            storage_class_name: String,
            node_topology: Option<Selector>,
            capacity: Option<String>,
            maximum_volume_size: Option<String>,
        }
        let object: Object = serde_json::from_slice(bytes)?;
        let limit = object.maximum_volume_size.or(object.capacity);
        Ok(Self {
            class: object.storage_class_name,
            topology: object.node_topology,
            // an amount that cannot be read is not stored by the API server
            limit: limit.and_then(|text| Quantity::parse(&text).ok()).map(|quantity| quantity.value()),
        })
    }
}

impl Attachment {
    /// Makes what is kept of a VolumeAttachment's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Spec {
            #[serde(default)]
            attacher: String,
            #[serde(default)]
            node_name: String,
            source: Source,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Source {
            persistent_volume_name: Option<String>,
        }
        let object: Object<Spec> = serde_json::from_slice(bytes)?;
        let spec = object.spec;
        Ok(Self { attacher: spec.attacher, node: spec.node_name, volume: spec.source.persistent_volume_name })
    }
}
