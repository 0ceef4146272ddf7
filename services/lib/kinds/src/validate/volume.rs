//! Volumes of pods.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `ValidateVolumes`

use std::collections::{BTreeMap, BTreeSet};

use meta::{Quantity, content, field};
use schema::Map;

use super::container::{descending, no_back_steps};
use super::{Errors, child, env, nth, problems, storage};
use crate::tree::{int, is_nil, is_zero, map, map_at, maps, text};

/// The names of good volumes, and their kinds.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'static str>;

/// The sources in the order in which they are looked at, with what upstream calls them when there is one too many.
const IN_ORDER: [(&str, &str); 30] = [
    ("emptyDir", "emptyDir"),
    ("hostPath", "hostPath"),
    ("gitRepo", "gitRepo"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret"),
    ("nfs", "nfs"),
    ("iscsi", "iscsi"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd"),
    ("cinder", "cinder"),
    ("cephfs", "cephFS"),
    ("quobyte", "quobyte"),
    ("downwardAPI", "downwarAPI"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("configMap", "configMap"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("storageos", "storageos"),
    ("projected", "projected"),
    ("scaleIO", "scaleIO"),
    ("csi", "csi"),
    ("ephemeral", "ephemeral"),
    ("image", "image"),
];

/// Fields without which a source is none.
const NEEDED: [(&str, &[&str]); 17] = [
    ("gitRepo", &["repository"]),
    ("gcePersistentDisk", &["pdName"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("secret", &["secretName"]),
    ("configMap", &["name"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("glusterfs", &["endpoints", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("rbd", &["monitors", "image"]),
    ("cinder", &["volumeID"]),
    ("cephfs", &["monitors"]),
    ("flexVolume", &["driver"]),
    ("azureFile", &["secretName", "shareName"]),
    ("vsphereVolume", &["volumePath"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
];

/// Checks all volumes of a pod of this name (a template's pods have none yet); gives the good ones.
pub(super) fn volumes<'a>(errors: &mut Errors, spec: &'a Map, path: &str, pod: Option<&str>) -> Volumes<'a> {
    let mut good = Volumes::new();
    let created: BTreeSet<String> = match pod {
        Some(pod) if !pod.is_empty() => maps(spec, "volumes")
            .filter(|v| !is_nil(v, "ephemeral"))
            .map(|v| format!("{pod}-{}", text(v, "name")))
            .collect(),
        _ => BTreeSet::new(),
    };
    for (i, volume) in maps(spec, "volumes").enumerate() {
        let at = nth(path, i);
        let mut found = Errors::new();
        let kind = source(&mut found, volume, &at, pod);
        let name = text(volume, "name");
        if name.is_empty() {
            found.push(field::Error::required(child(&at, "name"), ""));
        } else {
            problems(&mut found, &child(&at, "name"), name, content::dns1123_label(name));
        }
        if good.contains_key(name) {
            found.push(field::Error::duplicate(child(&at, "name"), name));
        }
        if found.is_empty() {
            good.insert(name, kind);
        }
        errors.append(&mut found);
        let claim = map(volume, "persistentVolumeClaim").map_or("", |c| text(c, "claimName"));
        if created.contains(claim) {
            let at = child(&at, "persistentVolumeClaim.claimName");
            let text = "must not reference a PVC that gets created for an ephemeral volume";
            errors.push(field::Error::invalid_str(at, claim, text));
        }
    }
    good
}

/// Exactly one source; gives its kind.
fn source(errors: &mut Errors, volume: &Map, path: &str, pod: Option<&str>) -> &'static str {
    let mut first = "";
    for (kind, name) in IN_ORDER.into_iter().filter(|(kind, _)| !is_nil(volume, kind)) {
        if first.is_empty() {
            first = kind;
            if let Some(source) = map(volume, kind) {
                check(errors, volume, kind, source, &child(path, kind), pod);
            }
        } else {
            let text = "may not specify more than 1 volume type";
            errors.push(field::Error::forbidden(child(path, name), text));
        }
    }
    if first.is_empty() {
        errors.push(field::Error::required(path, "must specify a volume type"));
    }
    first
}

fn check(errors: &mut Errors, volume: &Map, kind: &str, source: &Map, at: &str, pod: Option<&str>) {
    for (_, keys) in NEEDED.iter().filter(|(name, _)| *name == kind) {
        for key in keys.iter().filter(|key| is_zero(source, key)) {
            errors.push(field::Error::required(child(at, key), ""));
        }
    }
    match kind {
        "emptyDir" => {
            let limit = Quantity::parse(text(source, "sizeLimit"));
            if limit.is_ok_and(|limit| limit.sign() < 0) {
                let text = "SizeLimit field must be a valid resource quantity";
                errors.push(field::Error::forbidden(child(at, "sizeLimit"), text));
            }
        }
        "hostPath" => host_path(errors, source, at),
        "gitRepo" => descending(errors, &child(at, "directory"), text(source, "directory")),
        "secret" | "configMap" => {
            mode(errors, source, "defaultMode", at);
            items(errors, source, at);
        }
        "nfs" => nfs(errors, source, at),
        "downwardAPI" => {
            mode(errors, source, "defaultMode", at);
            // upstream names the volume here, not the item
            maps(source, "items").for_each(|file| downward(errors, file, at));
        }
        "projected" => {
            mode(errors, source, "defaultMode", at);
            projected(errors, source, at);
        }
        "csi" => csi(errors, source, at),
        "ephemeral" => ephemeral(errors, volume, source, at, pod),
        "image" => {
            if pod.is_some() && is_zero(source, "reference") {
                errors.push(field::Error::required(child(at, "reference"), ""));
            }
            super::probe::pull_policy(errors, source, "pullPolicy", at);
        }
        _ => {}
    }
}

/// A path of the node.
pub(super) fn host_path(errors: &mut Errors, source: &Map, path: &str) {
    const KINDS: [&str; 8] =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if is_zero(source, "path") {
        errors.push(field::Error::required(child(path, "path"), ""));
        return;
    }
    no_back_steps(errors, &child(path, "path"), text(source, "path"));
    let kind = text(source, "type");
    if !KINDS.contains(&kind) {
        errors.push(field::Error::not_supported(child(path, "type"), kind, &KINDS));
    }
}

/// A directory of another machine.
pub(super) fn nfs(errors: &mut Errors, source: &Map, path: &str) {
    for key in ["server", "path"].into_iter().filter(|key| is_zero(source, key)) {
        errors.push(field::Error::required(child(path, key), ""));
    }
    let exported = text(source, "path");
    if !exported.starts_with('/') {
        errors.push(field::Error::invalid_str(child(path, "path"), exported, "must be an absolute path"));
    }
}

fn csi(errors: &mut Errors, source: &Map, path: &str) {
    let driver = text(source, "driver");
    storage::driver_name(errors, driver, &child(path, "driver"));
    let Some(secret) = map(source, "nodePublishSecretRef") else { return };
    match text(secret, "name") {
        "" => errors.push(field::Error::required(child(path, "nodePublishSecretRef.name"), "")),
        name => problems(errors, &child(path, "name"), name, content::dns1123_subdomain(name)),
    }
}

fn ephemeral(errors: &mut Errors, volume: &Map, source: &Map, path: &str, pod: Option<&str>) {
    match map(source, "volumeClaimTemplate") {
        None => errors.push(field::Error::required(child(path, "volumeClaimTemplate"), "")),
        Some(template) => {
            let at = child(path, "volumeClaimTemplate");
            super::labels(
                errors,
                map_at(template, &["metadata", "labels"]),
                &format!("{at}.metadata.labels"),
            );
            if let Some(claim) = map(template, "spec") {
                super::claim::claim_spec(errors, claim, &child(&at, "spec"));
            }
        }
    }
    let name = text(volume, "name");
    if let Some(pod) = pod.filter(|pod| !pod.is_empty() && !name.is_empty()) {
        let claim = format!("{pod}-{name}");
        let owner = path.trim_end_matches(".ephemeral");
        for problem in content::dns1123_subdomain(&claim) {
            let text = format!("PVC name {claim:?}: {problem}");
            errors.push(field::Error::invalid_str(child(owner, "name"), name, text));
        }
    }
}

fn mode(errors: &mut Errors, source: &Map, key: &str, path: &str) {
    const TEXT: &str = "must be a number between 0 and 0777 (octal), both inclusive";
    if let Some(mode) = int(source, key).filter(|m| !(0..=0o777).contains(m)) {
        errors.push(field::Error::invalid(child(path, key), mode, TEXT));
    }
}

/// Relative, does not climb, and does not begin with dots that the kubelet keeps for itself.
fn own_path(errors: &mut Errors, value: &str, path: &str) {
    descending(errors, path, value);
    if value.starts_with("..") && !value.starts_with("../") {
        errors.push(field::Error::invalid_str(path, value, "must not start with '..'"));
    }
}

fn items(errors: &mut Errors, source: &Map, path: &str) {
    for (i, item) in maps(source, "items").enumerate() {
        let at = nth(&child(path, "items"), i);
        for key in ["key", "path"] {
            if is_zero(item, key) {
                errors.push(field::Error::required(child(&at, key), ""));
            }
        }
        own_path(errors, text(item, "path"), &child(&at, "path"));
        mode(errors, item, "mode", &at);
    }
}

fn downward(errors: &mut Errors, file: &Map, path: &str) {
    if is_zero(file, "path") {
        errors.push(field::Error::required(child(path, "path"), ""));
    }
    own_path(errors, text(file, "path"), &child(path, "path"));
    let resource = map(file, "resourceFieldRef");
    match (map(file, "fieldRef"), resource) {
        (Some(reference), _) => {
            env::field_ref(errors, reference, &child(path, "fieldRef"), &env::OF_FILES);
            if resource.is_some() {
                let text = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(field::Error::invalid_str(path, "resource", text));
            }
        }
        (None, Some(reference)) => {
            env::resource_ref(errors, reference, &child(path, "resourceFieldRef"), true);
        }
        (None, None) => {
            errors.push(field::Error::required(path, "one of fieldRef and resourceFieldRef is required"));
        }
    }
    mode(errors, file, "mode", path);
}

fn projected(errors: &mut Errors, volume: &Map, path: &str) {
    let mut taken = BTreeSet::new();
    for (i, source) in maps(volume, "sources").enumerate() {
        let at = nth(&child(path, "sources"), i);
        let mut given = 0;
        // upstream's default leaves certificates and trust bundles out before it looks
        for kind in ["secret", "configMap", "downwardAPI", "serviceAccountToken"] {
            let Some(part) = map(source, kind) else { continue };
            given += 1;
            let at = child(&at, kind);
            match kind {
                "secret" | "configMap" => {
                    if is_zero(part, "name") {
                        errors.push(field::Error::required(child(&at, "name"), ""));
                    }
                    items(errors, part, &at);
                }
                "downwardAPI" => maps(part, "items").for_each(|file| downward(errors, file, &at)),
                _ => token(errors, part, &at, path),
            }
            for file in maps(part, "items").map(|item| text(item, "path")) {
                if !file.is_empty() && !taken.insert(file) {
                    let value = if kind == "downwardAPI" { file } else { text(part, "name") };
                    let text = "conflicting duplicate paths";
                    errors.push(field::Error::invalid_str(path, value, text));
                }
            }
        }
        if given > 1 {
            let text = "may not specify more than 1 volume type per source";
            errors.push(field::Error::forbidden(at, text));
        }
    }
}

/// A service account's token lives ten minutes at least; its path is told with that of the volume.
fn token(errors: &mut Errors, part: &Map, path: &str, volume: &str) {
    let (seconds, at) = (int(part, "expirationSeconds").unwrap_or(0), child(path, "expirationSeconds"));
    if seconds < 600 {
        let text = "may not specify a duration less than 10 minutes";
        errors.push(field::Error::invalid(at.as_str(), seconds, text));
    }
    if seconds > 1 << 32 {
        let text = "may not specify a duration larger than 2^32 seconds";
        errors.push(field::Error::invalid(at, seconds, text));
    }
    match text(part, "path") {
        "" => errors.push(field::Error::required(child(volume, "path"), "")),
        file => own_path(errors, file, &child(volume, "path")),
    }
}
