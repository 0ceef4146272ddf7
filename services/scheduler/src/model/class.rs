//! What pods of one template share: everything plugins look at, kept once however many pods there are.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use serde::Deserialize;

use super::selector::{Labels, NodeSelector, Selector, WeightedNodeTerm};
use super::{Demand, Taint};

/// The shared part of pods. Two pods with equal parts have the same `Arc`, and so the same `id`.
#[derive(Debug, Default)]
pub(crate) struct Class {
    /// Unique in this process, never used again.
    pub(crate) id: u64,
    /// The parts.
    pub(crate) parts: Parts,
}

impl std::ops::Deref for Class {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// See [`Class`].
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Parts {
    /// The namespace.
    pub(crate) namespace: String,
    /// The labels.
    pub(crate) labels: Labels,
    /// The controller that made the pod.
    pub(crate) owner: Option<OwnerRef>,
    /// `spec.nodeName` of a pod that is not placed by a scheduler never matters here; this is `spec.nodeSelector`.
    pub(crate) node_selector: Labels,
    /// Required node affinity.
    pub(crate) node_affinity: Option<NodeSelector>,
    /// Preferred node affinity.
    pub(crate) node_preferences: Vec<WeightedNodeTerm>,
    /// Required pod affinity.
    pub(crate) affinity: Vec<AffinityTerm>,
    /// Required pod anti-affinity.
    pub(crate) anti_affinity: Vec<AffinityTerm>,
    /// Preferred pod affinity.
    pub(crate) preferred_affinity: Vec<WeightedTerm>,
    /// Preferred pod anti-affinity.
    pub(crate) preferred_anti_affinity: Vec<WeightedTerm>,
    /// Tolerations.
    pub(crate) tolerations: Vec<Toleration>,
    /// Topology spread constraints.
    pub(crate) spread: Vec<SpreadConstraint>,
    /// What it asks for.
    pub(crate) demand: Demand,
    /// Host ports.
    pub(crate) ports: Vec<Port>,
    /// Hashes of its images: init containers, containers, image volumes.
    pub(crate) images: Vec<u64>,
    /// Containers and init containers.
    pub(crate) containers: usize,
    /// Whether it claims devices.
    pub(crate) claims_devices: bool,
}

/// Who made a pod.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OwnerRef {
    /// `apps/v1`.
    pub(crate) api_version: String,
    /// `ReplicaSet`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
}

/// Pods a pod wants, or does not want, near.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AffinityTerm {
    /// Which pods; `None` matches none.
    pub(crate) label_selector: Option<Selector>,
    /// In these namespaces.
    pub(crate) namespaces: Vec<String>,
    /// And in those with such labels; empty for all.
    pub(crate) namespace_selector: Option<Selector>,
    /// What near means.
    pub(crate) topology_key: String,
}

/// The same, with what it is worth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WeightedTerm {
    /// 1 to 100.
    pub(crate) weight: i64,
    /// Which pods.
    pub(crate) pod_affinity_term: AffinityTerm,
}

impl AffinityTerm {
    /// Whether a pod is meant: `owner` is the namespace of the pod that has the term, `namespace_labels` those of
    /// the other pod's namespace.
    ///
    /// # Upstream
    /// `k8s.io/kube-scheduler/framework/types.go` `AffinityTerm.Matches`
    pub(crate) fn matches(&self, owner: &str, other: &Parts, namespace_labels: Option<&Labels>) -> bool {
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
pub(crate) struct Toleration {
    /// The taint's key; empty for all.
    pub(crate) key: String,
    /// `Equal` (also empty) or `Exists`.
    pub(crate) operator: String,
    /// The taint's value.
    pub(crate) value: String,
    /// The taint's effect; empty for all.
    pub(crate) effect: String,
}

impl Toleration {
    /// Whether it bears a taint.
    ///
    /// # Upstream
    /// `k8s.io/api/core/v1/toleration.go` `ToleratesTaint` (comparison operators are alpha and off)
    pub(crate) fn tolerates(&self, taint: &Taint) -> bool {
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
pub(crate) struct SpreadConstraint {
    /// The most difference between domains.
    pub(crate) max_skew: i64,
    /// What a domain is.
    pub(crate) topology_key: String,
    /// `DoNotSchedule` or `ScheduleAnyway`.
    pub(crate) when_unsatisfiable: String,
    /// Which pods are counted; `None` matches none.
    pub(crate) label_selector: Option<Selector>,
    /// Domains there must be.
    pub(crate) min_domains: Option<i64>,
    /// `Honor` (default) or `Ignore`.
    pub(crate) node_affinity_policy: Option<String>,
    /// `Honor` or `Ignore` (default).
    pub(crate) node_taints_policy: Option<String>,
    /// Labels whose values of the incoming pod are added to the selector.
    pub(crate) match_label_keys: Vec<String>,
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
pub(crate) struct Port {
    /// The address; `0.0.0.0` for all.
    pub(crate) ip: String,
    /// `TCP`, `UDP`, `SCTP`.
    pub(crate) protocol: String,
    /// The port.
    pub(crate) port: i32,
}

impl Port {
    /// Whether both cannot be had on one node.
    ///
    /// # Upstream
    /// `k8s.io/kube-scheduler/framework/types.go` `HostPortInfo.CheckConflict`
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
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

/// Hashes all in one go: the many short texts of a class one by one take several times as long.
struct Gathered(Vec<u8>);

impl Hasher for Gathered {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.0);
        hasher.finish()
    }
}

impl Class {
    /// The one class with these parts.
    pub(crate) fn shared(parts: Parts) -> Arc<Self> {
        let mut gathered = Gathered(Vec::with_capacity(1024));
        parts.hash(&mut gathered);
        let hash = gathered.finish();
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pool.entry(hash).or_default();
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
    pub(crate) fn tolerates(&self, taint: &Taint) -> bool {
        self.tolerations.iter().any(|t| t.tolerates(taint))
    }
}
