//! The core group's other kinds.

use std::collections::BTreeSet;

use meta::{content, field};
use schema::{Map, Object, Value};

use super::{Errors, child, immutable, labels, one_of, problems, shown};
use crate::Context;
use crate::tree::{flag, int, is_nil, is_zero, list, map, map_at, maps, same, text, texts};

const MIB: usize = 1024 * 1024;

fn spec(object: &Object) -> &Map {
    static EMPTY: Map = Map::new();
    map(object.root(), "spec").unwrap_or(&EMPTY)
}

/// Bytes of base64.
fn decoded(value: &Value) -> usize {
    let text = value.as_str().unwrap_or("");
    text.len() / 4 * 3 - text.bytes().rev().take_while(|b| *b == b'=').count()
}

/// ConfigMap.
pub(crate) fn config_map(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let root = object.root();
    let (data, binary) = (map(root, "data"), map(root, "binaryData"));
    let mut size = 0;
    for (key, value) in data.into_iter().flat_map(|m| m.iter()) {
        let at = format!("data[{key}]");
        problems(&mut errors, &at, key, content::config_map_key(key));
        if binary.is_some_and(|b| b.contains_key(key)) {
            errors.push(field::Error::invalid_str(at, key, "duplicate of key present in binaryData"));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in binary.into_iter().flat_map(|m| m.iter()) {
        problems(&mut errors, &format!("binaryData[{key}]"), key, content::config_map_key(key));
        size += decoded(value);
    }
    if size > MIB {
        errors.push(field::Error::too_long("", MIB));
    }
    errors
}

fn immutable_data(errors: &mut Errors, object: &Object, old: &Object, keys: &[&'static str]) {
    const TEXT: &str = "field is immutable when `immutable` is set";
    if !flag(old.root(), "immutable") {
        return;
    }
    if !flag(object.root(), "immutable") {
        errors.push(field::Error::forbidden("immutable", TEXT));
    }
    for key in keys.iter().filter(|k| !same(object.root().get(k), old.root().get(k))) {
        errors.push(field::Error::forbidden(*key, TEXT));
    }
}

/// A ConfigMap's update.
pub(crate) fn config_map_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    immutable_data(&mut errors, object, old, &["data", "binaryData"]);
    errors.extend(config_map(cx, object));
    errors
}

/// Secret.
pub(crate) fn secret(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let data = map(object.root(), "data");
    let mut size = 0;
    for (key, value) in data.into_iter().flat_map(|m| m.iter()) {
        problems(&mut errors, &format!("data[{key}]"), key, content::config_map_key(key));
        size += decoded(value);
    }
    if size > MIB {
        errors.push(field::Error::too_long("data", MIB));
    }
    let has = |key: &str| data.is_some_and(|d| d.contains_key(key));
    let mut needs = |key: &str| {
        if !has(key) {
            errors.push(field::Error::required(format!("data[{key}]"), ""));
        }
    };
    match text(object.root(), "type") {
        "kubernetes.io/dockercfg" => needs(".dockercfg"),
        "kubernetes.io/dockerconfigjson" => needs(".dockerconfigjson"),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            needs("username");
            needs("password");
        }
        "kubernetes.io/ssh-auth" => needs("ssh-privatekey"),
        "kubernetes.io/tls" => {
            needs("tls.crt");
            needs("tls.key");
        }
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            if object.annotation(key).unwrap_or("").is_empty() {
                errors.push(field::Error::required(format!("metadata.annotations[{key}]"), ""));
            }
        }
        _ => {}
    }
    errors
}

/// A Secret's update.
pub(crate) fn secret_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    immutable(&mut errors, "type", object.root().get("type"), old.root().get("type"));
    immutable_data(&mut errors, object, old, &["data"]);
    errors.extend(secret(cx, object));
    errors
}

/// Namespace: its finalizers are qualified names.
pub(crate) fn namespace(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    for (i, name) in texts(spec(object), "finalizers").enumerate() {
        let at = format!("spec.finalizers[{i}]");
        problems(&mut errors, "spec.finalizers", name, content::qualified_name(name));
        if !name.contains('/') && name != "kubernetes" {
            let text = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(field::Error::invalid_str(at, name, text));
        }
    }
    errors
}

