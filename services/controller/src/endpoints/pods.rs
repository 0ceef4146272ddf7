//! Pods as endpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, ObjectReference, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reconcile::{Kind, Pod, View};

use super::selects_pod;
use crate::common::{is_ready, is_terminal, node_name};

/// A set of ports, in a form that sorts.
pub(super) type Ports = Vec<(String, i32, String, String)>;

/// The pods of a service that can be endpoints.
pub(super) fn of<'a>(view: &'a View, service: &'a Service) -> Vec<&'a Arc<Pod>> {
    let pods = view.list::<Pod>(service.namespace());
    let mut pods: Vec<_> = pods.filter(|p| selects_pod(service, p) && !is_terminal(p)).collect();
    pods.sort_by_key(|p| p.name().to_owned());
    pods
}

pub(super) fn is_v6(address: &str) -> bool {
    address.contains(':')
}

/// The pod's address of a family.
pub(super) fn address(pod: &Pod, v6: bool) -> Option<String> {
    pod.ips.iter().find(|ip| is_v6(ip) == v6).map(|ip| ip.to_string())
}

/// The service's ports as this pod has them.
///
/// # Upstream
/// `k8s.io/endpointslice/utils.go` `getEndpointPorts`, `findPort`
pub(super) fn ports(service: &Service, pod: &Pod) -> Ports {
    let all = service.spec.as_ref().and_then(|s| s.ports.as_ref()).into_iter().flatten();
    let mut ports: Ports = all
        .filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            let number = number(port, pod, &protocol)?;
            let name = port.name.clone().unwrap_or_default();
            Some((name, number, protocol, port.app_protocol.clone().unwrap_or_default()))
        })
        .collect();
    ports.sort();
    ports
}

fn number(port: &ServicePort, pod: &Pod, protocol: &str) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(n)) => Some(if *n == 0 { port.port } else { *n }),
        Some(IntOrString::String(name)) => {
            let spec = &pod.spec;
            let sidecars =
                spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let ports = spec.containers.iter().chain(sidecars).flat_map(|c| &c.ports);
            let named = |p: &&k8s_openapi::api::core::v1::ContainerPort| {
                p.name.as_deref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol
            };
            ports.into_iter().find(named).map(|p| p.container_port)
        }
    }
}

pub(super) fn endpoint_ports(ports: &Ports) -> Vec<EndpointPort> {
    let ports = ports.iter().map(|(name, number, protocol, app)| EndpointPort {
        name: Some(name.clone()),
        port: Some(*number),
        protocol: Some(protocol.clone()),
        app_protocol: Some(app.clone()).filter(|a| !a.is_empty()),
    });
    ports.collect()
}

/// The pod as an endpoint.
pub(super) fn endpoint(view: &View, service: &Service, pod: &Pod, address: String) -> Endpoint {
    let serving = is_ready(pod);
    let terminating = pod.deleting();
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    let node = node_name(pod);
    let zone =
        view.named::<Node>("", node).and_then(|n| n.label("topology.kubernetes.io/zone").map(str::to_owned));
    Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(service, pod),
        node_name: Some(node.to_owned()).filter(|n| !n.is_empty()),
        zone: zone.filter(|z| !z.is_empty()),
        target_ref: Some(reference(pod)),
        ..Endpoint::default()
    }
}

pub(super) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let ours = pod.spec.subdomain.as_deref() == Some(service.name());
    Some(pod.hostname.to_string()).filter(|h| ours && !h.is_empty())
}

pub(super) fn reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: Some(pod.namespace().to_owned()),
        name: Some(pod.name().to_owned()),
        uid: Some(pod.uid().to_owned()),
        ..ObjectReference::default()
    }
}

/// The service's own labels, without those that are the controller's business.
pub(super) fn labels(service: &Service, manager: &str) -> BTreeMap<String, String> {
    let own =
        [super::SERVICE_NAME, super::MANAGED_BY, super::HEADLESS, "service.kubernetes.io/service-proxy-name"];
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.retain(|key, _| !own[..3].contains(&key.as_str()));
    labels.insert(super::SERVICE_NAME.into(), service.name().into());
    labels.insert(super::MANAGED_BY.into(), manager.into());
    if service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None") {
        labels.insert(super::HEADLESS.into(), String::new());
    }
    labels
}
