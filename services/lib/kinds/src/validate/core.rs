//! The core group's other kinds.

use meta::{content, field};
use schema::{Map, Object, Value};

use super::{Errors, child, immutable, one_of, problems};
use crate::Context;
use crate::tree::{flag, int, list, map, maps, same, text, texts};

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

/// PodTemplate.
pub(crate) fn pod_template(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    super::pod::template(&mut errors, object.root(), "template");
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
