//! Nodes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::image_hash;
use super::resources::{List, Resources};
use super::selector::{Labels, NodeTerm};

/// What is kept of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: Labels,
    /// The taints.
    pub taints: Vec<Taint>,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// What pods may ask for.
    pub allocatable: Resources,
    /// How many pods it takes.
    pub pods: i64,
    /// Sizes of the images it has, by every name they have (hashed).
    pub images: Vec<(u64, i64)>,
}

/// A taint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule`, `NoExecute`.
    pub effect: String,
}

impl Taint {
    /// Whether it keeps pods off.
    pub fn is_hard(&self) -> bool {
        matches!(self.effect.as_str(), "NoSchedule" | "NoExecute")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Spec {
    taints: Vec<Taint>,
    unschedulable: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    allocatable: List,
    images: Vec<Image>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Image {
    names: Option<Vec<String>>,
    size_bytes: i64,
}

impl Node {
    /// Makes what is kept of a node's JSON.
    ///
    /// # Errors
    /// It is no node.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let Object { metadata, spec, status } = serde_json::from_slice(bytes)?;
        let mut images = BTreeMap::new();
        for image in &status.images {
            for name in image.names.iter().flatten() {
                images.insert(image_hash(name), image.size_bytes);
            }
        }
        let pods = status.allocatable.get("pods").and_then(|text| meta::Quantity::parse(text).ok());
        Ok(Self {
            name: metadata.name,
            labels: metadata.labels,
            taints: spec.taints,
            unschedulable: spec.unschedulable,
            pods: pods.map_or(0, |quantity| quantity.value()),
            allocatable: Resources::of(&status.allocatable),
            images: images.into_iter().collect(),
        })
    }

    /// The node as node selectors see it.
    pub fn term(&self) -> NodeTerm<'_> {
        NodeTerm { name: &self.name, labels: &self.labels }
    }

    /// The size of an image it has.
    pub fn image_size(&self, hash: u64) -> Option<i64> {
        self.images.binary_search_by_key(&hash, |(h, _)| *h).ok().map(|i| self.images[i].1)
    }

    /// Region and zone: nodes are looked at zone by zone in turn.
    pub fn zone(&self) -> (&str, &str) {
        let label = |names: [&str; 2]| {
            names.iter().find_map(|name| self.labels.get(*name)).map(String::as_str).unwrap_or_default()
        };
        (
            label(["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"]),
            label(["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"]),
        )
    }
}
