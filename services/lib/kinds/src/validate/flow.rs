//! FlowSchema and PriorityLevelConfiguration.
//!
//! # Upstream
//! `pkg/apis/flowcontrol/validation/validation.go`

use meta::{content, field};
use schema::{Map, Object};

use super::{Errors, child, one_of, shown};
use crate::Context;
use crate::tree::{flag, int, is_nil, is_zero, list, map, map_at, maps, text, texts};

const MOST_PRECEDENCE: i64 = 10_000;
const MOST_QUEUES: i64 = 10_000_000;
const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const SUBJECTS: [(&str, &str, &str); 3] = [
    ("Group", "group", "group is required when subject kind is 'Group'"),
    ("ServiceAccount", "serviceAccount", "serviceAccount is required when subject kind is 'ServiceAccount'"),
    ("User", "user", "user is required when subject kind is 'User'"),
];

/// FlowSchema.
pub(crate) fn flow_schema(cx: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    if cx.subresource == "status" {
        return errors;
    }
    let empty = Map::new();
    let spec = map(object.root(), "spec").unwrap_or(&empty);
    let precedence = int(spec, "matchingPrecedence").unwrap_or(0);
    let at = "spec.matchingPrecedence";
    if precedence <= 0 {
        errors.push(field::Error::invalid(at, precedence, "must be a positive value"));
    }
    if precedence > MOST_PRECEDENCE {
        let text = format!("must not be greater than {MOST_PRECEDENCE}");
        errors.push(field::Error::invalid(at, precedence, text));
    }
    if precedence == 1 && object.name() != "exempt" {
        let text = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(field::Error::invalid(at, precedence, text));
    }
    if let Some(method) = map(spec, "distinguisherMethod") {
        let kinds = ["ByNamespace", "ByUser"];
        if !kinds.contains(&text(method, "type")) {
            let at = "spec.distinguisherMethod.type";
            errors.push(field::Error::not_supported(at, text(method, "type"), &kinds));
        }
    }
    let at = "spec.priorityLevelConfiguration.name";
    match map(spec, "priorityLevelConfiguration").map_or("", |level| text(level, "name")) {
        "" => errors.push(field::Error::required(at, "must reference a priority level")),
        name => super::problems(&mut errors, at, name, content::dns1123_subdomain(name)),
    }
    for (i, rule) in maps(spec, "rules").enumerate() {
        rules(&mut errors, rule, &format!("spec.rules[{i}]"));
    }
    errors
}

fn rules(errors: &mut Errors, rule: &Map, at: &str) {
    if list(rule, "subjects").is_empty() {
        let text = "subjects must contain at least one value";
        errors.push(field::Error::required(child(at, "subjects"), text));
    }
    for (i, one) in maps(rule, "subjects").enumerate() {
        subject(errors, one, &format!("{at}.subjects[{i}]"));
    }
    if list(rule, "resourceRules").is_empty() && list(rule, "nonResourceRules").is_empty() {
        let text = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(field::Error::required(at, text));
    }
    for (i, one) in maps(rule, "resourceRules").enumerate() {
        resources(errors, one, &format!("{at}.resourceRules[{i}]"));
    }
    for (i, one) in maps(rule, "nonResourceRules").enumerate() {
        let at = format!("{at}.nonResourceRules[{i}]");
        verbs(errors, one, &at);
        let texts = ["nonResourceURLs must contain at least one value", "non-resource URLs"];
        alone(errors, one, "nonResourceURLs", &at, texts);
    }
}

fn subject(errors: &mut Errors, subject: &Map, at: &str) {
    let kind = text(subject, "kind");
    let Some((_, key, missing)) = SUBJECTS.iter().find(|(name, _, _)| *name == kind) else {
        let known = ["Group", "ServiceAccount", "User"];
        errors.push(field::Error::not_supported(child(at, "kind"), kind, &known));
        return;
    };
    match map(subject, key) {
        None => errors.push(field::Error::required(child(at, key), *missing)),
        Some(named) => {
            let at = child(at, key);
            match text(named, "name") {
                "" => errors.push(field::Error::required(child(&at, "name"), "")),
                name if kind == "ServiceAccount" && name != "*" => {
                    let found = content::dns1123_subdomain(name);
                    super::problems(errors, &child(&at, "name"), name, found);
                }
                _ => {}
            }
            if kind == "ServiceAccount" && is_zero(named, "namespace") {
                let text = "must specify namespace for service account";
                errors.push(field::Error::required(child(&at, "namespace"), text));
            }
        }
    }
    for (name, other, _) in SUBJECTS.iter().filter(|(name, _, _)| *name != kind) {
        if !is_nil(subject, other) {
            let text = format!("{other} is forbidden when subject kind is not '{name}'");
            errors.push(field::Error::forbidden(child(at, other), text));
        }
    }
}

fn verbs(errors: &mut Errors, rule: &Map, at: &str) {
    let at = child(at, "verbs");
    let given: Vec<&str> = texts(rule, "verbs").collect();
    if given.is_empty() {
        errors.push(field::Error::required(at, "verbs must contain at least one value"));
    } else if given.contains(&"*") {
        if given.len() > 1 {
            let text = "if '*' is present, must not specify other verbs";
            errors.push(field::Error::invalid(at, shown(rule.get("verbs")), text));
        }
    } else if let Some(unknown) = given.iter().find(|verb| !VERBS.contains(verb)) {
        errors.push(field::Error::not_supported(at, unknown, &VERBS));
    }
}

