//! Security contexts of pods and containers, kernel parameters, host namespaces.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `validatePodSpecSecurityContext`, `ValidateSecurityContext`, `validateSysctls`

use std::collections::BTreeSet;

use meta::{content, field};
use schema::{Map, Value};

use super::{Errors, child, shown};
use crate::tree::{flag, int, is_nil, is_zero, list, map, maps, text, texts};

/// The kinds of containers in a pod's spec.
pub(super) const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn id(errors: &mut Errors, owner: &Map, key: &str, path: &str) {
    if let Some(id) = int(owner, key) {
        let found = content::numeric_id(id).into_iter();
        errors.extend(found.map(|m| field::Error::invalid(child(path, key), id, m)));
    }
}

/// A pod's security context.
pub(super) fn of_pod(errors: &mut Errors, spec: &Map, path: &str) {
    let Some(context) = map(spec, "securityContext") else { return };
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(errors, context, key, path);
    }
    for (i, group) in list(context, "supplementalGroups").iter().filter_map(Value::as_int).enumerate() {
        let found = content::numeric_id(group).into_iter();
        let at = format!("{path}.supplementalGroups[{i}]");
        errors.extend(found.map(|m| field::Error::invalid(at.as_str(), group, m)));
    }
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let text = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(field::Error::invalid(child(path, "shareProcessNamespace"), true, text));
    }
    sysctls(errors, spec, &child(path, "sysctls"));
    among(errors, context, "fsGroupChangePolicy", path, &["Always", "OnRootMismatch"]);
    seccomp(errors, context, &child(path, "seccompProfile"));
    apparmor(errors, context, &child(path, "appArmorProfile"));
    among(errors, context, "supplementalGroupsPolicy", path, &["Merge", "Strict"]);
    among(errors, context, "seLinuxChangePolicy", path, &["MountOption", "Recursive"]);
}

/// A field that, where it is set, is one of a few.
fn among(errors: &mut Errors, owner: &Map, key: &str, path: &str, supported: &[&str]) {
    let value = text(owner, key);
    if !is_nil(owner, key) && !supported.contains(&value) {
        errors.push(field::Error::not_supported(child(path, key), value, supported));
    }
}

/// A container's security context; `user_namespace` says that the pod has its own users.
pub(super) fn of_container(errors: &mut Errors, container: &Map, path: &str, user_namespace: bool) {
    let Some(context) = map(container, "securityContext") else { return };
    for key in ["runAsUser", "runAsGroup"] {
        id(errors, context, key, path);
    }
    among(errors, context, "procMount", path, &["Default", "Unmasked"]);
    if text(context, "procMount") == "Unmasked" && !user_namespace {
        let text = "`hostUsers` must be false to use `Unmasked`";
        errors.push(field::Error::invalid_str(child(path, "procMount"), "Unmasked", text));
    }
    seccomp(errors, context, &child(path, "seccompProfile"));
    if context.get("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false) {
        let whole = || shown(Some(&Value::Map(context.clone())));
        if flag(context, "privileged") {
            let text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(field::Error::invalid(path, whole(), text));
        }
        let added = map(context, "capabilities").into_iter().flat_map(|c| texts(c, "add"));
        for _ in added.filter(|name| *name == "CAP_SYS_ADMIN") {
            let text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(field::Error::invalid(path, whole(), text));
        }
    }
    apparmor(errors, context, &child(path, "appArmorProfile"));
}

