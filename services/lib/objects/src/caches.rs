//! One shared cache per kind in the process.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use client::{Cache, CacheBuilder, Client, Key, Resource};
use tokio::sync::mpsc;

use crate::kind::project;
use crate::view::{OWN, OWNER, own, owners};
use crate::{Kind, View};

/// A change of a cached object, without its type.
pub(crate) struct Note {
    pub(crate) kind: TypeId,
    pub(crate) key: Key,
    pub(crate) revision: u64,
    pub(crate) old: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) new: Option<Arc<dyn Any + Send + Sync>>,
}

/// What is known of an object's presence.
pub(crate) struct Presence {
    pub(crate) uid: String,
    pub(crate) deleting: bool,
    pub(crate) revision: u64,
}

trait Erased: Send + Sync {
    fn snapshot(&self) -> Arc<dyn Any + Send + Sync>;
    fn presence(&self, key: &Key) -> Option<Presence>;
    fn keys(&self) -> Vec<Key>;
    fn synced(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    fn is_synced(&self) -> bool;
    fn follow(&self, notes: mpsc::UnboundedSender<Note>);
}

/// The caches of a process, by kind.
pub struct Caches {
    client: Client,
    caches: HashMap<TypeId, (Resource, Box<dyn Erased>)>,
}

impl std::fmt::Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caches").field("kinds", &self.caches.len()).finish_non_exhaustive()
    }
}

impl Caches {
    /// None yet.
    pub fn new(client: Client) -> Self {
        Self { client, caches: HashMap::new() }
    }

    /// Follows a kind, unless it is followed already. Must be called in a runtime.
    pub fn declare<K: Kind>(&mut self) {
        self.caches.entry(TypeId::of::<K>()).or_insert_with(|| {
            let builder = CacheBuilder::new(K::resource(), project::<K>).index(OWNER, owners).index(OWN, own);
            (K::resource(), Box::new(builder.start(self.client.clone())))
        });
    }

    /// What plans see now.
    pub fn view(&self) -> View {
        View { kinds: self.caches.iter().map(|(kind, (_, cache))| (*kind, cache.snapshot())).collect() }
    }

    /// Completes when every cache has its first list.
    pub async fn synced(&self) {
        for (_, cache) in self.caches.values() {
            cache.synced().await;
        }
    }

    /// The kinds still without their first list.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.caches.values().filter(|(_, cache)| !cache.is_synced());
        missing.map(|(resource, _)| resource.plural.to_string()).collect()
    }

    pub(crate) fn kind_of(&self, resource: &Resource) -> Option<TypeId> {
        self.caches.iter().find(|(_, (r, _))| r == resource).map(|(kind, _)| *kind)
    }

    pub(crate) fn presence(&self, kind: TypeId, key: &Key) -> Option<Presence> {
        self.caches.get(&kind)?.1.presence(key)
    }

    pub(crate) fn keys(&self, kind: TypeId) -> Vec<Key> {
        self.caches.get(&kind).map(|(_, cache)| cache.keys()).unwrap_or_default()
    }

    pub(crate) fn follow(&self, notes: &mpsc::UnboundedSender<Note>) {
        for (_, cache) in self.caches.values() {
            cache.follow(notes.clone());
        }
    }
}

pub(crate) fn revision<K: Kind>(object: &K) -> u64 {
    let text = object.metadata().resource_version.as_deref();
    text.and_then(|v| v.parse().ok()).unwrap_or(0)
}

impl<K: Kind> Erased for Cache<K> {
    fn snapshot(&self) -> Arc<dyn Any + Send + Sync> {
        Cache::snapshot(self)
    }

    fn presence(&self, key: &Key) -> Option<Presence> {
        let snapshot = Cache::snapshot(self);
        let object = snapshot.get(key)?;
        Some(Presence {
            uid: object.uid().into(),
            deleting: object.deleting(),
            revision: revision(object.as_ref()),
        })
    }

    fn keys(&self) -> Vec<Key> {
        Cache::snapshot(self).iter().map(|(key, _)| key.clone()).collect()
    }

    fn synced(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Cache::synced(self))
    }

    fn is_synced(&self) -> bool {
        Cache::is_synced(self)
    }

    fn follow(&self, notes: mpsc::UnboundedSender<Note>) {
        let mut changes = self.subscribe();
        tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                let newest = change.new.as_deref().or(change.old.as_deref());
                let note = Note {
                    kind: TypeId::of::<K>(),
                    key: change.key.clone(),
                    revision: newest.map_or(0, revision),
                    old: change.old.clone().map(|o| o as Arc<dyn Any + Send + Sync>),
                    new: change.new.clone().map(|o| o as Arc<dyn Any + Send + Sync>),
                };
                if notes.send(note).is_err() {
                    return; // the runtime ended
                }
            }
        });
    }
}
