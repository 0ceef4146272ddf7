//! Jobs and cron jobs.
//!
//! # Upstream
//! `pkg/apis/batch/validation/validation.go`

use meta::cron::Schedule;
use meta::{LabelSelector, field};
use schema::{Map, Object, Value};

use super::pod::template;
use super::{Errors, child, identity, immutable, label_selector, non_negative, one_of, shown};
use crate::Context;
use crate::tree::{flag, int, is_nil, json, map, map_at, text};

fn spec(object: &Object) -> &Map {
    static EMPTY: Map = Map::new();
    map(object.root(), "spec").unwrap_or(&EMPTY)
}

/// A new Job: it selects its own pods by its uid.
pub(crate) fn job(_: &Context<'_>, object: &Object) -> Errors {
    alone(object, true)
}

/// A Job by itself; `prefixed`: it must have the generated labels with a prefix too.
fn alone(object: &Object, prefixed: bool) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    generated(&mut errors, object, s, prefixed);
    whole(&mut errors, s);
    if let Some(most) = int(s, "completions").filter(|n| *n > 0 && text(s, "completionMode") == "Indexed") {
        let host = format!("{}-{}", object.name(), most - 1);
        if !meta::content::dns1123_label(&host).is_empty() {
            let text = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(field::Error::invalid_str("metadata.name", object.name(), text));
        }
    }
    errors
}

/// The labels that were generated are there, and the selector is of them.
fn generated(errors: &mut Errors, object: &Object, spec: &Map, prefixed: bool) {
    if flag(spec, "manualSelector") || is_nil(spec, "selector") {
        return;
    }
    let expected = [
        ("controller-uid", object.uid()),
        ("job-name", object.name()),
        ("batch.kubernetes.io/controller-uid", object.uid()),
        ("batch.kubernetes.io/job-name", object.name()),
    ];
    let labels = map_at(spec, &["template", "metadata", "labels"]);
    let expected = &expected[..if prefixed { 4 } else { 2 }];
    for (key, value) in expected.iter().copied() {
        let (at, said) = (format!("spec.template.metadata.labels[{key}]"), format!("must be '{value}'"));
        match labels.and_then(|l| l.get(key)?.as_str()) {
            None => errors.push(field::Error::required(at, said)),
            Some(actual) if actual != value => {
                let all = labels.map(|l| Value::Map(l.clone()));
                errors.push(field::Error::invalid(at, shown(all.as_ref()), said));
            }
            Some(_) => {}
        }
    }
    let value = |key: &str| expected.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
    if selector(spec).is_some_and(|selector| !selector.matches(value)) {
        let text = "`selector` not auto-generated";
        errors.push(field::Error::invalid("spec.selector", shown(spec.get("selector")), text));
    }
}

/// A selector that can be read; one that is missing matches nothing.
fn selector(spec: &Map) -> Option<LabelSelector> {
    LabelSelector::from_json(&spec.get("selector").map_or(serde_json::Value::Null, json)).ok()
}

fn whole(errors: &mut Errors, spec: &Map) {
    numbers(errors, spec, "spec");
    pods(errors, spec, "spec");
    if is_nil(spec, "selector") {
        errors.push(field::Error::required("spec.selector", ""));
    }
    label_selector(errors, map(spec, "selector"), "spec.selector");
    let labels = map_at(spec, &["template", "metadata", "labels"]);
    let matches = !is_nil(spec, "selector")
        && selector(spec).is_none_or(|s| s.matches(|key| labels.and_then(|l| l.get(key)?.as_str())));
    if !matches {
        let all = labels.map(|l| Value::Map(l.clone()));
        let text = "`selector` does not match template `labels`";
        errors.push(field::Error::invalid("spec.template.metadata.labels", shown(all.as_ref()), text));
    }
}

fn numbers(errors: &mut Errors, spec: &Map, path: &str) {
    const KEYS: [&str; 7] = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for key in KEYS {
        non_negative(errors, spec, key, path);
    }
    let mode = text(spec, "completionMode");
    if !is_nil(spec, "completionMode") && !matches!(mode, "Indexed" | "NonIndexed") {
        let supported = ["NonIndexed", "Indexed"];
        errors.push(field::Error::not_supported(child(path, "completionMode"), mode, &supported));
    }
    if mode == "Indexed" {
        if is_nil(spec, "completions") {
            let text = "when completion mode is Indexed";
            errors.push(field::Error::required(child(path, "completions"), text));
        }
        if let Some(many) = int(spec, "parallelism").filter(|n| *n > 100_000) {
            let text = "must be less than or equal to 100000 when completion mode is Indexed";
            errors.push(field::Error::invalid(child(path, "parallelism"), many, text));
        }
    } else {
        for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(value) = int(spec, key) {
                let text = "requires indexed completion mode";
                errors.push(field::Error::invalid(child(path, key), value, text));
            }
        }
    }
}

