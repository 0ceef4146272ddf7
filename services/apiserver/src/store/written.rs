//! Entries of this server's own writes on their way into the cache.
//!
//! A write is met twice: by the request that made it, which answers with the object, and by the feed, which caches
//! it. Whoever is first makes the entry, the other one takes it over: it is read through once and in memory once.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::{Entry, Key};

/// Entries the feed has not come to yet.
#[derive(Debug, Default)]
pub struct Written(HashMap<Key, Arc<Entry>>);

impl Written {
    /// Keeps an entry for the feed, which has come as far as `reached`.
    pub fn offer(&mut self, entry: &Arc<Entry>, reached: i64) {
        // what the feed has passed it would never fetch
        if entry.revision > reached {
            self.0.insert(entry.key.clone(), entry.clone());
        }
    }

    /// The entry of the change the feed is at, if it is here. What an older change left under the key goes as well.
    pub fn take(&mut self, key: &str, revision: i64) -> Option<Arc<Entry>> {
        // a later write of the key waits for its own change
        if self.0.get(key)?.revision > revision {
            return None;
        }
        self.0.remove(key).filter(|entry| entry.revision == revision)
    }

    /// The feed begins after a revision: nothing up to it will come.
    pub fn begin(&mut self, revision: i64) {
        self.0.retain(|_, entry| entry.revision > revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: i64) -> Arc<Entry> {
        let value = br#"{"kind":"A","apiVersion":"v1","metadata":{"name":"a"}}"#;
        Arc::new(Entry::new("k".into(), value, revision, true, &[]).unwrap())
    }

    #[test]
    fn only_what_is_still_to_come_is_kept() {
        let mut written = Written::default();
        written.offer(&entry(5), 5);
        assert!(written.take("k", 5).is_none(), "the feed was there before");
        let (sixth, eighth) = (entry(6), entry(8));
        written.offer(&sixth, 5);
        assert!(Arc::ptr_eq(&written.take("k", 6).unwrap(), &sixth));
        assert!(written.take("k", 6).is_none());
        written.offer(&eighth, 6);
        assert!(written.take("k", 7).is_none(), "somebody else's write");
        assert!(Arc::ptr_eq(&written.take("k", 8).unwrap(), &eighth));
        written.offer(&eighth, 7);
        written.begin(8);
        assert!(written.0.is_empty());
    }
}