/// A list that is not empty, and in which `*` stands alone.
fn alone(errors: &mut Errors, rule: &Map, key: &str, at: &str, [missing, others]: [&str; 2]) {
    let given: Vec<&str> = texts(rule, key).collect();
    if given.is_empty() {
        errors.push(field::Error::required(child(at, key), missing));
    } else if given.len() > 1 && given.contains(&"*") {
        let text = format!("if '*' is present, must not specify other {others}");
        errors.push(field::Error::invalid(child(at, key), shown(rule.get(key)), text));
    }
}

fn resources(errors: &mut Errors, rule: &Map, at: &str) {
    verbs(errors, rule, at);
    let texts_of = ["resource rules must supply at least one api group", "api groups"];
    alone(errors, rule, "apiGroups", at, texts_of);
    let texts_of = ["resource rules must supply at least one resource", "resources"];
    alone(errors, rule, "resources", at, texts_of);
    let namespaces: Vec<&str> = texts(rule, "namespaces").collect();
    if namespaces.contains(&"*") || (namespaces.is_empty() && !flag(rule, "clusterScope")) {
        let missing = "resource rules that are not cluster scoped must supply at least one namespace";
        alone(errors, rule, "namespaces", at, [missing, "namespaces"]);
        return;
    }
    for (i, namespace) in namespaces.iter().enumerate() {
        let at = format!("{at}.namespaces[{i}]");
        super::problems(errors, &at, namespace, content::dns1123_label(namespace));
    }
}

/// PriorityLevelConfiguration.
pub(crate) fn priority_level(cx: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    if cx.subresource == "status" {
        return errors;
    }
    let empty = Map::new();
    let spec = map(object.root(), "spec").unwrap_or(&empty);
    let kind = text(spec, "type");
    if (object.name() == "exempt") != (kind == "Exempt") {
        let text = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(field::Error::invalid_str("spec.type", kind, text));
    }
    match kind {
        "Exempt" => {
            if !is_nil(spec, "limited") {
                let text = "must be nil if the type is not Limited";
                errors.push(field::Error::forbidden("spec.limited", text));
            }
            if let Some(exempt) = map(spec, "exempt") {
                shares(&mut errors, exempt, "spec.exempt");
            }
        }
        "Limited" => {
            if !is_nil(spec, "exempt") {
                errors.push(field::Error::forbidden("spec.exempt", "must be nil if the type is Limited"));
            }
            match map(spec, "limited") {
                None => {
                    let text = "must not be empty when type is Limited";
                    errors.push(field::Error::required("spec.limited", text));
                }
                Some(limited) => {
                    shares(&mut errors, limited, "spec.limited");
                    response(&mut errors, limited);
                }
            }
        }
        _ => one_of(&mut errors, spec, "type", "spec", &["Exempt", "Limited"]),
    }
    errors
}

fn shares(errors: &mut Errors, level: &Map, at: &str) {
    if let Some(n) = int(level, "nominalConcurrencyShares").filter(|n| *n < 0) {
        let at = child(at, "nominalConcurrencyShares");
        errors.push(field::Error::invalid(at, n, "must be a non-negative integer"));
    }
    if let Some(n) = int(level, "lendablePercent").filter(|n| !(0..=100).contains(n)) {
        let at = child(at, "lendablePercent");
        errors.push(field::Error::invalid(at, n, "must be between 0 and 100, inclusive"));
    }
    if let Some(n) = int(level, "borrowingLimitPercent").filter(|n| *n < 0) {
        let at = child(at, "borrowingLimitPercent");
        errors.push(field::Error::invalid(at, n, "if specified, must be a non-negative integer"));
    }
}

fn response(errors: &mut Errors, limited: &Map) {
    let (at, empty) = ("spec.limited.limitResponse", Map::new());
    let response = map_at(limited, &["limitResponse"]).unwrap_or(&empty);
    let queuing = map(response, "queuing");
    let place = child(at, "queuing");
    match (text(response, "type"), queuing) {
        ("Reject", Some(_)) => {
            let text = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(field::Error::forbidden(place, text));
        }
        ("Queue", None) => {
            let text = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(field::Error::required(place, text));
        }
        ("Queue", Some(queuing)) => queues(errors, queuing, &place),
        _ => one_of(errors, response, "type", at, &["Queue", "Reject"]),
    }
}

fn queues(errors: &mut Errors, queuing: &Map, at: &str) {
    let number = |key: &str| int(queuing, key).unwrap_or(0);
    let (queues, hand) = (number("queues"), number("handSize"));
    for key in ["queueLengthLimit", "queues", "handSize"] {
        if number(key) <= 0 {
            errors.push(field::Error::invalid(child(at, key), number(key), "must be positive"));
        }
    }
    if queues > MOST_QUEUES {
        let text = format!("must not be greater than {MOST_QUEUES}");
        errors.push(field::Error::invalid(child(at, "queues"), queues, text));
    }
    if hand > queues {
        let text = format!("should not be greater than queues ({queues})");
        errors.push(field::Error::invalid(child(at, "handSize"), hand, text));
    }
}
