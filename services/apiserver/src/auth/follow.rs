//! Following a resource's cache into a view of one's own.

use std::sync::Arc;
use std::time::Duration;

use crate::store::cache::{Cache, ResourceCache};
use crate::store::entry::Entry;
use crate::store::watcher::Scope;

/// Calls `apply` for every object there is and for every change, for ever. `apply` gets the namespace, the name
/// and the object, `None` when it is gone; all objects come again when the cache was filled anew.
pub fn follow<F>(cache: Arc<Cache>, resource: Arc<ResourceCache>, mut apply: F)
where
    F: FnMut(&str, &str, Option<&Arc<Entry>>) + Send + 'static,
{
    tokio::spawn(async move {
        let mut known: imbl::OrdMap<crate::store::entry::Key, Arc<Entry>> = imbl::OrdMap::new();
        loop {
            let mut ready = cache.follow();
            if ready.wait_for(|revision| *revision > 0).await.is_err() {
                return;
            }
            let Ok(mut start) = resource.watch(Scope::All, None, cache.revision()) else { continue };
            let split = |key: &str| {
                let facts = &resource.resource;
                (facts.namespace_of(key).to_owned(), facts.name_of(key).to_owned())
            };
            if let Some(snapshot) = start.initial.take() {
                for key in known.keys().filter(|k| !snapshot.objects.contains_key(*k)) {
                    let (namespace, name) = split(key);
                    apply(&namespace, &name, None);
                }
                for (key, entry) in &snapshot.objects {
                    let (namespace, name) = split(key);
                    apply(&namespace, &name, Some(entry));
                }
                known = snapshot.objects;
            }
            while let Some(event) = start.live.recv().await {
                let (namespace, name) = split(&event.object.key);
                if event.deleted {
                    known.remove(&event.object.key);
                    apply(&namespace, &name, None);
                } else {
                    known.insert(event.object.key.clone(), event.object.clone());
                    apply(&namespace, &name, Some(&event.object));
                }
            }
            // ended because it fell behind or the cache is filled anew
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}
