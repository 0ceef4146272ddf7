//! The one ordered watch that fills the cache.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::cache::Cache;
use super::kv::{Kv, KvError, Update, WatchItem};
use super::{PREFIX, end_of};

/// Objects fetched in one piece while the cache is filled.
const PAGE: i64 = 500;
/// How long to wait before trying a lost store again.
const RETRY: Duration = Duration::from_millis(250);

/// What other parts ask of the feed.
#[derive(Debug)]
pub enum Ask {
    /// Have the store report its progress: somebody waits for a revision.
    Progress,
    /// A resource was added at run time: fill its cache, and say when that is done.
    Load(Arc<str>, oneshot::Sender<()>),
}

/// Fills the cache and keeps it following the store, until the asking side is gone.
pub async fn run(kv: Kv, cache: Arc<Cache>, mut asks: mpsc::Receiver<Ask>) {
    loop {
        let revision = match fill(&kv, &cache).await {
            Ok(revision) => revision,
            Err(error) => {
                tracing::warn!(error = %error, "cannot read the store, trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        match follow(&kv, &cache, revision, &mut asks).await {
            End::Closed => return,
            End::Lost => {
                tracing::warn!("the store no longer has what the cache needs to follow it: filling it anew");
                cache.reset();
            }
        }
    }
}

enum End {
    /// Nobody asks any more.
    Closed,
    /// The place in the store's history is gone.
    Lost,
}

async fn fill(kv: &Kv, cache: &Cache) -> Result<i64, KvError> {
    let revision = load(kv, cache, PREFIX).await?;
    cache.begin(revision);
    Ok(revision)
}

/// Reads everything below a prefix at one revision into the cache.
async fn load(kv: &Kv, cache: &Cache, prefix: &str) -> Result<i64, KvError> {
    let end = end_of(prefix);
    let (mut start, mut revision) = (prefix.to_owned(), 0);
    loop {
        let page = kv.page(&start, &end, PAGE, revision).await?;
        revision = if revision == 0 { page.revision } else { revision };
        if let Some(last) = page.rows.last() {
            start = format!("{}\0", last.key);
        }
        for row in page.rows {
            let Some(target) = cache.of_key(&row.key) else { continue };
            match target.resource.take_in(&row.key, &row.value, row.revision) {
                Ok(entry) => cache.load(&target, entry),
                Err(error) => {
                    tracing::error!(key = %row.key, error = %error, "unreadable object in the store")
                }
            }
        }
        if !page.more {
            return Ok(revision);
        }
    }
}

async fn follow(kv: &Kv, cache: &Arc<Cache>, from: i64, asks: &mut mpsc::Receiver<Ask>) -> End {
    let mut next = from + 1;
    loop {
        let mut watch = match kv.watch(PREFIX, &end_of(PREFIX), next).await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::warn!(error = %error, "cannot watch the store, trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        loop {
            tokio::select! {
                ask = asks.recv() => match ask {
                    None => return End::Closed,
                    Some(Ask::Progress) => watch.ask_progress().await,
                    Some(Ask::Load(prefix, loaded)) => {
                        join(kv, cache, &prefix).await;
                        // who no longer waits needs no answer
                        let _sent = loaded.send(());
                    }
                },
                item = watch.next() => match item {
                    Ok(WatchItem::Events(updates)) => {
                        for update in updates {
                            next = update.revision() + 1;
                            apply(cache, update);
                        }
                        cache.reached(next - 1);
                    }
                    Ok(WatchItem::Progress(revision)) => {
                        next = next.max(revision + 1);
                        cache.reached(revision);
                    }
                    Ok(WatchItem::Compacted) => return End::Lost,
                    Err(error) => {
                        tracing::warn!(error = %error, "the watch of the store broke, starting it again");
                        break;
                    }
                },
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn apply(cache: &Arc<Cache>, update: Update) {
    match update {
        Update::Put(row) => {
            let Some(target) = cache.of_key(&row.key) else { return };
            match target.take_in(&row.key, &row.value, row.revision) {
                Ok(entry) => cache.put(&target, entry),
                Err(error) => {
                    tracing::error!(key = %row.key, error = %error, "unreadable object in the store")
                }
            }
        }
        Update::Delete { key, revision } => {
            if let Some(target) = cache.of_key(&key) {
                cache.delete(&target, &key, revision);
            }
        }
    }
}

/// Fills the cache of a resource added while the feed runs. Events that come meanwhile wait in the watch, and
/// what they repeat changes nothing but the history.
async fn join(kv: &Kv, cache: &Cache, prefix: &str) {
    loop {
        match load(kv, cache, prefix).await {
            Ok(revision) => {
                if let Some(target) = cache.of_key(prefix) {
                    cache.begin_one(&target, revision);
                }
                return;
            }
            Err(error) => {
                tracing::error!(prefix, error = %error, "cannot fill the cache of a new resource, trying again");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}
