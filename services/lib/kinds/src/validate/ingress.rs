//! Ingress and IPAddress.
//!
//! # Upstream
//! `pkg/apis/networking/validation/validation.go`

use std::net::IpAddr;

use meta::{content, field};
use schema::{Map, Object};

use super::{Errors, child, nth, problems};
use crate::Context;
use crate::tree::{int, is_zero, list, map, maps, text};

const BAD_PARTS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDS: [&str; 2] = ["/..", "/."];
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const CLASS: &str = "kubernetes.io/ingress.class";

/// What an object that is there already may keep.
#[derive(Clone, Copy, Default)]
struct Allowed {
    secret_names: bool,
    wildcard_rules: bool,
}

/// A new Ingress.
pub(crate) fn ingress(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = whole(object, Allowed::default());
    let class = object.str_at(&["spec", "ingressClassName"]);
    if let Some(annotation) = object.annotation(CLASS).filter(|a| !class.is_empty() && *a != class) {
        let text = "must match `ingressClassName` when both are specified";
        errors.push(field::Error::invalid_str(format!("annotations.{CLASS}"), annotation, text));
    }
    errors
}

/// A changed Ingress, or its status.
pub(crate) fn ingress_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return status(object);
    }
    let empty = Map::new();
    let spec = map(old.root(), "spec").unwrap_or(&empty);
    let allowed = Allowed {
        secret_names: maps(spec, "tls").any(|t| !secret_name(text(t, "secretName")).is_empty()),
        wildcard_rules: maps(spec, "rules").any(|rule| {
            let mut found = Errors::new();
            rule_value(&mut found, rule, "");
            text(rule, "host").contains('*') && !found.is_empty()
        }),
    };
    whole(object, allowed)
}

fn secret_name(name: &str) -> Vec<String> {
    if name.is_empty() { Vec::new() } else { content::dns1123_subdomain(name) }
}

fn whole(object: &Object, allowed: Allowed) -> Errors {
    let (mut errors, empty) = (Errors::new(), Map::new());
    let spec = map(object.root(), "spec").unwrap_or(&empty);
    if list(spec, "rules").is_empty() && map(spec, "defaultBackend").is_none() {
        let text = "either `defaultBackend` or `rules` must be specified";
        let rules = if spec.get("rules").is_some() { "[]" } else { "null" };
        errors.push(field::Error::invalid("spec", rules, text));
    }
    if let Some(default) = map(spec, "defaultBackend") {
        backend(&mut errors, default, "spec.defaultBackend");
    }
    for (i, rule) in maps(spec, "rules").enumerate() {
        let (at, name) = (format!("spec.rules[{i}]"), text(rule, "host"));
        if name.parse::<IpAddr>().is_ok() {
            let text = "must be a DNS name, not an IP address";
            errors.push(field::Error::invalid_str(child(&at, "host"), name, text));
        }
        if !name.is_empty() {
            host(&mut errors, name, &child(&at, "host"));
        }
        if !(name.contains('*') && allowed.wildcard_rules) {
            rule_value(&mut errors, rule, &at);
        }
    }
    for (i, tls) in maps(spec, "tls").enumerate() {
        let at = format!("spec.tls[{i}]");
        for (j, name) in list(tls, "hosts").iter().filter_map(|h| h.as_str()).enumerate() {
            host(&mut errors, name, &format!("{at}.hosts[{j}]"));
        }
        if !allowed.secret_names {
            let name = text(tls, "secretName");
            problems(&mut errors, &child(&at, "secretName"), name, secret_name(name));
        }
    }
    if spec.get("ingressClassName").is_some_and(|c| !c.is_null()) {
        let class = text(spec, "ingressClassName");
        problems(&mut errors, "spec.ingressClassName", class, content::dns1123_subdomain(class));
    }
    errors
}

fn host(errors: &mut Errors, name: &str, at: &str) {
    let found = if name.contains('*') {
        content::wildcard_dns1123_subdomain(name)
    } else {
        content::dns1123_subdomain(name)
    };
    problems(errors, at, name, found);
}

fn rule_value(errors: &mut Errors, rule: &Map, at: &str) {
    let Some(http) = map(rule, "http") else { return };
    let at = child(at, "http.paths");
    if list(http, "paths").is_empty() {
        errors.push(field::Error::required(at.clone(), ""));
    }
    for (i, path) in maps(http, "paths").enumerate() {
        http_path(errors, path, &nth(&at, i));
    }
}

