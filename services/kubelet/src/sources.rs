//! ConfigMaps and Secrets that pods of this node refer to, each followed by a watch of its own while it is in use: the
//! node may read those and no others.
//!
//! # Upstream
//! `pkg/kubelet/util/manager/watch_based_manager.go`

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Cache, CacheBuilder, Client, Key, Resource};
use k8s_openapi::Metadata;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::broadcast;

use crate::pod::facts::PodFacts;

/// How long a first read may take before the object counts as not there.
const FIRST_READ: Duration = Duration::from_secs(10);

/// What a pod refers to, as it is now.
#[derive(Debug, Clone, Default)]
pub struct Materials {
    /// ConfigMaps of the pod's namespace by name.
    pub config_maps: HashMap<String, Arc<ConfigMap>>,
    /// Secrets of the pod's namespace by name.
    pub secrets: HashMap<String, Arc<Secret>>,
}

/// Names of what a pod refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
}

/// Follows what is in use.
#[derive(Debug)]
pub struct Sources {
    client: Client,
    config_maps: Followed<ConfigMap>,
    secrets: Followed<Secret>,
    changed: broadcast::Sender<Key>,
}

type Followed<P> = Mutex<HashMap<Key, Cache<P>>>;

impl Sources {
    /// Nothing is followed yet.
    pub fn new(client: Client) -> Self {
        let (changed, _) = broadcast::channel(256);
        Self { client, config_maps: Mutex::default(), secrets: Mutex::default(), changed }
    }

    /// Keys of objects that changed, of either kind.
    pub fn subscribe(&self) -> broadcast::Receiver<Key> {
        self.changed.subscribe()
    }

    /// What a pod refers to; what does not exist is left out.
    pub async fn load(&self, pod: &Pod) -> Materials {
        let references = references(pod);
        let mut out = Materials::default();
        for name in references.config_maps {
            let cache = self.follow(&self.config_maps, Resource::of::<ConfigMap>(), pod.namespace(), &name);
            if let Some(found) = read(cache, Key::new(pod.namespace(), &name)).await {
                out.config_maps.insert(name, found);
            }
        }
        for name in references.secrets {
            let cache = self.follow(&self.secrets, Resource::of::<Secret>(), pod.namespace(), &name);
            if let Some(found) = read(cache, Key::new(pod.namespace(), &name)).await {
                out.secrets.insert(name, found);
            }
        }
        out
    }

    /// Stops following what none of these pods refers to.
    pub fn retain(&self, pods: &[Arc<Pod>]) {
        let (mut maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        for pod in pods {
            let references = references(pod);
            maps.extend(references.config_maps.into_iter().map(|n| Key::new(pod.namespace(), n)));
            secrets.extend(references.secrets.into_iter().map(|n| Key::new(pod.namespace(), n)));
        }
        self.config_maps.lock().unwrap_or_else(PoisonError::into_inner).retain(|k, _| maps.contains(k));
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).retain(|k, _| secrets.contains(k));
    }

    fn follow<P>(&self, all: &Followed<P>, resource: Resource, namespace: &str, name: &str) -> Cache<P>
    where
        P: serde::de::DeserializeOwned + Metadata<Ty = ObjectMeta> + Send + Sync + 'static,
    {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key::new(namespace, name);
        if let Some(cache) = all.get(&key) {
            return cache.clone();
        }
        let cache = CacheBuilder::new(resource, crate::kept::<P>)
            .namespace(namespace)
            .field_selector(format!("metadata.name={name}"))
            .start(self.client.clone());
        let (mut changes, changed) = (cache.subscribe(), self.changed.clone());
        tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                // nobody listening yet: then nothing has to be told either
                if changed.send(change.key.clone()).is_err() {
                    tracing::trace!("Nobody follows changes of ConfigMaps and Secrets");
                }
            }
        });
        all.insert(key, cache.clone());
        cache
    }
}

async fn read<P: Send + Sync + 'static>(cache: Cache<P>, key: Key) -> Option<Arc<P>> {
    if tokio::time::timeout(FIRST_READ, cache.synced()).await.is_err() {
        tracing::warn!(object = %key, "Reading an object a pod refers to took too long");
    }
    cache.snapshot().get(&key).cloned()
}

/// What a pod refers to. Pure.
///
/// # Upstream
/// `pkg/api/v1/pod/util.go` `VisitPodSecretNames`, `VisitPodConfigmapNames`
pub fn references(pod: &Pod) -> References {
    let spec = pod.facts();
    let mut out = References::default();
    out.secrets.extend(spec.image_pull_secrets.iter().flatten().map(|r| r.name.clone()));
    for (_, c) in pod.containers() {
        for source in c.env_from.iter().flatten() {
            out.config_maps.extend(source.config_map_ref.as_ref().map(|r| r.name.clone()));
            out.secrets.extend(source.secret_ref.as_ref().map(|r| r.name.clone()));
        }
        for source in c.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
            out.config_maps.extend(source.config_map_key_ref.as_ref().map(|r| r.name.clone()));
            out.secrets.extend(source.secret_key_ref.as_ref().map(|r| r.name.clone()));
        }
    }
    for volume in spec.volumes.iter().flatten() {
        out.config_maps.extend(volume.config_map.as_ref().map(|s| s.name.clone()));
        out.secrets.extend(volume.secret.as_ref().and_then(|s| s.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            out.config_maps.extend(source.config_map.as_ref().map(|s| s.name.clone()));
            out.secrets.extend(source.secret.as_ref().map(|s| s.name.clone()));
        }
    }
    out.config_maps.remove("");
    out.secrets.remove("");
    out
}
