//! ValidatingAdmissionPolicy and its binding, as far as no expression is compiled.
//!
//! # Upstream
//! `pkg/apis/admissionregistration/validation/validation.go`

use meta::{content, field};
use schema::{Map, Object};

use super::{Errors, child, label_selector, nth, one_of, problems, shown};
use crate::Context;
use crate::tree::{is_nil, list, map, map_at, text, texts};

/// ValidatingAdmissionPolicy.
pub(crate) fn admission_policy(cx: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    if cx.subresource == "status" {
        return errors;
    }
    let empty = Map::new();
    let spec = map(object.root(), "spec").unwrap_or(&empty);
    one_of(&mut errors, spec, "failurePolicy", "spec", &["Fail", "Ignore"]);
    match map(spec, "matchConstraints") {
        None => errors.push(field::Error::required("spec.matchConstraints", "")),
        Some(matches) => {
            match_resources(&mut errors, matches, "spec.matchConstraints");
            if list(matches, "resourceRules").is_empty() {
                errors.push(field::Error::required("spec.matchConstraints.resourceRules", ""));
            }
        }
    }
    if list(spec, "validations").is_empty() && list(spec, "auditAnnotations").is_empty() {
        for key in ["validations", "auditAnnotations"] {
            let text = "validations or auditAnnotations must contain at least one item";
            errors.push(field::Error::required(child("spec", key), text));
        }
    }
    errors
}

fn match_resources(errors: &mut Errors, matches: &Map, at: &str) {
    one_of(errors, matches, "matchPolicy", at, &["Equivalent", "Exact"]);
    for key in ["namespaceSelector", "objectSelector"] {
        match map(matches, key) {
            None if is_nil(matches, key) => errors.push(field::Error::required(child(at, key), "")),
            selector => label_selector(errors, selector, &child(at, key)),
        }
    }
}

/// ValidatingAdmissionPolicyBinding.
pub(crate) fn admission_binding(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Map::new();
    let spec = map(object.root(), "spec").unwrap_or(&empty);
    match text(spec, "policyName") {
        "" => errors.push(field::Error::required("spec.policyName", "")),
        name => problems(&mut errors, "spec.policyName", name, content::dns1123_subdomain(name)),
    }
    if let Some(parameter) = map_at(spec, &["paramRef"]) {
        param_ref(&mut errors, parameter);
    }
    if let Some(matches) = map(spec, "matchResources") {
        match_resources(&mut errors, matches, "spec.matchResources");
    }
    actions(&mut errors, spec);
    errors
}

fn param_ref(errors: &mut Errors, parameter: &Map) {
    let at = "spec.paramRef";
    let (name, selector) = (text(parameter, "name"), map(parameter, "selector"));
    if !name.is_empty() {
        problems(errors, &child(at, "name"), name, content::path_segment(name, false));
    }
    label_selector(errors, selector, &child(at, "selector"));
    if !name.is_empty() && selector.is_some() {
        for key in ["name", "selector"] {
            let text = "name and selector are mutually exclusive";
            errors.push(field::Error::forbidden(child(at, key), text));
        }
    }
    if name.is_empty() && selector.is_none() {
        errors.push(field::Error::required(at, "one of name or selector must be specified"));
    }
    one_of(errors, parameter, "parameterNotFoundAction", at, &["Deny", "Allow"]);
}

fn actions(errors: &mut Errors, spec: &Map) {
    let at = "spec.validationActions";
    let mut seen: Vec<&str> = Vec::new();
    for (i, action) in texts(spec, "validationActions").enumerate() {
        let known = ["Audit", "Deny", "Warn"];
        if !known.contains(&action) {
            errors.push(field::Error::not_supported(nth(at, i), action, &known));
        }
        if seen.contains(&action) {
            errors.push(field::Error::duplicate(nth(at, i), action));
        }
        seen.push(action);
    }
    if seen.contains(&"Deny") && seen.contains(&"Warn") {
        let text = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(field::Error::invalid(at, shown(spec.get("validationActions")), text));
    }
    if seen.is_empty() {
        errors.push(field::Error::required(at, "at least one validation action is required"));
    }
}
