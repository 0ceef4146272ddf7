//! Pods as the caches hold them: what loops read and nothing else, the parts equal pods have in common kept once.
//!
//! Pods are by far the most numerous objects, and the memory of a controller is theirs. `k8s-openapi`'s type costs near ten
//! thousand bytes whatever is in it: structs with room for every field, vectors that grow to four elements at the first,
//! maps with nodes for eleven strings. Here a field that is not listed does not exist, so that a loop that begins to read
//! one does not compile until it is added, rather than always seeing nothing.

#[cfg(test)]
mod tests;
mod wire;

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use client::Client;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{
    ContainerPort, NodeAffinity, PersistentVolumeClaimTemplate, PodResourceClaim, ResourceRequirements,
    Toleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::caches::{snapshot_of, start};
use crate::{Follower, Kind, Owners, Pairs, Part, Word};

/// A pod.
#[derive(Debug, PartialEq)]
pub struct Pod {
    name: Box<str>,
    namespace: Word,
    uid: Box<str>,
    /// Zero when there is none.
    revision: u64,
    created: Moment,
    deletion: Deletion,
    labels: Arc<Pairs>,
    annotations: Arc<Pairs>,
    owners: Owners,
    finalizers: Arc<Part<Vec<String>>>,
    /// What its template says.
    pub spec: Arc<Part<PodSpec>>,
    /// Its volumes from claims and secrets.
    pub volumes: Arc<Part<Vec<Volume>>>,
    /// The node it is bound to, empty for none.
    pub node_name: Word,
    /// The host name, empty for none.
    pub hostname: Box<str>,
    /// The phase, empty before there is a status.
    pub phase: Word,
    /// Its addresses, the first first.
    pub ips: Box<[Box<str>]>,
    /// When kubelet took it.
    pub start_time: Moment,
    /// Its conditions.
    pub conditions: Conditions,
    /// Its containers' states.
    pub container_statuses: Arc<Part<Vec<ContainerStatus>>>,
    /// Its start-up containers' states.
    pub init_container_statuses: Arc<Part<Vec<ContainerStatus>>>,
    /// The claims of devices made for it: the entry's name and the claim's, if it needs one.
    pub resource_claim_statuses: Box<[(Word, Option<Word>)]>,
}

/// A time in whole seconds, as all times of a pod are, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Moment(i64);

impl Default for Moment {
    fn default() -> Self {
        Self(i64::MIN)
    }
}

impl Moment {
    /// The time, if there is one.
    pub fn get(self) -> Option<Timestamp> {
        // none is out of range; every other came from a time
        Timestamp::from_second(self.0).ok()
    }
}

/// How far deletion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Deletion {
    #[default]
    No,
    Begun,
    /// Begun, with a grace period of nothing.
    AtOnce,
}

/// What a template says of its pods.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct PodSpec {
    /// The containers.
    pub containers: Vec<Container>,
    /// The start-up containers.
    pub init_containers: Vec<Container>,
    /// Taints it does not mind.
    pub tolerations: Vec<Toleration>,
    /// Where it may go; none once it is there.
    pub affinity: Option<Affinity>,
    /// Names of the secrets images are pulled with.
    pub image_pull_secrets: Vec<NamedSecret>,
    /// What running it takes beside its containers.
    pub overhead: Option<BTreeMap<String, Quantity>>,
    /// How long it may run.
    pub active_deadline_seconds: Option<i64>,
    /// The class of its priority.
    pub priority_class_name: Option<String>,
    /// What it asks for as a whole.
    pub resources: Option<ResourceRequirements>,
    /// The devices it asks for.
    pub resource_claims: Vec<PodResourceClaim>,
    /// The Service that names it.
    pub subdomain: Option<String>,
}

/// The part of an affinity that is read.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Affinity {
    /// To nodes.
    pub node_affinity: Option<NodeAffinity>,
}

/// A secret by its name.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedSecret {
    /// The name.
    #[serde(deserialize_with = "wire::or_default")]
    pub name: String,
}

/// A container.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    #[serde(deserialize_with = "wire::or_default")]
    pub name: String,
    /// What it asks for.
    pub resources: Option<ResourceRequirements>,
    /// Its ports.
    #[serde(deserialize_with = "wire::or_default")]
    pub ports: Vec<ContainerPort>,
    /// `Always` makes a start-up container a sidecar.
    pub restart_policy: Option<String>,
}

/// A volume that another object stands behind.
#[derive(Debug, PartialEq, Serialize)]
pub struct Volume {
    /// Its name in the pod.
    pub name: String,
    /// The claim it names.
    pub claim: Option<String>,
    /// What a claim is made from that lives as long as the pod.
    pub ephemeral: Option<Box<Ephemeral>>,
    /// The secrets in it.
    pub secrets: Vec<String>,
}

/// A volume that lives as long as its pod.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ephemeral {
    /// What its claim is made from.
    pub volume_claim_template: Option<PersistentVolumeClaimTemplate>,
}

/// Conditions; what they say is shared, since when is a pod's own.
#[derive(Debug, PartialEq)]
pub struct Conditions {
    states: Arc<Pairs>,
    since: Box<[Moment]>,
}

/// A condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition<'a> {
    /// Its type.
    pub kind: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// When the status last changed.
    pub since: Moment,
}

impl Conditions {
    /// All in their order.
    pub fn iter(&self) -> impl Iterator<Item = Condition<'_>> {
        let since = self.since.iter().copied();
        self.states.iter().zip(since).map(|((kind, status), since)| Condition { kind, status, since })
    }

    /// The condition of a type.
    pub fn get(&self, kind: &str) -> Option<Condition<'_>> {
        self.iter().find(|c| c.kind == kind)
    }
}

/// A container's state.
#[derive(Debug, PartialEq, Serialize)]
pub struct ContainerStatus {
    /// The container's name.
    pub name: String,
    /// How often it was started anew.
    pub restart_count: i32,
    /// What it was given.
    pub resources: Option<ResourceRequirements>,
    /// How it ended, if it has.
    pub terminated: Option<Terminated>,
}

/// A container's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Terminated {
    /// The exit code.
    pub exit_code: i32,
    /// When that was.
    pub finished_at: Moment,
}

impl Pod {
    /// Whether kubelet is done with it.
    pub fn is_shut_down(&self) -> bool {
        self.deletion == Deletion::AtOnce
    }

    /// Whether it has a finalizer.
    pub fn has_finalizer(&self, name: &str) -> bool {
        self.finalizers.iter().any(|known| known == name)
    }
}

impl k8s_openapi::Resource for Pod {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "Pod";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "pods";
    type Scope = NamespaceResourceScope;
}

impl Kind for Pod {
    const NAMESPACED: bool = true;

    fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        wire::read(bytes)
    }

    fn start_cache(client: Client) -> Box<dyn Follower> {
        start::<Self>(client)
    }

    fn snapshot_of(objects: Vec<Value>) -> Result<Arc<dyn Any + Send + Sync>, serde_json::Error> {
        snapshot_of::<Self>(objects)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn uid(&self) -> &str {
        &self.uid
    }

    fn revision(&self) -> Cow<'_, str> {
        if self.revision == 0 { Cow::Borrowed("") } else { Cow::Owned(self.revision.to_string()) }
    }

    fn created(&self) -> Option<Timestamp> {
        self.created.get()
    }

    fn deleting(&self) -> bool {
        self.deletion != Deletion::No
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name)
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name)
    }

    fn owners(&self) -> &[OwnerReference] {
        &self.owners
    }

    fn indexed(&self) -> Option<&str> {
        Some(&*self.node_name).filter(|node| !node.is_empty())
    }
}
