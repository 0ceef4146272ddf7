//! Environment variables, and the fields of a pod that they and files may show.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `ValidateEnv`, `ValidateEnvFrom`, `validateObjectFieldSelector`

use meta::{Quantity, content, field};
use schema::Map;

use super::{Errors, child, nth, problems};
use crate::tree::{is_nil, is_zero, map, maps, text};

const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

/// Fields an environment variable may show.
const OF_ENV: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Fields a file may show.
pub(super) const OF_FILES: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// The variables of a container.
pub(super) fn env(errors: &mut Errors, container: &Map, path: &str) {
    for (i, variable) in maps(container, "env").enumerate() {
        let at = nth(path, i);
        match text(variable, "name") {
            "" => errors.push(field::Error::required(child(&at, "name"), "")),
            name => problems(errors, &child(&at, "name"), name, content::env_var_name(name)),
        }
        let Some(from) = map(variable, "valueFrom") else { continue };
        value_from(errors, from, &child(&at, "valueFrom"), !is_zero(variable, "value"));
    }
}

fn value_from(errors: &mut Errors, from: &Map, path: &str, valued: bool) {
    if let Some(reference) = map(from, "fieldRef") {
        field_ref(errors, reference, &child(path, "fieldRef"), &OF_ENV);
    }
    if let Some(reference) = map(from, "resourceFieldRef") {
        resource_ref(errors, reference, &child(path, "resourceFieldRef"), false);
    }
    for key in ["configMapKeyRef", "secretKeyRef"] {
        let Some(reference) = map(from, key) else { continue };
        let (at, name) = (child(path, key), text(reference, "name"));
        problems(errors, &child(&at, "name"), name, content::dns1123_subdomain(name));
        match text(reference, "key") {
            "" => errors.push(field::Error::required(child(&at, "key"), "")),
            k => problems(errors, &child(&at, "key"), k, content::config_map_key(k)),
        }
    }
    if let Some(reference) = map(from, "fileKeyRef") {
        file_ref(errors, reference, &child(path, "fileKeyRef"));
    }
    let given = SOURCES.iter().filter(|s| !is_nil(from, s)).count();
    let mut bad = |text: &str| errors.push(field::Error::invalid_str(path, "", text));
    match given {
        0 => bad(
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
        _ if valued => bad("may not be specified when `value` is not empty"),
        1 => {}
        _ => bad("may not have more than one field specified at a time"),
    }
}

fn file_ref(errors: &mut Errors, reference: &Map, path: &str) {
    match text(reference, "key") {
        "" => errors.push(field::Error::required(child(path, "key"), "")),
        key => problems(errors, &child(path, "key"), key, content::env_var_name(key)),
    }
    match text(reference, "volumeName") {
        "" => errors.push(field::Error::required(child(path, "volumeName"), "")),
        name => problems(errors, &child(path, "volumeName"), name, content::dns1123_label(name)),
    }
    match text(reference, "path") {
        "" => errors.push(field::Error::required(child(path, "path"), "")),
        file => super::container::no_back_steps(errors, &child(path, "path"), file),
    }
}

/// Whole maps of variables.
pub(super) fn env_from(errors: &mut Errors, container: &Map, path: &str) {
    for (i, source) in maps(container, "envFrom").enumerate() {
        let at = nth(path, i);
        let prefix = text(source, "prefix");
        if !prefix.is_empty() {
            problems(errors, &child(&at, "prefix"), prefix, content::env_var_name(prefix));
        }
        let mut given = 0;
        for key in ["configMapRef", "secretRef"] {
            let Some(reference) = map(source, key) else { continue };
            given += 1;
            let at = format!("{at}.{key}.name");
            match text(reference, "name") {
                "" => errors.push(field::Error::required(at, "")),
                name => problems(errors, &at, name, crate::names::dns_subdomain(name, true)),
            }
        }
        // upstream names the list here, not the item
        if given == 0 {
            let text = "must specify one of: `configMapRef` or `secretRef`";
            errors.push(field::Error::invalid_str(path, "", text));
        } else if given > 1 {
            let text = "may not have more than one field specified at a time";
            errors.push(field::Error::invalid_str(path, "", text));
        }
    }
}

/// `a['b']` as `a` and `b`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (owner, rest) = path.split_once("['")?;
    rest.strip_suffix("']").map(|key| (owner, key)).filter(|(_, key)| !key.is_empty())
}

