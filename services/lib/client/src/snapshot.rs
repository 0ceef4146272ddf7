//! What a cache knows at one moment.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::Key;

/// What a cache knows at one moment: immutable, cheap to clone, sharing what did not change.
#[derive(Debug)]
pub struct Snapshot<P> {
    /// A key is there once; what finds the object by other values points to it.
    objects: OrdMap<Arc<Key>, Arc<P>>,
    indexes: Vec<(&'static str, OrdSet<Found>)>,
}

/// That an object is found under a value. One flat set of these takes less than a set for each value: most values have few
/// objects. An empty key is before all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    value: Arc<str>,
    key: Arc<Key>,
}

impl<P> Clone for Snapshot<P> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone(), indexes: self.indexes.clone() }
    }
}

/// What an index holds under a value.
fn under<'a>(set: &'a OrdSet<Found>, value: &str) -> impl Iterator<Item = &'a Found> + use<'a> {
    let first = Found { value: value.into(), key: Arc::default() };
    let value = Arc::clone(&first.value);
    set.range::<_, Found>(first..).take_while(move |found| found.value == value)
}

impl<P> Snapshot<P> {
    /// An empty one with the named indexes.
    pub fn empty(indexes: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            objects: OrdMap::new(),
            indexes: indexes.into_iter().map(|name| (name, OrdSet::new())).collect(),
        }
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<P>> {
        self.objects.get(key)
    }

    /// All objects by key.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<P>)> {
        self.objects.iter().map(|(key, object)| (&**key, object))
    }

    /// The objects of one namespace.
    pub fn namespace<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = (&'a Key, &'a Arc<P>)> {
        let found = self.objects.range::<_, Key>(Key::new(namespace, "")..);
        found.take_while(move |(k, _)| k.namespace == namespace).map(|(key, object)| (&**key, object))
    }

    /// The objects an index holds under a value; nothing for an index that was not declared.
    pub fn by<'a>(&'a self, index: &str, value: &str) -> impl Iterator<Item = (&'a Key, &'a Arc<P>)> {
        let found = self.indexes.iter().find(|(name, _)| *name == index).map(|(_, set)| under(set, value));
        let object = |found: &'a Found| Some((&*found.key, self.objects.get(&*found.key)?));
        found.into_iter().flatten().filter_map(object)
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
        let known = self.objects.get_key_value(key).map(|(key, _)| Arc::clone(key));
        let key = known.unwrap_or_else(|| Arc::new(key.clone()));
        let old = match &object {
            Some(new) => self.objects.insert(Arc::clone(&key), Arc::clone(new)),
            None => self.objects.remove(&*key),
        };
        for (i, (_, set)) in self.indexes.iter_mut().enumerate() {
            let before = old.as_deref().map(|o| values(i, o)).unwrap_or_default();
            let after = object.as_deref().map(|o| values(i, o)).unwrap_or_default();
            for value in before.iter().filter(|v| !after.contains(v)) {
                set.remove(&Found { value: value.as_str().into(), key: Arc::clone(&key) });
            }
            for value in after.iter().filter(|v| !before.contains(v)) {
                // a value is there once too, as long as anything is found under it
                let known = under(set, value).next();
                let value = known.map_or_else(|| value.as_str().into(), |found| Arc::clone(&found.value));
                set.insert(Found { value, key: Arc::clone(&key) });
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
        assert_eq!(
            (names(&before, "n"), names(&before, "n12"), names(&before, "")),
            (vec![], vec![], vec![])
        );
        assert_eq!(s.namespace("x").count(), 1);
        assert_eq!(s.namespace("y").count(), 0);
    }

    #[test]
    fn keys_and_values_are_there_once() {
        let values = |_: usize, p: &String| vec![p.clone()];
        let mut s = Snapshot::empty(["node"]);
        for name in ["a", "b", "c"] {
            s.replace(&Key::new("x", name), Some(Arc::new("n1".to_owned())), &values);
        }
        let found: Vec<_> = s.indexes[0].1.iter().collect();
        assert!(found.iter().all(|f| Arc::ptr_eq(&f.value, &found[0].value)));
        assert!(found.iter().zip(s.objects.iter()).all(|(f, (key, _))| Arc::ptr_eq(&f.key, key)));
    }
}
