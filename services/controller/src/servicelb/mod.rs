//! Load balancers made of the nodes themselves: a `LoadBalancer` Service gets their addresses, which each node's proxy
//! answers.
//!
//! # Upstream
//! k3s `pkg/cloudprovider/servicelb.go`
//!
//! # Differs
//! K3s runs a DaemonSet of forwarding pods per Service and lists the nodes on which they are ready. Here no pod runs; the
//! rules that placed those pods (labels, taints, free host ports) choose the nodes directly. What a k3s server left
//! behind (DaemonSets, finalizers) is removed.

mod nodes;

use client::Key;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Pod, View, Watch};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const DAEMON_NAME: &str = "svccontroller.k3s.cattle.io/svcname";
const DAEMON_NAMESPACE: &str = "svccontroller.k3s.cattle.io/svcnamespace";
/// Nothing is left to clean up when a Service goes, so these of k3s and its cloud controller only hold it up.
const FINALIZERS: [&str; 2] =
    ["svccontroller.k3s.cattle.io/daemonset", "service.kubernetes.io/load-balancer-cleanup"];

/// The controller.
#[derive(Debug)]
pub(crate) struct ServiceLb;

impl Controller for ServiceLb {
    fn name(&self) -> &'static str {
        "service-lb-controller"
    }

    fn component(&self) -> &'static str {
        "service-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::root::<Service>(),
            // a port given up is another's to have
            Watch::map::<Service>(|view, service| if is_ours(service) { balanced(view) } else { vec![] }),
            Watch::map::<Node>(|view, _| balanced(view)),
            Watch::map::<Pod>(|view, pod| {
                let has_port = nodes::host_ports(pod).next().is_some();
                if has_port { balanced(view) } else { vec![] }
            }),
            Watch::map::<EndpointSlice>(|_, slice| {
                let name = slice.label(SERVICE_NAME);
                name.map(|name| Key::new(slice.namespace(), name)).into_iter().collect()
            }),
            Watch::map::<DaemonSet>(|_, set| {
                let names = set.label(DAEMON_NAMESPACE).zip(set.label(DAEMON_NAME));
                names.map(|(namespace, name)| Key::new(namespace, name)).into_iter().collect()
            }),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::sub::<Service>("status", "patch"),
            Permit::of::<Service>("patch"),
            Permit::of::<DaemonSet>("delete"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let is_left = |set: &&std::sync::Arc<DaemonSet>| {
            set.label(DAEMON_NAME) == Some(&ask.key.name)
                && set.label(DAEMON_NAMESPACE) == Some(&ask.key.namespace)
                && !set.deleting()
        };
        for set in ask.view.all::<DaemonSet>().filter(is_left) {
            plan.delete(set.as_ref());
        }
        let Some(service) = ask.view.get::<Service>(ask.key) else { return Ok(plan) };
        if class(service).is_some() {
            return Ok(plan);
        }
        let held = |f: &String| FINALIZERS.contains(&f.as_str());
        if service.metadata.finalizers.iter().flatten().any(held) {
            let mut free = Service::clone(service);
            let rest = free.metadata.finalizers.take().unwrap_or_default();
            free.metadata.finalizers = Some(rest.into_iter().filter(|f| !held(f)).collect());
            plan.update(service.as_ref(), &free)?;
            return Ok(plan);
        }
        if service.deleting() {
            return Ok(plan);
        }
        let addresses = if is_ours(service) { nodes::addresses(ask.view, service) } else { Vec::new() };
        set_status(&mut plan, service, &addresses)?;
        Ok(plan)
    }
}

fn class(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.load_balancer_class.as_deref()
}

/// A load balancer that nobody else makes.
pub(super) fn is_ours(service: &Service) -> bool {
    let Some(spec) = &service.spec else { return false };
    let has_address = spec.cluster_ip.as_deref().is_some_and(|ip| !ip.is_empty() && ip != "None");
    spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none() && has_address
}

fn balanced(view: &View) -> Vec<Key> {
    view.all::<Service>().filter(|s| is_ours(s)).map(|s| s.key()).collect()
}

/// The addresses a Service's load balancer has.
pub(super) fn ingress(service: &Service) -> Vec<&str> {
    let balancer = service.status.as_ref().and_then(|s| s.load_balancer.as_ref());
    let ingress = balancer.and_then(|b| b.ingress.as_ref()).into_iter().flatten();
    ingress.map(|i| i.ip.as_deref().or(i.hostname.as_deref()).unwrap_or_default()).collect()
}

fn set_status(plan: &mut Plan, service: &Service, addresses: &[String]) -> Result<(), Error> {
    let before = ingress(service);
    if before == addresses {
        return Ok(());
    }
    let mut next = service.clone();
    let one = |ip: &String| LoadBalancerIngress {
        ip: Some(ip.clone()),
        ip_mode: Some("VIP".into()),
        ..LoadBalancerIngress::default()
    };
    let ingress = Some(addresses.iter().map(one).collect::<Vec<_>>()).filter(|i| !i.is_empty());
    next.status.get_or_insert_default().load_balancer = Some(LoadBalancerStatus { ingress });
    plan.update_status(service, &next)?;
    let event = if addresses.is_empty() {
        let text = "There are no available nodes for LoadBalancer";
        Event::warning(service, "UnAvailableLoadBalancer", text)
    } else {
        let text =
            format!("Updated LoadBalancer with new IPs: [{}] -> [{}]", before.join(" "), addresses.join(" "));
        Event::normal(service, "UpdatedLoadBalancer", text)
    };
    if let Some(write) = plan.writes.last_mut().filter(|_| is_ours(service)) {
        write.on_ok = Some(event);
    }
    Ok(())
}