/// A field of the pod, one of `supported`, or an item of its labels or annotations.
pub(super) fn field_ref(errors: &mut Errors, reference: &Map, path: &str, supported: &[&str]) {
    let (version, label) = (text(reference, "apiVersion"), text(reference, "fieldPath"));
    for (key, value) in [("apiVersion", version), ("fieldPath", label)] {
        if value.is_empty() {
            errors.push(field::Error::required(child(path, key), ""));
            return;
        }
    }
    let at = child(path, "fieldPath");
    let part = subscript(label);
    let wrong = if version != "v1" {
        Some(format!("unsupported pod version: {version}"))
    } else if part.is_some_and(|(owner, _)| !matches!(owner, "metadata.annotations" | "metadata.labels")) {
        Some(format!("field label does not support subscript: {label}"))
    } else if part.is_none() && !is_label(label) {
        Some(format!("field label not supported: {label}"))
    } else {
        None
    };
    if let Some(wrong) = wrong {
        let text = format!("error converting fieldPath: {wrong}");
        errors.push(field::Error::invalid_str(at, label, text));
        return;
    }
    match part {
        Some(("metadata.annotations", key)) => {
            let key = key.to_lowercase();
            problems(errors, path, &key, content::qualified_name(&key));
        }
        Some((_, key)) => problems(errors, path, key, content::qualified_name(key)),
        None => {
            let label = if label == "spec.host" { "spec.nodeName" } else { label };
            if !supported.contains(&label) {
                errors.push(field::Error::not_supported(at, label, supported));
            }
        }
    }
}

/// A label that some part of the API knows for pods.
fn is_label(label: &str) -> bool {
    OF_ENV.contains(&label)
        || OF_FILES.contains(&label)
        || matches!(label, "spec.restartPolicy" | "spec.schedulerName" | "status.phase" | "spec.host")
}

/// What a container asked for or may use at most; a file has to say of which container.
pub(super) fn resource_ref(errors: &mut Errors, reference: &Map, path: &str, file: bool) {
    let resource = text(reference, "resource");
    let huge = ["requests.hugepages-", "limits.hugepages-"].iter().any(|p| resource.starts_with(p));
    if file && is_zero(reference, "containerName") {
        errors.push(field::Error::required(child(path, "containerName"), ""));
    } else if resource.is_empty() {
        errors.push(field::Error::required(child(path, "resource"), ""));
    } else if !RESOURCES.contains(&resource) && !huge {
        errors.push(field::Error::not_supported(child(path, "resource"), resource, &RESOURCES));
    }
    divisor(errors, reference, resource, path);
}

fn divisor(errors: &mut Errors, reference: &Map, resource: &str, path: &str) {
    const BYTES: [&str; 13] =
        ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let Ok(divisor) = Quantity::parse(text(reference, "divisor")) else { return };
    if divisor.is_zero() {
        return;
    }
    let shown = divisor.to_string();
    let (good, text) = match resource.split_once('.').map_or("", |(_, name)| name) {
        "cpu" => (
            ["1m", "1"].contains(&shown.as_str()),
            "only divisor's values 1m and 1 are supported with the cpu resource".to_owned(),
        ),
        name => {
            let of = match name {
                "memory" => "memory",
                "ephemeral-storage" => "local ephemeral storage",
                name if name.starts_with("hugepages-") => "hugepages",
                _ => return,
            };
            let text =
                format!("only divisor's values {} are supported with the {of} resource", BYTES.join(", "));
            (BYTES.contains(&shown.as_str()), text)
        }
    };
    if !good {
        errors.push(field::Error::invalid_str(child(path, "divisor"), resource, text));
    }
}