fn seccomp(errors: &mut Errors, context: &Map, path: &str) {
    const KINDS: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
    let Some(profile) = map(context, "seccompProfile") else { return };
    let (kind, file) = (text(profile, "type"), child(path, "localhostProfile"));
    if kind.is_empty() {
        let text = "type is required when seccompProfile is set";
        errors.push(field::Error::required(child(path, "type"), text));
    } else if !KINDS.contains(&kind) {
        errors.push(field::Error::not_supported(child(path, "type"), kind, &KINDS));
    }
    match (kind, is_nil(profile, "localhostProfile")) {
        ("Localhost", true) => {
            errors.push(field::Error::required(file, "must be set when seccomp type is Localhost"));
        }
        ("Localhost", false) => {
            super::container::descending(errors, &file, text(profile, "localhostProfile"));
        }
        (_, false) => {
            // upstream prints its own struct here
            let name = shown(profile.get("localhostProfile"));
            let whole = format!("{{\"Type\":{},\"LocalhostProfile\":{name}}}", field::quote(kind));
            errors.push(field::Error::invalid(file, whole, "can only be set when seccomp type is Localhost"));
        }
        _ => {}
    }
}

fn apparmor(errors: &mut Errors, context: &Map, path: &str) {
    let Some(profile) = map(context, "appArmorProfile") else { return };
    let (at, name) = (child(path, "localhostProfile"), text(profile, "localhostProfile"));
    match text(profile, "type") {
        "Localhost" => {
            if name.trim() != name {
                errors.push(field::Error::invalid_str(
                    at.as_str(),
                    name,
                    "must not be padded with whitespace",
                ));
            } else if name.is_empty() {
                let text = "must be set when AppArmor type is Localhost";
                errors.push(field::Error::required(at.as_str(), text));
            }
            if name.len() > 4095 {
                errors.push(field::Error::too_long(at, 4095));
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if !is_nil(profile, "localhostProfile") {
                let text = "can only be set when AppArmor type is Localhost";
                errors.push(field::Error::invalid_str(at, name, text));
            }
        }
        "" => {
            let text = "type is required when appArmorProfile is set";
            errors.push(field::Error::required(child(path, "type"), text));
        }
        other => {
            let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(field::Error::not_supported(child(path, "type"), other, &supported));
        }
    }
}

/// A pod with users of its own shares no process or IPC namespace with the node, and gets no block devices.
pub(super) fn host_users(errors: &mut Errors, spec: &Map, path: &str) {
    if !has_own_users(spec) {
        return;
    }
    let text = "when `hostUsers` is false";
    for (key, name) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(spec, key) {
            errors.push(field::Error::forbidden(child(path, name), text));
        }
    }
    for key in CONTAINERS {
        for (i, container) in maps(spec, key).enumerate() {
            if !list(container, "volumeDevices").is_empty() {
                errors.push(field::Error::forbidden(format!("{path}.{key}[{i}].volumeDevices"), text));
            }
        }
    }
}

/// Whether the pod has a user namespace.
pub(super) fn has_own_users(spec: &Map) -> bool {
    spec.get("hostUsers").and_then(Value::as_bool) == Some(false)
}

/// What only pods of one operating system have.
pub(super) fn operating_system(errors: &mut Errors, spec: &Map, path: &str) {
    let Some(os) = map(spec, "os") else { return };
    let contexts = || {
        let all = CONTAINERS
            .into_iter()
            .flat_map(|key| maps(spec, key).enumerate().map(move |(i, c)| (format!("{key}[{i}]."), c)));
        all.filter_map(|(at, c)| Some((at, map(c, "securityContext")?)))
    };
    let mut forbid = |at: String, text: &str| errors.push(field::Error::forbidden(child(path, &at), text));
    match text(os, "name") {
        "" => errors.push(field::Error::required(format!("{path}.os.name"), "")),
        "linux" => {
            let own = map(spec, "securityContext").map(|c| (String::new(), c));
            for (at, context) in own.into_iter().chain(contexts()) {
                if !is_nil(context, "windowsOptions") {
                    let text = "windows options cannot be set for a linux pod";
                    forbid(format!("{at}securityContext.windowsOptions"), text);
                }
            }
        }
        "windows" => {
            let text = "cannot be set for a windows pod";
            for (at, key) in of_linux_pods(spec) {
                forbid(format!("{at}{key}"), text);
            }
            const OF_CONTAINERS: [&str; 10] = [
                "appArmorProfile",
                "seLinuxOptions",
                "seccompProfile",
                "capabilities",
                "readOnlyRootFilesystem",
                "privileged",
                "allowPrivilegeEscalation",
                "procMount",
                "runAsUser",
                "runAsGroup",
            ];
            for (at, context) in contexts() {
                for key in OF_CONTAINERS.into_iter().filter(|key| !is_nil(context, key)) {
                    forbid(format!("{at}securityContext.{key}"), text);
                }
            }
        }
        other => errors.push(field::Error::not_supported(child(path, "os"), other, &["linux", "windows"])),
    }
}

