//! Volumes of pods.

use std::collections::BTreeSet;

use meta::{content, field};
use schema::Map;

use super::{Errors, child, problems};
use crate::tree::{int, is_nil, is_zero, map, maps, text};

/// Checks all volumes; gives the names of the good ones, which mounts may use.
pub(super) fn volumes<'a>(errors: &mut Errors, spec: &'a Map, path: &str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for (i, volume) in maps(spec, "volumes").enumerate() {
        let at = format!("{path}[{i}]");
        let mut found = Errors::new();
        source(&mut found, volume, &at);
        let name = text(volume, "name");
        if name.is_empty() {
            found.push(field::Error::required(child(&at, "name"), ""));
        } else {
            problems(&mut found, &child(&at, "name"), name, content::dns1123_label(name));
        }
        if names.contains(name) {
            found.push(field::Error::duplicate(child(&at, "name"), name));
        }
        if found.is_empty() {
            names.insert(name);
        }
        errors.append(&mut found);
    }
    names
}

fn source(errors: &mut Errors, volume: &Map, path: &str) {
    let given: Vec<&str> =
        crate::core::VOLUME_SOURCES.iter().filter(|s| !is_nil(volume, s)).copied().collect();
    for extra in given.iter().skip(1) {
        errors.push(field::Error::forbidden(child(path, extra), "may not specify more than 1 volume type"));
    }
    let Some(kind) = given.first() else {
        errors.push(field::Error::required(path, "must specify a volume type"));
        return;
    };
    let Some(source) = map(volume, kind) else { return };
    let at = child(path, kind);
    let needs = |errors: &mut Errors, key: &str| {
        if is_zero(source, key) {
            errors.push(field::Error::required(child(&at, key), ""));
        }
    };
    match *kind {
        "hostPath" => {
            needs(errors, "path");
            super::container::no_back_steps(errors, &child(&at, "path"), text(source, "path"));
        }
        "secret" => {
            needs(errors, "secretName");
            mode(errors, source, &at);
            items(errors, source, &at);
        }
        "configMap" => {
            needs(errors, "name");
            mode(errors, source, &at);
            items(errors, source, &at);
        }
        "persistentVolumeClaim" => needs(errors, "claimName"),
        "nfs" => {
            needs(errors, "server");
            needs(errors, "path");
        }
        "csi" => needs(errors, "driver"),
        "downwardAPI" | "projected" => mode(errors, source, &at),
        _ => {}
    }
}

fn mode(errors: &mut Errors, source: &Map, path: &str) {
    const TEXT: &str = "must be a number between 0 and 0777 (octal), both inclusive";
    if let Some(mode) = int(source, "defaultMode").filter(|m| !(0..=0o777).contains(m)) {
        errors.push(field::Error::invalid(child(path, "defaultMode"), mode, TEXT));
    }
}

fn items(errors: &mut Errors, source: &Map, path: &str) {
    for (i, item) in maps(source, "items").enumerate() {
        let at = format!("{path}.items[{i}]");
        for key in ["key", "path"] {
            if is_zero(item, key) {
                errors.push(field::Error::required(child(&at, key), ""));
            }
        }
        super::container::descending(errors, &child(&at, "path"), text(item, "path"));
    }
}
