//! A container's environment. Pure.
//!
//! # Upstream
//! `pkg/kubelet/kubelet_pods.go` `makeEnvironmentVariables`, `pkg/kubelet/envvars/envvars.go`, `pkg/fieldpath/fieldpath.go`

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, ResourceFieldSelector, Service,
};

use super::expand::expand;
use crate::pod::facts::PodFacts;
use crate::quantity::{Amounts, counted};
use crate::sources::Materials;

/// Why an environment cannot be made; shown as the message of `CreateContainerConfigError`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// What the environment is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its addresses.
    pub pod_ips: &'a [String],
    /// The node's.
    pub host_ips: &'a [String],
    /// The node's allocatable resources, limits by default.
    pub allocatable: &'a Amounts,
    /// ConfigMaps and Secrets the pod refers to.
    pub materials: &'a Materials,
}

/// Variables in order, and names that could not be used.
#[derive(Debug, Default)]
pub struct Environment {
    /// Name and value.
    pub variables: Vec<(String, String)>,
    /// Per source (`ConfigMap ns/name`), the keys that are no variable names.
    pub invalid: Vec<(String, Vec<String>)>,
}

impl Environment {
    fn set(&mut self, name: &str, value: String) {
        match self.variables.iter_mut().find(|(n, _)| n == name) {
            Some(entry) => entry.1 = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// A container's variables: of services, of whole ConfigMaps and Secrets, of its own list.
///
/// # Errors
/// A reference that is not optional leads nowhere.
pub fn environment(
    facts: &Facts<'_>,
    c: &Container,
    services: &HashMap<String, String>,
) -> Result<Environment, Error> {
    let mut env = Environment::default();
    from_sources(facts, c, &mut env)?;
    for var in c.env.iter().flatten() {
        if let Some(value) = variable(facts, c, var, &env, services)? {
            env.set(&var.name, value);
        }
    }
    let mut missing: Vec<_> = services.iter().filter(|(k, _)| env.value(k).is_none()).collect();
    missing.sort();
    env.variables.extend(missing.into_iter().map(|(k, v)| (k.clone(), v.clone())));
    Ok(env)
}

fn usable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c != '=' && (' '..='~').contains(&c))
}

fn from_sources(facts: &Facts<'_>, c: &Container, env: &mut Environment) -> Result<(), Error> {
    let namespace = facts.pod.namespace();
    for source in c.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let mut pairs: Vec<(String, String)> = Vec::new();
        let origin;
        if let Some(r) = &source.config_map_ref {
            origin = format!("ConfigMap {namespace}/{}", r.name);
            match facts.materials.config_maps.get(&r.name) {
                Some(map) => pairs.extend(map.data.iter().flatten().map(|(k, v)| (k.clone(), v.clone()))),
                None if r.optional == Some(true) => continue,
                None => return Err(Error(format!("configmap \"{}\" not found", r.name))),
            }
        } else if let Some(r) = &source.secret_ref {
            origin = format!("Secret {namespace}/{}", r.name);
            match facts.materials.secrets.get(&r.name) {
                Some(secret) => pairs.extend(
                    secret
                        .data
                        .iter()
                        .flatten()
                        .map(|(k, v)| (k.clone(), String::from_utf8_lossy(&v.0).into_owned())),
                ),
                None if r.optional == Some(true) => continue,
                None => return Err(Error(format!("secret \"{}\" not found", r.name))),
            }
        } else {
            continue;
        }
        let mut invalid = Vec::new();
        for (key, value) in pairs {
            let name = format!("{prefix}{key}");
            if usable(&name) { env.set(&name, value) } else { invalid.push(name) }
        }
        if !invalid.is_empty() {
            invalid.sort();
            env.invalid.push((origin, invalid));
        }
    }
    Ok(())
}

fn variable(
    facts: &Facts<'_>,
    c: &Container,
    var: &EnvVar,
    env: &Environment,
    services: &HashMap<String, String>,
) -> Result<Option<String>, Error> {
    if let Some(value) = var.value.as_ref().filter(|v| !v.is_empty()) {
        let lookup = |name: &str| env.value(name).or_else(|| services.get(name).map(String::as_str));
        return Ok(Some(expand(value, lookup)));
    }
    match &var.value_from {
        Some(source) => referenced(facts, c, source),
        None => Ok(Some(String::new())),
    }
}

