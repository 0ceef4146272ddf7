//! Endpoints of services with a selector.
//!
//! # Upstream
//! `pkg/controller/endpoint`, `k8s.io/kubernetes/pkg/api/v1/endpoints`

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, Watch};

use super::pods::{self, Ports};
use super::{HEADLESS, pods_of_services};
use crate::common::{is_ready, node_name};

const MANAGED: &str = "endpoints.kubernetes.io/managed-by";
const OVER: &str = "endpoints.kubernetes.io/over-capacity";
const MOST: usize = 1000;

/// Addresses by address and pod, each with whether it is ready.
type Addresses = BTreeMap<String, (bool, EndpointAddress)>;

/// The controller.
#[derive(Debug)]
pub(crate) struct Legacy;

impl Controller for Legacy {
    fn name(&self) -> &'static str {
        "endpoints-controller"
    }

    fn component(&self) -> &'static str {
        "endpoint-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::root::<Service>(),
            pods_of_services(),
            Watch::map::<Endpoints>(|_, endpoints| vec![endpoints.key()]),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Endpoints>("create patch delete"), Permit::sub::<Endpoints>("restricted", "create")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let known = ask.view.get::<Endpoints>(ask.key);
        let Some(service) = ask.view.get::<Service>(ask.key) else {
            // hand-made ones and those of leader election stay
            if let Some(known) = known.filter(|k| k.label(MANAGED).is_some() && !k.deleting()) {
                plan.delete(known.as_ref());
            }
            return Ok(plan);
        };
        let spec = service.spec.clone().unwrap_or_default();
        let selects = spec.selector.as_ref().is_some_and(|s| !s.is_empty());
        if service.deleting() || !selects || spec.type_.as_deref() == Some("ExternalName") {
            return Ok(plan);
        }
        let v6 = spec.ip_families.as_ref().and_then(|f| f.first()).is_some_and(|f| f == "IPv6");
        let subsets = subsets(service, &pods::of(ask.view, service), v6);
        let mut labels = service.metadata.labels.clone().unwrap_or_default();
        if spec.cluster_ip.as_deref() == Some("None") {
            labels.insert(HEADLESS.into(), String::new());
        } else {
            labels.remove(HEADLESS);
        }
        labels.insert(MANAGED.into(), "endpoint-controller".into());
        let mut next = known.map_or_else(
            || Endpoints {
                metadata: ObjectMeta {
                    name: service.metadata.name.clone(),
                    namespace: service.metadata.namespace.clone(),
                    ..ObjectMeta::default()
                },
                subsets: None,
            },
            |known| Endpoints::clone(known),
        );
        let count: usize = subsets.iter().map(|s| s.addresses.as_ref().map_or(0, Vec::len)).sum();
        let annotations = next.metadata.annotations.get_or_insert_default();
        annotations.remove(OVER);
        if count > MOST {
            annotations.insert(OVER.into(), "truncated".into());
        }
        next.metadata.annotations = next.metadata.annotations.filter(|a| !a.is_empty());
        next.metadata.labels = Some(labels);
        next.subsets = Some(truncated(subsets)).filter(|s| !s.is_empty());
        let failed = |reason, what: &str| {
            Event::warning(
                service.as_ref(),
                reason,
                format!("Failed to {what} endpoint {}: {{error}}", service.key()),
            )
        };
        match known {
            None => plan.create(&next)?.on_err = Some(failed("FailedToCreateEndpoint", "create")),
            Some(known) if plan.update(known.as_ref(), &next)? => {
                if let Some(write) = plan.writes.last_mut() {
                    write.on_err = Some(failed("FailedToUpdateEndpoint", "update"));
                }
            }
            Some(_) => {}
        }
        Ok(plan)
    }
}

/// One subset per set of ports; ready addresses apart from the others.
fn subsets(service: &Service, chosen: &[&std::sync::Arc<Pod>], v6: bool) -> Vec<EndpointSubset> {
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    let headless = service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None");
    let portless = service.spec.as_ref().and_then(|s| s.ports.as_ref()).is_none_or(Vec::is_empty);
    let mut by_port: BTreeMap<Option<(String, i32, String, String)>, Addresses> = BTreeMap::new();
    for pod in chosen.iter().filter(|p| publish || !p.deleting()) {
        let Some(ip) = pods::address(pod, v6) else { continue };
        let address = EndpointAddress {
            ip: ip.clone(),
            hostname: pods::hostname(service, pod),
            node_name: Some(node_name(pod).to_owned()).filter(|n| !n.is_empty()),
            target_ref: Some(pods::reference(pod)),
        };
        let ready = publish || is_ready(pod);
        let id = format!("{ip}/{}", pod.uid());
        if portless && headless {
            by_port.entry(None).or_default().insert(id, (ready, address));
            continue;
        }
        for port in pods::ports(service, pod) {
            by_port.entry(Some(port)).or_default().insert(id.clone(), (ready, address.clone()));
        }
    }
    // ports with the same addresses share a subset
    let mut groups: Vec<(Ports, Addresses)> = Vec::new();
    for (port, addresses) in by_port {
        match groups.iter_mut().find(|(_, known)| *known == addresses) {
            Some((ports, _)) => ports.extend(port),
            None => groups.push((port.into_iter().collect(), addresses)),
        }
    }
    groups.into_iter().map(|(ports, addresses)| subset(&ports, addresses)).collect()
}

fn subset(ports: &Ports, addresses: Addresses) -> EndpointSubset {
    let (ready, not): (Vec<_>, Vec<_>) = addresses.into_values().partition(|(ready, _)| *ready);
    let list = |v: Vec<(bool, EndpointAddress)>| Some(v.into_iter().map(|(_, a)| a).collect::<Vec<_>>());
    let ports = ports.iter().map(|(name, port, protocol, app)| EndpointPort {
        name: Some(name.clone()).filter(|n| !n.is_empty()),
        port: *port,
        protocol: Some(protocol.clone()),
        app_protocol: Some(app.clone()).filter(|a| !a.is_empty()),
    });
    EndpointSubset {
        addresses: list(ready).filter(|l| !l.is_empty()),
        not_ready_addresses: list(not).filter(|l| !l.is_empty()),
        ports: Some(ports.collect::<Vec<_>>()).filter(|p| !p.is_empty()),
    }
}

fn truncated(mut subsets: Vec<EndpointSubset>) -> Vec<EndpointSubset> {
    let mut left = MOST;
    for subset in &mut subsets {
        for list in [&mut subset.addresses, &mut subset.not_ready_addresses].into_iter().flatten() {
            list.truncate(left);
            left -= list.len();
        }
    }
    subsets
}
