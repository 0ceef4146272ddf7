//! Ending pods when the node runs short of memory, disk or process numbers.
//!
//! # Upstream
//! `pkg/kubelet/eviction/eviction_manager.go`
//!
//! # Differs
//! What is left of memory is the kernel's `MemAvailable`, which counts reclaimable caches, not the root cgroup's usage
//! less its inactive files; the signal `allocatableMemory.available` is left to the limit of the pods' cgroup.

pub mod rank;
pub mod thresholds;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Pod, PodCondition, Toleration};

use crate::Kubelet;
use crate::events::Kind;
use crate::node::machine;
use crate::pod::facts::{PodFacts, Qos, qos};
use crate::pod::status::Verdict;
use crate::pod::workers::{self, Handle};
use crate::stats::{self, Disks, types};
use rank::Disk;
use thresholds::{Condition, Observation, Observations, Signal, State, Threshold};

/// How often the node is looked at, and how long an evicted pod may take to be gone.
const INTERVAL: Duration = Duration::from_secs(10);
const CLEANUP: Duration = Duration::from_secs(30);
/// Seconds a pod gets when there is no time to lose.
const IMMEDIATE: i64 = 1;

/// What others want to know of it.
#[derive(Debug, Default)]
pub struct Eviction {
    conditions: RwLock<BTreeSet<Condition>>,
    image_path: OnceLock<PathBuf>,
    /// Pods ended so far.
    pub evicted: AtomicU64,
}

