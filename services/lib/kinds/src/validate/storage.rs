//! The storage group's kinds besides StorageClass, and slices of devices.
//!
//! # Upstream
//! `pkg/apis/storage/validation/validation.go`, `pkg/apis/resource/validation/validation.go`

use meta::{content, field};
use schema::{Map, Object};

use super::{Errors, child, immutable, label_selector, nth, problems, shown};
use crate::Context;
use crate::tree::{flag, int, is_nil, list, map, map_at, same, text};

const LONGEST_DRIVER: usize = 63;

fn spec_of(object: &Object) -> Map {
    map(object.root(), "spec").cloned().unwrap_or_default()
}

/// The name of a storage driver.
pub(super) fn driver_name(errors: &mut Errors, name: &str, at: &str) {
    if name.is_empty() {
        errors.push(field::Error::required(at, ""));
        return;
    }
    if name.len() > LONGEST_DRIVER {
        let detail = format!("may not be more than {LONGEST_DRIVER} bytes");
        errors.push(field::Error::new(field::ErrorKind::TooLong, at, "", detail));
    }
    problems(errors, at, name, content::dns1123_subdomain(&name.to_lowercase()));
}

/// VolumeAttachment.
pub(crate) fn volume_attachment(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let (spec, empty) = (spec_of(object), Map::new());
    driver_name(&mut errors, text(&spec, "attacher"), "spec.attacher");
    let source = map_at(&spec, &["source"]).unwrap_or(&empty);
    let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (is_nil(source, "inlineVolumeSpec"), is_nil(source, "persistentVolumeName")) {
        (true, true) => errors.push(field::Error::required("spec.source", detail)),
        (false, false) => errors.push(field::Error::forbidden("spec.source", detail)),
        (true, false) if text(source, "persistentVolumeName").is_empty() => {
            let at = "spec.source.persistentVolumeName";
            errors.push(field::Error::required(at, "must specify non empty persistentVolumeName"));
        }
        _ => {}
    }
    let node = text(&spec, "nodeName");
    problems(&mut errors, "spec.nodeName", node, content::dns1123_subdomain(node));
    if !is_nil(source, "persistentVolumeName") {
        let name = text(source, "persistentVolumeName");
        let found = content::dns1123_subdomain(name);
        problems(&mut errors, "spec.source.persistentVolumeName", name, found);
    }
    errors
}

/// A changed attachment: what is attached where is fixed.
pub(crate) fn volume_attachment_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = volume_attachment(cx, object);
    immutable(&mut errors, "spec", object.root().get("spec"), old.root().get("spec"));
    errors
}

/// VolumeAttributesClass.
pub(crate) fn attributes_class(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let root = object.root();
    match text(root, "driverName") {
        "" => errors.push(field::Error::required("driverName", "")),
        name => {
            let found = content::qualified_name(&name.to_lowercase());
            problems(&mut errors, "driverName", name, found);
        }
    }
    if map(root, "parameters").is_none_or(Map::is_empty) {
        errors.push(field::Error::required("parameters", "must contain at least one key/value pair"));
    }
    errors
}

/// A changed class: what it means is fixed.
pub(crate) fn attributes_class_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    for key in ["driverName", "parameters"] {
        if !same(object.root().get(key), old.root().get(key)) {
            errors.push(field::Error::forbidden(key, format!("updates to {key} are forbidden.")));
        }
    }
    errors.extend(attributes_class(cx, object));
    errors
}

/// CSIStorageCapacity.
pub(crate) fn storage_capacity(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let root = object.root();
    label_selector(&mut errors, map(root, "nodeTopology"), "nodeTopology");
    let class = text(root, "storageClassName");
    problems(&mut errors, "storageClassName", class, content::dns1123_subdomain(class));
    errors
}

/// A changed capacity: what it is about is fixed.
pub(crate) fn storage_capacity_update(_: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    for key in ["nodeTopology", "storageClassName"] {
        immutable(&mut errors, key, object.root().get(key), old.root().get(key));
    }
    errors
}

