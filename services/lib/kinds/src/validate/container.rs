//! Containers.

use std::collections::BTreeSet;

use meta::{Quantity, content, field};
use schema::{Map, Value};

use super::{Errors, child, one_of, problems};
use crate::tree::{flag, int, is_nil, is_zero, map, map_at, maps, text};

/// The containers of one list; `names` collects names across lists.
pub(super) fn containers(errors: &mut Errors, spec: &Map, key: &str, path: &str, volumes: &BTreeSet<&str>) {
    let all: Vec<&Map> = maps(spec, key).collect();
    let at = child(path, key);
    if all.is_empty() && key == "containers" {
        errors.push(field::Error::required(at, ""));
        return;
    }
    let mut names = BTreeSet::new();
    if key != "containers" {
        names.extend(maps(spec, "containers").map(|c| text(c, "name")));
    }
    if key == "ephemeralContainers" {
        names.extend(maps(spec, "initContainers").map(|c| text(c, "name")));
    }
    for (i, container) in all.iter().enumerate() {
        let path = format!("{at}[{i}]");
        common(errors, container, &path, volumes);
        let name = text(container, "name");
        if !names.insert(name) {
            errors.push(field::Error::duplicate(child(&path, "name"), name));
        }
        let sidecar = key == "initContainers" && text(container, "restartPolicy") == "Always";
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            let Some(p) = map(container, probe) else { continue };
            if key == "containers" || sidecar {
                probe_errors(errors, p, probe, &child(&path, probe));
            } else if key == "initContainers" {
                let text = "may not be set for init containers without restartPolicy=Always";
                errors.push(field::Error::forbidden(child(&path, probe), text));
            }
        }
        for hook in ["postStart", "preStop"] {
            if let Some(handler) = map_at(container, &["lifecycle", hook]) {
                handler_errors(
                    errors,
                    handler,
                    &format!("{path}.lifecycle.{hook}"),
                    &["exec", "httpGet", "tcpSocket", "sleep"],
                );
            }
        }
    }
    if key == "containers" {
        host_ports(errors, &all, &at);
    }
}

fn common(errors: &mut Errors, container: &Map, path: &str, volumes: &BTreeSet<&str>) {
    match text(container, "name") {
        "" => errors.push(field::Error::required(child(path, "name"), "")),
        name => problems(errors, &child(path, "name"), name, content::dns1123_label(name)),
    }
    if is_zero(container, "image") {
        errors.push(field::Error::required(child(path, "image"), ""));
    }
    one_of(errors, container, "terminationMessagePolicy", path, &["File", "FallbackToLogsOnError"]);
    ports(errors, container, &child(path, "ports"));
    env(errors, container, &child(path, "env"));
    mounts(errors, container, &child(path, "volumeMounts"), volumes);
    one_of(errors, container, "imagePullPolicy", path, &["Always", "IfNotPresent", "Never"]);
    if let Some(resources) = map(container, "resources") {
        requirements(errors, resources, &child(path, "resources"));
    }
    security(errors, container, &child(path, "securityContext"));
}