impl Eviction {
    /// The node's conditions.
    pub fn conditions(&self) -> BTreeSet<Condition> {
        self.conditions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a pod can be taken in as things are.
    ///
    /// # Errors
    /// Why not.
    ///
    /// # Upstream
    /// `pkg/kubelet/eviction/eviction_manager.go` `Admit`
    pub fn admit(&self, pod: &Pod) -> Result<(), Box<Verdict>> {
        let conditions = self.conditions();
        if conditions.is_empty() || pod.is_critical() {
            return Ok(());
        }
        if conditions.len() == 1 && conditions.contains(&Condition::MemoryPressure) {
            let tolerations = pod.facts().tolerations.as_deref().unwrap_or_default();
            if qos(pod.facts()) != Qos::BestEffort || tolerations.iter().any(tolerates_memory_pressure) {
                return Ok(());
            }
        }
        let names: Vec<_> = conditions.iter().map(|c| format!("{c:?}")).collect();
        Err(Box::new(Verdict::rejected(
            "Evicted",
            format_args!("The node had condition: [{}]. ", names.join(" ")),
        )))
    }
}

fn tolerates_memory_pressure(t: &Toleration) -> bool {
    let key = t.key.as_deref().unwrap_or_default();
    let named = key == "node.kubernetes.io/memory-pressure"
        || key.is_empty() && t.operator.as_deref() == Some("Exists");
    named && t.effect.as_deref().is_none_or(|e| e.is_empty() || e == "NoSchedule")
}

/// Looks for ever.
pub async fn run(kubelet: Arc<Kubelet>, thresholds: Vec<Threshold>) {
    let mut state = State::default();
    loop {
        let ended = look(&kubelet, &thresholds, &mut state).await;
        if ended.is_empty() {
            tokio::time::sleep(INTERVAL).await;
            continue;
        }
        let until = Instant::now() + CLEANUP;
        while ended.iter().any(|h| !h.look(|v| v.ended)) && Instant::now() < until {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// What there is and what is left.
async fn observe(kubelet: &Kubelet) -> Observations {
    let mut out = Observations::new();
    if let Ok(m) = machine::memory() {
        out.insert(Signal::Memory, Observation { available: m.available, capacity: m.total });
    }
    if let Ok(p) = machine::processes() {
        out.insert(Signal::Pids, Observation { available: p.limit - p.running, capacity: p.limit });
    }
    let root = kubelet.settings.root_dir.clone();
    let images = image_path(kubelet).await;
    let places =
        [(Signal::NodeFs, Signal::NodeFsInodes, root), (Signal::ImageFs, Signal::ImageFsInodes, images)];
    for (bytes, inodes, path) in places {
        // a file system that cannot be looked at is not said to be full
        let Ok(disk) = machine::disk(&path) else { continue };
        out.insert(bytes, Observation { available: disk.free, capacity: disk.size });
        if disk.inodes > 0 {
            out.insert(inodes, Observation { available: disk.inodes_free, capacity: disk.inodes });
        }
    }
    out
}

/// Where images are, as the runtime says.
pub async fn image_path(kubelet: &Kubelet) -> PathBuf {
    if let Some(known) = kubelet.eviction.image_path.get() {
        return known.clone();
    }
    let told = kubelet.runtime.image_fs_info(cri::v1::ImageFsInfoRequest {}).await;
    let point = told.ok().and_then(|t| t.image_filesystems.into_iter().next()?.fs_id); // not now: asked again
    match point {
        Some(id) => kubelet.eviction.image_path.get_or_init(|| id.mountpoint.into()).clone(),
        None => kubelet.settings.root_dir.clone(),
    }
}

fn same_file_system(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev(),
        _ => true, // not there: nothing of its own
    }
}

/// One look: the pods it ended.
async fn look(kubelet: &Arc<Kubelet>, all: &[Threshold], state: &mut State) -> Vec<Arc<Handle>> {
    let now = Instant::now();
    let observations = observe(kubelet).await;
    let due = state.observe(all, &observations, now);
    let conditions = state.conditions(kubelet.settings.eviction_pressure_transition_period, now);
    let changed = {
        let mut shown = kubelet.eviction.conditions.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *shown != conditions;
        *shown = conditions;
        changed
    };
    if changed {
        kubelet.node_changed.notify_one();
    }
    let active: Vec<_> = kubelet
        .workers
        .handles()
        .into_iter()
        .filter(|h| !h.wanted.borrow().ending() && !h.look(|v| v.ended))
        .collect();
    let limited = active.iter().any(|h| rank::has_limits(&h.pod()));
    if due.is_empty() && !limited {
        return Vec::new();
    }
    let dedicated = !same_file_system(&kubelet.settings.root_dir, &image_path(kubelet).await);
    let pods = match stats::summary(kubelet, Disks::Recent).await {
        Ok(summary) => summary.pods,
        Err(error) => {
            tracing::warn!(error = crate::chain(&error), "Asking for the use of resources");
            return Vec::new();
        }
    };
    let ended = over_limits(kubelet, &active, &pods, dedicated);
    if !ended.is_empty() {
        return ended;
    }
    let Some(threshold) = due.first().map(|i| &all[*i]) else { return Vec::new() };
    reclaim(kubelet, all, threshold, &observations, active, &pods, dedicated).await
}

fn over_limits(
    kubelet: &Kubelet,
    active: &[Arc<Handle>],
    pods: &[types::Pod],
    dedicated: bool,
) -> Vec<Arc<Handle>> {
    let mut ended = Vec::new();
    for handle in active {
        let pod = handle.pod();
        let stats = pods.iter().find(|s| s.pod_ref.uid == pod.uid());
        if let Some(message) = stats.and_then(|s| rank::over_limit(&pod, s, dedicated))
            && evict(kubelet, handle, IMMEDIATE, message, false)
        {
            ended.push(Arc::clone(handle));
        }
    }
    ended
}

/// Frees what nobody uses, and if that is not enough ends the pod that has to go first.
async fn reclaim(
    kubelet: &Arc<Kubelet>,
    all: &[Threshold],
    threshold: &Threshold,
    observations: &Observations,
    mut active: Vec<Arc<Handle>>,
    pods: &[types::Pod],
    dedicated: bool,
) -> Vec<Arc<Handle>> {
    let signal = threshold.signal;
    tracing::warn!(resource = signal.resource(), signal = signal.name(), "Node is short of a resource");
    let text = format!("Attempting to reclaim {}", signal.resource());
    kubelet.events.node(Kind::Warning, "EvictionThresholdMet", &text);
    let of_images = matches!(signal, Signal::ImageFs | Signal::ImageFsInodes);
    let of_disk = of_images || matches!(signal, Signal::NodeFs | Signal::NodeFsInodes);
    if of_disk && (of_images || !dedicated) {
        crate::collect::containers(kubelet, 0).await;
        crate::collect::images::remove_unused(kubelet).await;
        let after = observe(kubelet).await;
        if !all.iter().any(|t| thresholds::met(t, &after, true)) {
            tracing::info!(resource = signal.resource(), "Freed enough without ending a pod");
            return Vec::new();
        }
    }
    let what = match (dedicated, of_images) {
        (false, _) => Disk::All,
        (true, true) => Disk::Layers,
        (true, false) => Disk::LogsAndVolumes,
    };
    let of = |h: &Arc<Handle>| pods.iter().find(|s| s.pod_ref.uid == h.pod().uid());
    active.sort_by_cached_key(|h| rank::order(signal, what, &h.pod(), of(h)));
    for handle in active {
        let pod = handle.pod();
        let most = kubelet.settings.eviction_max_pod_grace_period;
        let own = pod.facts().termination_grace_period_seconds.unwrap_or(most);
        let grace = if threshold.hard() { IMMEDIATE } else { most.min(own) };
        let message = rank::message(threshold, &pod, of(&handle), observations);
        if evict(kubelet, &handle, grace, message, true) {
            return vec![handle];
        }
    }
    tracing::warn!("No pod can be ended to free resources");
    Vec::new()
}

fn evict(kubelet: &Kubelet, handle: &Handle, grace: i64, message: String, disruption: bool) -> bool {
    let pod = handle.pod();
    if pod.is_critical() {
        tracing::warn!(pod = pod.full_name(), "Cannot evict a critical pod");
        return false;
    }
    kubelet.events.pod(&pod, "", Kind::Warning, "Evicted", &message);
    kubelet.eviction.evicted.fetch_add(1, Ordering::Relaxed);
    let condition = disruption.then(|| terminated_by_kubelet(&message));
    workers::end(handle, Verdict { reason: "Evicted".into(), message, condition }, Some(grace));
    true
}

/// The condition of a pod the node has ended.
pub fn terminated_by_kubelet(message: &str) -> PodCondition {
    PodCondition {
        type_: "DisruptionTarget".into(),
        status: "True".into(),
        reason: Some("TerminationByKubelet".into()),
        message: Some(message.to_owned()),
        ..PodCondition::default()
    }
}
