//! EndpointSlices of services with a selector.
//!
//! # Upstream
//! `pkg/controller/endpointslice`, `k8s.io/endpointslice/reconciler.go`

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::Key;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointSlice, ForNode, ForZone};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, Watch};

use super::pods::{self, Ports};
use super::{MANAGED_BY, SERVICE_NAME, by_service_label, pods_of_services};

const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Endpoints in one slice.
const MOST: usize = 100;

/// The controller.
#[derive(Debug)]
pub(crate) struct Slices;

impl Controller for Slices {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn component(&self) -> &'static str {
        "endpoint-slice-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::root::<Service>(),
            pods_of_services(),
            by_service_label::<EndpointSlice>(),
            Watch::read::<Node>(),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::of::<EndpointSlice>("create patch delete"),
            Permit::sub::<Service>("finalizers", "update"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(service) = ask.view.get::<Service>(ask.key) else { return Ok(plan) };
        let spec = service.spec.clone().unwrap_or_default();
        let selects = spec.selector.as_ref().is_some_and(|s| !s.is_empty());
        if service.deleting() || !selects || spec.type_.as_deref() == Some("ExternalName") {
            return Ok(plan);
        }
        let mut existing: Vec<&Arc<EndpointSlice>> = ask
            .view
            .list::<EndpointSlice>(service.namespace())
            .filter(|s| s.label(SERVICE_NAME) == Some(service.name()) && s.label(MANAGED_BY) == Some(MANAGER))
            .filter(|s| !s.deleting())
            .collect();
        let families =
            spec.ip_families.clone().filter(|f| !f.is_empty()).unwrap_or_else(|| vec!["IPv4".into()]);
        let chosen = pods::of(ask.view, service);
        for family in &families {
            let (mine, rest): (Vec<_>, Vec<_>) =
                existing.into_iter().partition(|s| s.address_type == *family);
            existing = rest;
            let wanted =
                wanted(ask, service, &chosen, family == "IPv6", spec.traffic_distribution.as_deref());
            reconcile(&mut plan, service, family, wanted, mine)?;
        }
        for slice in existing {
            plan.delete(slice.as_ref());
        }
        for write in &mut plan.writes {
            let message = format!("Error updating Endpoint Slices for Service {}: {{error}}", service.key());
            write.on_err = Some(Event::warning(service.as_ref(), "FailedToUpdateEndpointSlices", message));
        }
        Ok(plan)
    }
}

/// Endpoints by the set of ports they share.
fn wanted(
    ask: &Ask<'_>,
    service: &Service,
    chosen: &[&Arc<Pod>],
    v6: bool,
    distribution: Option<&str>,
) -> BTreeMap<Ports, Vec<Endpoint>> {
    let mut wanted: BTreeMap<Ports, Vec<Endpoint>> = BTreeMap::new();
    for pod in chosen {
        let Some(address) = pods::address(pod, v6) else { continue };
        let mut endpoint = pods::endpoint(ask.view, service, pod, address);
        let ready = endpoint.conditions.as_ref().and_then(|c| c.ready) == Some(true);
        endpoint.hints = distribution.filter(|_| ready).and_then(|d| hints(d, &endpoint));
        wanted.entry(pods::ports(service, pod)).or_default().push(endpoint);
    }
    wanted
}

fn hints(distribution: &str, endpoint: &Endpoint) -> Option<EndpointHints> {
    let zones = endpoint.zone.clone().map(|name| vec![ForZone { name }]);
    match distribution {
        "PreferClose" | "PreferSameZone" => {
            zones.map(|z| EndpointHints { for_zones: Some(z), for_nodes: None })
        }
        "PreferSameNode" => {
            let nodes = endpoint.node_name.clone().map(|name| vec![ForNode { name }]);
            nodes.map(|n| EndpointHints { for_nodes: Some(n), for_zones: zones })
        }
        _ => None,
    }
}

fn id(endpoint: &Endpoint) -> String {
    let target = endpoint.target_ref.as_ref().and_then(|r| r.uid.clone()).unwrap_or_default();
    format!("{target}/{}", endpoint.addresses.first().map(String::as_str).unwrap_or_default())
}

