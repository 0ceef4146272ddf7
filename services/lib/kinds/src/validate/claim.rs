//! Persistent volumes and claims.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `ValidatePersistentVolumeClaim`, `ValidatePersistentVolume`

use meta::{Quantity, content, field};
use schema::{Map, Object, Value};

use super::{Errors, affinity, child, immutable, one_of, problems, shown};
use crate::Context;
use crate::tree::{is_nil, is_zero, list, map, map_at, same, text, texts};

fn spec(object: &Object) -> &Map {
    static EMPTY: Map = Map::new();
    map(object.root(), "spec").unwrap_or(&EMPTY)
}

/// PersistentVolumeClaim.
pub(crate) fn claim(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    claim_spec(&mut errors, spec(object), "spec");
    errors
}

/// What a claim, or the template of one, asks for.
pub(super) fn claim_spec(errors: &mut Errors, s: &Map, path: &str) {
    let at = |key: &str| child(path, key);
    if list(s, "accessModes").is_empty() {
        errors.push(field::Error::required(at("accessModes"), "at least 1 access mode is required"));
    }
    super::label_selector(errors, map(s, "selector"), &at("selector"));
    access_modes(errors, s, path);
    let storage = map_at(s, &["resources", "requests"]).map_or("", |r| text(r, "storage"));
    match Quantity::parse(storage) {
        Ok(q) if q.sign() <= 0 => {
            let text = "must be greater than zero";
            errors.push(field::Error::invalid_str(at("resources[storage]"), &q.to_string(), text));
        }
        Ok(_) => {}
        Err(_) => errors.push(field::Error::required(at("resources[storage]"), "")),
    }
    class(errors, s, "storageClassName", path);
    if !is_nil(s, "volumeMode") {
        one_of(errors, s, "volumeMode", path, &["Block", "Filesystem"]);
    }
    for key in ["dataSource", "dataSourceRef"] {
        data_source(errors, s, key, &at(key));
    }
    if let (Some(source), Some(reference)) = (map(s, "dataSource"), map(s, "dataSourceRef")) {
        // upstream prints a path here, which has nothing to show
        let value = "{}";
        let equal = ["apiGroup", "kind", "name"].iter().all(|key| same(source.get(key), reference.get(key)));
        if !is_zero(reference, "namespace") {
            let text = "may not be specified when dataSourceRef.namespace is specified";
            errors.push(field::Error::invalid(path, value, text));
        } else if !equal {
            errors.push(field::Error::invalid(path, value, "must match dataSourceRef"));
        }
    }
    class(errors, s, "volumeAttributesClassName", path);
}

fn class(errors: &mut Errors, spec: &Map, key: &str, path: &str) {
    let name = text(spec, key);
    if !name.is_empty() {
        problems(errors, &child(path, key), name, content::dns1123_subdomain(name));
    }
}

fn data_source(errors: &mut Errors, spec: &Map, key: &str, path: &str) {
    let Some(source) = map(spec, key) else { return };
    for key in ["name", "kind"].into_iter().filter(|key| is_zero(source, key)) {
        errors.push(field::Error::required(child(path, key), ""));
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if !group.is_empty() {
        problems(errors, &child(path, "apiGroup"), group, content::dns1123_subdomain(group));
    } else if kind != "PersistentVolumeClaim" {
        let text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.push(field::Error::invalid_str(path, kind, text));
    }
    let namespace = text(source, "namespace");
    if !namespace.is_empty() {
        problems(errors, &child(path, "namespace"), namespace, content::dns1123_label(namespace));
    }
}

fn access_modes(errors: &mut Errors, spec: &Map, path: &str) {
    const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let at = child(path, "accessModes");
    let (mut alone, mut shared) = (false, false);
    for mode in texts(spec, "accessModes") {
        if !MODES.contains(&mode) {
            errors.push(field::Error::not_supported(at.as_str(), mode, &MODES));
        } else if mode == "ReadWriteOncePod" {
            alone = true;
        } else {
            shared = true;
        }
    }
    if alone && shared {
        errors.push(field::Error::forbidden(at, "may not use ReadWriteOncePod with other access modes"));
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
        Quantity::parse(requests).unwrap_or(Quantity::zero())
    };
    if size(object) < size(old) {
        let text = "field can not be less than status.capacity";
        errors.push(field::Error::forbidden("spec.resources.requests.storage", text));
    }
    immutable(&mut errors, "volumeMode", spec(object).get("volumeMode"), spec(old).get("volumeMode"));
    errors
}

fn sources(spec: &Map) -> Vec<&'static str> {
    let all = crate::core::VOLUME_SOURCES.iter().chain(&["local"]);
    all.filter(|k| !is_nil(spec, k)).copied().collect()
}

