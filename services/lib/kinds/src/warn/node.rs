//! Labels of nodes that have other names by now.
//!
//! # Upstream
//! `pkg/api/node/util.go`, `pkg/registry/core/node/strategy.go`

use std::fmt::Arguments;

use meta::content;
use schema::{Map, Object};

use super::{Warnings, address};
use crate::tree::{is_zero, map, map_at, maps, text, texts};

/// The new name of an old label, as advice.
pub(super) fn deprecated(label: &str) -> Option<&'static str> {
    Some(match label {
        "beta.kubernetes.io/arch" => r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#,
        "beta.kubernetes.io/os" => r#"deprecated since v1.14; use "kubernetes.io/os" instead"#,
        "failure-domain.beta.kubernetes.io/region" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#
        }
        "beta.kubernetes.io/instance-type" => {
            r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#
        }
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => {
            "deprecated since v1.22; use Taints and Tolerations instead"
        }
        "node-role.kubernetes.io/master" => r#"use "node-role.kubernetes.io/control-plane" instead"#,
        _ => return None,
    })
}

/// The keys of requirements.
pub(super) fn requirements(warnings: &mut Warnings, at: Arguments<'_>, owner: &Map) {
    for (i, requirement) in maps(owner, "matchExpressions").enumerate() {
        key(warnings, at, i, text(requirement, "key"));
    }
}

/// The keys of requirements, and values that no label can have.
pub(super) fn requirements_and_values(warnings: &mut Warnings, at: Arguments<'_>, owner: &Map) {
    for (i, requirement) in maps(owner, "matchExpressions").enumerate() {
        key(warnings, at, i, text(requirement, "key"));
        for (j, value) in texts(requirement, "values").enumerate() {
            for problem in content::label_value(value) {
                warnings
                    .push(format!("{at}.matchExpressions[{i}].values[{j}]: {value} is invalid, {problem}"));
            }
        }
    }
}

fn key(warnings: &mut Warnings, at: Arguments<'_>, i: usize, key: &str) {
    if let Some(advice) = deprecated(key) {
        warnings.push(format!("{at}.matchExpressions[{i}].key: {key} is {advice}"));
    }
}

/// A Node.
pub(crate) fn node(object: &Object, _: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    let Some(spec) = map(object.root(), "spec") else { return warnings };
    if map(spec, "configSource").is_some() {
        warnings.push("spec.configSource: the feature is removed".to_owned());
    }
    if !is_zero(spec, "externalID") {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    for (i, range) in texts(spec, "podCIDRs").enumerate() {
        address::cidr(&mut warnings, format_args!("spec.podCIDRs[{i}]"), range);
    }
    warnings
}

/// A RuntimeClass.
pub(crate) fn runtime_class(object: &Object, _: Option<&Object>) -> Warnings {
    let selector = map_at(object.root(), &["scheduling", "nodeSelector"]);
    let advice = selector.into_iter().flat_map(|s| s.iter()).filter_map(|(label, _)| deprecated(label));
    advice.map(|advice| format!("scheduling.nodeSelector: {advice}")).collect()
}
