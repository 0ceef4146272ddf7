//! Equal parts of many objects, kept once.
//!
//! The pods of a template differ in little more than their names: their specs, labels and owners are equal. A [`Pool`]
//! knows what is in use and gives out the same again; what nobody uses any more it does not hold.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Serialize;

/// Text shared with whatever else holds the same.
pub type Word = Arc<str>;

/// So many parts are known before the first look for those that are gone.
const LEAST: usize = 1024;

/// The parts of one kind in use.
#[derive(Debug)]
pub(crate) struct Pool<T: ?Sized>(Mutex<Known<T>>);

#[derive(Debug)]
struct Known<T: ?Sized> {
    /// By hash. Of two different parts with one hash the later is not shared, which costs memory and nothing else.
    parts: BTreeMap<u64, Weak<T>>,
    /// Past this many, those that are gone are looked for.
    limit: usize,
}

impl<T: Hash + PartialEq + ?Sized> Pool<T> {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Known { parts: BTreeMap::new(), limit: LEAST }))
    }

    /// The part as it is known, or from now on.
    pub(crate) fn share<P: Borrow<T> + Into<Arc<T>>>(&self, part: P) -> Arc<T> {
        let mut hasher = DefaultHasher::new();
        part.borrow().hash(&mut hasher);
        let hash = hasher.finish();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = known.parts.get(&hash).and_then(Weak::upgrade) {
            return if *shared == *part.borrow() { shared } else { part.into() };
        }
        let shared = part.into();
        known.parts.insert(hash, Arc::downgrade(&shared));
        if known.parts.len() > known.limit {
            // each look at all of them is paid by as many that came since the last
            known.parts.retain(|_, part| part.strong_count() > 0);
            known.limit = LEAST.max(known.parts.len() * 2);
        }
        shared
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).parts.len()
    }
}

static WORDS: Pool<str> = Pool::new();
static PAIRS: Pool<Pairs> = Pool::new();
static OWNERS: Pool<Part<Vec<OwnerReference>>> = Pool::new();

/// Text, shared.
pub fn word(text: &str) -> Word {
    WORDS.share(text)
}

/// Owners shared with whatever else has the same.
pub type Owners = Arc<Part<Vec<OwnerReference>>>;

/// Owners, shared.
pub fn owners(mut owners: Vec<OwnerReference>) -> Owners {
    owners.shrink_to_fit();
    OWNERS.share(Part(owners))
}

/// Pairs of text in their order: labels, annotations, the states of conditions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Pairs(Box<[(Word, Word)]>);

impl Pairs {
    /// These pairs, shared as a whole and each text by itself.
    pub(crate) fn shared<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Arc<Self> {
        PAIRS.share(Self(pairs.map(|(name, value)| (word(name), word(value))).collect()))
    }

    /// What stands beside a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// A part that is known by its JSON form, for types that cannot be hashed.
#[derive(Debug, Default, PartialEq)]
pub struct Part<T>(pub(crate) T);

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Serialize> Hash for Part<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // nothing here fails to be written; what did would be one more part with the hash of its beginning
        if serde_json::to_writer(Sink(state), &self.0).is_err() {
            state.write_u8(0);
        }
    }
}

/// Hashes what is written.
struct Sink<'a, H>(&'a mut H);

impl<H: Hasher> std::io::Write for Sink<'_, H> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_are_one() {
        let pool: Pool<Part<Vec<String>>> = Pool::new();
        let part = |text: &str| pool.share(Part(vec![text.to_owned()]));
        let (a, b, c) = (part("a"), part("a"), part("c"));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &c));
        assert_eq!((a[0].as_str(), c[0].as_str()), ("a", "c"));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let pool: Pool<str> = Pool::new();
        for n in 0..100 * LEAST {
            pool.share(n.to_string().as_str());
        }
        assert!(pool.len() <= LEAST + 1, "{} are known", pool.len());
        let held: Vec<_> = (0..4 * LEAST).map(|n| pool.share(n.to_string().as_str())).collect();
        assert!(pool.len() >= held.len());
        drop(held);
        for n in 0..10 * LEAST {
            pool.share(n.to_string().as_str());
        }
        assert!(pool.len() <= 9 * LEAST, "{} are known", pool.len());
    }

    #[test]
    fn pairs_are_found() {
        let pairs = Pairs::shared([("b", "1"), ("a", "2")].into_iter());
        assert_eq!((pairs.get("a"), pairs.get("b"), pairs.get("c")), (Some("2"), Some("1"), None));
        assert_eq!(pairs.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["b", "a"]);
    }
}
