//! Containers.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `validateContainers`, `validateInitContainers`, `validateEphemeralContainers`

use std::collections::{BTreeMap, BTreeSet};

use meta::{content, field};
use schema::Map;

use super::probe::{Surroundings, life, pull_policy, resize, restart};
use super::volume::Volumes;
use super::{Errors, child, env, nth, one_of, problems, resources, security};
use crate::tree::{flag, int, is_nil, is_zero, map, map_at, maps, text};

/// Everything a container is checked against.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The pod's volumes that are good.
    pub(super) volumes: &'a Volumes<'a>,
    /// The pod's claims.
    pub(super) claims: &'a BTreeSet<&'a str>,
    /// What else of the pod decides.
    pub(super) pod: Surroundings<'a>,
}

/// The containers that run beside each other.
pub(super) fn regular(errors: &mut Errors, spec: &Map, path: &str, scope: Scope<'_>) {
    let all: Vec<&Map> = maps(spec, "containers").collect();
    if all.is_empty() {
        errors.push(field::Error::required(path, ""));
        return;
    }
    let mut names = BTreeSet::new();
    for (i, container) in all.iter().enumerate() {
        let path = nth(path, i);
        common(errors, container, &path, scope);
        once(errors, &mut names, container, &path);
        life(errors, container, &path, scope.pod);
        restart(errors, container, &path, false);
    }
    host_ports(errors, &all, path);
}

fn once<'a>(errors: &mut Errors, names: &mut BTreeSet<&'a str>, container: &'a Map, path: &str) {
    let name = text(container, "name");
    if !names.insert(name) {
        errors.push(field::Error::duplicate(child(path, "name"), name));
    }
}

/// The containers that run before, one after another, and those that stay.
pub(super) fn init(errors: &mut Errors, spec: &Map, path: &str, scope: Scope<'_>) {
    const ONLY_SIDECARS: &str = "may not be set for init containers without restartPolicy=Always";
    let mut names: BTreeSet<&str> = maps(spec, "containers").map(|c| text(c, "name")).collect();
    for (i, container) in maps(spec, "initContainers").enumerate() {
        let at = nth(path, i);
        common(errors, container, &at, scope);
        restart(errors, container, &at, true);
        once(errors, &mut names, container, &at);
        // each runs alone, and upstream counts each as the first
        host_ports(errors, &[container], path);
        if text(container, "restartPolicy") == "Always" {
            life(errors, container, &at, scope.pod);
            continue;
        }
        for key in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if !is_nil(container, key) {
                errors.push(field::Error::forbidden(child(&at, key), ONLY_SIDECARS));
            }
        }
        for (j, policy) in maps(container, "resizePolicy").enumerate() {
            if text(policy, "restartPolicy") == "RestartContainer" {
                let text = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                let at = format!("{at}.resizePolicy[{j}].restartPolicy");
                errors.push(field::Error::invalid_str(at, "RestartContainer", text));
            }
        }
    }
}

/// The containers that are added to a running pod.
pub(super) fn ephemeral(errors: &mut Errors, spec: &Map, path: &str, scope: Scope<'_>) {
    const NO: &str = "cannot be set for an Ephemeral Container";
    const REFUSED: [&str; 9] = [
        "ports",
        "resources",
        "resizePolicy",
        "restartPolicy",
        "restartPolicyRules",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
        "lifecycle",
    ];
    let others: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|key| maps(spec, key))
        .map(|c| text(c, "name"))
        .collect();
    let mut names = others.clone();
    for (i, container) in maps(spec, "ephemeralContainers").enumerate() {
        let at = nth(path, i);
        common(errors, container, &at, scope);
        trimmed(errors, container, &at);
        once(errors, &mut names, container, &at);
        let target = text(container, "targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            errors.push(field::Error::not_found(child(&at, "targetContainerName"), target));
        }
        for key in REFUSED {
            let set = if key == "resources" { !is_zero(container, key) } else { !is_nil(container, key) };
            if set {
                errors.push(field::Error::forbidden(child(&at, key), NO));
            }
        }
        for (j, mount) in maps(container, "volumeMounts").enumerate() {
            for key in ["subPath", "subPathExpr"].into_iter().filter(|key| !is_zero(mount, key)) {
                errors.push(field::Error::forbidden(format!("{at}.volumeMounts[{j}].{key}"), NO));
            }
        }
    }
}

