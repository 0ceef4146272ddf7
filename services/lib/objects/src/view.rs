//! What a plan sees: immutable snapshots of the caches.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use client::{Key, Snapshot};

use crate::Kind;

/// The index by controlling owner's uid, of every cache.
pub(crate) const OWNER: &str = "owner";
/// The index of a kind's own, see [`Kind::indexed`].
pub(crate) const OWN: &str = "own";

/// Snapshots of the caches by kind. A kind nobody declared is empty.
#[derive(Clone, Default, Debug)]
pub struct View {
    pub(crate) kinds: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    backwards: bool,
}

/// An iterator as it is, or from its end.
enum Order<I, T> {
    Forwards(I),
    Backwards(std::iter::Rev<std::vec::IntoIter<T>>),
}

impl<T, I: Iterator<Item = T>> Iterator for Order<I, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            Self::Forwards(inner) => inner.next(),
            Self::Backwards(inner) => inner.next(),
        }
    }
}

impl View {
    /// Of these snapshots.
    pub(crate) fn of(kinds: HashMap<TypeId, Arc<dyn Any + Send + Sync>>) -> Self {
        Self { kinds, backwards: false }
    }

    /// Shows a snapshot of a kind, see [`Kind::snapshot_of`].
    pub fn show<K: Kind>(&mut self, snapshot: Arc<dyn Any + Send + Sync>) {
        self.kinds.insert(TypeId::of::<K>(), snapshot);
    }

    /// The same objects, listed from the end: what a plan must not depend on.
    pub fn backwards(mut self) -> Self {
        self.backwards = true;
        self
    }

    fn kind<K: Kind>(&self) -> Option<&Snapshot<K>> {
        self.kinds.get(&TypeId::of::<K>()).and_then(|s| s.downcast_ref())
    }

    fn order<T, I: Iterator<Item = T>>(&self, inner: I) -> Order<I, T> {
        if self.backwards {
            Order::Backwards(inner.collect::<Vec<_>>().into_iter().rev())
        } else {
            Order::Forwards(inner)
        }
    }

    /// One object.
    pub fn get<K: Kind>(&self, key: &Key) -> Option<&Arc<K>> {
        self.kind::<K>()?.get(key)
    }

    /// The object of a name in a namespace.
    pub fn named<K: Kind>(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        self.get(&Key::new(namespace, name))
    }

    /// The objects of a namespace.
    pub fn list<'a, K: Kind>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<K>> {
        let found = self.kind::<K>().into_iter().flat_map(move |s| s.namespace(namespace));
        self.order(found.map(|(_, object)| object))
    }

    /// All objects.
    pub fn all<K: Kind>(&self) -> impl Iterator<Item = &Arc<K>> {
        self.order(self.kind::<K>().into_iter().flat_map(Snapshot::iter).map(|(_, object)| object))
    }

    /// The objects an owner controls.
    pub fn owned<'a, K: Kind>(&'a self, uid: &'a str) -> impl Iterator<Item = &'a Arc<K>> {
        let found = self.kind::<K>().into_iter().flat_map(move |s| s.by(OWNER, uid));
        self.order(found.map(|(_, object)| object))
    }

    /// The objects of a namespace that no owner controls.
    pub fn orphans<K: Kind>(&self, namespace: &str) -> Vec<&Arc<K>> {
        let value = orphans(namespace);
        let found = self.kind::<K>().into_iter().flat_map(|s| s.by(OWNER, &value)).map(|(_, object)| object);
        self.order(found).collect()
    }

    /// The objects the kind's own index holds under a value (a node's pods).
    pub fn indexed<'a, K: Kind>(&'a self, value: &'a str) -> impl Iterator<Item = &'a Arc<K>> {
        let found = self.kind::<K>().into_iter().flat_map(move |s| s.by(OWN, value));
        self.order(found.map(|(_, object)| object))
    }
}

fn orphans(namespace: &str) -> String {
    format!("orphans/{namespace}")
}

pub(crate) fn owners<K: Kind>(object: &K) -> Vec<String> {
    vec![object.controller().map_or_else(|| orphans(object.namespace()), |o| o.uid.clone())]
}

pub(crate) fn own<K: Kind>(object: &K) -> Vec<String> {
    object.indexed().map(str::to_owned).into_iter().collect()
}