/// The pods of a job end: they are never restarted always.
fn pods(errors: &mut Errors, job: &Map, path: &str) {
    template(errors, job, &child(path, "template"));
    let pod = map_at(job, &["template", "spec"]);
    let (at, policy) =
        (child(path, "template.spec.restartPolicy"), pod.map_or("", |pod| text(pod, "restartPolicy")));
    match policy {
        "Always" => errors.push(field::Error::required(at, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" if !is_nil(job, "podFailurePolicy") => {
            let text = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(field::Error::invalid_str(at, policy, text));
        }
        _ => {}
    }
}

/// A Job's update: what it runs is fixed.
pub(crate) fn job_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let (new, before) = (spec(object), spec(old));
    // jobs of an older version lack the labels with a prefix
    let labels = map_at(before, &["template", "metadata", "labels"]);
    let had = |key: &str| labels.is_some_and(|labels| labels.contains_key(key));
    let prefixed = had("batch.kubernetes.io/job-name") && had("batch.kubernetes.io/controller-uid");
    let mut errors = alone(object, prefixed);
    identity(&mut errors, object, old);
    whole(&mut errors, new);
    if text(before, "completionMode") != "Indexed" {
        immutable(&mut errors, "spec.completions", new.get("completions"), before.get("completions"));
    }
    immutable(&mut errors, "spec.selector", new.get("selector"), before.get("selector"));
    if !flag(before, "suspend") {
        immutable(&mut errors, "spec.template", new.get("template"), before.get("template"));
    }
    for key in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        immutable(&mut errors, &child("spec", key), new.get(key), before.get(key));
    }
    errors
}

/// A new CronJob: its name leaves room for that of its jobs.
pub(crate) fn cron_job(cx: &Context<'_>, object: &Object) -> Errors {
    let mut errors = scheduled(cx, object, None);
    if object.name().len() > 52 {
        let text = "must be no more than 52 characters";
        errors.push(field::Error::invalid_str("metadata.name", object.name(), text));
    }
    errors
}

/// A CronJob's update.
pub(crate) fn cron_job_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    scheduled(cx, object, Some(spec(old)))
}

fn scheduled(_: &Context<'_>, object: &Object, before: Option<&Map>) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    schedule(&mut errors, s, before);
    non_negative(&mut errors, s, "startingDeadlineSeconds", "spec");
    if before.is_none_or(|before| before.get("timeZone") != s.get("timeZone")) && !is_nil(s, "timeZone") {
        time_zone(&mut errors, text(s, "timeZone"));
    }
    one_of(&mut errors, s, "concurrencyPolicy", "spec", &["Allow", "Forbid", "Replace"]);
    if let Some(job) = map_at(s, &["jobTemplate", "spec"]) {
        const AT: &str = "spec.jobTemplate.spec";
        numbers(&mut errors, job, AT);
        pods(&mut errors, job, AT);
        if !is_nil(job, "selector") {
            let text = "`selector` will be auto-generated";
            errors.push(field::Error::invalid(child(AT, "selector"), shown(job.get("selector")), text));
        }
        if flag(job, "manualSelector") {
            let (at, detail) = (child(AT, "manualSelector"), "supported values: \"nil\", \"false\"");
            errors.push(field::Error::new(field::ErrorKind::NotSupported, at, "true", detail));
        }
    }
    for key in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        non_negative(&mut errors, s, key, "spec");
    }
    errors
}

fn schedule(errors: &mut Errors, spec: &Map, before: Option<&Map>) {
    const AT: &str = "spec.schedule";
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        errors.push(field::Error::required(AT, ""));
        return;
    }
    if let Err(wrong) = Schedule::parse(schedule, jiff::tz::TimeZone::UTC) {
        errors.push(field::Error::invalid_str(AT, schedule, wrong));
    }
    if schedule.contains("TZ") {
        let kept = before.is_some_and(|before| text(before, "schedule").contains("TZ"));
        if !kept {
            let text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(field::Error::invalid_str(AT, schedule, text));
        } else if !is_nil(spec, "timeZone") {
            let text = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            errors.push(field::Error::invalid_str(AT, schedule, text));
        }
    }
}

fn time_zone(errors: &mut Errors, zone: &str) {
    const AT: &str = "spec.timeZone";
    if zone.is_empty() {
        errors.push(field::Error::invalid_str(AT, zone, "timeZone must be nil or non-empty string"));
        return;
    }
    let letter = |b: u8| b.is_ascii_alphanumeric() || b".-_+".contains(&b);
    let good = |part: &str| {
        (1..=14).contains(&part.len())
            && !part.starts_with('-')
            && part != "."
            && part != ".."
            && part.bytes().all(letter)
    };
    let unknown = format!("unknown time zone {zone}");
    if !zone.split('/').all(good) {
        errors.push(field::Error::invalid_str(AT, zone, unknown));
        return;
    }
    if zone.eq_ignore_ascii_case("local") {
        let text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(field::Error::invalid_str(AT, zone, text));
    } else if zone != "UTC" && !jiff::tz::db().is_definitively_empty() && jiff::tz::db().get(zone).is_err() {
        // a machine without the time zone database cannot tell which names are none
        errors.push(field::Error::invalid_str(AT, zone, unknown));
    }
}