/// A pod's image has no blanks around it (a template's may).
pub(super) fn trimmed(errors: &mut Errors, container: &Map, path: &str) {
    let image = text(container, "image");
    if image.trim() != image {
        let text = "must not have leading or trailing whitespace";
        errors.push(field::Error::invalid_str(child(path, "image"), image, text));
    }
}

fn common(errors: &mut Errors, container: &Map, path: &str, scope: Scope<'_>) {
    match text(container, "name") {
        "" => errors.push(field::Error::required(child(path, "name"), "")),
        name => problems(errors, &child(path, "name"), name, content::dns1123_label(name)),
    }
    if is_zero(container, "image") {
        errors.push(field::Error::required(child(path, "image"), ""));
    }
    one_of(errors, container, "terminationMessagePolicy", path, &["File", "FallbackToLogsOnError"]);
    ports(errors, container, &child(path, "ports"));
    env::env(errors, container, &child(path, "env"));
    env::env_from(errors, container, &child(path, "envFrom"));
    mounts(errors, container, &child(path, "volumeMounts"), scope.volumes);
    devices(errors, container, &child(path, "volumeDevices"), scope.volumes);
    pull_policy(errors, container, "imagePullPolicy", path);
    if let Some(r) = map(container, "resources") {
        resources::of_container(errors, r, &child(path, "resources"), scope.claims);
    }
    resize(errors, container, &child(path, "resizePolicy"), scope.pod);
    security::of_container(errors, container, &child(path, "securityContext"), scope.pod.own_users);
}

fn ports(errors: &mut Errors, container: &Map, path: &str) {
    let mut names = BTreeSet::new();
    for (i, port) in maps(container, "ports").enumerate() {
        let at = nth(path, i);
        let name = text(port, "name");
        let bad = if name.is_empty() { Vec::new() } else { content::port_name(name) };
        if bad.is_empty() && !name.is_empty() && !names.insert(name) {
            errors.push(field::Error::duplicate(child(&at, "name"), name));
        }
        problems(errors, &child(&at, "name"), name, bad);
        for (key, needed) in [("containerPort", true), ("hostPort", false)] {
            match int(port, key).unwrap_or(0) {
                0 if needed => errors.push(field::Error::required(child(&at, key), "")),
                0 => {}
                n => errors.extend(
                    content::port_number(n).into_iter().map(|m| field::Error::invalid(child(&at, key), n, m)),
                ),
            }
        }
        one_of(errors, port, "protocol", &at, &["SCTP", "TCP", "UDP"]);
    }
}

fn host_ports(errors: &mut Errors, all: &[&Map], path: &str) {
    let mut taken = BTreeSet::new();
    for (i, container) in all.iter().enumerate() {
        for (j, port) in maps(container, "ports").enumerate() {
            let number = int(port, "hostPort").unwrap_or(0);
            if number == 0 {
                continue;
            }
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if !taken.insert(key.clone()) {
                errors.push(field::Error::duplicate(format!("{path}[{i}].ports[{j}].hostPort"), &key));
            }
        }
    }
}

/// Names and paths of one list, the last of each name.
fn places<'a>(container: &'a Map, key: &str, path: &str) -> BTreeMap<&'a str, &'a str> {
    maps(container, key).map(|m| (text(m, "name"), text(m, path))).collect()
}

fn mounts(errors: &mut Errors, container: &Map, path: &str, volumes: &Volumes<'_>) {
    let devices = places(container, "volumeDevices", "devicePath");
    let mut points = BTreeSet::new();
    for (i, mount) in maps(container, "volumeMounts").enumerate() {
        let at = nth(path, i);
        let (name, point) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(field::Error::required(child(&at, "name"), ""));
        }
        if !volumes.contains_key(name) {
            errors.push(field::Error::not_found(child(&at, "name"), name));
        }
        if point.is_empty() {
            errors.push(field::Error::required(child(&at, "mountPath"), ""));
        }
        if !points.insert(point) {
            errors.push(field::Error::invalid_str(child(&at, "mountPath"), point, "must be unique"));
        }
        if devices.contains_key(name) {
            let text = "must not already exist in volumeDevices";
            errors.push(field::Error::invalid_str(child(&at, "name"), name, text));
        }
        if devices.values().any(|device| *device == point) {
            let text = "must not already exist as a path in volumeDevices";
            errors.push(field::Error::invalid_str(child(&at, "mountPath"), point, text));
        }
        // upstream names the list in what follows, not the mount
        descending(errors, &child(path, "subPath"), text(mount, "subPath"));
        let expression = text(mount, "subPathExpr");
        if !is_zero(mount, "subPath") && !expression.is_empty() {
            let text = "subPathExpr and subPath are mutually exclusive";
            errors.push(field::Error::invalid_str(child(&at, "subPathExpr"), expression, text));
        }
        descending(errors, &child(path, "subPathExpr"), expression);
        propagation(errors, container, mount, path);
    }
}

