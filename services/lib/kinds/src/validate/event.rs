//! Events: what the core group always took, and what events.k8s.io asks for on top.
//!
//! # Upstream
//! `pkg/apis/core/validation/events.go`

use meta::{content, field};
use schema::{Map, Object};

use super::{Errors, identity, immutable, problems};
use crate::Context;
use crate::tree::{int, is_zero, map, text};

/// The longest action, reason and reporting instance.
const WORD: usize = 128;
/// The longest message.
const NOTE: usize = 1024;

fn is_strict(cx: &Context<'_>) -> bool {
    cx.group == "events.k8s.io" && cx.version == "v1"
}

fn bounded(errors: &mut Errors, event: &Map, key: &str, limit: usize, required: bool) {
    let value = text(event, key);
    if required && value.is_empty() {
        errors.push(field::Error::required(key, ""));
    }
    if value.len() > limit {
        errors.push(field::Error::invalid_str(key, "", format!("can have at most {limit} characters")));
    }
}

fn legacy(cx: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let event = object.root();
    let (own, about) = (object.namespace(), object.str_at(&["involvedObject", "namespace"]));
    let mismatch = |errors: &mut Errors| {
        let text = "does not match event.namespace";
        errors.push(field::Error::invalid_str("involvedObject.namespace", about, text));
    };
    if is_zero(event, "eventTime") {
        let fits = if about.is_empty() { matches!(own, "" | "default") } else { own == about };
        if !fits {
            mismatch(&mut errors);
        }
    } else {
        if about.is_empty() && !matches!(own, "default" | "kube-system") {
            mismatch(&mut errors);
        }
        let name = if cx.group.is_empty() { "reportingComponent" } else { "reportingController" };
        let controller = text(event, "reportingComponent");
        if controller.is_empty() {
            errors.push(field::Error::required(name, ""));
        }
        problems(&mut errors, name, controller, content::qualified_name(controller));
        bounded(&mut errors, event, "reportingInstance", WORD, true);
        bounded(&mut errors, event, "action", WORD, true);
        bounded(&mut errors, event, "reason", WORD, true);
        bounded(&mut errors, event, "message", NOTE, false);
    }
    problems(&mut errors, "namespace", own, content::dns1123_subdomain(own));
    errors
}

fn series(errors: &mut Errors, event: &Map) {
    let Some(series) = map(event, "series") else { return };
    if int(series, "count").unwrap_or(0) < 2 {
        errors.push(field::Error::invalid_str("series.count", "", "should be at least 2"));
    }
    if is_zero(series, "lastObservedTime") {
        errors.push(field::Error::required("series.lastObservedTime", ""));
    }
}

/// A new Event.
pub(crate) fn event(cx: &Context<'_>, object: &Object) -> Errors {
    let mut errors = legacy(cx, object);
    if !is_strict(cx) {
        return errors;
    }
    let event = object.root();
    // the core group takes any name
    problems(&mut errors, "metadata.name", object.name(), content::dns1123_subdomain(object.name()));
    series(&mut errors, event);
    if is_zero(event, "eventTime") {
        errors.push(field::Error::required("eventTime", ""));
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(field::Error::invalid_str("type", "", format!("has invalid value: {kind}")));
    }
    let source = map(event, "source").is_some_and(|s| !is_zero(s, "component") || !is_zero(s, "host"));
    for (key, set) in [
        ("firstTimestamp", !is_zero(event, "firstTimestamp")),
        ("lastTimestamp", !is_zero(event, "lastTimestamp")),
        ("count", int(event, "count").unwrap_or(0) != 0),
        ("source", source),
    ] {
        if set {
            errors.push(field::Error::invalid_str(key, "", "needs to be unset"));
        }
    }
    errors
}

/// Fields in the order upstream compares them; `reason` twice, as there.
const FIXED: [(&str, &str); 14] = [
    ("involvedObject", "involvedObject"),
    ("reason", "reason"),
    ("message", "message"),
    ("source", "source"),
    ("firstTimestamp", "firstTimestamp"),
    ("lastTimestamp", "lastTimestamp"),
    ("count", "count"),
    ("reason", "reason"),
    ("type", "type"),
    ("eventTime", "eventTime"),
    ("action", "action"),
    ("related", "related"),
    ("reportingComponent", "reportingController"),
    ("reportingInstance", "reportingInstance"),
];

/// A changed Event: in events.k8s.io only its series may change.
pub(crate) fn event_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = legacy(cx, object);
    if !is_strict(cx) {
        return errors;
    }
    identity(&mut errors, object, old);
    let (new, before) = (object.root(), old.root());
    if !crate::tree::same(new.get("series"), before.get("series")) {
        series(&mut errors, new);
    }
    for (key, path) in FIXED {
        immutable(&mut errors, path, new.get(key), before.get(key));
    }
    errors
}
