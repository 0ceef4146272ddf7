//! The watchers of one resource, in buckets, so that an event costs only those that may want it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::event::Event;

/// How many events may wait for a slow watcher before it is ended.
pub const QUEUE: usize = 1024;

/// Which part of a resource a watcher is about; the narrowest that is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everything.
    All,
    /// One namespace.
    Namespace(Box<str>),
    /// One object, by its full key.
    Object(Box<str>),
    /// Objects whose index field has a value.
    Index(Box<str>),
}

/// All watchers of one resource.
#[derive(Debug, Default)]
pub struct Watchers {
    buckets: HashMap<Scope, Vec<mpsc::Sender<Arc<Event>>>>,
    count: usize,
}

impl Watchers {
    /// Adds a watcher; gives the receiving end.
    pub fn add(&mut self, scope: Scope) -> mpsc::Receiver<Arc<Event>> {
        let (tx, rx) = mpsc::channel(QUEUE);
        self.count += 1;
        self.buckets.entry(scope).or_default().push(tx);
        rx
    }

    /// How many there are; those gone are counted until the next event for them.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Hands an event to those that may want it. Who is gone or has fallen behind is dropped: its stream ends
    /// and the client starts again from where it was.
    pub fn publish(&mut self, event: &Arc<Event>, namespace: &str) {
        if self.buckets.is_empty() {
            return;
        }
        self.send(&Scope::All, event);
        if !namespace.is_empty() {
            self.send(&Scope::Namespace(namespace.into()), event);
        }
        self.send(&Scope::Object(Box::from(&*event.object.key)), event);
        let now = event.object.index.as_deref();
        let before = event.previous.as_ref().and_then(|p| p.index.as_deref());
        if let Some(value) = now {
            self.send(&Scope::Index(value.into()), event);
        }
        if let Some(value) = before.filter(|b| Some(*b) != now) {
            self.send(&Scope::Index(value.into()), event);
        }
    }

    fn send(&mut self, scope: &Scope, event: &Arc<Event>) {
        let Some(bucket) = self.buckets.get_mut(scope) else { return };
        let had = bucket.len();
        bucket.retain(|tx| tx.try_send(event.clone()).is_ok());
        self.count -= had - bucket.len();
        if bucket.is_empty() {
            self.buckets.remove(scope);
        }
    }

    /// Drops those whose client is gone, for resources that change rarely.
    pub fn sweep(&mut self) {
        let mut count = 0;
        self.buckets.retain(|_, bucket| {
            bucket.retain(|tx| !tx.is_closed());
            count += bucket.len();
            !bucket.is_empty()
        });
        self.count = count;
    }

    /// Ends all streams.
    pub fn close(&mut self) {
        self.buckets.clear();
        self.count = 0;
    }
}
