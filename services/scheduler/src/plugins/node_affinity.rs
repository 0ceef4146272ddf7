//! Nodes a pod must have, and those it would like.
//!
//! # Upstream
//! `pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go`

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Cause;
use crate::model::{Class, Node, NodeSelector, WeightedNodeTerm};

/// The plugin's arguments.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Args {
    /// Affinity every pod of the profile has.
    pub added_affinity: Option<Added>,
}

/// Node affinity as in a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Added {
    /// Must hold.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    pub required: Option<NodeSelector>,
    /// Should hold.
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    pub preferred: Vec<WeightedNodeTerm>,
}

/// Whether the pod's own selector and affinity hold.
pub fn required(class: &Class, node: &Node) -> bool {
    class.node_selector.iter().all(|(k, v)| node.labels.get(k) == Some(v))
        && class.node_affinity.as_ref().is_none_or(|selector| selector.matches(node.term()))
}

/// Whether the node refuses the pod.
pub fn filter(class: &Class, args: &Args, node: &Node) -> Option<Cause> {
    let added = args.added_affinity.as_ref().and_then(|a| a.required.as_ref());
    if added.is_some_and(|selector| !selector.matches(node.term())) {
        return Some(Cause::EnforcedAffinity);
    }
    (!required(class, node)).then_some(Cause::NodeAffinity)
}

/// The weights of the preferences that hold.
pub fn score(class: &Class, args: &Args, node: &Node) -> i64 {
    let added = args.added_affinity.iter().flat_map(|a| &a.preferred);
    let holds = |term: &&WeightedNodeTerm| {
        // upstream's empty preference is skipped, not matched
        term.weight != 0 && term.preference.matches(node.term())
    };
    class.node_preferences.iter().chain(added).filter(holds).map(|term| term.weight).sum()
}

/// The only nodes that can do, when the affinity names them; `Err` when it names none.
pub fn names(class: &Class) -> Result<Option<BTreeSet<&str>>, &'static str> {
    let Some(selector) = class.node_affinity.as_ref().filter(|s| !s.node_selector_terms.is_empty()) else {
        return Ok(None);
    };
    let mut all = BTreeSet::new();
    for term in &selector.node_selector_terms {
        let mut of_term: Option<BTreeSet<&str>> = None;
        let by_name = |r: &&crate::model::Requirement| r.key == "metadata.name" && r.operator == "In";
        for field in term.match_fields.iter().filter(by_name) {
            let values: BTreeSet<&str> = field.values.iter().map(String::as_str).collect();
            of_term = Some(match of_term {
                None => values,
                Some(known) => known.intersection(&values).copied().collect(),
            });
        }
        let Some(names) = of_term else { return Ok(None) };
        all.extend(names);
    }
    if all.is_empty() { Err("pod affinity terms conflict") } else { Ok(Some(all)) }
}
