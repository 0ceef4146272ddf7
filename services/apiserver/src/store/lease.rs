//! Leases for objects that expire: one is shared by what is written within a minute.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go`

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::kv::{Kv, KvError};

const REUSE_SECONDS: u64 = 60;
const MAX_OBJECTS: u32 = 1000;

#[derive(Debug)]
struct Current {
    id: i64,
    ttl: u64,
    granted: Instant,
    objects: u32,
}

/// Hands out leases.
#[derive(Debug)]
pub struct Leases {
    kv: Kv,
    current: Mutex<Vec<Current>>,
}

impl Leases {
    /// None yet.
    pub fn new(kv: Kv) -> Self {
        Self { kv, current: Mutex::new(Vec::new()) }
    }

    /// A lease under which an object lives for `ttl` seconds (up to a minute longer).
    pub async fn get(&self, ttl: u64) -> Result<i64, KvError> {
        let mut current = self.current.lock().await;
        current.retain(|c| c.granted.elapsed().as_secs() < REUSE_SECONDS && c.objects < MAX_OBJECTS);
        if let Some(found) = current.iter_mut().find(|c| c.ttl == ttl) {
            found.objects += 1;
            return Ok(found.id);
        }
        let id = self.kv.grant(ttl + REUSE_SECONDS).await?;
        current.push(Current { id, ttl, granted: Instant::now(), objects: 1 });
        Ok(id)
    }
}
