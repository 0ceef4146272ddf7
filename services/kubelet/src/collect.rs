//! Clearing away: containers that were replaced, logs that grew, images nobody uses; and who has to go when the machine
//! runs short.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_gc.go`, `pkg/kubelet/images/image_gc_manager.go`, `pkg/kubelet/logs`, `pkg/kubelet/eviction`

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cri::v1;
use k8s_openapi::api::core::v1::PodCondition;

use crate::Kubelet;
use crate::events::Kind;
use crate::node::machine;
use crate::pod::facts::{PodFacts, Qos, pod_request, qos};
use crate::pod::kill;
use crate::pod::observed::Seen;
use crate::pod::status::Verdict;
use crate::pod::workers;

/// What the machine is short of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Memory.
    pub memory: bool,
    /// Disk.
    pub disk: bool,
}

/// Whether the machine is short of something, by the hard thresholds.
pub fn pressure(kubelet: &Kubelet) -> Pressure {
    let hard = &kubelet.settings.eviction_hard;
    let below = |signal: &str, available: i64, whole: i64| {
        hard.get(signal).is_some_and(|t| available < machine::threshold(Some(t), whole))
    };
    // a machine that cannot be looked at is not said to be short
    let memory =
        machine::memory_available().is_ok_and(|free| below("memory.available", free, kubelet.machine.memory));
    let disk = machine::disk(&kubelet.settings.root_dir).is_ok_and(|d| {
        below("nodefs.available", d.free, d.size)
            || below("imagefs.available", d.free, d.size)
            || d.inodes > 0 && below("nodefs.inodesFree", d.inodes_free, d.inodes)
    });
    Pressure { memory, disk }
}

const TURN: Duration = Duration::from_secs(10);
const CONTAINERS: u32 = 6;
const IMAGES: u32 = 30;

/// Looks around for ever.
pub async fn run(kubelet: Arc<Kubelet>) {
    let mut unused: HashMap<String, Instant> = HashMap::new();
    for turn in 0u32.. {
        tokio::time::sleep(TURN).await;
        logs(&kubelet).await;
        if turn % CONTAINERS == 0 {
            containers(&kubelet).await;
        }
        if turn % IMAGES == 0 {
            images(&kubelet, &mut unused, false).await;
        }
        evict(&kubelet, &mut unused).await;
    }
}

