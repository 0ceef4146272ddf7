//! Storage: one `Kv` client, one watch cache before it, reads that choose between them, guarded writes.

pub mod cache;
pub mod compact;
pub mod derived;
pub mod entry;
pub mod event;
pub mod feed;
pub mod fresh;
pub mod kv;
pub mod lease;
pub mod pieces;
pub mod read;
pub mod scan;
pub mod token;
pub mod trees;
pub mod watcher;
pub mod write;
pub mod written;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use self::cache::{Cache, ResourceCache};
use self::feed::Ask;
use self::fresh::Fresh;
use self::kv::Kv;
use self::lease::Leases;
use crate::registry::Resource;

/// Where everything is stored, as upstream.
pub const PREFIX: &str = "/registry/";

/// The first key after all keys with a prefix.
pub fn end_of(prefix: &str) -> String {
    let mut bytes = prefix.as_bytes().to_vec();
    // prefixes end with a slash, whose successor is a digit's predecessor: always ASCII
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// The store with its cache.
pub struct Store {
    /// The client; only for keys that are no API objects.
    pub kv: Kv,
    /// The watch cache.
    pub cache: Arc<Cache>,
    fresh: Fresh,
    asks: mpsc::Sender<Ask>,
    leases: Leases,
}

impl Store {
    /// Starts the feed over the resources known so far.
    pub fn start(kv: Kv, resources: &[Arc<Resource>]) -> Self {
        let cache = Arc::new(Cache::default());
        for resource in resources {
            cache.add(resource);
        }
        let (asks, asked) = mpsc::channel(64);
        tokio::spawn(feed::run(kv.clone(), cache.clone(), asked));
        Self { fresh: Fresh::start(kv.clone()), leases: Leases::new(kv.clone()), kv, cache, asks }
    }

    /// Adds a resource at run time; returns when its cache holds what the store has.
    pub async fn add(&self, resource: &Arc<Resource>) -> Arc<ResourceCache> {
        let cache = self.cache.add(resource);
        let (loaded, done) = oneshot::channel();
        if self.asks.send(Ask::Load(resource.prefix.clone(), loaded)).await.is_err() || done.await.is_err() {
            tracing::error!("the feed of the cache has ended");
        }
        cache
    }

    /// Drops a resource that is no longer served: its watches end, its objects stay in the store.
    pub fn remove(&self, resource: &Resource) {
        self.cache.remove(&resource.prefix);
    }
}

#[cfg(test)]
mod tests;
