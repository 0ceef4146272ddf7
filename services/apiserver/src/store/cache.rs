//! The watch cache: every object once, as bytes, in key order; a bounded history; the watchers.
//!
//! One feed ([`super::feed`]) writes, everybody else reads. A resource's map is persistent, so a list is a
//! snapshot taken in constant time.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use schema::Object;
use tokio::sync::{mpsc, watch};

use super::entry::{Entry, Key};
use super::event::Event;
use super::pieces::Pieces;
use super::trees::Trees;
use super::watcher::{Scope, Watchers};
use super::written::Written;
use crate::codec::DecodeError;
use crate::registry::{Resource, Unreadable};

/// The persistent map of one resource.
pub type Objects = imbl::OrdMap<Key, Arc<Entry>>;

/// Bytes of history kept over all resources.
const HISTORY_BYTES: usize = 24 << 20;
/// Pinned snapshots kept for paginated lists, over all resources.
const PINS: usize = 128;

/// Objects of one resource at one revision.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// All objects by key.
    pub objects: Objects,
    /// Objects by value of the index field, then key.
    pub index: imbl::OrdMap<(Box<str>, Key), Arc<Entry>>,
    /// The revision it shows.
    pub revision: i64,
}

struct State {
    objects: Objects,
    index: imbl::OrdMap<(Box<str>, Key), Arc<Entry>>,
    history: VecDeque<Arc<Event>>,
    /// Events after this revision are all in `history`.
    window: i64,
    last: i64,
    watchers: Watchers,
    pins: VecDeque<Snapshot>,
    written: Written,
    loaded: bool,
}

/// The cache of one resource.
pub struct ResourceCache {
    /// What is cached.
    pub resource: Arc<Resource>,
    /// Compressed parts of its lists.
    pub pieces: Pieces,
    trees: Trees,
    state: Mutex<State>,
    bytes: AtomicI64,
}

/// Where a watch begins.
pub struct Start {
    /// The state to send first, if asked for.
    pub initial: Option<Snapshot>,
    /// Events to replay.
    pub replay: Vec<Arc<Event>>,
    /// Events after that.
    pub live: mpsc::Receiver<Arc<Event>>,
    /// Everything up to this revision is in `initial` and `replay`.
    pub revision: i64,
}

/// A watch from before the retained window.
#[derive(Debug, Clone, Copy)]
pub struct TooOld {
    /// The oldest revision a watch may start from.
    pub oldest: i64,
}

