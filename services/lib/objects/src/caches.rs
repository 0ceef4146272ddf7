//! One shared cache per kind in the process.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use client::{Cache, CacheBuilder, Client, Key, Resource, Snapshot};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::view::{OWN, OWNER, own, owners};
use crate::{Kind, View};

/// A change of a cached object, without its type.
pub struct Note {
    /// Its kind.
    pub kind: TypeId,
    /// Its key.
    pub key: Key,
    /// Its revision.
    pub revision: u64,
    /// What it was.
    pub old: Option<Arc<dyn Any + Send + Sync>>,
    /// What it is.
    pub new: Option<Arc<dyn Any + Send + Sync>>,
}

impl std::fmt::Debug for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Note")
            .field("key", &self.key)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// What is known of an object's presence.
#[derive(Debug, Clone)]
pub struct Presence {
    /// Its uid.
    pub uid: String,
    /// Whether its deletion has begun.
    pub deleting: bool,
    /// Its revision.
    pub revision: u64,
}

/// A kind's cache, without its type.
pub trait Follower: Send + Sync {
    /// What is there now: a `Snapshot` of the kind.
    fn snapshot(&self) -> Arc<dyn Any + Send + Sync>;
    /// Whether and how an object is there.
    fn presence(&self, key: &Key) -> Option<Presence>;
    /// All keys.
    fn keys(&self) -> Vec<Key>;
    /// Completes with the first list.
    fn synced(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Whether the first list is in.
    fn is_synced(&self) -> bool;
    /// Sends every change from now on, what is there first.
    fn follow(&self, notes: mpsc::UnboundedSender<Note>);
}

/// The caches of a process, by kind.
pub struct Caches {
    client: Client,
    caches: HashMap<TypeId, (Resource, Box<dyn Follower>)>,
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
        self.caches
            .entry(TypeId::of::<K>())
            .or_insert_with(|| (K::resource(), K::start_cache(self.client.clone())));
    }

    /// What plans see now.
    pub fn view(&self) -> View {
        View::of(self.caches.iter().map(|(kind, (_, cache))| (*kind, cache.snapshot())).collect())
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

    /// The kind of a resource, if it is followed.
    pub fn kind_of(&self, resource: &Resource) -> Option<TypeId> {
        self.caches.iter().find(|(_, (r, _))| r == resource).map(|(kind, _)| *kind)
    }

    /// The resource of a kind, if it is followed.
    pub fn resource_of(&self, kind: TypeId) -> Option<&Resource> {
        self.caches.get(&kind).map(|(resource, _)| resource)
    }

    /// Whether and how an object is there.
    pub fn presence(&self, kind: TypeId, key: &Key) -> Option<Presence> {
        self.caches.get(&kind)?.1.presence(key)
    }

    /// All keys of a kind.
    pub fn keys(&self, kind: TypeId) -> Vec<Key> {
        self.caches.get(&kind).map(|(_, cache)| cache.keys()).unwrap_or_default()
    }

    /// Sends every change of every kind, what is there first.
    pub fn follow(&self, notes: &mpsc::UnboundedSender<Note>) {
        for (_, cache) in self.caches.values() {
            cache.follow(notes.clone());
        }
    }
}

fn revision<K: Kind>(object: &K) -> u64 {
    object.revision().parse().unwrap_or(0)
}

/// See [`Kind::start_cache`].
pub(crate) fn start<K: Kind>(client: Client) -> Box<dyn Follower> {
    let builder = CacheBuilder::new(K::resource(), K::project).index(OWNER, owners).index(OWN, own);
    Box::new(builder.start(client))
}

/// See [`Kind::snapshot_of`].
pub(crate) fn snapshot_of<K: Kind>(
    values: Vec<Value>,
) -> Result<Arc<dyn Any + Send + Sync>, serde_json::Error> {
    let mut snapshot = Snapshot::empty([OWNER, OWN]);
    let indexed = |i: usize, object: &K| if i == 0 { owners(object) } else { own(object) };
    for value in values {
        let object = K::project(value.to_string().as_bytes())?;
        snapshot.replace(&object.key(), Some(Arc::new(object)), &indexed);
    }
    Ok(Arc::new(snapshot))
}

impl<K: Kind> Follower for Cache<K> {
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
