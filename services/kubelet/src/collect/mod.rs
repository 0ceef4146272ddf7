//! Clearing away: containers that were replaced, logs that grew, images nobody uses.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_gc.go`, `pkg/kubelet/logs`

pub mod images;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cri::v1;

use crate::Kubelet;
use crate::pod::kill;
use crate::pod::observed::Seen;

const TURN: Duration = Duration::from_secs(10);
const CONTAINERS: u32 = 6;
const IMAGES: u32 = 30;
const KEPT: usize = 1;

/// Looks around for ever.
pub async fn run(kubelet: Arc<Kubelet>) {
    for turn in 1u32.. {
        tokio::time::sleep(TURN).await;
        logs(&kubelet).await;
        if turn % CONTAINERS == 0 {
            containers(&kubelet, KEPT).await;
            kubelet.stats.sweep();
        }
        if turn % IMAGES == 0 {
            images::run(&kubelet).await;
        }
    }
}

/// Of each container the newest run and so many that ended before it stay; the rest goes.
pub async fn containers(kubelet: &Kubelet, ended: usize) {
    for handle in kubelet.workers.handles() {
        let view = handle.view();
        let mut kept: HashMap<&str, usize> = HashMap::new();
        for seen in &view.observed.containers {
            let count = kept.entry(&seen.name).or_default();
            *count += 1;
            if *count > ended + 1
                && seen.exited()
                && let Err(error) = kill::remove_container(kubelet, seen).await
            {
                tracing::warn!(
                    container = seen.name,
                    error = crate::chain(&*error),
                    "Removing an old container"
                );
            }
        }
    }
}

fn rotated(log: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (Some(dir), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}

/// Logs that have grown too large are put aside, and the oldest of those removed.
async fn logs(kubelet: &Kubelet) {
    let limit = crate::quantity::parse(&kubelet.settings.container_log_max_size).unwrap_or(10 << 20);
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    for handle in kubelet.workers.handles() {
        // not there yet: not too large
        let large = |seen: &&Seen| std::fs::metadata(&seen.log_path).is_ok_and(|m| m.len() >= limit);
        let grown: Vec<Seen> = handle.look(|v| v.observed.running().filter(large).cloned().collect());
        for seen in &grown {
            if let Err(error) = rotate(kubelet, seen).await {
                tracing::warn!(container = seen.name, error = crate::chain(&*error), "Rotating a log");
            }
        }
    }
}

async fn rotate(kubelet: &Kubelet, seen: &Seen) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let log = Path::new(&seen.log_path);
    let mut old = rotated(log)?;
    while old.len() + 2 > kubelet.settings.container_log_max_files.max(2) {
        std::fs::remove_file(old.remove(0))?;
    }
    let now = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let aside = PathBuf::from(format!("{}.{now}", log.display()));
    std::fs::rename(log, &aside)?;
    let request = v1::ReopenContainerLogRequest { container_id: seen.id.clone() };
    if let Err(error) = kubelet.runtime.reopen_container_log(request).await {
        std::fs::rename(&aside, log)?; // the runtime goes on writing there
        return Err(error.into());
    }
    Ok(())
}