impl ResourceCache {
    fn new(resource: Arc<Resource>) -> Self {
        let state = State {
            objects: Objects::new(),
            index: imbl::OrdMap::new(),
            history: VecDeque::new(),
            window: 0,
            last: 0,
            watchers: Watchers::default(),
            pins: VecDeque::new(),
            written: Written::default(),
            loaded: false,
        };
        let (pieces, trees) = Default::default();
        Self { resource, pieces, trees, state: Mutex::new(state), bytes: AtomicI64::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // a panic elsewhere leaves the maps whole: they are changed in one step each
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One object.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.state().objects.get(key).cloned()
    }

    /// The entry of a change as the feed meets it: made here, unless the request that wrote it did so.
    ///
    /// # Errors
    /// As [`Resource::take_in`].
    pub fn take_in(&self, key: &str, value: &[u8], revision: i64) -> Result<Arc<Entry>, Unreadable> {
        let written = self.state().written.take(key, revision);
        written.map_or_else(|| self.resource.take_in(key, value, revision).map(Arc::new), Ok)
    }

    /// The entry of a write of this server's own, which the feed is about to meet or has met.
    ///
    /// # Errors
    /// As [`Resource::take_in`].
    pub fn take_written(&self, key: &str, value: &[u8], revision: i64) -> Result<Arc<Entry>, Unreadable> {
        if let Some(cached) = self.get(key).filter(|cached| cached.revision == revision) {
            return Ok(cached);
        }
        let entry = Arc::new(self.resource.take_in(key, value, revision)?);
        let mut state = self.state();
        let reached = state.last;
        state.written.offer(&entry, reached);
        Ok(entry)
    }

    /// The decoded form of one of its objects.
    ///
    /// # Errors
    /// As [`Resource::decode`].
    pub fn tree(&self, entry: &Arc<Entry>) -> Result<Arc<Object>, DecodeError> {
        self.trees.get_or(entry, || self.resource.decode(entry))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.state().objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all objects.
    pub fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many watchers there are.
    pub fn watchers(&self) -> usize {
        self.state().watchers.len()
    }

    /// The present state; `at_least` is the cache's own revision.
    pub fn snapshot(&self, at_least: i64) -> Snapshot {
        let state = self.state();
        Snapshot {
            objects: state.objects.clone(),
            index: state.index.clone(),
            revision: state.last.max(at_least),
        }
    }

    /// Keeps a snapshot for the later pages of a list.
    pub fn pin(&self, snapshot: &Snapshot) {
        let mut state = self.state();
        if state.pins.iter().any(|p| p.revision == snapshot.revision) {
            return;
        }
        if state.pins.len() >= PINS {
            state.pins.pop_front();
        }
        state.pins.push_back(snapshot.clone());
    }

    /// The state at an exact revision: pinned, or the present one when nothing has changed since.
    pub fn at_revision(&self, revision: i64, reached: i64) -> Option<Snapshot> {
        let state = self.state();
        if state.loaded && state.last <= revision && revision <= reached {
            let (objects, index) = (state.objects.clone(), state.index.clone());
            return Some(Snapshot { objects, index, revision });
        }
        state.pins.iter().find(|p| p.revision == revision).cloned()
    }

    /// Starts a watch: with the present state, or with what happened after a revision.
    pub fn watch(&self, scope: Scope, after: Option<i64>, at_least: i64) -> Result<Start, TooOld> {
        let mut state = self.state();
        let revision = state.last.max(at_least);
        let mut replay = Vec::new();
        let mut initial = None;
        match after {
            None => {
                let (objects, index) = (state.objects.clone(), state.index.clone());
                initial = Some(Snapshot { objects, index, revision });
            }
            Some(after) if after < state.window => return Err(TooOld { oldest: state.window }),
            Some(after) => {
                let from = state.history.partition_point(|e| e.revision <= after);
                replay.extend(state.history.range(from..).cloned());
            }
        }
        let live = state.watchers.add(scope);
        Ok(Start { initial, replay, live, revision })
    }

    fn put(&self, entry: Arc<Entry>) -> Arc<Event> {
        let mut state = self.state();
        // offered while the feed was making its own
        drop(state.written.take(&entry.key, entry.revision));
        let previous = state.objects.insert(entry.key.clone(), entry.clone());
        if let Some(value) = previous.as_ref().and_then(|p| p.index.clone()) {
            state.index.remove(&(value, entry.key.clone()));
        }
        if let Some(value) = entry.index.clone() {
            state.index.insert((value, entry.key.clone()), entry.clone());
        }
        let grown = entry.cost() as i64 - previous.as_ref().map_or(0, |p| p.cost() as i64);
        self.bytes.fetch_add(grown, Ordering::Relaxed);
        let event = Arc::new(Event::put(entry, previous));
        self.publish(&mut state, &event);
        event
    }

    fn delete(&self, key: &str, revision: i64) -> Option<Arc<Event>> {
        let mut state = self.state();
        let previous = state.objects.remove(key)?;
        if let Some(value) = previous.index.clone() {
            state.index.remove(&(value, previous.key.clone()));
        }
        self.bytes.fetch_sub(previous.cost() as i64, Ordering::Relaxed);
        let event = Arc::new(Event::delete(previous, revision));
        self.publish(&mut state, &event);
        Some(event)
    }

    fn publish(&self, state: &mut State, event: &Arc<Event>) {
        state.last = state.last.max(event.revision);
        state.history.push_back(event.clone());
        let namespace = self.resource.namespace_of(&event.object.key);
        state.watchers.publish(event, namespace);
    }

    fn forget_oldest(&self) -> usize {
        let mut state = self.state();
        let Some(event) = state.history.pop_front() else { return 0 };
        state.window = event.revision;
        event.cost()
    }

    /// Takes in an object of the initial state: no event, no history.
    fn load(&self, entry: Entry) {
        let entry = Arc::new(entry);
        let mut state = self.state();
        if let Some(value) = entry.index.clone() {
            state.index.insert((value, entry.key.clone()), entry.clone());
        }
        self.bytes.fetch_add(entry.cost() as i64, Ordering::Relaxed);
        state.objects.insert(entry.key.clone(), entry);
    }

    fn reset(&self) {
        self.pieces.clear();
        self.trees.clear();
        let mut state = self.state();
        state.objects = Objects::new();
        state.index = imbl::OrdMap::new();
        state.history.clear();
        state.pins.clear();
        state.written = Written::default();
        state.watchers.close();
        state.loaded = false;
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn begin(&self, revision: i64) {
        let mut state = self.state();
        state.window = revision;
        state.last = revision;
        state.written.begin(revision);
        state.loaded = true;
    }
}

/// Resources by the age of their events with the bytes each keeps, and the sum.
type Order = (VecDeque<(Arc<ResourceCache>, usize)>, usize);

/// The caches of all resources behind one ordered feed.
pub struct Cache {
    resources: RwLock<BTreeMap<Arc<str>, Arc<ResourceCache>>>,
    revision: watch::Sender<i64>,
    /// Resources in the order their events came, for forgetting the oldest first.
    order: Mutex<Order>,
    /// What the store has forgotten, the cache does not tell either.
    compacted: AtomicI64,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            resources: RwLock::default(),
            revision: watch::Sender::new(0),
            order: Mutex::new((VecDeque::new(), 0)),
            compacted: AtomicI64::new(0),
        }
    }
}

impl Cache {
    /// Adds a resource, or finds its cache. A resource that vanished and came back starts empty.
    pub fn add(&self, resource: &Arc<Resource>) -> Arc<ResourceCache> {
        let known = |resources: &BTreeMap<Arc<str>, Arc<ResourceCache>>| {
            resources.get(&resource.prefix).filter(|found| Arc::ptr_eq(&found.resource, resource)).cloned()
        };
        // every request asks: nearly always it is there, and nobody waits for another
        if let Some(found) = known(&self.resources.read().unwrap_or_else(PoisonError::into_inner)) {
            return found;
        }
        let mut resources = self.resources.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known(&resources) {
            return found;
        }
        let cache = Arc::new(ResourceCache::new(resource.clone()));
        if let Some(old) = resources.insert(resource.prefix.clone(), cache.clone()) {
            old.reset();
        }
        cache
    }

