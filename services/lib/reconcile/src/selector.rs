//! Label selectors over typed objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::Kind;

/// Whether a selector lets an object through by its labels; the empty selector lets everything through.
pub fn matches<K: Kind>(selector: &LabelSelector, object: &K) -> bool {
    let exact = selector.match_labels.as_ref().is_none_or(|labels| selects(labels, object));
    exact
        && selector.match_expressions.iter().flatten().all(|e| {
            let value = object.label(&e.key);
            let among = |value: &str| e.values.iter().flatten().any(|known| known == value);
            match e.operator.as_str() {
                "In" => value.is_some_and(among),
                "NotIn" => value.is_none_or(|v| !among(v)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// Whether a plain map selector (a Service's) lets an object through by its labels.
pub fn selects<K: Kind>(selector: &BTreeMap<String, String>, object: &K) -> bool {
    selector.iter().all(|(name, value)| object.label(name) == Some(value.as_str()))
}
