//! Defaults of the batch group.
//!
//! # Upstream
//! `pkg/apis/batch/v1/defaults.go`

use schema::Map;

use crate::core::template;
use crate::tree::{fill, fill_zero, is_nil, map_at, map_at_mut, maps_mut};

pub(super) fn job(_: &str, root: &mut Map) {
    job_labels(root);
    job_spec(root.map_mut("spec"));
}

fn job_labels(root: &mut Map) {
    let labels = map_at(root, &["spec", "template", "metadata", "labels"]).cloned();
    if let Some(labels) = labels.filter(|l| !l.is_empty()) {
        fill_zero(root.map_mut("metadata"), "labels", labels);
    }
}

fn job_spec(spec: &mut Map) {
    if is_nil(spec, "completions") && is_nil(spec, "parallelism") {
        spec.insert("completions", 1i64);
        spec.insert("parallelism", 1i64);
    }
    fill(spec, "parallelism", 1i64);
    let unlimited = !is_nil(spec, "backoffLimitPerIndex");
    fill(spec, "backoffLimit", if unlimited { i64::from(i32::MAX) } else { 6 });
    fill(spec, "completionMode", "NonIndexed");
    fill(spec, "suspend", false);
    let policy = if is_nil(spec, "podFailurePolicy") { "TerminatingOrFailed" } else { "Failed" };
    fill(spec, "podReplacementPolicy", policy);
    fill(spec, "manualSelector", false);
    pod_failure_policy(spec);
    template(spec, "template");
}

fn pod_failure_policy(spec: &mut Map) {
    for rule in map_at_mut(spec, &["podFailurePolicy"]).into_iter().flat_map(|p| maps_mut(p, "rules")) {
        for condition in maps_mut(rule, "onPodConditions") {
            fill_zero(condition, "status", "True");
        }
    }
}

pub(super) fn cron_job(_: &str, root: &mut Map) {
    let spec = root.map_mut("spec");
    fill_zero(spec, "concurrencyPolicy", "Allow");
    fill(spec, "suspend", false);
    fill(spec, "successfulJobsHistoryLimit", 3i64);
    fill(spec, "failedJobsHistoryLimit", 1i64);
    // a job template's spec gets only what its pods get: the job's own defaults come when the job is made
    let job = spec.map_mut("jobTemplate").map_mut("spec");
    pod_failure_policy(job);
    template(job, "template");
}
