//! What makes pods: the name and the template of the pods, and what is particular to a kind.
//!
//! # Upstream
//! `pkg/registry/{apps,batch,core}/*/strategy.go`, `pkg/api/job/warnings.go`

use std::fmt::Arguments;

use schema::{Map, Object};

use super::{Warnings, claim, is_news, name, pod};
use crate::apps::TEMPLATE_GENERATION;
use crate::tree::{int, map, map_at, maps, text};

/// From where on indexes that failed may not all be told.
const MANY_COMPLETIONS: i64 = 100_000;
const MANY_AT_ONCE: i64 = 10_000;

fn pods_name(warnings: &mut Warnings, object: &Object, old: Option<&Object>) {
    if old.is_none() {
        name::hostname(warnings, object, "Pod names and hostnames");
    }
}

fn template(warnings: &mut Warnings, object: &Object) {
    pod::template(warnings, "spec.template.", object.map_at(&["spec", "template"]));
}

/// A Deployment.
pub(crate) fn deployment(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    pods_name(&mut warnings, object, old);
    if is_news(object, old) {
        template(&mut warnings, object);
    }
    warnings
}

/// A ReplicaSet.
pub(crate) fn replica_set(object: &Object, old: Option<&Object>) -> Warnings {
    deployment(object, old)
}

/// A ReplicationController. Upstream compares the wrong way round: a change is told of the template that was.
pub(crate) fn replication_controller(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    pods_name(&mut warnings, object, old);
    if is_news(object, old) {
        template(&mut warnings, old.unwrap_or(object));
    }
    warnings
}

/// A DaemonSet, whose templates have a count of their own.
pub(crate) fn daemon_set(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    let count = object.annotation(TEMPLATE_GENERATION);
    if old.is_none_or(|old| old.annotation(TEMPLATE_GENERATION) != count) {
        template(&mut warnings, object);
    }
    warnings
}

/// A StatefulSet. Upstream spells the claims' path differently for a change.
pub(crate) fn stateful_set(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    if is_news(object, old) {
        template(&mut warnings, object);
    }
    let Some(spec) = map(object.root(), "spec") else { return warnings };
    let suffix = if old.is_some() { ".Spec" } else { "" };
    for (i, claim) in maps(spec, "volumeClaimTemplates").enumerate() {
        if let Some(claim) = map(claim, "spec") {
            let path = format_args!("spec.volumeClaimTemplates[{i}]{suffix}");
            claim::spec(&mut warnings, path, claim);
        }
    }
    if int(spec, "revisionHistoryLimit").is_some_and(|limit| limit < 0) {
        let text = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is \
                    recommended";
        warnings.push(text.to_owned());
    }
    warnings
}

/// A PodTemplate.
pub(crate) fn pod_template(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    if is_news(object, old) {
        pod::template(&mut warnings, "template.", map(object.root(), "template"));
    }
    warnings
}

/// A Job.
pub(crate) fn job(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    pods_name(&mut warnings, object, old);
    if let Some(spec) = map(object.root(), "spec").filter(|_| is_news(object, old)) {
        completions(&mut warnings, format_args!("spec"), spec);
        template(&mut warnings, object);
    }
    warnings
}

fn completions(warnings: &mut Warnings, at: Arguments<'_>, spec: &Map) {
    let above = |key: &str, most: i64| int(spec, key).is_some_and(|n| n > most);
    let many = above("completions", MANY_COMPLETIONS) && above("parallelism", MANY_AT_ONCE);
    if many && text(spec, "completionMode") == "Indexed" {
        warnings.push(format!(
            "{at}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, \
             Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
}

/// A CronJob.
pub(crate) fn cron_job(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    pods_name(&mut warnings, object, old);
    let job = map_at(object.root(), &["spec", "jobTemplate", "spec"]);
    if let Some(spec) = job.filter(|_| is_news(object, old)) {
        completions(&mut warnings, format_args!("spec.jobTemplate.spec"), spec);
        pod::template(&mut warnings, "spec.jobTemplate.spec.template.", map(spec, "template"));
    }
    // a new one is refused
    if old.is_some() && object.str_at(&["spec", "schedule"]).contains("TZ") {
        let text = "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
                    https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";
        warnings.push(text.to_owned());
    }
    warnings
}
