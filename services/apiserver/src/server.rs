//! The server: what every request needs, in one place.

use std::sync::{Arc, PoisonError, RwLock};

use schema::Object;

use crate::admission::Chain;
use crate::auth::{Authenticator, Authorizer};
use crate::endpoints::health::Health;
use crate::endpoints::metrics::Metrics;
use crate::errors::{self, Result};
use crate::registry::{Endpoint, Registry, Resource};
use crate::settings::Settings;
use crate::store::Store;
use crate::store::cache::ResourceCache;
use crate::store::entry::Entry;

/// So few objects of a resource are worth keeping decoded: all writes look at the same ones.
const FEW: usize = 16;

/// Everything a request needs.
pub struct Server {
    /// The configuration.
    pub settings: Settings,
    /// Storage and cache.
    pub store: Arc<Store>,
    /// Who asks.
    pub authenticator: Box<dyn Authenticator>,
    /// Who may.
    pub authorizer: Box<dyn Authorizer>,
    /// What is let in.
    pub admission: Chain,
    /// What a request is of: FlowSchemas and their levels.
    pub flows: crate::flow::Flows,
    /// How many requests are worked on.
    pub in_flight: crate::http::limits::InFlight,
    /// The audit log, if there is one.
    pub audit: Option<Arc<crate::audit::Audit>>,
    /// Readiness.
    pub health: Health,
    /// Figures.
    pub metrics: Metrics,
    /// Service account keys.
    pub tokens: crate::auth::tokens::Tokens,
    /// Judges tokens for reviews.
    pub token_authenticator: Option<Arc<crate::auth::tokens::TokenAuthenticator>>,
    /// Roles and bindings.
    pub policy: crate::auth::rbac::SharedPolicy,
    /// The way to kubelets.
    pub kubelets: crate::sub::forward::Kubelets,
    /// Discovery and OpenAPI.
    pub documents: crate::endpoints::documents::Documents,
    /// API servers behind this one.
    pub aggregator: Arc<crate::aggregate::Aggregator>,
    /// What agents join by.
    pub supervisor: Option<Arc<crate::supervisor::Supervisor>>,
    /// What is served; swapped whole.
    pub registry: RwLock<Arc<Registry>>,
}

impl Server {
    /// The present snapshot of what is served.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn swap(&self, change: impl FnOnce(&Registry) -> Registry) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        *registry = Arc::new(change(&registry));
    }

    /// Serves a resource from now on, or serves it anew: its cache is filled before anybody can ask.
    pub async fn serve(&self, resource: Arc<Resource>) {
        self.store.add(&resource).await;
        self.swap(|registry| registry.with(resource));
    }

    /// Serves a resource no more: its watches end, its objects stay in the store.
    pub fn stop_serving(&self, resource: &Resource) {
        self.swap(|registry| registry.without(&resource.prefix));
        self.store.remove(resource);
    }

    /// What serves a resource in its preferred version; built-in ones are always there.
    pub fn endpoint(&self, group: &str, plural: &str) -> Result<Arc<Endpoint>> {
        let registry = self.registry();
        let found = registry.find_any(group, plural).cloned();
        found.ok_or_else(|| errors::internal(format!("resource {plural} of group {group:?} is not served")))
    }

    /// The cache of a resource.
    pub fn cache_of(&self, group: &str, plural: &str) -> Result<Arc<ResourceCache>> {
        Ok(self.store.cache.add(&self.endpoint(group, plural)?.resource))
    }

    /// An object from the cache: for admission and lookups that bear a moment's delay.
    pub fn peek(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Object>>> {
        let cache = self.cache_of(group, plural)?;
        let entry = cache.get(&cache.resource.key(namespace, name));
        entry.map(|e| cache.tree(&e)).transpose().map_err(errors::internal)
    }

    /// An object as the store has it now.
    pub async fn read(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Object>> {
        let cache = self.cache_of(group, plural)?;
        let entry = self.store.get_stored(&cache, &cache.resource.key(namespace, name), 0).await?;
        entry.map(|e| cache.resource.decode(&e)).transpose().map_err(errors::internal)
    }

    /// All objects of a resource in a namespace (empty: everywhere) from the cache, decoded.
    pub fn peek_objects(&self, group: &str, plural: &str, namespace: &str) -> Result<Vec<Arc<Object>>> {
        let cache = self.cache_of(group, plural)?;
        let entries = self.entries(&cache, namespace);
        let tree = |e: &Arc<Entry>| match entries.len() {
            ..=FEW => cache.tree(e),
            _ => cache.resource.decode(e).map(Arc::new), // many are looked at once, if at all
        };
        entries.iter().map(|e| tree(e).map_err(errors::internal)).collect()
    }

    fn entries(&self, cache: &ResourceCache, namespace: &str) -> Vec<Arc<Entry>> {
        if cache.is_empty() {
            return Vec::new(); // as most namespaces have no limit range and no quota
        }
        let prefix = cache.resource.list_prefix(namespace);
        let snapshot = cache.snapshot(self.store.cache.revision());
        let from = Arc::<str>::from(prefix.as_str());
        let found = snapshot.objects.range(from..).take_while(|(k, _)| k.starts_with(prefix.as_str()));
        found.map(|(_, e)| e.clone()).collect()
    }
}