/// Keeps endpoints where they are, fills free places, makes and drops slices.
fn reconcile(
    plan: &mut Plan,
    service: &Service,
    family: &str,
    wanted: BTreeMap<Ports, Vec<Endpoint>>,
    existing: Vec<&Arc<EndpointSlice>>,
) -> Result<(), Error> {
    let mut by_ports: HashMap<Vec<_>, Vec<&Arc<EndpointSlice>>> = HashMap::new();
    for slice in existing {
        let mut ports: Ports = slice.ports.iter().flatten().map(port_key).collect();
        ports.sort();
        by_ports.entry(ports).or_default().push(slice);
    }
    let placeholder = wanted.is_empty();
    let wanted = if placeholder { BTreeMap::from([(Ports::new(), Vec::new())]) } else { wanted };
    for (ports, endpoints) in wanted {
        let slices = by_ports.remove(&ports).unwrap_or_default();
        fill(plan, service, family, &ports, endpoints, slices)?;
    }
    for slice in by_ports.into_values().flatten() {
        plan.delete(slice.as_ref());
    }
    Ok(())
}

fn port_key(port: &k8s_openapi::api::discovery::v1::EndpointPort) -> (String, i32, String, String) {
    (
        port.name.clone().unwrap_or_default(),
        port.port.unwrap_or(0),
        port.protocol.clone().unwrap_or_else(|| "TCP".into()),
        port.app_protocol.clone().unwrap_or_default(),
    )
}

fn fill(
    plan: &mut Plan,
    service: &Service,
    family: &str,
    ports: &Ports,
    endpoints: Vec<Endpoint>,
    mut slices: Vec<&Arc<EndpointSlice>>,
) -> Result<(), Error> {
    slices.sort_by_key(|s| s.name().to_owned());
    let mut left: BTreeMap<String, Endpoint> = endpoints.into_iter().map(|e| (id(&e), e)).collect();
    let mut contents: Vec<Vec<Endpoint>> = slices
        .iter()
        .map(|slice| slice.endpoints.iter().flatten().filter_map(|e| left.remove(&id(e))).collect())
        .collect();
    let mut left: Vec<Endpoint> = left.into_values().collect();
    // the fullest slices are filled up first
    let mut order: Vec<usize> = (0..contents.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(contents[*i].len()));
    for i in order {
        let free = MOST.saturating_sub(contents[i].len()).min(left.len());
        contents[i].extend(left.drain(..free));
    }
    let some = contents.iter().any(|c| !c.is_empty()) || !left.is_empty();
    let mut kept_empty = some; // one empty slice stays when there are no endpoints at all
    for (slice, endpoints) in slices.iter().zip(contents) {
        if endpoints.is_empty() && kept_empty {
            plan.delete(slice.as_ref());
            continue;
        }
        kept_empty |= endpoints.is_empty();
        let mut next = EndpointSlice::clone(slice);
        next.metadata.labels = Some(pods::labels(service, MANAGER));
        next.endpoints = Some(endpoints).filter(|e| !e.is_empty());
        plan.update(slice.as_ref(), &next)?;
    }
    if slices.is_empty() && left.is_empty() {
        plan.create(&new_slice(service, family, ports, Vec::new()))?;
    }
    while !left.is_empty() {
        let rest = left.split_off(left.len().min(MOST));
        plan.create(&new_slice(service, family, ports, left))?.together();
        left = rest;
    }
    Ok(())
}

fn new_slice(service: &Service, family: &str, ports: &Ports, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let key: Key = service.key();
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", key.name)),
            namespace: Some(key.namespace),
            labels: Some(pods::labels(service, MANAGER)),
            owner_references: Some(vec![service.owner_reference()]),
            ..ObjectMeta::default()
        },
        address_type: family.into(),
        endpoints: Some(endpoints).filter(|e| !e.is_empty()),
        ports: Some(pods::endpoint_ports(ports)).filter(|p| !p.is_empty()),
    }
}
