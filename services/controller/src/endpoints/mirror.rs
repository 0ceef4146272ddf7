//! EndpointSlices mirrored from Endpoints that somebody else wrote.
//!
//! # Upstream
//! `pkg/controller/endpointslicemirroring`

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Watch};

use super::pods::is_v6;
use super::{MANAGED_BY, SERVICE_NAME, by_service_label};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Addresses mirrored of one subset.
const MOST: usize = 1000;

/// The controller.
#[derive(Debug)]
pub(crate) struct Mirror;

impl Controller for Mirror {
    fn name(&self) -> &'static str {
        "endpointslice-mirroring-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::root::<Endpoints>(),
            Watch::map::<Service>(|_, service| vec![service.key()]),
            by_service_label::<EndpointSlice>(),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::of::<EndpointSlice>("create patch delete"),
            Permit::sub::<Endpoints>("finalizers", "update"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let mut existing: Vec<&Arc<EndpointSlice>> = ask
            .view
            .list::<EndpointSlice>(&ask.key.namespace)
            .filter(|s| s.label(SERVICE_NAME) == Some(&ask.key.name) && s.label(MANAGED_BY) == Some(MANAGER))
            .filter(|s| !s.deleting())
            .collect();
        let endpoints = ask
            .view
            .get::<Endpoints>(ask.key)
            .filter(|e| e.label(SKIP) != Some("true") && e.annotation(LEADER).is_none() && !e.deleting());
        let service = ask.view.get::<Service>(ask.key);
        let hand_made = service.and_then(|s| s.spec.as_ref()).is_some_and(|s| s.selector.is_none());
        if let (Some(endpoints), true) = (endpoints, hand_made) {
            for wanted in endpoints.subsets.iter().flatten().flat_map(|s| slices(endpoints, s)) {
                let same = existing.iter().position(|s| {
                    s.address_type == wanted.address_type
                        && s.ports.as_deref().map(sorted) == wanted.ports.as_deref().map(sorted)
                });
                match same {
                    Some(i) => {
                        let known = existing.swap_remove(i);
                        let mut next = EndpointSlice::clone(known);
                        next.metadata.labels.clone_from(&wanted.metadata.labels);
                        next.metadata.annotations.clone_from(&wanted.metadata.annotations);
                        next.endpoints = wanted.endpoints;
                        plan.update(known.as_ref(), &next)?;
                    }
                    None => {
                        plan.create(&wanted)?;
                    }
                }
            }
        }
        for slice in existing {
            plan.delete(slice.as_ref());
        }
        Ok(plan)
    }
}

fn sorted(ports: &[EndpointPort]) -> Vec<(String, i32, String)> {
    let key = |p: &EndpointPort| {
        (p.name.clone().unwrap_or_default(), p.port.unwrap_or(0), p.protocol.clone().unwrap_or_default())
    };
    let mut keys: Vec<_> = ports.iter().map(key).collect();
    keys.sort();
    keys
}

fn slices(endpoints: &Endpoints, subset: &EndpointSubset) -> Vec<EndpointSlice> {
    let mut families: BTreeMap<bool, Vec<Endpoint>> = BTreeMap::new();
    let ready = subset.addresses.iter().flatten().map(|a| (a, true));
    let not = subset.not_ready_addresses.iter().flatten().map(|a| (a, false));
    for (address, ready) in ready.chain(not).take(MOST) {
        families.entry(is_v6(&address.ip)).or_default().push(endpoint(address, ready));
    }
    let ports: Vec<EndpointPort> = subset
        .ports
        .iter()
        .flatten()
        .map(|p| EndpointPort {
            name: Some(p.name.clone().unwrap_or_default()),
            port: Some(p.port),
            protocol: Some(p.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: p.app_protocol.clone(),
        })
        .collect();
    families.into_iter().map(|(v6, list)| slice(endpoints, v6, list, &ports)).collect()
}

fn slice(endpoints: &Endpoints, v6: bool, list: Vec<Endpoint>, ports: &[EndpointPort]) -> EndpointSlice {
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), endpoints.name().into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", endpoints.name())),
            namespace: endpoints.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|a| !a.is_empty()),
            owner_references: Some(vec![endpoints.owner_reference()]),
            ..ObjectMeta::default()
        },
        address_type: if v6 { "IPv6" } else { "IPv4" }.into(),
        endpoints: Some(list).filter(|l| !l.is_empty()),
        ports: Some(ports.to_vec()).filter(|p| !p.is_empty()),
    }
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}