/// Of each container the newest run and the one before it stay; the rest goes.
async fn containers(kubelet: &Kubelet) {
    for handle in kubelet.workers.handles() {
        let view = handle.view();
        let mut kept: HashMap<&str, usize> = HashMap::new();
        for seen in &view.observed.containers {
            let count = kept.entry(&seen.name).or_default();
            *count += 1;
            if *count > 2
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
        for seen in handle.view().observed.running() {
            // not there yet: not too large
            if std::fs::metadata(&seen.log_path).is_ok_and(|m| m.len() >= limit)
                && let Err(error) = rotate(kubelet, seen).await
            {
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

/// Removes images nobody uses: all old enough when space is needed, down to the lower threshold.
async fn images(kubelet: &Kubelet, unused: &mut HashMap<String, Instant>, now: bool) {
    if let Err(error) = try_images(kubelet, unused, now).await {
        tracing::warn!(error = crate::chain(&error), "Collecting images");
    }
}

async fn try_images(
    kubelet: &Kubelet,
    unused: &mut HashMap<String, Instant>,
    now: bool,
) -> Result<(), cri::Error> {
    let listed = kubelet.runtime.list_images(v1::ListImagesRequest { filter: None }).await?.images;
    let containers =
        kubelet.runtime.list_containers(v1::ListContainersRequest { filter: None }).await?.containers;
    let used: HashSet<_> =
        containers.iter().flat_map(|c| [c.image_id.clone(), c.image_ref.clone()]).collect();
    unused.retain(|id, _| listed.iter().any(|i| i.id == *id) && !used.contains(id));
    for image in listed.iter().filter(|i| !used.contains(&i.id) && !i.pinned) {
        unused.entry(image.id.clone()).or_insert_with(Instant::now);
    }
    let Ok(disk) = machine::disk(&kubelet.settings.root_dir) else { return Ok(()) }; // nothing to measure by
    let share = |percent: i64| disk.size / 100 * percent;
    let mut used_bytes = disk.size - disk.free;
    if !now && used_bytes < share(kubelet.settings.image_gc_high_threshold_percent) {
        return Ok(());
    }
    let target = share(kubelet.settings.image_gc_low_threshold_percent);
    let mut candidates: Vec<_> = unused.iter().map(|(id, since)| (*since, id.clone())).collect();
    candidates.sort();
    for (since, id) in candidates {
        if used_bytes <= target || since.elapsed() < kubelet.settings.image_minimum_gc_age && !now {
            break;
        }
        let spec = v1::ImageSpec { image: id.clone(), ..v1::ImageSpec::default() };
        kubelet.runtime.remove_image(v1::RemoveImageRequest { image: Some(spec) }).await?;
        let size = listed.iter().find(|i| i.id == id).map_or(0, |i| i.size);
        used_bytes -= i64::try_from(size).unwrap_or(0);
        unused.remove(&id);
        tracing::info!(image = id, bytes = size, "Removed an unused image");
    }
    Ok(())
}

/// Ends one pod when the machine runs short, the one that uses most beyond what it asked for first.
async fn evict(kubelet: &Kubelet, unused: &mut HashMap<String, Instant>) {
    let pressure = pressure(kubelet);
    let (signal, what) = match pressure {
        Pressure { memory: true, .. } => ("memory.available", "memory"),
        Pressure { disk: true, .. } => ("nodefs.available", "ephemeral-storage"),
        _ => return,
    };
    kubelet.events.node(Kind::Warning, "EvictionThresholdMet", &format!("Attempting to reclaim {what}"));
    if pressure.disk && !pressure.memory {
        images(kubelet, unused, true).await;
        if !self::pressure(kubelet).disk {
            return;
        }
    }
    let usage =
        match kubelet.runtime.list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest { filter: None }).await {
            Ok(listed) => listed.stats,
            Err(error) => {
                return tracing::warn!(error = crate::chain(&error), "Asking for the use of resources");
            }
        };
    let memory_of = |uid: &str| {
        let of_pod = usage
            .iter()
            .find(|s| s.attributes.as_ref().and_then(|a| a.metadata.as_ref()).is_some_and(|m| m.uid == uid));
        let memory = of_pod.and_then(|s| s.linux.as_ref()?.memory.as_ref()?.working_set_bytes);
        memory.map_or(0, |m| i64::try_from(m.value).unwrap_or(i64::MAX))
    };
    let handles = kubelet.workers.handles();
    let mut candidates: Vec<_> = handles
        .iter()
        .filter(|h| !h.pod().is_critical() && !h.wanted.borrow().ending() && !h.view().ended)
        .map(|h| {
            let pod = h.pod();
            let (used, asked) = (memory_of(pod.uid()), pod_request(pod.facts(), "memory"));
            let best_effort = qos(pod.facts()) == Qos::BestEffort;
            let order = (used > asked || best_effort, -pod.facts().priority.unwrap_or(0), used - asked);
            (order, Arc::clone(h))
        })
        .collect();
    candidates.sort_by_key(|(order, _)| std::cmp::Reverse(*order));
    let Some((_, handle)) = candidates.first() else { return };
    let message = format!(
        "The node was low on resource: {what}. Threshold quantity: {}.",
        kubelet.settings.eviction_hard.get(signal).cloned().unwrap_or_default()
    );
    let pod = handle.pod();
    kubelet.events.pod(&pod, "", Kind::Warning, "Evicted", &message);
    let condition = PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("TerminationByKubelet".into()),
        message: Some(message.clone()),
        ..PodCondition::default()
    };
    let verdict = Verdict { reason: "Evicted".into(), message, condition: Some(condition) };
    workers::end(handle, verdict, Some(0));
}
