//! Quotas and limit ranges.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `ValidateResourceQuota`, `ValidateLimitRange`

use std::collections::BTreeSet;

use meta::{Quantity, content, field};
use schema::{Map, Object};

use super::{Errors, child, immutable, problems, resources, shown};
use crate::Context;
use crate::tree::{is_zero, map, maps, text, texts};

const SCOPES: [&str; 7] = [
    "BestEffort",
    "NotBestEffort",
    "Terminating",
    "NotTerminating",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

fn spec(object: &Object) -> &Map {
    static EMPTY: Map = Map::new();
    map(object.root(), "spec").unwrap_or(&EMPTY)
}

/// ResourceQuota.
pub(crate) fn resource_quota(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    for (name, amount) in resources::amounts(s, "hard") {
        let at = format!("spec.hard[{name}]");
        resources::quota_name(&mut errors, name, &at);
        resources::amount(&mut errors, name, &amount, &at);
    }
    let whole = shown(s.get("scopes"));
    for _ in texts(s, "scopes").filter(|scope| !SCOPES.contains(scope)) {
        errors.push(field::Error::invalid("spec.scopes", whole.as_str(), "unsupported scope"));
    }
    let has = |scope: &str| texts(s, "scopes").any(|s| s == scope);
    for (one, other) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if has(one) && has(other) {
            errors.push(field::Error::invalid("spec.scopes", whole.as_str(), "conflicting scopes"));
        }
    }
    if let Some(selector) = map(s, "scopeSelector") {
        maps(selector, "matchExpressions").for_each(|e| scope_expression(&mut errors, e));
    }
    errors
}

fn scope_expression(errors: &mut Errors, expression: &Map) {
    const AT: &str = "spec.scopeSelector.matchExpressions";
    let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
    if !SCOPES.contains(&scope) {
        errors.push(field::Error::invalid_str(child(AT, "scopeName"), scope, "unsupported scope"));
    } else if !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && operator != "Exists" {
        let text = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                    ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
        errors.push(field::Error::invalid_str(child(AT, "operator"), operator, text));
    }
    let none = is_zero(expression, "values");
    match operator {
        "In" | "NotIn" if none => {
            let text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.push(field::Error::required(child(AT, "values"), text));
        }
        "Exists" | "DoesNotExist" if !none => {
            let text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.push(field::Error::invalid(child(AT, "values"), shown(expression.get("values")), text));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => {
            let text = "not a valid selector operator";
            errors.push(field::Error::invalid_str(child(AT, "operator"), other, text));
        }
    }
}

/// A quota's update: what it counts is fixed.
pub(crate) fn resource_quota_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = resource_quota(cx, object);
    let scopes = |o| -> BTreeSet<String> { texts(spec(o), "scopes").map(str::to_owned).collect() };
    if scopes(object) != scopes(old) {
        immutable(&mut errors, "spec.scopes", spec(object).get("scopes"), spec(old).get("scopes"));
    }
    errors
}

/// LimitRange.
pub(crate) fn limit_range(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let mut kinds = BTreeSet::new();
    for (i, limit) in maps(spec(object), "limits").enumerate() {
        let (at, kind) = (format!("spec.limits[{i}]"), text(limit, "type"));
        kind_name(&mut errors, kind, &child(&at, "type"));
        if !kinds.insert(kind) {
            errors.push(field::Error::duplicate(child(&at, "type"), kind));
        }
        names(&mut errors, limit, kind, &at);
        let all = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
        let keys: BTreeSet<&str> =
            all.iter().flat_map(|w| resources::amounts(limit, w)).map(|(name, _)| name).collect();
        for name in keys {
            compared(&mut errors, limit, kind, name, &at);
        }
    }
    errors
}

fn kind_name(errors: &mut Errors, kind: &str, path: &str) {
    let found = content::qualified_name(kind);
    if found.is_empty()
        && !kind.contains('/')
        && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim")
    {
        let text = "must be a standard limit type or fully qualified";
        errors.push(field::Error::invalid_str(path, kind, text));
    }
    problems(errors, path, kind, found);
}

/// The resources that are named, and what a kind of limit cannot say.
fn names(errors: &mut Errors, limit: &Map, kind: &str, path: &str) {
    for which in ["max", "min", "default", "defaultRequest"] {
        if kind == "Pod" && which.starts_with("default") {
            if !is_zero(limit, which) {
                let text = "may not be specified when `type` is 'Pod'";
                errors.push(field::Error::forbidden(child(path, which), text));
            }
            continue;
        }
        for (name, _) in resources::amounts(limit, which) {
            resources::limit_name(errors, kind, name, &format!("{path}.{which}[{name}]"));
        }
    }
    let storage = |which: &str| map(limit, which).is_some_and(|m| m.contains_key("storage"));
    if kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
        let text = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(field::Error::required(child(path, "limits"), text));
    }
    for (name, _) in resources::amounts(limit, "maxLimitRequestRatio") {
        resources::limit_name(errors, kind, name, &format!("{path}.maxLimitRequestRatio[{name}]"));
    }
}

/// The amounts of one resource among each other.
fn compared(errors: &mut Errors, limit: &Map, kind: &str, name: &str, path: &str) {
    let of = |which: &str| {
        let counted = kind != "Pod" || !which.starts_with("default");
        map(limit, which).filter(|_| counted).and_then(|m| Quantity::parse(text(m, name)).ok())
    };
    let (min, max, default, request) = (of("min"), of("max"), of("default"), of("defaultRequest"));
    // the lower and what it is called, the higher and what it is called, where it is told, and of which of the two
    let pairs = [
        (&min, "min value", &max, "max value", "min", true),
        (&min, "min value", &request, "default request value", "defaultRequest", false),
        (&request, "default request value", &max, "max value", "defaultRequest", true),
        (&request, "default request value", &default, "default limit value", "defaultRequest", true),
        (&min, "min value", &default, "default value", "default", true),
        (&default, "default value", &max, "max value", "default", false),
    ];
    for (low, low_name, high, high_name, which, first) in pairs {
        let (Some(low), Some(high)) = (low, high) else { continue };
        if low > high {
            let value = field::quote(&(if first { low } else { high }).to_string());
            let text = format!("{low_name} {low} is greater than {high_name} {high}");
            errors.push(field::Error::invalid(format!("{path}.{which}[{name}]"), value, text));
        }
    }
    let one = Quantity::parse("1").unwrap_or(Quantity::zero());
    let Some(ratio) = of("maxLimitRequestRatio") else { return };
    let at = format!("{path}.maxLimitRequestRatio[{name}]");
    let value = field::quote(&ratio.to_string());
    if ratio < one {
        let text = format!("ratio {ratio} is less than 1");
        errors.push(field::Error::invalid(at.as_str(), value.as_str(), text));
    }
    if let (Some(min), Some(max)) = (min, max) {
        let most = max.as_f64() / min.as_f64();
        if ratio.as_f64() > most {
            let text = format!("ratio {ratio} is greater than max/min = {most:.6}");
            errors.push(field::Error::invalid(at, value, text));
        }
    }
}
