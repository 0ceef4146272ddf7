//! Compaction of the store, shared by all API servers on it: whoever advances the key's version compacts.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/storage/etcd3/compact.go`

use std::sync::Arc;
use std::time::Duration;

use super::cache::Cache;
use super::kv::{Kv, Race};

/// The key all API servers of one store race for.
const KEY: &str = "compact_rev_key";

/// Compacts every `interval` what was superseded an interval ago.
pub async fn run(kv: Kv, cache: Arc<Cache>, interval: Duration) {
    let (mut version, mut revision) = (0, 0);
    loop {
        tokio::time::sleep(interval).await;
        match kv.race(KEY, version, revision).await {
            Ok(Race::Won { version: next, revision: now }) => {
                let target = revision;
                (version, revision) = (next, now);
                if target == 0 {
                    continue;
                }
                match kv.compact(target).await {
                    Ok(()) => tracing::info!(revision = target, "compacted the store"),
                    Err(error) => tracing::warn!(error = %error, "cannot compact the store"),
                }
                cache.compacted(target);
            }
            Ok(Race::Lost { version: theirs, revision: now, compacted }) => {
                (version, revision) = (theirs, now);
                cache.compacted(compacted);
            }
            Err(error) => tracing::warn!(error = %error, "cannot take part in the compaction"),
        }
    }
}
