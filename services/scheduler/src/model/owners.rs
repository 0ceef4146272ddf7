//! What selects pods: Services and the like for spreading by default, disruption budgets, namespaces' labels.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::selector::{Labels, Selector};

/// A namespace's labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// The labels.
    pub labels: Labels,
}

/// A Service's selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `None` for one whose endpoints are made by hand.
    pub selector: Option<Labels>,
}

/// The selector of a ReplicationController, ReplicaSet or StatefulSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selecting {
    /// Which pods are its.
    pub selector: Selector,
}

/// A disruption budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Which pods it is about; `None` for none.
    pub selector: Option<Selector>,
    /// Pods that may go.
    pub allowed: i64,
    /// Pods that go already.
    pub going: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Labelled {
    metadata: LabelledMeta,
}

#[derive(Deserialize)]
struct LabelledMeta {
    #[serde(default)]
    labels: Labels,
}

#[derive(Deserialize)]
struct With<S, T = IgnoredAny> {
    spec: S,
    status: Option<T>,
}

#[derive(Deserialize)]
struct Plain {
    selector: Option<Labels>,
}

#[derive(Deserialize)]
struct Full {
    selector: Option<Selector>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    disruptions_allowed: i64,
    disrupted_pods: std::collections::BTreeMap<String, IgnoredAny>,
}

impl Namespace {
    /// Makes what is kept of a namespace's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: Labelled = serde_json::from_slice(bytes)?;
        Ok(Self { labels: object.metadata.labels })
    }
}

impl Service {
    /// Makes what is kept of a Service's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: With<Plain> = serde_json::from_slice(bytes)?;
        Ok(Self { selector: object.spec.selector })
    }
}

impl Selecting {
    /// Makes what is kept of the JSON of something whose selector is a plain map.
    ///
    /// # Errors
    /// It is none.
    pub fn project_plain(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: With<Plain> = serde_json::from_slice(bytes)?;
        Ok(Self { selector: Selector::of_labels(object.spec.selector.unwrap_or_default()) })
    }

    /// Makes what is kept of the JSON of something with a label selector.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: With<Full> = serde_json::from_slice(bytes)?;
        Ok(Self { selector: object.spec.selector.unwrap_or_default() })
    }
}

impl Budget {
    /// Makes what is kept of a PodDisruptionBudget's JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn project(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let object: With<Full, BudgetStatus> = serde_json::from_slice(bytes)?;
        let status = object.status.unwrap_or_default();
        Ok(Self {
            selector: object.spec.selector,
            allowed: status.disruptions_allowed,
            going: status.disrupted_pods.into_keys().collect(),
        })
    }
}
