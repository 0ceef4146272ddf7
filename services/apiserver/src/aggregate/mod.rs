//! API servers behind this one: groups and versions whose APIService names a Service are answered there.
//!
//! [`proxy`] passes requests on, [`available`] keeps each APIService's condition, [`discovery`] adds what they serve
//! to our own documents, [`remote`] dials them.
//!
//! # Upstream
//! `k8s.io/kube-aggregator/pkg/apiserver`
//!
//! # Differs
//! OpenAPI documents of other servers are not merged into ours.

pub mod available;
pub mod discovery;
pub mod priorities;
pub mod proxy;
mod remote;
mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::Notify;

use crate::auth::follow::follow;
use crate::registry::Registry;
use crate::store::Store;

pub use remote::Remote;
pub use service::ApiService;

/// The group of APIServices.
pub const GROUP: &str = "apiregistration.k8s.io";
/// Their resource.
pub const PLURAL: &str = "apiservices";
/// The label that names an EndpointSlice's Service.
const SLICE_OF: &str = "kubernetes.io/service-name";

/// All APIServices by name, and how many of them another server answers.
#[derive(Default, Clone)]
struct Snapshot {
    all: BTreeMap<String, Arc<ApiService>>,
    remotes: usize,
}

/// What is known of APIServices and of the servers behind them.
#[derive(Default)]
pub struct Aggregator {
    snapshot: RwLock<Arc<Snapshot>>,
    /// What the other servers said they serve, by APIService.
    documents: RwLock<BTreeMap<String, Value>>,
    /// Something changed that availability depends on.
    changed: Notify,
}

impl Aggregator {
    /// Follows APIServices, and the Services and EndpointSlices they lead to.
    pub fn follow(store: &Store, registry: &Registry) -> Arc<Self> {
        let this = Arc::new(Self::default());
        if let Some(endpoint) = registry.find(GROUP, "v1", PLURAL) {
            let (cache, own) = (store.cache.add(&endpoint.resource), this.clone());
            follow(store.cache.clone(), cache, move |_, name, entry| {
                own.set(name, entry.and_then(|entry| ApiService::read(entry)));
            });
        }
        for (group, version, plural) in [("", "v1", "services"), ("discovery.k8s.io", "v1", "endpointslices")]
        {
            let Some(endpoint) = registry.find(group, version, plural) else { continue };
            let (cache, own) = (store.cache.add(&endpoint.resource), this.clone());
            follow(store.cache.clone(), cache, move |namespace, name, entry| {
                let service = match entry.and_then(|entry| entry.label(SLICE_OF)) {
                    Some(service) if plural == "endpointslices" => service,
                    _ => name,
                };
                // a slice that went named its Service in its own name's beginning
                let gone = entry.is_none() && plural == "endpointslices";
                own.wake_for(namespace, service, gone);
            });
        }
        this
    }

    fn set(&self, name: &str, service: Option<ApiService>) {
        let mut guard = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&guard);
        let old = match service {
            Some(service) => next.all.insert(name.to_owned(), Arc::new(service)),
            None => next.all.remove(name),
        };
        next.remotes = next.all.values().filter(|s| s.remote.is_some()).count();
        let new = next.all.get(name).and_then(|s| s.remote.clone());
        *guard = Arc::new(next);
        drop(guard);
        if new.is_none() {
            self.documents.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        } else if old.and_then(|s| s.remote.clone()) != new {
            self.changed.notify_one();
        }
    }

    fn wake_for(&self, namespace: &str, service: &str, prefix: bool) {
        let snapshot = self.snapshot();
        let leads_here = |remote: &Remote| {
            let named = if prefix { service.starts_with(&remote.name) } else { remote.name == service };
            named && remote.namespace == namespace
        };
        if snapshot.all.values().filter_map(|s| s.remote.as_ref()).any(leads_here) {
            self.changed.notify_one();
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The APIService whose server answers a path; `None` when we do.
    pub fn answers(&self, path: &str) -> Option<Arc<ApiService>> {
        let snapshot = self.snapshot();
        if snapshot.remotes == 0 {
            return None;
        }
        let mut parts = path.split('/').skip(1);
        let name = match (parts.next()?, parts.next()?) {
            ("apis", group) => format!("{}.{group}", parts.next().filter(|v| !v.is_empty())?),
            ("api", version) => format!("{version}."),
            _ => return None,
        };
        snapshot.all.get(&name).filter(|s| s.remote.is_some()).cloned()
    }

    /// The APIServices other servers answer, by name.
    fn remotes(&self) -> Vec<(String, Arc<ApiService>)> {
        let snapshot = self.snapshot();
        let remotes = snapshot.all.iter().filter(|(_, s)| s.remote.is_some());
        remotes.map(|(name, service)| (name.clone(), service.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let aggregator = Aggregator::default();
        let remote = Remote {
            namespace: "n".into(),
            name: "s".into(),
            port: 443,
            insecure: true,
            authority: Vec::new(),
        };
        let service = |remote| ApiService {
            group: "g.io".into(),
            version: "v1".into(),
            group_priority: 100,
            version_priority: 1,
            remote,
            available: true,
        };
        aggregator.set("v1.g.io", Some(service(Some(remote))));
        aggregator.set("v2.g.io", Some(service(None)));
        // path, whether another server answers it
        let table = [
            ("/apis/g.io/v1", true),
            ("/apis/g.io/v1/things/x", true),
            ("/apis/g.io/v2/things", false),
            ("/apis/g.io", false),
            ("/apis/g.io/", false),
            ("/apis", false),
            ("/api/v1/pods", false),
            ("/openapi/v2", false),
        ];
        for (path, expected) in table {
            assert_eq!(aggregator.answers(path).is_some(), expected, "{path}");
        }
    }
}
