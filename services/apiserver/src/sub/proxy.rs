//! Where `proxy` of pods, nodes and services leads.
//!
//! # Upstream
//! `pkg/registry/core/{pod,node,service}/{strategy,proxy,storage}.go` `ResourceLocation`

use std::sync::Arc;

use schema::Value;

use super::connect;
use super::forward::Target;
use crate::errors::{self, Result};
use crate::request::RequestInfo;
use crate::server::Server;

/// `[scheme:]name[:port]`
fn split_name(name: &str) -> (&str, &str, &str) {
    match name.split(':').collect::<Vec<_>>().as_slice() {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme, name, port] => (scheme, name, port),
        _ => ("", name, ""),
    }
}

fn rest_path(info: &RequestInfo) -> String {
    let slash = if info.trailing_slash && !info.rest.is_empty() { "/" } else { "" };
    format!("/{}{slash}", info.rest.join("/"))
}

/// A pod's port.
pub(super) async fn pod(server: &Arc<Server>, info: &RequestInfo) -> Result<Target> {
    let (scheme, name, port) = split_name(&info.name);
    let named = RequestInfo { name: name.to_owned(), ..info.clone() };
    let pod = connect::pod(server, &named).await?;
    let address = pod.str_at(&["status", "podIP"]).to_owned();
    if address.is_empty() {
        return Err(errors::bad_request("address not allowed"));
    }
    let port = match port.parse::<u16>() {
        Ok(port) => port,
        Err(_) => {
            let ports = pod
                .list_at(&["spec", "containers"])
                .iter()
                .flat_map(|c| c.at(&["ports"]).and_then(Value::as_list).unwrap_or(&[]));
            let mut found =
                ports.filter(|p| port.is_empty() || p.at(&["name"]).and_then(Value::as_str) == Some(port));
            let number = found.find_map(|p| p.at(&["containerPort"]).and_then(Value::as_int));
            number.and_then(|n| u16::try_from(n).ok()).unwrap_or(if scheme == "https" { 443 } else { 80 })
        }
    };
    Ok(Target { tls: scheme == "https", kubelet: false, host: address, port, path: rest_path(info) })
}

/// A node's port, its kubelet's own unless another is named.
pub(super) async fn node(server: &Arc<Server>, info: &RequestInfo) -> Result<Target> {
    let (scheme, name, port) = split_name(&info.name);
    let (host, own) = connect::kubelet(server, "nodes", name).await?;
    let port = port.parse().unwrap_or(own);
    let kubelet = port == own;
    Ok(Target { tls: kubelet || scheme == "https", kubelet, host, port, path: rest_path(info) })
}

/// A service's ready endpoints of a port: addresses and their ports.
pub(crate) fn ready_endpoints(
    server: &Arc<Server>,
    namespace: &str,
    service: &str,
    port_name: &str,
) -> Result<Vec<(String, u16)>> {
    let text = |v: &Value, key: &str| v.at(&[key]).and_then(Value::as_str).unwrap_or("").to_owned();
    let slices = server.peek_objects("discovery.k8s.io", "endpointslices", namespace)?;
    let mut targets: Vec<(String, u16)> = Vec::new();
    for slice in slices.iter().filter(|s| s.label("kubernetes.io/service-name") == Some(service)) {
        let port = slice.list_at(&["ports"]).iter().find(|p| text(p, "name") == port_name);
        let port =
            port.and_then(|p| p.at(&["port"])).and_then(Value::as_int).and_then(|p| u16::try_from(p).ok());
        let Some(port) = port else { continue };
        for endpoint in slice.list_at(&["endpoints"]) {
            let ready = endpoint.at(&["conditions", "ready"]).and_then(Value::as_bool).unwrap_or(true);
            let address = endpoint
                .at(&["addresses"])
                .and_then(Value::as_list)
                .and_then(|l| l.first())
                .and_then(Value::as_str);
            if let (true, Some(address)) = (ready, address) {
                targets.push((address.to_owned(), port));
            }
        }
    }
    Ok(targets)
}

/// One of a service's ready endpoints, any.
pub(super) async fn service(server: &Arc<Server>, info: &RequestInfo) -> Result<Target> {
    let (scheme, name, wanted) = split_name(&info.name);
    let service = server.read("", "services", &info.namespace, name).await?;
    let resource = meta::GroupResource { group: String::new(), resource: "services".into() };
    let service = service.ok_or_else(|| errors::not_found(&resource, name))?;
    let ports = service.list_at(&["spec", "ports"]);
    let text = |v: &Value, key: &str| v.at(&[key]).and_then(Value::as_str).unwrap_or("").to_owned();
    let chosen = match wanted {
        "" if ports.len() == 1 => ports.first(),
        wanted => ports.iter().find(|p| {
            text(p, "name") == wanted || p.at(&["port"]).and_then(Value::as_int) == wanted.parse().ok()
        }),
    };
    let unavailable = || errors::unavailable(format!("no endpoints available for service {:?}", info.name));
    let chosen = chosen.ok_or_else(|| {
        errors::unavailable(format!("no service port {wanted:?} found for service {name:?}"))
    })?;
    let port_name = text(chosen, "name");
    let mut targets = ready_endpoints(server, &info.namespace, name, &port_name)?;
    if targets.is_empty() {
        return Err(unavailable());
    }
    let at = usize::from(uuid::Uuid::new_v4().as_bytes()[0]) % targets.len();
    let (host, port) = targets.swap_remove(at);
    Ok(Target { tls: scheme == "https", kubelet: false, host, port, path: rest_path(info) })
}