fn propagation(errors: &mut Errors, container: &Map, mount: &Map, path: &str) {
    const KINDS: [&str; 3] = ["Bidirectional", "HostToContainer", "None"];
    let (at, kind) = (child(path, "mountPropagation"), text(mount, "mountPropagation"));
    let unset = is_nil(mount, "mountPropagation");
    if !unset && !KINDS.contains(&kind) {
        errors.push(field::Error::not_supported(at.as_str(), kind, &KINDS));
    }
    let privileged = map_at(container, &["securityContext"]).is_some_and(|c| flag(c, "privileged"));
    if kind == "Bidirectional" && !privileged {
        let text = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(field::Error::forbidden(at, text));
    }
    let at = child(path, "recursiveReadOnly");
    match text(mount, "recursiveReadOnly") {
        _ if is_nil(mount, "recursiveReadOnly") => {}
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !flag(mount, "readOnly") {
                errors.push(field::Error::forbidden(
                    at.as_str(),
                    "may only be specified when readOnly is true",
                ));
            }
            if !unset && kind != "None" {
                let text = "may only be specified when mountPropagation is None or not specified";
                errors.push(field::Error::forbidden(at, text));
            }
        }
        other => {
            let supported = ["Disabled", "Enabled", "IfPossible"];
            errors.push(field::Error::not_supported(at, other, &supported));
        }
    }
}

fn devices(errors: &mut Errors, container: &Map, path: &str, volumes: &Volumes<'_>) {
    let mounted = places(container, "volumeMounts", "mountPath");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in maps(container, "volumeDevices").enumerate() {
        let at = nth(path, i);
        let (name, point) = (text(device, "name"), text(device, "devicePath"));
        let at_name = child(&at, "name");
        let at_path = child(&at, "devicePath");
        if name.is_empty() {
            errors.push(field::Error::required(at_name.as_str(), ""));
        }
        if names.contains(name) {
            errors.push(field::Error::invalid_str(at_name.as_str(), name, "must be unique"));
        }
        match volumes.get(name) {
            Some(&("persistentVolumeClaim" | "ephemeral")) => {}
            Some(_) => {
                let text =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(field::Error::invalid_str(at_name.as_str(), name, text));
            }
            None => errors.push(field::Error::not_found(at_name.as_str(), name)),
        }
        if point.is_empty() {
            errors.push(field::Error::required(at_path.as_str(), ""));
        }
        if paths.contains(point) {
            errors.push(field::Error::invalid_str(at_path.as_str(), point, "must be unique"));
        }
        if point.split('/').any(|part| part == "..") {
            let text = "can not contain backsteps ('..')";
            errors.push(field::Error::invalid_str(at_path.as_str(), point, text));
        } else {
            paths.insert(point);
        }
        if mounted.contains_key(name) {
            let text = "must not already exist in volumeMounts";
            errors.push(field::Error::invalid_str(at_name, name, text));
        }
        if mounted.values().any(|path| *path == point) {
            let text = "must not already exist as a path in volumeMounts";
            errors.push(field::Error::invalid_str(at_path, point, text));
        }
        if !name.is_empty() {
            names.insert(name);
        }
    }
}

/// A relative path that does not climb.
pub(super) fn descending(errors: &mut Errors, path: &str, value: &str) {
    if value.starts_with('/') {
        errors.push(field::Error::invalid_str(path, value, "must be a relative path"));
    }
    no_back_steps(errors, path, value);
}

/// A path without `..`.
pub(super) fn no_back_steps(errors: &mut Errors, path: &str, value: &str) {
    if value.split('/').any(|part| part == "..") {
        errors.push(field::Error::invalid_str(path, value, "must not contain '..'"));
    }
}
