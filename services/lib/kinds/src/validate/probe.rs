//! Probes, lifecycle hooks and restart rules of containers.
//!
//! # Upstream
//! `pkg/apis/core/validation/validation.go` `validateProbe`, `validateHandler`, `validateLifecycle`, `validateContainerRestartPolicy`

use meta::{content, field};
use schema::{Map, Value};

use super::{Errors, child, non_negative, nth, one_of, problems};
use crate::tree::{int, is_nil, is_zero, list, map, maps, text};

/// What of the pod decides about its containers.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The pod's time to end.
    pub(super) grace: Option<i64>,
    /// The pod's restart policy.
    pub(super) restart: &'a str,
    /// Whether the pod has a user namespace.
    pub(super) own_users: bool,
}

/// The three probes and the hooks of a container that runs beside others.
pub(super) fn life(errors: &mut Errors, container: &Map, path: &str, pod: Surroundings<'_>) {
    if let Some(lifecycle) = map(container, "lifecycle") {
        let at = child(path, "lifecycle");
        for hook in ["postStart", "preStop"] {
            if let Some(h) = map(lifecycle, hook) {
                handler(errors, h, &child(&at, hook), &["exec", "httpGet", "tcpSocket", "sleep"], pod);
            }
        }
    }
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(p) = map(container, kind) {
            probe(errors, p, kind, &child(path, kind), pod);
        }
    }
}

fn probe(errors: &mut Errors, probe: &Map, kind: &str, path: &str, pod: Surroundings<'_>) {
    handler(errors, probe, path, &["exec", "httpGet", "tcpSocket", "grpc"], pod);
    for key in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        non_negative(errors, probe, key, path);
    }
    let grace = int(probe, "terminationGracePeriodSeconds");
    if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
        let at = child(path, "terminationGracePeriodSeconds");
        errors.push(field::Error::invalid(at, seconds, "must be greater than 0"));
    }
    if kind == "readinessProbe" {
        if let Some(seconds) = grace {
            let at = child(path, "terminationGracePeriodSeconds");
            errors.push(field::Error::invalid(at, seconds, "must not be set for readinessProbes"));
        }
    } else if let Some(n) = int(probe, "successThreshold").filter(|n| *n != 1) {
        errors.push(field::Error::invalid(child(path, "successThreshold"), n, "must be 1"));
    }
}

/// Exactly one of the handlers.
fn handler(errors: &mut Errors, handler: &Map, path: &str, kinds: &[&str], pod: Surroundings<'_>) {
    let mut first = true;
    for kind in kinds.iter().filter(|k| !is_nil(handler, k)) {
        let at = child(path, kind);
        if !std::mem::take(&mut first) {
            errors.push(field::Error::forbidden(at, "may not specify more than 1 handler type"));
        } else if let Some(action) = map(handler, kind) {
            act(errors, kind, action, &at, pod);
        }
    }
    if first {
        errors.push(field::Error::required(path, "must specify a handler type"));
    }
}

fn act(errors: &mut Errors, kind: &str, action: &Map, path: &str, pod: Surroundings<'_>) {
    match kind {
        "exec" if is_zero(action, "command") => {
            errors.push(field::Error::required(child(path, "command"), ""));
        }
        "httpGet" => {
            if is_zero(action, "path") {
                errors.push(field::Error::required(child(path, "path"), ""));
            }
            port_or_name(errors, action, &child(path, "port"));
            let scheme = text(action, "scheme");
            if !matches!(scheme, "HTTP" | "HTTPS") {
                errors.push(field::Error::not_supported(child(path, "scheme"), scheme, &["HTTP", "HTTPS"]));
            }
            for header in maps(action, "httpHeaders") {
                let name = text(header, "name");
                problems(errors, &child(path, "httpHeaders"), name, content::http_header_name(name));
            }
        }
        "tcpSocket" | "grpc" => port_or_name(errors, action, &child(path, "port")),
        "sleep" => {
            let seconds = int(action, "seconds").unwrap_or(0);
            if let Some(grace) = pod.grace.filter(|grace| seconds < 0 || seconds > *grace) {
                let text =
                    format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
                errors.push(field::Error::invalid(path, seconds, text));
            }
        }
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

/// When a container is started again, where it differs from its pod.
pub(super) fn restart(errors: &mut Errors, container: &Map, path: &str, init: bool) {
    const POLICIES: [&str; 3] = ["Always", "Never", "OnFailure"];
    let (at, rules) = (child(path, "restartPolicy"), list(container, "restartPolicyRules").len());
    let policy = text(container, "restartPolicy");
    if is_nil(container, "restartPolicy") {
        if rules == 0 {
            return;
        }
        let text = "must specify restartPolicy when restart rules are used";
        errors.push(field::Error::required(at, text));
        if init {
            return;
        }
    } else if !POLICIES.contains(&policy) {
        errors.push(field::Error::not_supported(at, policy, &POLICIES));
    }
    if rules > 20 {
        errors.push(field::Error::too_many(child(path, "restartPolicyRules"), rules, 20));
    }
    for (i, rule) in maps(container, "restartPolicyRules").enumerate() {
        let at = format!("{path}.restartPolicyRules[{i}]");
        let action = text(rule, "action");
        if !matches!(action, "Restart" | "RestartAllContainers") {
            let supported = ["Restart", "RestartAllContainers"];
            errors.push(field::Error::not_supported(child(&at, "action"), action, &supported));
        }
        let Some(codes) = map(rule, "exitCodes") else {
            errors.push(field::Error::required(child(&at, "exitCodes"), "must be specified"));
            continue;
        };
        let operator = text(codes, "operator");
        if !matches!(operator, "In" | "NotIn") {
            let at = format!("{at}.exitCodes.operator");
            errors.push(field::Error::not_supported(at, operator, &["In", "NotIn"]));
        }
        let values = list(codes, "values").len();
        if values > 255 {
            errors.push(field::Error::too_many(format!("{at}.exitCodes.values"), values, 255));
        }
    }
}

/// What happens to a container whose resources change.
pub(super) fn resize(errors: &mut Errors, container: &Map, path: &str, pod: Surroundings<'_>) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, policy) in maps(container, "resizePolicy").enumerate() {
        let (name, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if !seen.insert(name) {
            errors.push(field::Error::duplicate(nth(path, i), name));
        }
        // upstream names the list here, not the item
        let mut known = |value: &str, supported: &[&str]| match value {
            "" => errors.push(field::Error::required(path, "")),
            value if supported.contains(&value) => {}
            value => errors.push(field::Error::not_supported(path, value, supported)),
        };
        known(name, &["cpu", "memory"]);
        known(restart, &["NotRequired", "RestartContainer"]);
        if pod.restart == "Never" && restart != "NotRequired" {
            let text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(field::Error::invalid_str(path, restart, text));
        }
    }
}

/// How an image is pulled.
pub(super) fn pull_policy(errors: &mut Errors, owner: &Map, key: &str, path: &str) {
    one_of(errors, owner, key, path, &["Always", "IfNotPresent", "Never"]);
}