fn http_path(errors: &mut Errors, path: &Map, at: &str) {
    if path.get("pathType").is_none_or(schema::Value::is_null) {
        errors.push(field::Error::required(child(at, "pathType"), "pathType must be specified"));
        return;
    }
    let (kind, value, place) = (text(path, "pathType"), text(path, "path"), child(at, "path"));
    let strict = matches!(kind, "Exact" | "Prefix");
    if (strict || kind == "ImplementationSpecific" && !value.is_empty()) && !value.starts_with('/') {
        errors.push(field::Error::invalid_str(place.clone(), value, "must be an absolute path"));
    }
    if strict {
        for part in BAD_PARTS.iter().filter(|part| value.contains(**part)) {
            let text = format!("must not contain '{part}'");
            errors.push(field::Error::invalid_str(place.clone(), value, text));
        }
        for end in BAD_ENDS.iter().filter(|end| value.ends_with(**end)) {
            let text = format!("cannot end with '{end}'");
            errors.push(field::Error::invalid_str(place.clone(), value, text));
        }
    }
    if !PATH_TYPES.contains(&kind) {
        errors.push(field::Error::not_supported(child(at, "pathType"), kind, &PATH_TYPES));
    }
    let empty = Map::new();
    backend(errors, map(path, "backend").unwrap_or(&empty), &child(at, "backend"));
}

fn backend(errors: &mut Errors, backend: &Map, at: &str) {
    let wrong = |text: &str| field::Error::invalid_str(at, "", text);
    match (map(backend, "resource"), map(backend, "service")) {
        (Some(_), Some(_)) => errors.push(wrong("cannot set both resource and service backends")),
        (Some(resource), None) => reference(errors, resource, &child(at, "resource")),
        (None, None) => errors.push(wrong("resource or service backend is required")),
        (None, Some(service)) => {
            let (name, empty) = (text(service, "name"), Map::new());
            match name {
                "" => errors.push(field::Error::required(child(at, "service.name"), "")),
                _ => problems(errors, &child(at, "service.name"), name, content::dns1123_label(name)),
            }
            let port = map(service, "port").unwrap_or(&empty);
            let (name, number) = (text(port, "name"), int(port, "number").unwrap_or(0));
            match (name.is_empty(), number) {
                (false, 1..) | (false, ..0) => errors.push(wrong("cannot set both port name & port number")),
                (false, 0) => {
                    problems(errors, &child(at, "service.port.name"), name, content::port_name(name));
                }
                (true, 0) => errors.push(field::Error::required(at, "port name or number is required")),
                (true, number) => {
                    let place = child(at, "service.port.number");
                    let found = content::port_number(number).into_iter();
                    errors.extend(found.map(|text| field::Error::invalid(place.clone(), number, text)));
                }
            }
        }
    }
}

/// A reference by group, kind and name.
fn reference(errors: &mut Errors, reference: &Map, at: &str) {
    if reference.get("apiGroup").is_some_and(|g| !g.is_null()) {
        let group = text(reference, "apiGroup");
        problems(errors, &child(at, "apiGroup"), group, content::dns1123_subdomain(group));
    }
    for key in ["kind", "name"] {
        match text(reference, key) {
            "" => errors.push(field::Error::required(child(at, key), "")),
            value => problems(errors, &child(at, key), value, content::path_segment(value, false)),
        }
    }
}

fn status(object: &Object) -> Errors {
    let (mut errors, empty) = (Errors::new(), Map::new());
    let balancer = object.map_at(&["status", "loadBalancer"]).unwrap_or(&empty);
    for (i, point) in maps(balancer, "ingress").enumerate() {
        let at = format!("status.loadBalancer.ingress[{i}]");
        let (address, name) = (text(point, "ip"), text(point, "hostname"));
        if !address.is_empty() && address.parse::<IpAddr>().is_err() {
            let text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(field::Error::invalid_str(child(&at, "ip"), address, text));
        }
        if !name.is_empty() {
            problems(&mut errors, &child(&at, "hostname"), name, content::dns1123_subdomain(name));
            if name.parse::<IpAddr>().is_ok() {
                let text = "must be a DNS name, not an IP address";
                errors.push(field::Error::invalid_str(child(&at, "hostname"), name, text));
            }
        }
    }
    errors
}

/// A new IPAddress.
pub(crate) fn ip_address(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let at = "spec.parentRef";
    let Some(parent) = object.map_at(&["spec", "parentRef"]) else {
        errors.push(field::Error::required(at, ""));
        return errors;
    };
    let group = text(parent, "group");
    if !group.is_empty() {
        problems(&mut errors, &child(at, "group"), group, content::dns1123_subdomain(group));
    }
    for key in ["resource", "name"] {
        match text(parent, key) {
            "" => errors.push(field::Error::required(child(at, key), "")),
            value => problems(&mut errors, &child(at, key), value, content::path_segment(value, false)),
        }
    }
    if !is_zero(parent, "namespace") {
        let namespace = text(parent, "namespace");
        let found = content::path_segment(namespace, false);
        problems(&mut errors, &child(at, "namespace"), namespace, found);
    }
    errors
}

/// A changed IPAddress: its parent is fixed.
pub(crate) fn ip_address_update(_: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let at = ["spec", "parentRef"];
    if !crate::tree::same(object.at(&at), old.at(&at)) {
        let part = |key: &str| field::quote(object.str_at(&["spec", "parentRef", key]));
        // upstream prints its own struct here
        let value = format!(
            "{{\"Group\":{},\"Resource\":{},\"Namespace\":{},\"Name\":{}}}",
            part("group"),
            part("resource"),
            part("namespace"),
            part("name")
        );
        errors.push(field::Error::invalid("spec.parentRef", value, "field is immutable"));
    }
    errors
}
