//! Classes of storage, their drivers and what room there is.
//!
//! # Upstream
//! `pkg/api/storage/util.go`, `pkg/registry/storage/csidriver/strategy.go`

use schema::Object;

use super::{Warnings, node};
use crate::tree::{is_nil, is_zero, map, maps, same, text};

/// A StorageClass.
pub(crate) fn storage_class(object: &Object, _: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    for (i, topology) in maps(object.root(), "allowedTopologies").enumerate() {
        for (j, requirement) in maps(topology, "matchLabelExpressions").enumerate() {
            if let Some(advice) = node::deprecated(text(requirement, "key")) {
                warnings.push(format!("allowedTopologies[{i}].matchLabelExpressions[{j}].key: {advice}"));
            }
        }
    }
    warnings
}

/// A CSIStorageCapacity.
pub(crate) fn storage_capacity(object: &Object, _: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    let Some(topology) = map(object.root(), "nodeTopology") else { return warnings };
    node::requirements(&mut warnings, format_args!("nodeTopology"), topology);
    for (label, _) in map(topology, "matchLabels").into_iter().flat_map(|labels| labels.iter()) {
        if let Some(advice) = node::deprecated(label) {
            warnings.push(format!("nodeTopology.matchLabels.{label}: {advice}"));
        }
    }
    warnings
}

/// A CSIDriver that asks for tokens and does not say how it takes them.
pub(crate) fn csi_driver(object: &Object, old: Option<&Object>) -> Warnings {
    let key = ["spec", "tokenRequests"];
    let asks = map(object.root(), "spec")
        .is_some_and(|s| !is_zero(s, "tokenRequests") && is_nil(s, "serviceAccountTokenInSecrets"));
    if !asks || old.is_some_and(|old| same(old.at(&key), object.at(&key))) {
        return Warnings::new();
    }
    let text = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent \
                possible logging of tokens in volume attributes";
    vec![text.to_owned()]
}
