//! What a cache knows at one moment.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::Key;

/// What a cache knows at one moment: immutable, cheap to clone, sharing what did not change.
#[derive(Debug)]
pub struct Snapshot<P> {
    objects: OrdMap<Key, Arc<P>>,
    indexes: Vec<(&'static str, OrdMap<String, OrdSet<Key>>)>,
}

impl<P> Clone for Snapshot<P> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone(), indexes: self.indexes.clone() }
    }
}

impl<P> Snapshot<P> {
    /// An empty one with the named indexes.
    pub fn empty(indexes: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            objects: OrdMap::new(),
            indexes: indexes.into_iter().map(|name| (name, OrdMap::new())).collect(),
        }
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<P>> {
        self.objects.get(key)
    }

    /// All objects by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<P>)> {
        self.objects.iter()
    }

    /// The objects of one namespace.
    pub fn namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Arc<P>)> {
        self.objects.range(Key::new(namespace, "")..).take_while(move |(k, _)| k.namespace == namespace)
    }

    /// The objects an index holds under a value; nothing for an index that was not declared.
    pub fn by<'a>(&'a self, index: &str, value: &str) -> impl Iterator<Item = (&'a Key, &'a Arc<P>)> {
        let keys = self.indexes.iter().find(|(name, _)| *name == index).and_then(|(_, map)| map.get(value));
        keys.into_iter().flatten().filter_map(|key| self.objects.get_key_value(key))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Puts an object (`Some`) or takes it out, giving what was there. `values` are the index values, in the order
    /// of the indexes' declaration, of any object.
    pub fn replace(
        &mut self,
        key: &Key,
        object: Option<Arc<P>>,
        values: &dyn Fn(usize, &P) -> Vec<String>,
    ) -> Option<Arc<P>> {
        let old = match &object {
            Some(new) => self.objects.insert(key.clone(), Arc::clone(new)),
            None => self.objects.remove(key),
        };
        for (i, (_, map)) in self.indexes.iter_mut().enumerate() {
            let before = old.as_deref().map(|o| values(i, o)).unwrap_or_default();
            let after = object.as_deref().map(|o| values(i, o)).unwrap_or_default();
            for value in before.iter().filter(|v| !after.contains(v)) {
                let emptied = map.get_mut(value).is_some_and(|keys| {
                    keys.remove(key);
                    keys.is_empty()
                });
                if emptied {
                    map.remove(value);
                }
            }
            for value in after.into_iter().filter(|v| !before.contains(v)) {
                map.entry(value).or_default().insert(key.clone());
            }
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_follow_objects() {
        let values = |_: usize, p: &String| vec![p.clone()];
        let mut s = Snapshot::empty(["node"]);
        let (a, b) = (Key::new("x", "a"), Key::new("x", "b"));
        s.replace(&a, Some(Arc::new("n1".to_owned())), &values);
        s.replace(&b, Some(Arc::new("n1".to_owned())), &values);
        let before = s.clone();
        s.replace(&a, Some(Arc::new("n2".to_owned())), &values);
        s.replace(&b, None, &values);
        let names = |s: &Snapshot<String>, node: &str| {
            s.by("node", node).map(|(k, _)| k.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&before, "n1"), ["a", "b"]);
        assert_eq!((names(&s, "n1"), names(&s, "n2")), (vec![], vec!["a".to_owned()]));
        assert_eq!(s.namespace("x").count(), 1);
        assert_eq!(s.namespace("y").count(), 0);
    }
}