/// Service.
pub(crate) fn service(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    let kind = text(s, "type");
    let headless = texts(s, "clusterIPs").next() == Some("None") || text(s, "clusterIP") == "None";
    if list(s, "ports").is_empty() && !headless && kind != "ExternalName" {
        errors.push(field::Error::required("spec.ports", ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let text = format!("may not be set to 'None' for {kind} services");
            errors.push(field::Error::invalid_str("spec.clusterIPs[0]", "None", text));
        }
        "ExternalName" => external_name(&mut errors, s),
        _ => {}
    }
    let mut names = BTreeSet::new();
    let many = list(s, "ports").len() > 1;
    for (i, port) in maps(s, "ports").enumerate() {
        service_port(&mut errors, port, &format!("spec.ports[{i}]"), many, headless, &mut names);
    }
    labels(&mut errors, map(s, "selector"), "spec.selector");
    one_of(&mut errors, s, "sessionAffinity", "spec", &["ClientIP", "None"]);
    if text(s, "sessionAffinity") == "ClientIP" {
        let seconds =
            map_at(s, &["sessionAffinityConfig", "clientIP"]).and_then(|c| int(c, "timeoutSeconds"));
        if let Some(n) = seconds.filter(|n| !(1..=86_400).contains(n)) {
            let text = "must be greater than 0 and less than 86400";
            errors.push(field::Error::invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", n, text));
        }
    }
    for (i, ip) in texts(s, "externalIPs").enumerate() {
        if ip.parse::<std::net::IpAddr>().is_err() {
            let text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            errors.push(field::Error::invalid_str(format!("spec.externalIPs[{i}]"), ip, text));
        }
    }
    one_of(&mut errors, s, "type", "spec", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    duplicate_ports(&mut errors, s);
    errors
}

fn external_name(errors: &mut Errors, spec: &Map) {
    for key in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !is_zero(spec, key) {
            errors.push(field::Error::forbidden(
                child("spec", key),
                "may not be set for ExternalName services",
            ));
        }
    }
    match text(spec, "externalName").trim_end_matches('.') {
        "" => errors.push(field::Error::required("spec.externalName", "")),
        name => problems(errors, "spec.externalName", name, content::dns1123_subdomain(name)),
    }
}

fn service_port<'a>(
    errors: &mut Errors,
    port: &'a Map,
    at: &str,
    many: bool,
    headless: bool,
    names: &mut BTreeSet<&'a str>,
) {
    let name = text(port, "name");
    if name.is_empty() {
        if many {
            errors.push(field::Error::required(child(at, "name"), ""));
        }
    } else {
        problems(errors, &child(at, "name"), name, content::dns1123_label(name));
        if !names.insert(name) {
            errors.push(field::Error::duplicate(child(at, "name"), name));
        }
    }
    let number = int(port, "port").unwrap_or(0);
    let bad = content::port_number(number).into_iter();
    errors.extend(bad.map(|m| field::Error::invalid(child(at, "port"), number, m)));
    one_of(errors, port, "protocol", at, &["SCTP", "TCP", "UDP"]);
    let target: Map = [("port", port.get("targetPort").cloned().unwrap_or_default())].into_iter().collect();
    if !headless {
        super::container::port_or_name(errors, &target, &child(at, "targetPort"));
    }
}

fn duplicate_ports(errors: &mut Errors, spec: &Map) {
    let mut seen = BTreeSet::new();
    for (i, port) in maps(spec, "ports").enumerate() {
        let (protocol, number) = (text(port, "protocol"), int(port, "port").unwrap_or(0));
        if !seen.insert((protocol, number)) {
            // upstream prints its own struct here
            let value = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}",
                field::quote(protocol)
            );
            let at = format!("spec.ports[{i}]");
            errors.push(field::Error::new(field::ErrorKind::Duplicate, at, value, ""));
        }
    }
}

/// A Service's update: what was allocated stays.
pub(crate) fn service_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = Errors::new();
    let (new, before) = (spec(object), spec(old));
    let with_ip = |s: &Map| text(s, "type") != "ExternalName";
    if with_ip(new) && with_ip(before) && !is_zero(before, "clusterIP") {
        let primary = |s: &Map| texts(s, "clusterIPs").next().unwrap_or(text(s, "clusterIP")).to_owned();
        if primary(new) != primary(before) {
            let value = shown(new.get("clusterIPs"));
            errors.push(field::Error::invalid("spec.clusterIPs[0]", value, "may not change once set"));
        }
    }
    errors.extend(service(cx, object));
    errors
}

/// PersistentVolumeClaim.
pub(crate) fn claim(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    access_modes(&mut errors, s);
    super::label_selector(&mut errors, map(s, "selector"), "spec.selector");
    let storage = map_at(s, &["resources", "requests"]).map_or("", |r| text(r, "storage"));
    match meta::Quantity::parse(storage) {
        Ok(q) if q.sign() <= 0 => {
            let text = "must be greater than zero";
            errors.push(field::Error::invalid_str("spec.resources[storage]", &q.to_string(), text));
        }
        Ok(_) => {}
        Err(_) => errors.push(field::Error::required("spec.resources[storage]", "")),
    }
    let class = text(s, "storageClassName");
    if !class.is_empty() {
        problems(&mut errors, "spec.storageClassName", class, content::dns1123_subdomain(class));
    }
    if !is_nil(s, "volumeMode") {
        one_of(&mut errors, s, "volumeMode", "spec", &["Block", "Filesystem"]);
    }
    errors
}