fn referenced(facts: &Facts<'_>, c: &Container, source: &EnvVarSource) -> Result<Option<String>, Error> {
    let namespace = facts.pod.namespace();
    if let Some(field) = &source.field_ref {
        return field_value(facts, field).map(Some);
    }
    if let Some(r) = &source.resource_field_ref {
        let of = r.container_name.as_deref().filter(|n| !n.is_empty() && *n != c.name);
        let containers = facts.pod.containers();
        let other = of.and_then(|n| containers.iter().find(|(_, c)| c.name == n).map(|(_, c)| c.as_ref()));
        return resource_value(other.unwrap_or(c), r, facts.allocatable).map(Some);
    }
    if let Some(r) = &source.config_map_key_ref {
        let optional = r.optional == Some(true);
        let Some(map) = facts.materials.config_maps.get(&r.name) else {
            return if optional {
                Ok(None)
            } else {
                Err(Error(format!("configmap \"{}\" not found", r.name)))
            };
        };
        return match map.data.as_ref().and_then(|d| d.get(&r.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(Error(format!("couldn't find key {} in ConfigMap {namespace}/{}", r.key, r.name))),
        };
    }
    if let Some(r) = &source.secret_key_ref {
        let optional = r.optional == Some(true);
        let Some(secret) = facts.materials.secrets.get(&r.name) else {
            return if optional { Ok(None) } else { Err(Error(format!("secret \"{}\" not found", r.name))) };
        };
        return match secret.data.as_ref().and_then(|d| d.get(&r.key)) {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None if optional => Ok(None),
            None => Err(Error(format!("couldn't find key {} in Secret {namespace}/{}", r.key, r.name))),
        };
    }
    Err(Error("environment variable source is not supported".into()))
}

fn field_value(facts: &Facts<'_>, field: &ObjectFieldSelector) -> Result<String, Error> {
    let spec = facts.pod.facts();
    let first = |all: &[String]| all.first().cloned().unwrap_or_default();
    Ok(match field.field_path.as_str() {
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(facts.host_ips),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => first(facts.pod_ips),
        "status.podIPs" => facts.pod_ips.join(","),
        path => {
            metadata_value(facts.pod, path).ok_or_else(|| Error(format!("unsupported fieldPath: {path}")))?
        }
    })
}

/// The text of a metadata field, one `key="value"` a line for whole maps.
pub fn metadata_value(pod: &Pod, path: &str) -> Option<String> {
    let meta = pod.meta();
    let of_map = |map: &Option<std::collections::BTreeMap<String, String>>| {
        let lines = map.iter().flatten().map(|(k, v)| format!("{k}={}", go_quote(v)));
        lines.collect::<Vec<_>>().join("\n")
    };
    let keyed = |prefix: &str, map: &Option<std::collections::BTreeMap<String, String>>| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default())
    };
    Some(match path {
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => pod.uid().to_owned(),
        "metadata.labels" => of_map(&meta.labels),
        "metadata.annotations" => of_map(&meta.annotations),
        _ => {
            return keyed("metadata.labels", &meta.labels)
                .or_else(|| keyed("metadata.annotations", &meta.annotations));
        }
    })
}

/// Go's `%q` for text.
fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A container's request or limit, in units of the divisor; what is not limited is limited by the node.
///
/// # Errors
/// The resource is not one that can be asked for.
pub fn resource_value(
    c: &Container,
    r: &ResourceFieldSelector,
    allocatable: &Amounts,
) -> Result<String, Error> {
    let unsupported = || Error(format!("unsupported container resource : {}", r.resource));
    let (list, name) = r.resource.split_once('.').ok_or_else(unsupported)?;
    let resources = c.resources.as_ref();
    let limits = resources.and_then(|x| x.limits.as_ref()?.get(name));
    let amount = match list {
        "limits" => limits.or_else(|| allocatable.get(name)),
        "requests" => resources.and_then(|x| x.requests.as_ref()?.get(name)).or(limits),
        _ => return Err(unsupported()),
    };
    let amount = amount.map_or(0, |q| counted(name, q));
    let divisor = r.divisor.as_ref().map_or(0, |d| counted(name, d));
    let unit = if name == "cpu" { 1000 } else { 1 };
    let divisor = if divisor == 0 { unit } else { divisor };
    Ok((amount / divisor + i64::from(amount % divisor != 0)).to_string())
}

/// Variables that name services, as links between Docker containers once did.
pub fn of_services<'a>(services: impl Iterator<Item = &'a Service>) -> HashMap<String, String> {
    let mut out = HashMap::new();
    for service in services {
        let Some(spec) = &service.spec else { continue };
        let ip = spec.cluster_ip.as_deref().unwrap_or_default();
        let ports = spec.ports.as_deref().unwrap_or_default();
        if ip.is_empty() || ip == "None" || ports.is_empty() {
            continue;
        }
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let name = name.to_uppercase().replace('-', "_");
        let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
        out.insert(format!("{name}_SERVICE_HOST"), ip.to_owned());
        out.insert(format!("{name}_SERVICE_PORT"), ports[0].port.to_string());
        for (i, port) in ports.iter().enumerate() {
            if let Some(n) = port.name.as_ref().filter(|n| !n.is_empty()) {
                let n = n.to_uppercase().replace('-', "_");
                out.insert(format!("{name}_SERVICE_PORT_{n}"), port.port.to_string());
            }
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
            if i == 0 {
                out.insert(format!("{name}_PORT"), url.clone());
            }
            let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
            out.insert(prefix.clone(), url);
            out.insert(format!("{prefix}_PROTO"), protocol.to_lowercase());
            out.insert(format!("{prefix}_PORT"), port.port.to_string());
            out.insert(format!("{prefix}_ADDR"), ip.to_owned());
        }
    }
    out
}