/// The fields of a pod's spec and security context that Windows has nothing for, where they are set.
fn of_linux_pods(spec: &Map) -> Vec<(&'static str, &'static str)> {
    const IN_ORDER: [(bool, &str); 15] = [
        (true, "appArmorProfile"),
        (true, "seLinuxOptions"),
        (false, "hostUsers"),
        (false, "hostPID"),
        (false, "hostIPC"),
        (true, "seccompProfile"),
        (true, "fsGroup"),
        (true, "fsGroupChangePolicy"),
        (true, "sysctls"),
        (false, "shareProcessNamespace"),
        (true, "runAsUser"),
        (true, "runAsGroup"),
        (true, "supplementalGroups"),
        (true, "supplementalGroupsPolicy"),
        (true, "seLinuxChangePolicy"),
    ];
    let empty = Map::new();
    let context = map(spec, "securityContext").unwrap_or(&empty);
    let set = |owner: &Map, key: &str| match key {
        "hostPID" | "hostIPC" => flag(owner, key),
        "sysctls" => !is_zero(owner, key),
        _ => !is_nil(owner, key),
    };
    let found = IN_ORDER.into_iter().filter(|(inside, key)| set(if *inside { context } else { spec }, key));
    found.map(|(inside, key)| (if inside { "securityContext." } else { "" }, key)).collect()
}

/// Kernel parameters of a pod: well named, each once, and not those of a namespace it shares with the node.
fn sysctls(errors: &mut Errors, spec: &Map, path: &str) {
    const FORM: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let on = |key: &str| spec.get(key).and_then(Value::as_bool) == Some(true);
    let mut seen = BTreeSet::new();
    let all = map(spec, "securityContext").into_iter().flat_map(|context| maps(context, "sysctls"));
    for (i, sysctl) in all.enumerate() {
        let (at, name) = (format!("{path}[{i}].name"), text(sysctl, "name"));
        if name.is_empty() {
            errors.push(field::Error::required(at.as_str(), ""));
        } else if !is_sysctl(name) {
            errors.push(field::Error::invalid_str(at.as_str(), name, FORM));
        } else if seen.contains(name) {
            errors.push(field::Error::duplicate(at.as_str(), name));
        }
        let dotted = if slash_first(name) { name.replace('/', ".") } else { name.to_owned() };
        let of_ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|start| dotted.starts_with(start))
            || dotted == "kernel.sem";
        if on("hostNetwork") && dotted.starts_with("net.") {
            let detail = "may not be specified when 'hostNetwork' is true";
            errors.push(field::Error::invalid_str(at.as_str(), name, detail));
        }
        if on("hostIPC") && of_ipc {
            let detail = "may not be specified when 'hostIPC' is true";
            errors.push(field::Error::invalid_str(at.as_str(), name, detail));
        }
        seen.insert(name);
    }
}

/// Whether slashes separate the parts; dots are then part of a name.
fn slash_first(name: &str) -> bool {
    name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'/')
}

fn is_sysctl(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|c| plain(*c))
            && bytes.last().is_some_and(|c| plain(*c))
            && bytes.iter().all(|c| plain(*c) || matches!(c, b'-' | b'_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(segment)
}