fn security(errors: &mut Errors, container: &Map, path: &str) {
    let Some(context) = map(container, "securityContext") else { return };
    for key in ["runAsUser", "runAsGroup"] {
        if let Some(id) = int(context, key) {
            let found = content::numeric_id(id).into_iter();
            errors.extend(found.map(|m| field::Error::invalid(child(path, key), id, m)));
        }
    }
    if context.get("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false)
        && flag(context, "privileged")
    {
        let text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        let value = serde_json_text(context);
        errors.push(field::Error::invalid(path, value, text));
    }
}

fn serde_json_text(map: &Map) -> String {
    crate::tree::json(&Value::Map(map.clone())).to_string()
}

fn ports(errors: &mut Errors, container: &Map, path: &str) {
    let mut names = BTreeSet::new();
    for (i, port) in maps(container, "ports").enumerate() {
        let at = format!("{path}[{i}]");
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

fn env(errors: &mut Errors, container: &Map, path: &str) {
    const SOURCES: [&str; 5] =
        ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    for (i, variable) in maps(container, "env").enumerate() {
        let at = format!("{path}[{i}]");
        match text(variable, "name") {
            "" => errors.push(field::Error::required(child(&at, "name"), "")),
            name => problems(errors, &child(&at, "name"), name, content::env_var_name(name)),
        }
        let Some(from) = map(variable, "valueFrom") else { continue };
        let at = child(&at, "valueFrom");
        for key in ["configMapKeyRef", "secretKeyRef"] {
            if let Some(reference) = map(from, key) {
                match text(reference, "key") {
                    "" => errors.push(field::Error::required(format!("{at}.{key}.key"), "")),
                    k => problems(errors, &format!("{at}.{key}.key"), k, content::config_map_key(k)),
                }
            }
        }
        let given = SOURCES.iter().filter(|s| !is_nil(from, s)).count();
        let mut bad = |text: &str| errors.push(field::Error::invalid_str(at.clone(), "", text));
        match given {
            0 => bad(
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            ),
            _ if !is_zero(variable, "value") => bad("may not be specified when `value` is not empty"),
            1 => {}
            _ => bad("may not have more than one field specified at a time"),
        }
    }
}

fn mounts(errors: &mut Errors, container: &Map, path: &str, volumes: &BTreeSet<&str>) {
    let mut points = BTreeSet::new();
    for (i, mount) in maps(container, "volumeMounts").enumerate() {
        let at = format!("{path}[{i}]");
        let (name, point) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(field::Error::required(child(&at, "name"), ""));
        }
        if !volumes.contains(name) {
            errors.push(field::Error::not_found(child(&at, "name"), name));
        }
        if point.is_empty() {
            errors.push(field::Error::required(child(&at, "mountPath"), ""));
        }
        if !points.insert(point) {
            errors.push(field::Error::invalid_str(child(&at, "mountPath"), point, "must be unique"));
        }
        for key in ["subPath", "subPathExpr"] {
            // upstream names the list here, not the mount
            descending(errors, &child(path, key), text(mount, key));
        }
        if !is_zero(mount, "subPath") && !is_zero(mount, "subPathExpr") {
            let text_ = "subPathExpr and subPath are mutually exclusive";
            errors.push(field::Error::invalid_str(
                child(&at, "subPathExpr"),
                text(mount, "subPathExpr"),
                text_,
            ));
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

fn probe_errors(errors: &mut Errors, probe: &Map, kind: &str, path: &str) {
    handler_errors(errors, probe, path, &["exec", "httpGet", "tcpSocket", "grpc"]);
    for key in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        super::non_negative(errors, probe, key, path);
    }
    if let Some(n) = int(probe, "successThreshold").filter(|n| *n != 1 && kind != "readinessProbe") {
        errors.push(field::Error::invalid(child(path, "successThreshold"), n, "must be 1"));
    }
}

/// Exactly one of the handlers.
fn handler_errors(errors: &mut Errors, handler: &Map, path: &str, kinds: &[&str]) {
    let given: Vec<&&str> = kinds.iter().filter(|k| !is_nil(handler, k)).collect();
    for extra in given.iter().skip(1) {
        errors.push(field::Error::forbidden(child(path, extra), "may not specify more than 1 handler type"));
    }
    let Some(first) = given.first() else {
        errors.push(field::Error::required(path, "must specify a handler type"));
        return;
    };
    let Some(action) = map(handler, first) else { return };
    let at = child(path, first);
    match **first {
        "exec" if is_zero(action, "command") => {
            errors.push(field::Error::required(child(&at, "command"), ""))
        }
        "httpGet" => {
            if is_zero(action, "path") {
                errors.push(field::Error::required(child(&at, "path"), ""));
            }
            port_or_name(errors, action, &child(&at, "port"));
            one_of(errors, action, "scheme", &at, &["HTTP", "HTTPS"]);
        }
        "tcpSocket" => port_or_name(errors, action, &child(&at, "port")),
        _ => {}
    }
}

/// A port by number or name.
pub(super) fn port_or_name(errors: &mut Errors, owner: &Map, path: &str) {
    match owner.get("port") {
        Some(Value::Str(name)) => problems(errors, path, name, content::port_name(name)),
        value => {
            let n = value.and_then(Value::as_int).unwrap_or(0);
            errors.extend(content::port_number(n).into_iter().map(|m| field::Error::invalid(path, n, m)));
        }
    }
}

/// Requests and limits: not negative, whole where they must be, requests within limits.
pub(super) fn requirements(errors: &mut Errors, resources: &Map, path: &str) {
    for which in ["limits", "requests"] {
        for (name, amount) in map(resources, which).into_iter().flat_map(|m| m.iter()) {
            let at = format!("{path}.{which}[{name}]");
            let Ok(quantity) = Quantity::parse(amount.as_str().unwrap_or("")) else { continue };
            if quantity.sign() < 0 {
                let text = "must be greater than or equal to 0";
                errors.push(field::Error::invalid_str(at, &quantity.to_string(), text));
            }
        }
    }
    let limits = map(resources, "limits");
    for (name, amount) in map(resources, "requests").into_iter().flat_map(|m| m.iter()) {
        let limit = limits.map_or("", |l| text(l, name));
        let (Ok(request), Ok(limit)) =
            (Quantity::parse(amount.as_str().unwrap_or("")), Quantity::parse(limit))
        else {
            continue;
        };
        if request > limit {
            let text = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(field::Error::invalid_str(child(path, "requests"), &request.to_string(), text));
        }
    }
}
