//! Defaults of the apps group.
//!
//! # Upstream
//! `pkg/apis/apps/v1/defaults.go`

use schema::Map;

use crate::core::{claim_spec, claim_status, template};
use crate::tree::{fill, fill_zero, map_mut, maps_mut, text};

pub(super) fn deployment(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    fill(spec, "replicas", 1i64);
    let strategy = spec.map_mut("strategy");
    fill_zero(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = strategy.map_mut("rollingUpdate");
        fill(rolling, "maxUnavailable", "25%");
        fill(rolling, "maxSurge", "25%");
    }
    fill(spec, "revisionHistoryLimit", 10i64);
    fill(spec, "progressDeadlineSeconds", 600i64);
    template(spec, "template");
}

pub(super) fn daemon_set(_: &str, root: &mut Map) {
    fill_zero(root.map_mut("metadata").map_mut("annotations"), super::TEMPLATE_GENERATION, "0");
    let spec = root.map_mut("spec");
    let strategy = spec.map_mut("updateStrategy");
    fill_zero(strategy, "type", "RollingUpdate");
    if text(strategy, "type") == "RollingUpdate" {
        let rolling = strategy.map_mut("rollingUpdate");
        fill(rolling, "maxUnavailable", 1i64);
        fill(rolling, "maxSurge", 0i64);
    }
    fill(spec, "revisionHistoryLimit", 10i64);
    template(spec, "template");
}

pub(super) fn stateful_set(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    fill_zero(spec, "podManagementPolicy", "OrderedReady");
    let strategy = spec.map_mut("updateStrategy");
    if text(strategy, "type").is_empty() {
        strategy.insert("type", "RollingUpdate");
        strategy.map_mut("rollingUpdate");
    }
    if text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = map_mut(strategy, "rollingUpdate")
    {
        fill(rolling, "partition", 0i64);
    }
    let retention = spec.map_mut("persistentVolumeClaimRetentionPolicy");
    fill_zero(retention, "whenDeleted", "Retain");
    fill_zero(retention, "whenScaled", "Retain");
    fill(spec, "replicas", 1i64);
    fill(spec, "revisionHistoryLimit", 10i64);
    template(spec, "template");
    for claim in maps_mut(spec, "volumeClaimTemplates") {
        // claim templates are whole claims, typed ones since v1
        fill_zero(claim, "kind", "PersistentVolumeClaim");
        fill_zero(claim, "apiVersion", "v1");
        claim_spec(claim.map_mut("spec"));
        claim_status(claim);
    }
}

pub(super) fn replica_set(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    fill(spec, "replicas", 1i64);
    template(spec, "template");
}
