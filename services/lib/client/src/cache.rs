//! A cache of projections: one reflector per kind in a process, however many read it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{mpsc, watch};

use crate::{Client, Key, ListParams, Resource, Sent, Snapshot, WatchEvent, Watcher};

/// Makes what is kept of an object from its JSON.
pub type Project<P> = fn(&[u8]) -> Result<P, serde_json::Error>;
/// The values under which an index finds an object.
pub type IndexValues<P> = fn(&P) -> Vec<String>;

/// One object changed: `old` is `None` when it appeared, `new` when it vanished.
#[derive(Debug)]
pub struct Change<P> {
    /// Which.
    pub key: Key,
    /// Before.
    pub old: Option<Arc<P>>,
    /// After.
    pub new: Option<Arc<P>>,
}

/// Changes in order, from the moment of subscription on.
pub type Changes<P> = mpsc::UnboundedReceiver<Arc<Change<P>>>;

/// A cache that follows one resource. Clones share it; it stops when the last one is gone.
pub struct Cache<P> {
    shared: Arc<Shared<P>>,
    synced: watch::Receiver<bool>,
}

struct Shared<P> {
    snapshot: RwLock<Arc<Snapshot<P>>>,
    subscribers: Mutex<Vec<mpsc::UnboundedSender<Arc<Change<P>>>>>,
    project: Project<P>,
    indexes: Vec<(&'static str, IndexValues<P>)>,
}

/// Says what a cache holds, before it starts.
pub struct CacheBuilder<P> {
    resource: Resource,
    namespace: String,
    selectors: ListParams,
    project: Project<P>,
    indexes: Vec<(&'static str, IndexValues<P>)>,
}

impl<P> Clone for Cache<P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), synced: self.synced.clone() }
    }
}

impl<P> std::fmt::Debug for Cache<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("objects", &self.snapshot().len()).finish_non_exhaustive()
    }
}

impl<P: Send + Sync + 'static> CacheBuilder<P> {
    /// A cache of a whole resource.
    pub fn new(resource: Resource, project: Project<P>) -> Self {
        let (namespace, selectors) = (String::new(), ListParams::default());
        Self { resource, namespace, selectors, project, indexes: Vec::new() }
    }

    /// Only one namespace.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = namespace.to_owned();
        self
    }

    /// Only what a field selector lets through.
    pub fn field_selector(mut self, selector: impl Into<String>) -> Self {
        self.selectors.field_selector = selector.into();
        self
    }

    /// Only what a label selector lets through.
    pub fn label_selector(mut self, selector: impl Into<String>) -> Self {
        self.selectors.label_selector = selector.into();
        self
    }

    /// An index for `Snapshot::by`.
    pub fn index(mut self, name: &'static str, values: IndexValues<P>) -> Self {
        self.indexes.push((name, values));
        self
    }

    /// Starts following, on the current runtime.
    pub fn start(self, client: Client) -> Cache<P> {
        let (synced_sender, synced) = watch::channel(false);
        let shared = Arc::new(Shared {
            snapshot: RwLock::new(Arc::new(Snapshot::empty(self.indexes.iter().map(|(name, _)| *name)))),
            subscribers: Mutex::new(Vec::new()),
            project: self.project,
            indexes: self.indexes,
        });
        let weak = Arc::downgrade(&shared);
        let mut watcher = Watcher::new(client, self.resource, &self.namespace, self.selectors);
        tokio::spawn(async move {
            let mut listed: Option<HashSet<Key>> = None;
            loop {
                let event = tokio::select! {
                    event = watcher.next() => event,
                    () = synced_sender.closed() => return,
                };
                let Some(shared) = weak.upgrade() else { return };
                if shared.take(event, &mut listed) {
                    synced_sender.send_replace(true);
                }
            }
        });
        Cache { shared, synced }
    }
}

impl<P> Cache<P> {
    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot<P>> {
        Arc::clone(&self.shared.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Completes when the first list is in.
    pub async fn synced(&self) {
        let mut synced = self.synced.clone();
        // the sender lives as long as the reflector, which lives as long as this cache
        if synced.wait_for(|done| *done).await.is_err() {
            tracing::error!("A cache's reflector ended");
        }
    }

    /// Whether the first list is in.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Changes from now on, preceded by everything known now as appearing.
    pub fn subscribe(&self) -> Changes<P> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut subscribers = self.shared.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        // under the subscribers' lock no change is sent, so none is missed or seen twice
        for (key, object) in self.snapshot().iter() {
            let change = Change { key: key.clone(), old: None, new: Some(Arc::clone(object)) };
            if sender.send(Arc::new(change)).is_err() {
                break; // cannot be: the receiver is in our hand
            }
        }
        subscribers.push(sender);
        receiver
    }
}

impl<P> Shared<P> {
    /// Takes an event in; true when a list has just become complete.
    fn take(&self, event: WatchEvent, listed: &mut Option<HashSet<Key>>) -> bool {
        match event {
            WatchEvent::Listing => *listed = Some(HashSet::new()),
            WatchEvent::Listed(sent) => {
                if let Some(object) = self.decode(&sent) {
                    if let Some(listed) = listed {
                        listed.insert(sent.key.clone());
                    }
                    self.change(sent.key, Some(object));
                }
            }
            WatchEvent::ListDone => {
                if let Some(listed) = listed.take() {
                    self.sweep(&listed);
                }
                return true;
            }
            WatchEvent::Applied(sent) => {
                if let Some(object) = self.decode(&sent) {
                    self.change(sent.key, Some(object));
                }
            }
            WatchEvent::Deleted(sent) => self.change(sent.key, None),
        }
        false
    }

    /// An object that cannot be read is logged and left out: one bad object must not stop the others.
    fn decode(&self, sent: &Sent) -> Option<P> {
        match (self.project)(&sent.bytes) {
            Ok(object) => Some(object),
            Err(e) => {
                let error = &e as &dyn std::error::Error;
                tracing::error!(key = %sent.key, error, "Object left out of the cache");
                None
            }
        }
    }

    fn sweep(&self, listed: &HashSet<Key>) {
        let known = Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner));
        for (key, _) in known.iter().filter(|(key, _)| !listed.contains(key)) {
            self.change(key.clone(), None);
        }
    }

    fn change(&self, key: Key, new: Option<P>) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = new.map(Arc::new);
        let values = |i: usize, p: &P| (self.indexes[i].1)(p);
        let old = {
            let mut current = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            // in place when nobody holds the snapshot, else a clone that shares all but the path to the change
            Arc::make_mut(&mut current).replace(&key, new.clone(), &values)
        };
        if old.is_none() && new.is_none() {
            return;
        }
        let change = Arc::new(Change { key, old, new });
        subscribers.retain(|s| s.send(Arc::clone(&change)).is_ok());
    }
}
