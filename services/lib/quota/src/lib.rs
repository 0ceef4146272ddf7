//! What objects use of resource quotas, and what pods ask for: shared by the admission that charges and the controller
//! that recounts.
//!
//! # Upstream
//! `pkg/quota/v1/evaluator/core`, `k8s.io/apiserver/pkg/quota/v1`

pub mod amounts;
pub mod demand;
mod scope;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuotaSpec, Service};

use amounts::{Usage, add};

/// An object as quotas see it.
#[derive(Debug, Clone, Copy)]
pub enum Charged<'a> {
    /// A pod: what it asks for, until it ends.
    Pod(&'a Pod),
    /// A service: itself, its node ports, its load balancer.
    Service(&'a Service),
    /// A claim: itself and its storage, also by class.
    Claim(&'a PersistentVolumeClaim),
    /// Anything else: itself.
    Other {
        /// Its group, empty for the core group.
        group: &'a str,
        /// Its plural.
        resource: &'a str,
    },
}

/// The core resources that are also counted under their bare names.
const BARE: [&str; 4] = ["configmaps", "secrets", "replicationcontrollers", "resourcequotas"];

impl Charged<'_> {
    /// What the object uses, by the names quotas have for it.
    pub fn usage(self) -> Usage {
        let mut usage = Usage::new();
        match self {
            Self::Pod(pod) => pod_usage(&mut usage, pod),
            Self::Service(service) => service_usage(&mut usage, service),
            Self::Claim(claim) => claim_usage(&mut usage, claim),
            Self::Other { group, resource } => {
                let name = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
                add(&mut usage, &format!("count/{name}"), "1");
                if group.is_empty() && BARE.contains(&resource) {
                    add(&mut usage, resource, "1");
                }
            }
        }
        usage
    }

    /// Whether a quota's scopes take the object in. Only pods have scopes, and claims the one of their attributes.
    pub fn in_scope_of(self, spec: &ResourceQuotaSpec) -> bool {
        let scopes = spec.scopes.as_deref().unwrap_or_default();
        let selectors =
            spec.scope_selector.as_ref().and_then(|s| s.match_expressions.as_deref()).unwrap_or_default();
        match self {
            Self::Pod(pod) => {
                scopes.iter().all(|scope| scope::holds(pod, scope))
                    && selectors.iter().all(|selector| scope::selected(pod, selector))
            }
            Self::Claim(claim) => {
                scopes.is_empty() && selectors.iter().all(|selector| scope::selected_claim(claim, selector))
            }
            _ => scopes.is_empty() && selectors.is_empty(),
        }
    }

    /// Whether a quota's resource is one this object may use.
    pub fn has(self, name: &str) -> bool {
        match self {
            Self::Pod(_) => {
                matches!(name, "pods" | "count/pods" | "cpu" | "memory" | "ephemeral-storage")
                    || name.strip_prefix("requests.").is_some_and(|what| what != "storage")
                    || matches!(name, "limits.cpu" | "limits.memory" | "limits.ephemeral-storage")
                    || name.starts_with("hugepages-")
            }
            Self::Claim(_) => {
                matches!(name, "persistentvolumeclaims" | "count/persistentvolumeclaims" | "requests.storage")
                    || name.contains(".storageclass.storage.k8s.io/")
            }
            Self::Service(_) => matches!(
                name,
                "services" | "count/services" | "services.nodeports" | "services.loadbalancers"
            ),
            Self::Other { .. } => self.usage().contains_key(name),
        }
    }

    /// Which of a quota's resources every container must name, and which containers do not: upstream's sentence.
    pub fn unnamed(self, quota: &[&str]) -> Option<String> {
        match self {
            Self::Pod(pod) => demand::unnamed(pod, quota),
            _ => None,
        }
    }
}

fn pod_usage(usage: &mut Usage, pod: &Pod) {
    add(usage, "count/pods", "1");
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return;
    }
    add(usage, "pods", "1");
    amounts::merge(usage, names_of(&demand::requests(pod, true), &demand::limits(pod, true)));
}

/// Requests and limits under the names quotas have for them.
fn names_of(requests: &Usage, limits: &Usage) -> Usage {
    let mut usage = Usage::new();
    for (name, amount) in requests {
        let text = amount.to_string();
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            add(&mut usage, name, &text);
        }
        add(&mut usage, &format!("requests.{name}"), &text);
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            add(&mut usage, &format!("limits.{name}"), &amount.to_string());
        }
    }
    usage
}

fn service_usage(usage: &mut Usage, service: &Service) {
    add(usage, "services", "1");
    add(usage, "count/services", "1");
    let Some(spec) = &service.spec else { return };
    let ports = spec.ports.as_deref().unwrap_or_default();
    match spec.type_.as_deref() {
        Some("NodePort") => add(usage, "services.nodeports", &ports.len().to_string()),
        Some("LoadBalancer") => {
            let own = spec.allocate_load_balancer_node_ports != Some(false);
            let chosen = ports.iter().filter(|port| port.node_port.unwrap_or(0) != 0).count();
            add(usage, "services.nodeports", &if own { ports.len() } else { chosen }.to_string());
            add(usage, "services.loadbalancers", "1");
        }
        _ => {}
    }
}

fn claim_usage(usage: &mut Usage, claim: &PersistentVolumeClaim) {
    add(usage, "persistentvolumeclaims", "1");
    add(usage, "count/persistentvolumeclaims", "1");
    let Some(spec) = &claim.spec else { return };
    let class = spec.storage_class_name.as_deref().filter(|class| !class.is_empty());
    if let Some(class) = class {
        add(usage, &format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), "1");
    }
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    if let Some(storage) = requests.and_then(|requests| requests.get("storage")) {
        add(usage, "requests.storage", &storage.0);
        if let Some(class) = class {
            add(usage, &format!("{class}.storageclass.storage.k8s.io/requests.storage"), &storage.0);
        }
    }
}
