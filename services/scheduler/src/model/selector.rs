//! Selectors of labels and of nodes, as they stand in objects, and whether they match.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A label selector; the empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that must have these values.
    pub match_labels: Labels,
    /// Further conditions.
    pub match_expressions: Vec<Requirement>,
}

/// One condition on a label (or a node's field).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`; for nodes also `Gt`, `Lt`.
    pub operator: String,
    /// What the value is compared with.
    pub values: Vec<String>,
}

impl Requirement {
    /// Whether a value (or its absence) fulfils it. An unknown operator never does.
    pub fn allows(&self, value: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|known| known == v);
        let number = || {
            let value = value?.parse::<i64>().ok()?; // no number never compares
            let limit = self.values.first()?.parse::<i64>().ok()?;
            Some((value, limit))
        };
        match self.operator.as_str() {
            "In" => value.is_some_and(listed),
            "NotIn" => value.is_none_or(|v| !listed(v)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => number().is_some_and(|(v, l)| v > l),
            "Lt" => number().is_some_and(|(v, l)| v < l),
            _ => false,
        }
    }
}

impl Selector {
    /// A selector of exactly these labels.
    pub fn of_labels(match_labels: Labels) -> Self {
        Self { match_labels, match_expressions: Vec::new() }
    }

    /// Whether it has no condition.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Whether labels match.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.match_labels.iter().all(|(k, v)| labels.get(k) == Some(v))
            && self.match_expressions.iter().all(|e| e.allows(labels.get(&e.key).map(String::as_str)))
    }
}

/// Alternatives of which a node must match one; none match nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// The alternatives.
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// Conditions of which a node must match all; an empty one matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// On labels.
    pub match_expressions: Vec<Requirement>,
    /// On fields; there is only `metadata.name`.
    pub match_fields: Vec<Requirement>,
}

/// The same, with what it is worth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub struct WeightedNodeTerm {
    /// 1 to 100.
    pub weight: i64,
    /// The conditions.
    pub preference: NodeSelectorTerm,
}

/// What a node is to a node selector.
#[derive(Debug, Clone, Copy)]
pub struct NodeTerm<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
}

impl NodeSelectorTerm {
    /// Whether it has no condition.
    pub fn is_empty(&self) -> bool {
        self.match_expressions.is_empty() && self.match_fields.is_empty()
    }

    /// Whether a node fulfils all conditions.
    ///
    /// # Upstream
    /// `k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go` `nodeSelectorTerm.match`
    pub fn matches(&self, node: NodeTerm<'_>) -> bool {
        let field = |e: &Requirement| {
            let known = e.key == "metadata.name" && matches!(e.operator.as_str(), "In" | "NotIn");
            known && e.values.len() == 1 && e.allows(Some(node.name))
        };
        !self.is_empty()
            && self.match_expressions.iter().all(|e| e.allows(node.labels.get(&e.key).map(String::as_str)))
            && self.match_fields.iter().all(field)
    }
}

impl NodeSelector {
    /// Whether a node matches one of the alternatives.
    pub fn matches(&self, node: NodeTerm<'_>) -> bool {
        self.node_selector_terms.iter().any(|term| term.matches(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements() {
        for (operator, values, value, expected) in [
            ("In", vec!["a"], Some("a"), true),
            ("In", vec!["a"], None, false),
            ("NotIn", vec!["a"], None, true),
            ("Exists", vec![], Some(""), true),
            ("DoesNotExist", vec![], Some(""), false),
            ("Gt", vec!["3"], Some("4"), true),
            ("Lt", vec!["3"], Some("x"), false),
            ("Like", vec!["a"], Some("a"), false),
        ] {
            let r = Requirement {
                key: "k".into(),
                operator: operator.into(),
                values: values.into_iter().map(str::to_owned).collect(),
            };
            assert_eq!(r.allows(value), expected, "{r:?} {value:?}");
        }
    }

    #[test]
    fn terms_of_nodes() {
        let labels = Labels::from([("zone".into(), "a".into())]);
        let node = NodeTerm { name: "n1", labels: &labels };
        for (json, expected) in [
            (r#"{"nodeSelectorTerms":[]}"#, false),
            (r#"{"nodeSelectorTerms":[{}]}"#, false),
            (
                r#"{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}"#,
                true,
            ),
            (
                r#"{"nodeSelectorTerms":[{"matchExpressions":[{"key":"zone","operator":"In","values":["b"]}]},
                {"matchExpressions":[{"key":"zone","operator":"Exists"}]}]}"#,
                true,
            ),
        ] {
            let selector: NodeSelector = serde_json::from_str(json).unwrap();
            assert_eq!(selector.matches(node), expected, "{json}");
        }
    }
}
