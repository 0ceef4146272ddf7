//! Quotas, accounts and devices.
//!
//! # Upstream
//! `pkg/registry/core/{resourcequota,serviceaccount}/strategy.go`, `pkg/registry/resource/resourceslice/strategy.go`

use meta::Quantity;
use meta::field::quote;
use schema::{Map, Object};

use super::Warnings;
use crate::tree::text;

const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// What a quota counts of one resource: the key of its requests, the short one where that is meant too, and of its
/// limits.
const COUNTED: [(&str, Option<&str>, &str); 4] = [
    ("requests.cpu", Some("cpu"), "limits.cpu"),
    ("requests.memory", Some("memory"), "limits.memory"),
    ("requests.storage", None, "limits.storage"),
    ("requests.ephemeral-storage", None, "limits.ephemeral-storage"),
];

/// A new ResourceQuota that lets more be asked for than be used.
pub(crate) fn resource_quota(object: &Object, old: Option<&Object>) -> Warnings {
    let hard = object.map_at(&["spec", "hard"]).filter(|_| old.is_none());
    hard.into_iter()
        .flat_map(|hard| COUNTED.into_iter().filter_map(|counted| exceeded(hard, counted)))
        .collect()
}

fn exceeded(hard: &Map, (long, short, limit): (&str, Option<&str>, &str)) -> Option<String> {
    let request = if hard.contains_key(long) { long } else { short? };
    let most = Quantity::parse(text(hard, limit)).ok()?;
    let asked = Quantity::parse(text(hard, request)).ok()?;
    (asked > most).then(|| format!("ResourceQuota {request} ({asked}) should be less than {limit} ({most})"))
}

/// A ServiceAccount that newly limits the secrets its pods may mount.
pub(crate) fn service_account(object: &Object, old: Option<&Object>) -> Warnings {
    let had = old.is_some_and(|old| old.annotation(MOUNTABLE).is_some());
    if had || object.annotation(MOUNTABLE).is_none() {
        return Warnings::new();
    }
    vec![format!(
        "metadata.annotations[{MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to \
         mounted secrets"
    )]
}

/// A ResourceSlice.
pub(crate) fn resource_slice(object: &Object, _: Option<&Object>) -> Warnings {
    let driver = object.map_at(&["spec"]).map_or("", |spec| text(spec, "driver"));
    if !driver.chars().any(char::is_uppercase) {
        return Warnings::new();
    }
    let driver = quote(driver);
    vec![format!("spec.driver: driver names should be lowercase; {driver} contains uppercase characters")]
}