/// PersistentVolume.
pub(crate) fn volume(_: &Context<'_>, object: &Object) -> Errors {
    let (mut errors, s) = (Errors::new(), spec(object));
    if list(s, "accessModes").is_empty() {
        errors.push(field::Error::required("spec.accessModes", ""));
    }
    access_modes(&mut errors, s, "spec");
    let capacity = map(s, "capacity");
    if is_zero(s, "capacity") {
        errors.push(field::Error::required("spec.capacity", ""));
    }
    if capacity.is_none_or(|c| !c.contains_key("storage") || c.len() > 1) {
        let detail = "supported values: \"storage\"";
        let value = shown(s.get("capacity"));
        errors.push(field::Error::new(field::ErrorKind::NotSupported, "spec.capacity", value, detail));
    }
    for (name, amount) in capacity.into_iter().flat_map(|c| c.iter()) {
        let Ok(q) = Quantity::parse(amount.as_str().unwrap_or("")) else { continue };
        let at = format!("spec.capacity[{name}]");
        if q.sign() < 0 {
            errors.push(field::Error::invalid(at.as_str(), &q, "must be a valid resource quantity"));
        }
        if q.sign() <= 0 {
            errors.push(field::Error::invalid_str(at, &q.to_string(), "must be greater than zero"));
        }
    }
    if !is_zero(s, "persistentVolumeReclaimPolicy") {
        one_of(&mut errors, s, "persistentVolumeReclaimPolicy", "spec", &["Delete", "Recycle", "Retain"]);
    }
    volume_affinity(&mut errors, s);
    volume_source(&mut errors, s);
    class(&mut errors, s, "storageClassName", "spec");
    if !is_nil(s, "volumeMode") {
        one_of(&mut errors, s, "volumeMode", "spec", &["Block", "Filesystem"]);
    }
    if !is_nil(s, "volumeAttributesClassName") {
        if is_zero(s, "volumeAttributesClassName") {
            let at = "spec.volumeAttributesClassName";
            errors.push(field::Error::required(at, "an empty string is disallowed"));
        }
        class(&mut errors, s, "volumeAttributesClassName", "spec");
        if is_nil(s, "csi") {
            let text = "has to be specified when using volumeAttributesClassName";
            errors.push(field::Error::required("spec.csi", text));
        }
    }
    errors
}

fn volume_affinity(errors: &mut Errors, spec: &Map) {
    let Some(nodes) = map(spec, "nodeAffinity") else { return };
    match map(nodes, "required") {
        Some(required) => affinity::node_selector(errors, required, "spec.nodeAffinity.required"),
        None => {
            let text = "must specify required node constraints";
            errors.push(field::Error::required("spec.nodeAffinity.required", text));
        }
    }
}

fn volume_source(errors: &mut Errors, spec: &Map) {
    let given = sources(spec);
    for extra in given.iter().skip(1) {
        let text = "may not specify more than 1 volume type";
        errors.push(field::Error::forbidden(child("spec", extra), text));
    }
    let Some(kind) = given.first() else {
        errors.push(field::Error::required("spec", "must specify a volume type"));
        return;
    };
    let (at, empty) = (child("spec", kind), Map::new());
    let source = map(spec, kind).unwrap_or(&empty);
    match *kind {
        "hostPath" => super::volume::host_path(errors, source, &at),
        "nfs" => super::volume::nfs(errors, source, &at),
        "local" => {
            if is_zero(source, "path") {
                errors.push(field::Error::required(child(&at, "path"), ""));
            } else {
                super::container::no_back_steps(errors, &child(&at, "path"), text(source, "path"));
            }
            if is_nil(spec, "nodeAffinity") {
                let text = "Local volume requires node affinity";
                errors.push(field::Error::required("spec.nodeAffinity", text));
            }
        }
        "csi" => {
            super::storage::driver_name(errors, text(source, "driver"), &child(&at, "driver"));
            if is_zero(source, "volumeHandle") {
                errors.push(field::Error::required(child(&at, "volumeHandle"), ""));
            }
        }
        _ => {}
    }
    let root = text(source, "path").trim_matches('/').is_empty() && !is_zero(source, "path");
    if *kind == "hostPath" && root && text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        let text = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(field::Error::forbidden("spec.persistentVolumeReclaimPolicy", text));
    }
}

/// A volume's update: its source is fixed.
pub(crate) fn volume_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    if cx.subresource == "status" {
        return Errors::new();
    }
    let mut errors = volume(cx, object);
    let sources = |o: &Object| {
        let kept = sources(spec(o)).into_iter().filter_map(|k| Some((k, spec(o).get(k)?.clone())));
        Value::Map(kept.collect())
    };
    if !same(Some(&sources(object)), Some(&sources(old))) {
        let text = "spec.persistentvolumesource is immutable after creation\n";
        errors.push(field::Error::forbidden("spec.persistentvolumesource", text));
    }
    immutable(&mut errors, "volumeMode", spec(object).get("volumeMode"), spec(old).get("volumeMode"));
    errors
}
