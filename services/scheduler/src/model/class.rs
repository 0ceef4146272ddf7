//! What pods of one template share: everything plugins look at, kept once however many pods there are.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use serde::Deserialize;

use super::selector::{Labels, NodeSelector, Selector, WeightedNodeTerm};
use super::{Demand, Taint};

/// The shared part of pods. Two pods with equal parts have the same `Arc`, and so the same `id`.
#[derive(Debug, Default)]
pub struct Class {
    /// Unique in this process, never used again.
    pub id: u64,
    /// The parts.
    pub parts: Parts,
}

impl std::ops::Deref for Class {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// See [`Class`].
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Parts {
    /// The namespace.
    pub namespace: String,
    /// The labels.
    pub labels: Labels,
    /// The controller that made the pod.
    pub owner: Option<OwnerRef>,
    /// `spec.nodeName` of a pod that is not placed by a scheduler never matters here; this is `spec.nodeSelector`.
    pub node_selector: Labels,
    /// Required node affinity.
    pub node_affinity: Option<NodeSelector>,
    /// Preferred node affinity.
    pub node_preferences: Vec<WeightedNodeTerm>,
    /// Required pod affinity.
    pub affinity: Vec<AffinityTerm>,
    /// Required pod anti-affinity.
    pub anti_affinity: Vec<AffinityTerm>,
    /// Preferred pod affinity.
    pub preferred_affinity: Vec<WeightedTerm>,
    /// Preferred pod anti-affinity.
    pub preferred_anti_affinity: Vec<WeightedTerm>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Topology spread constraints.
    pub spread: Vec<SpreadConstraint>,
    /// What it asks for.
    pub demand: Demand,
    /// Host ports.
    pub ports: Vec<Port>,
    /// Hashes of its images: init containers, containers, image volumes.
    pub images: Vec<u64>,
    /// Containers and init containers.
    pub containers: usize,
    /// Whether it claims devices.
    pub claims_devices: bool,
}

/// Who made a pod.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct OwnerRef {
    /// `apps/v1`.
    pub api_version: String,
    /// `ReplicaSet`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Pods a pod wants, or does not want, near.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AffinityTerm {
    /// Which pods; `None` matches none.
    pub label_selector: Option<Selector>,
    /// In these namespaces.
    pub namespaces: Vec<String>,
    /// And in those with such labels; empty for all.
    pub namespace_selector: Option<Selector>,
    /// What near means.
    pub topology_key: String,
}

/// The same, with what it is worth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedTerm {
    /// 1 to 100.
    pub weight: i64,
    /// Which pods.
    pub pod_affinity_term: AffinityTerm,
}

impl AffinityTerm {
    /// Whether a pod is meant: `owner` is the namespace of the pod that has the term, `namespace_labels` those of
    /// the other pod's namespace.
    ///
    /// # Upstream
    /// `k8s.io/kube-scheduler/framework/types.go` `AffinityTerm.Matches`
    pub fn matches(&self, owner: &str, other: &Parts, namespace_labels: Option<&Labels>) -> bool {
        let by_labels =
            || self.namespace_selector.as_ref().is_some_and(|s| s.matches(namespace_labels.unwrap_or(&NONE)));
        let by_name = if self.namespaces.is_empty() && self.namespace_selector.is_none() {
            owner == other.namespace
        } else {
            self.namespaces.contains(&other.namespace)
        };
        (by_name || by_labels()) && self.label_selector.as_ref().is_some_and(|s| s.matches(&other.labels))
    }
}

static NONE: Labels = Labels::new();

/// Which taints a pod bears.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; empty for all.
    pub key: String,
    /// `Equal` (also empty) or `Exists`.
    pub operator: String,
    /// The taint's value.
    pub value: String,
    /// The taint's effect; empty for all.
    pub effect: String,
}

impl Toleration {
    /// Whether it bears a taint.
    ///
    /// # Upstream
    /// `k8s.io/api/core/v1/toleration.go` `ToleratesTaint` (comparison operators are alpha and off)
    pub fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator.as_str() {
                "" | "Equal" => self.value == taint.value,
                "Exists" => true,
                _ => false,
            }
    }
}

/// How pods shall be spread.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpreadConstraint {
    /// The most difference between domains.
    pub max_skew: i64,
    /// What a domain is.
    pub topology_key: String,
    /// `DoNotSchedule` or `ScheduleAnyway`.
    pub when_unsatisfiable: String,
    /// Which pods are counted; `None` matches none.
    pub label_selector: Option<Selector>,
    /// Domains there must be.
    pub min_domains: Option<i64>,
    /// `Honor` (default) or `Ignore`.
    pub node_affinity_policy: Option<String>,
    /// `Honor` or `Ignore` (default).
    pub node_taints_policy: Option<String>,
    /// Labels whose values of the incoming pod are added to the selector.
    pub match_label_keys: Vec<String>,
}

impl Default for SpreadConstraint {
    fn default() -> Self {
        Self {
            max_skew: 1,
            topology_key: String::new(),
            when_unsatisfiable: "DoNotSchedule".into(),
            label_selector: None,
            min_domains: None,
            node_affinity_policy: None,
            node_taints_policy: None,
            match_label_keys: Vec::new(),
        }
    }
}

/// A host port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// The address; `0.0.0.0` for all.
    pub ip: String,
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: String,
    /// The port.
    pub port: i32,
}

impl Port {
    /// Whether both cannot be had on one node.
    ///
    /// # Upstream
    /// `k8s.io/kube-scheduler/framework/types.go` `HostPortInfo.CheckConflict`
    pub fn conflicts(&self, other: &Self) -> bool {
        const ANY: &str = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == ANY || other.ip == ANY || self.ip == other.ip)
    }
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PortSpec {
    #[serde(rename = "hostIP")]
    pub(crate) host_ip: String,
    pub(crate) host_port: i32,
    pub(crate) protocol: String,
}

impl PortSpec {
    pub(crate) fn port(&self) -> Option<Port> {
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        (self.host_port > 0).then(|| Port {
            ip: or(&self.host_ip, "0.0.0.0"),
            protocol: or(&self.protocol, "TCP"),
            port: self.host_port,
        })
    }
}

type Pool = HashMap<u64, Vec<Weak<Class>>>;

static POOL: LazyLock<Mutex<Pool>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Class {
    /// The one class with these parts.
    pub fn shared(parts: Parts) -> Arc<Self> {
        let mut hasher = BuildHasherDefault::<DefaultHasher>::default().build_hasher();
        parts.hash(&mut hasher);
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pool.entry(hasher.finish()).or_default();
        known.retain(|class| class.strong_count() > 0);
        if let Some(class) = known.iter().filter_map(Weak::upgrade).find(|class| class.parts == parts) {
            return class;
        }
        let class = Arc::new(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), parts });
        known.push(Arc::downgrade(&class));
        // forgotten classes leave empty entries behind: clear them once they are the larger part
        if pool.len().is_power_of_two() {
            pool.retain(|_, known| known.iter().any(|class| class.strong_count() > 0));
        }
        class
    }

    /// Whether the pod bears a taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|t| t.tolerates(taint))
    }

    /// Whether the pod has any affinity or anti-affinity to pods.
    pub fn has_pod_affinity(&self) -> bool {
        !(self.affinity.is_empty()
            && self.anti_affinity.is_empty()
            && self.preferred_affinity.is_empty()
            && self.preferred_anti_affinity.is_empty())
    }
}