/// ServiceCIDR.
pub(crate) fn service_cidr(cx: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    if cx.subresource == "status" {
        return errors;
    }
    let (spec, at) = (spec_of(object), "spec.cidrs");
    let cidrs: Vec<&str> = crate::tree::texts(&spec, "cidrs").collect();
    if cidrs.is_empty() {
        errors.push(field::Error::required(at, "at least one CIDR required"));
    } else if cidrs.len() > 2 {
        errors.push(field::Error::invalid(at, shown(spec.get("cidrs")), "may only hold up to 2 values"));
    } else if cidrs.len() == 2 && cidrs[0].contains(':') == cidrs[1].contains(':') {
        let detail =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(field::Error::invalid(at, shown(spec.get("cidrs")), detail));
    }
    for (i, cidr) in cidrs.iter().enumerate().take(2) {
        let valid = cidr.split_once('/').is_some_and(|(address, bits)| {
            let most = if address.contains(':') { 128 } else { 32 };
            address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
        });
        if !valid {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(field::Error::invalid_str(nth(at, i), cidr, detail));
        }
    }
    errors
}

/// A changed range: it may only gain its other family.
pub(crate) fn service_cidr_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    if cx.subresource == "status" {
        return errors;
    }
    let of = |o: &Object| o.list_at(&["spec", "cidrs"]).to_vec();
    let (new, had, at) = (of(object), of(old), "spec.cidrs");
    if new.len() < had.len() || (new.len() != had.len() && (had.len(), new.len()) != (1, 2)) {
        immutable(&mut errors, at, object.at(&["spec", "cidrs"]), old.at(&["spec", "cidrs"]));
        return errors;
    }
    for (i, cidr) in had.iter().enumerate() {
        immutable(&mut errors, &nth(at, i), new.get(i), Some(cidr));
    }
    if new.len() > had.len() {
        errors.extend(service_cidr(cx, object));
    }
    errors
}

/// ResourceSlice.
pub(crate) fn resource_slice(_: &Context<'_>, object: &Object) -> Errors {
    let mut errors = Errors::new();
    let (spec, empty) = (spec_of(object), Map::new());
    driver_name(&mut errors, text(&spec, "driver"), "spec.driver");
    let pool = map_at(&spec, &["pool"]).unwrap_or(&empty);
    match text(pool, "name") {
        "" => errors.push(field::Error::required("spec.pool.name", "")),
        name => {
            for part in name.split('/') {
                problems(&mut errors, "spec.pool.name", part, content::dns1123_subdomain(part));
            }
        }
    }
    let count = int(pool, "resourceSliceCount").unwrap_or(0);
    if count <= 0 {
        let at = "spec.pool.resourceSliceCount";
        errors.push(field::Error::invalid(at, count, "must be greater than zero"));
    }
    if let Some(generation) = int(pool, "generation").filter(|n| *n < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(field::Error::invalid("spec.pool.generation", generation, detail));
    }
    places(&mut errors, &spec);
    if !list(&spec, "sharedCounters").is_empty() && !list(&spec, "devices").is_empty() {
        let detail = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(field::Error::invalid_str("spec", "", detail));
    }
    errors
}

/// Where a slice's devices are: said in exactly one way.
fn places(errors: &mut Errors, spec: &Map) {
    let mut set = Vec::new();
    if !is_nil(spec, "nodeName") {
        match text(spec, "nodeName") {
            "" => {
                let detail = "must be either unset or set to a non-empty string";
                errors.push(field::Error::invalid_str("spec.nodeName", "", detail));
            }
            name => {
                set.push("`nodeName`");
                problems(errors, "spec.nodeName", name, content::dns1123_subdomain(name));
            }
        }
    }
    if !is_nil(spec, "nodeSelector") {
        set.push("`nodeSelector`");
    }
    for (key, quoted) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        if flag(spec, key) {
            set.push(quoted);
        } else if !is_nil(spec, key) {
            let detail = "must be either unset or set to true";
            errors.push(field::Error::invalid(child("spec", key), false, detail));
        }
    }
    let detail =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match set.as_slice() {
        [] => errors.push(field::Error::required("spec", detail)),
        [_] => {}
        many => {
            let value = format!("{{{}}}", many.join(", "));
            let detail = format!("{detail}, but multiple fields are set");
            errors.push(field::Error::invalid_str("spec", &value, detail));
        }
    }
}

/// A changed slice: whose devices it lists is fixed.
pub(crate) fn resource_slice_update(cx: &Context<'_>, object: &Object, old: &Object) -> Errors {
    let mut errors = resource_slice(cx, object);
    for path in [&["spec", "pool", "name"][..], &["spec", "driver"], &["spec", "nodeName"]] {
        immutable(&mut errors, &path.join("."), object.at(path), old.at(path));
    }
    errors
}
