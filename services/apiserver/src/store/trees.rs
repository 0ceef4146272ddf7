//! Decoded forms of the few objects that every write looks at: its namespace, service account, priority classes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use schema::Object;

use super::entry::{Entry, Key};
use crate::codec::DecodeError;

/// Trees kept of one resource; when there are more, all are made anew.
const MOST: usize = 64;
/// Larger objects are decoded each time: trees are several times as large as what they are made of.
const LARGEST_BYTES: usize = 4 << 10;

/// A tree is of one entry: when the object changes, the next look makes another.
struct Kept {
    of: Arc<Entry>,
    tree: Arc<Object>,
}

/// The trees of one resource, by key.
#[derive(Default)]
pub struct Trees(Mutex<HashMap<Key, Kept>>);

impl Trees {
    /// The kept tree of an entry, or the one that `make` makes.
    ///
    /// # Errors
    /// `make` fails.
    pub fn get_or(
        &self,
        entry: &Arc<Entry>,
        make: impl FnOnce() -> Result<Object, DecodeError>,
    ) -> Result<Arc<Object>, DecodeError> {
        if entry.bytes.len() > LARGEST_BYTES {
            return make().map(Arc::new);
        }
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = lock().get(&entry.key)
            && Arc::ptr_eq(&kept.of, entry)
        {
            return Ok(kept.tree.clone());
        }
        let tree = Arc::new(make()?);
        let mut kept = lock();
        if kept.len() >= MOST && !kept.contains_key(&entry.key) {
            kept.clear();
        }
        kept.insert(entry.key.clone(), Kept { of: entry.clone(), tree: tree.clone() });
        Ok(tree)
    }

    /// Drops all of them.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_of_one_entry() {
        let trees = Trees::default();
        let entry = |revision: i64| {
            let json = br#"{"kind":"A","apiVersion":"v1","metadata":{"name":"a"}}"#;
            Arc::new(Entry::new("k".into(), json, revision, true, &[]).unwrap())
        };
        let (first, second) = (entry(1), entry(2));
        let made = trees.get_or(&first, || Ok(Object::default())).unwrap();
        let again = trees.get_or(&first, || unreachable!("it is kept")).unwrap();
        assert!(Arc::ptr_eq(&made, &again));
        let newer = trees.get_or(&second, || Ok(Object::default())).unwrap();
        assert!(!Arc::ptr_eq(&made, &newer));
        assert!(trees.get_or(&first, || Err(DecodeError::Unknown("A".into()))).is_err());
    }
}