    /// Drops a resource and ends its watches.
    pub fn remove(&self, prefix: &str) {
        let mut resources = self.resources.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = resources.remove(prefix) {
            old.reset();
        }
    }

    /// The cache a key belongs to.
    pub fn of_key(&self, key: &str) -> Option<Arc<ResourceCache>> {
        let resources = self.resources.read().unwrap_or_else(PoisonError::into_inner);
        let (prefix, cache) =
            resources.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        key.starts_with(&**prefix).then(|| cache.clone())
    }

    /// All caches.
    pub fn all(&self) -> Vec<Arc<ResourceCache>> {
        self.resources.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The revision the cache has reached.
    pub fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    /// Follows the revision.
    pub fn follow(&self) -> watch::Receiver<i64> {
        self.revision.subscribe()
    }

    /// Everything up to `revision` is in.
    pub fn reached(&self, revision: i64) {
        self.revision.send_if_modified(|r| {
            let newer = revision > *r;
            if newer {
                *r = revision;
            }
            newer
        });
    }

    /// Takes in one object of the initial state.
    pub fn load(&self, cache: &ResourceCache, entry: Entry) {
        cache.load(entry);
    }

    /// The initial state is complete at `revision`.
    pub fn begin(&self, revision: i64) {
        for cache in self.all() {
            cache.begin(revision);
        }
        self.reached(revision);
    }

    /// The state of one resource that joined later is complete at `revision`.
    pub fn begin_one(&self, cache: &ResourceCache, revision: i64) {
        cache.begin(revision);
    }

    /// Forgets everything and ends all watches: the feed lost its place.
    pub fn reset(&self) {
        for cache in self.all() {
            cache.reset();
        }
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        *order = (VecDeque::new(), 0);
    }

    /// An object was written.
    pub fn put(&self, cache: &Arc<ResourceCache>, entry: Arc<Entry>) {
        let event = cache.put(entry);
        self.remember(cache, &event);
    }

    /// An object was deleted.
    pub fn delete(&self, cache: &Arc<ResourceCache>, key: &str, revision: i64) {
        if let Some(event) = cache.delete(key, revision) {
            self.remember(cache, &event);
        }
    }

    fn remember(&self, cache: &Arc<ResourceCache>, event: &Event) {
        let cost = event.cost();
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        order.0.push_back((cache.clone(), cost));
        order.1 += cost;
        while order.1 > HISTORY_BYTES {
            let Some((oldest, cost)) = order.0.pop_front() else { break };
            order.1 -= cost;
            oldest.forget_oldest();
        }
    }

    /// Whether the store can be read no more at a revision.
    pub fn is_compacted(&self, revision: i64) -> bool {
        revision < self.compacted.load(Ordering::Relaxed)
    }

    /// Drops pinned snapshots below the compacted revision, and watchers whose client is gone.
    pub fn compacted(&self, revision: i64) {
        self.compacted.fetch_max(revision, Ordering::Relaxed);
        for cache in self.all() {
            let mut state = cache.state();
            state.pins.retain(|p| p.revision >= revision);
            state.watchers.sweep();
        }
    }

    /// Ends all watches: the server is going away.
    pub fn close_watches(&self) {
        for cache in self.all() {
            cache.state().watchers.close();
        }
    }
}
