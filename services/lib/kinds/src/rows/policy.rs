//! Rows of who may do what, and of admission and flow control.

use schema::Map;

use super::{
    Row, age, at, cells, items, labels, name, number, number_or, or, selector_text, string, structs,
};
use crate::Cell;
use crate::tree::{is_nil, map, map_at, text};

fn subjects(root: &Map, kind: &str) -> Cell {
    let of_kind = structs(root, &["subjects"]).filter(|s| text(s, "kind") == kind);
    let named = of_kind.map(|s| match (kind, text(s, "namespace")) {
        ("ServiceAccount", ns) if !ns.is_empty() => format!("{ns}/{}", text(s, "name")),
        ("ServiceAccount", _) => format!("/{}", text(s, "name")),
        _ => text(s, "name").to_owned(),
    });
    string(named.collect::<Vec<_>>().join(", "))
}

pub(crate) fn role_binding(root: &Map) -> Row {
    cells([
        name(root),
        string(format!("{}/{}", at(root, &["roleRef", "kind"]), at(root, &["roleRef", "name"]))),
        age(root),
        subjects(root, "User"),
        subjects(root, "Group"),
        subjects(root, "ServiceAccount"),
    ])
}

pub(crate) fn certificate_signing_request(root: &Map) -> Row {
    let has = |kind: &str| structs(root, &["status", "conditions"]).any(|c| text(c, "type") == kind);
    let mut status = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        status.push_str(",Failed");
    }
    if !at(root, &["status", "certificate"]).is_empty() {
        status.push_str(",Issued");
    }
    let wanted = number_or(root, &["spec", "expirationSeconds"]).map(meta::time::human_duration);
    cells([
        name(root),
        age(root),
        or(at(root, &["spec", "signerName"]), "<none>"),
        string(at(root, &["spec", "username"])),
        or(&wanted.unwrap_or_default(), "<none>"),
        string(status),
    ])
}

pub(crate) fn cluster_trust_bundle(root: &Map) -> Row {
    cells([name(root), or(at(root, &["spec", "signerName"]), "<none>")])
}

pub(crate) fn pod_certificate_request(root: &Map) -> Row {
    let known = |c: &&Map| matches!(text(c, "type"), "Issued" | "Denied" | "Failed");
    let last = structs(root, &["status", "conditions"]).filter(known).last();
    let spec = |key| string(at(root, &["spec", key]));
    cells([
        name(root),
        spec("podName"),
        spec("serviceAccountName"),
        spec("nodeName"),
        spec("signerName"),
        string(last.map_or("Pending", |c| text(c, "type"))),
        labels(map_at(root, &["spec", "unverifiedUserAnnotations"])),
    ])
}

pub(crate) fn webhook_configuration(root: &Map) -> Row {
    cells([name(root), Cell::Int(items(root, &["webhooks"]).len() as i64), age(root)])
}

fn policy(root: &Map, what: &str) -> Row {
    let param = map_at(root, &["spec", "paramKind"]);
    cells([
        name(root),
        Cell::Int(items(root, &["spec", what]).len() as i64),
        string(
            param.map_or("<unset>".to_owned(), |p| format!("{}/{}", text(p, "apiVersion"), text(p, "kind"))),
        ),
        age(root),
    ])
}

pub(crate) fn validating_admission_policy(root: &Map) -> Row {
    policy(root, "validations")
}

pub(crate) fn mutating_admission_policy(root: &Map) -> Row {
    policy(root, "mutations")
}

pub(crate) fn admission_policy_binding(root: &Map) -> Row {
    let param = match map_at(root, &["spec", "paramRef"]) {
        Some(p) if !text(p, "name").is_empty() => {
            let namespace = if text(p, "namespace").is_empty() { "*" } else { text(p, "namespace") };
            format!("{namespace}/{}", text(p, "name"))
        }
        Some(p) if !is_nil(p, "selector") => selector_text(map(p, "selector")),
        _ => "<unset>".to_owned(),
    };
    cells([name(root), string(at(root, &["spec", "policyName"])), string(param), age(root)])
}

pub(crate) fn flow_schema(root: &Map) -> Row {
    let method = map_at(root, &["spec", "distinguisherMethod"]);
    let dangling = structs(root, &["status", "conditions"]).find(|c| text(c, "type") == "Dangling");
    cells([
        name(root),
        string(at(root, &["spec", "priorityLevelConfiguration", "name"])),
        Cell::Int(number(root, &["spec", "matchingPrecedence"])),
        string(method.map_or("<none>", |m| text(m, "type"))),
        age(root),
        string(dangling.map_or("?", |c| text(c, "status"))),
    ])
}

pub(crate) fn priority_level(root: &Map) -> Row {
    let limited = map_at(root, &["spec", "limited"]);
    let queuing = limited.and_then(|l| map_at(l, &["limitResponse", "queuing"]));
    let show =
        |owner: Option<&Map>, key: &str| owner.map_or(string("<none>"), |o| Cell::Int(number(o, &[key])));
    cells([
        name(root),
        string(at(root, &["spec", "type"])),
        show(limited, "nominalConcurrencyShares"),
        show(queuing, "queues"),
        show(queuing, "handSize"),
        show(queuing, "queueLengthLimit"),
        age(root),
    ])
}