fn access_modes(errors: &mut Errors, spec: &Map) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    if list(spec, "accessModes").is_empty() {
        errors.push(field::Error::required("spec.accessModes", "at least 1 access mode is required"));
    }
    for mode in texts(spec, "accessModes").filter(|m| !MODES.contains(m)) {
        errors.push(field::Error::not_supported("spec.accessModes", mode, &MODES));
    }
}

/// A claim's update: only its requested size and class of attributes change once it is bound.
pub(crate) fn claim_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = claim(cx, object);
    let fixed = |o: &Object| {
        let mut s = spec(o).clone();
        s.remove("volumeAttributesClassName");
        if let Some(requests) = crate::tree::map_at_mut(&mut s, &["resources", "requests"]) {
            requests.remove("storage");
        }
        if text(spec(old), "volumeName").is_empty() {
            s.remove("volumeName");
        }
        if is_nil(spec(old), "storageClassName") {
            s.remove("storageClassName");
        }
        Value::Map(s)
    };
    if !same(Some(&fixed(object)), Some(&fixed(old))) {
        let text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n";
        errors.push(field::Error::forbidden("spec", text));
    }
    let size = |o: &Object| {
        let requests = map_at(spec(o), &["resources", "requests"]).map_or("", |r| text(r, "storage"));
        meta::Quantity::parse(requests).unwrap_or(meta::Quantity::zero())
    };
    if size(object) < size(old) {
        let text = "field can not be less than status.capacity";
        errors.push(field::Error::forbidden("spec.resources.requests.storage", text));
    }
    errors
}

/// PersistentVolume.
pub(crate) fn volume(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    access_modes(&mut errors, s);
    if is_zero(s, "capacity") {
        errors.push(field::Error::required("spec.capacity", ""));
    }
    let given = crate::core::VOLUME_SOURCES.iter().chain(&["local"]).filter(|k| !is_nil(s, k)).count();
    if given == 0 {
        errors.push(field::Error::required("spec", "must specify a volume type"));
    }
    one_of(&mut errors, s, "persistentVolumeReclaimPolicy", "spec", &["Delete", "Recycle", "Retain"]);
    errors
}

/// A volume's update: its source is fixed.
pub(crate) fn volume_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = volume(cx, object);
    let sources = |o: &Object| {
        let kept = crate::core::VOLUME_SOURCES.iter().chain(&["local"]);
        let kept = kept.filter_map(|k| Some((*k, spec(o).get(k)?.clone())));
        Value::Map(kept.collect())
    };
    if !same(Some(&sources(object)), Some(&sources(old))) {
        let text = "spec.persistentvolumesource is immutable after creation\n";
        errors.push(field::Error::forbidden("spec.persistentvolumesource", text));
    }
    immutable(&mut errors, "spec.volumeMode", spec(object).get("volumeMode"), spec(old).get("volumeMode"));
    errors
}

/// PodTemplate.
pub(crate) fn pod_template(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    super::pod::template(&mut errors, object.root(), "template");
    errors
}

/// ResourceQuota: amounts are not negative.
pub(crate) fn resource_quota(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    for (name, amount) in map(spec(object), "hard").into_iter().flat_map(|m| m.iter()) {
        let Ok(q) = meta::Quantity::parse(amount.as_str().unwrap_or("")) else { continue };
        if q.sign() < 0 {
            let at = format!("spec.hard[{name}]");
            let text = "must be greater than or equal to 0";
            errors.push(field::Error::invalid_str(at, &q.to_string(), text));
        }
    }
    errors
}

/// Endpoints.
pub(crate) fn endpoints(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    for (i, subset) in maps(object.root(), "subsets").enumerate() {
        let at = format!("subsets[{i}]");
        if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty() {
            errors
                .push(field::Error::required(at.clone(), "must specify `addresses` or `notReadyAddresses`"));
        }
        let many = list(subset, "ports").len() > 1;
        for (j, port) in maps(subset, "ports").enumerate() {
            let at = format!("{at}.ports[{j}]");
            match text(port, "name") {
                "" if many => errors.push(field::Error::required(child(&at, "name"), "")),
                "" => {}
                name => problems(&mut errors, &child(&at, "name"), name, content::dns1123_label(name)),
            }
            let number = int(port, "port").unwrap_or(0);
            let bad = content::port_number(number).into_iter();
            errors.extend(bad.map(|m| field::Error::invalid(child(&at, "port"), number, m)));
            one_of(&mut errors, port, "protocol", &at, &["SCTP", "TCP", "UDP"]);
        }
    }
    errors
}
