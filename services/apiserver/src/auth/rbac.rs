//! RBAC and the node authorizer, fed from the cache.

use std::sync::{Arc, PoisonError, RwLock};

use auth::node::Graph;
use auth::rbac::{Binding, Policy, PolicyRule, Role, Verdict};
use auth::{Attributes as Asked, Subject};

use super::follow::follow;
use super::{Attributes, Authorizer, BoxFuture, Decision};
use crate::registry::Registry;
use crate::store::Store;
use crate::store::entry::Entry;

/// The policy as the cache shows it.
pub type SharedPolicy = Arc<RwLock<Policy>>;

const GROUP: &str = "rbac.authorization.k8s.io";

fn read<'a, T: serde::Deserialize<'a>>(entry: &'a Entry) -> Option<T> {
    match serde_json::from_slice(&entry.bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(key = %entry.key, error = %error, "unreadable role or binding");
            None
        }
    }
}

/// Follows roles and bindings.
pub fn policy(store: &Store, registry: &Registry) -> SharedPolicy {
    let shared = SharedPolicy::default();
    for plural in ["roles", "clusterroles", "rolebindings", "clusterrolebindings"] {
        let Some(endpoint) = registry.find(GROUP, "v1", plural) else { continue };
        let cache = store.cache.add(&endpoint.resource);
        let policy = shared.clone();
        let bindings = plural.ends_with("bindings");
        follow(store.cache.clone(), cache, move |namespace, name, entry| {
            let mut policy = policy.write().unwrap_or_else(PoisonError::into_inner);
            if bindings {
                policy.set_binding(namespace, name, entry.and_then(|e| read::<Binding>(e)));
            } else {
                policy.set_role(namespace, name, entry.and_then(|e| read::<Role>(e)));
            }
        });
    }
    shared
}

/// The question as the libraries ask it.
pub fn asked<'a>(a: &Attributes<'a>, fields: &'a [(&'a str, &'a str)]) -> Asked<'a> {
    Asked {
        subject: Subject { name: &a.user.name, groups: &a.user.groups },
        verb: a.info.verb,
        namespace: &a.info.namespace,
        group: &a.info.group,
        resource: &a.info.resource,
        subresource: &a.info.subresource,
        name: a.name,
        path: if a.info.is_resource { "" } else { &a.info.path },
        fields,
    }
}

/// The equality requirements of a raw field selector.
pub fn equalities(selector: &str) -> Vec<(&str, &str)> {
    let terms = selector.split(',').filter(|t| !t.contains("!="));
    terms.filter_map(|t| t.split_once('=').map(|(k, v)| (k, v.trim_start_matches('=')))).collect()
}

fn decision(verdict: Verdict) -> Decision {
    match verdict {
        Verdict::Allow(_) => Decision::Allow,
        Verdict::NoOpinion(reason) => Decision::NoOpinion(reason),
    }
}

/// RBAC.
pub struct Rbac(pub SharedPolicy);

impl Authorizer for Rbac {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Decision> {
        let fields = equalities(attributes.field_selector);
        let policy = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let decided = match policy.allows(&asked(attributes, &fields)) {
            Ok(()) => Decision::Allow,
            Err(reason) => Decision::NoOpinion(reason),
        };
        Box::pin(std::future::ready(decided))
    }
}

/// What each node may see, by what its pods refer to.
pub struct Nodes {
    graph: Arc<RwLock<Graph>>,
    rules: Vec<PolicyRule>,
}

impl Nodes {
    /// Follows pods, volumes, attachments and slices.
    pub fn new(store: &Store, registry: &Registry) -> Self {
        let graph = Arc::new(RwLock::new(Graph::default()));
        let feed = |group: &str, plural: &str, apply: fn(&mut Graph, &str, &str, Option<&Entry>)| {
            let Some(endpoint) = registry.find_any(group, plural) else { return };
            let cache = store.cache.add(&endpoint.resource);
            let graph = graph.clone();
            follow(store.cache.clone(), cache, move |namespace, name, entry| {
                let mut graph = graph.write().unwrap_or_else(PoisonError::into_inner);
                apply(&mut graph, namespace, name, entry.map(|e| &**e));
            });
        };
        feed("", "pods", |graph, namespace, name, entry| {
            // most changes are of pods that are bound to no node yet: the index knows without reading them
            let bound = entry.filter(|e| e.index.as_deref().is_some_and(|node| !node.is_empty()));
            let view = bound.and_then(|e| match auth::node::PodView::read(&e.bytes) {
                Ok(view) => view,
                Err(error) => {
                    tracing::error!(key = %e.key, error = %error, "unreadable pod");
                    None
                }
            });
            graph.set_pod(namespace, name, view);
        });
        feed("", "persistentvolumes", |graph, _, name, entry| {
            if let Err(error) = graph.set_volume(name, entry.map(|e| &*e.bytes)) {
                tracing::error!(name, error = %error, "unreadable volume");
            }
        });
        feed("storage.k8s.io", "volumeattachments", |graph, _, name, entry| {
            graph.set_attachment(name, entry.and_then(|e| e.str_at(&["spec", "nodeName"])).as_deref());
        });
        feed("resource.k8s.io", "resourceslices", |graph, _, name, entry| {
            graph.set_slice(name, entry.and_then(|e| e.str_at(&["spec", "nodeName"])).as_deref());
        });
        Self { graph, rules: auth::node::rules() }
    }
}

impl Authorizer for Nodes {
    fn authorize<'a>(&'a self, attributes: &'a Attributes<'a>) -> BoxFuture<'a, Decision> {
        let fields = equalities(attributes.field_selector);
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        let verdict = auth::node::authorize(&graph, &self.rules, &asked(attributes, &fields));
        Box::pin(std::future::ready(decision(verdict)))
    }
}
