//! What the node and its pods use: from the runtime, the kernel and the disks.
//!
//! # Upstream
//! `pkg/kubelet/server/stats/summary.go`, `pkg/kubelet/stats/cri_stats_provider.go`

pub mod disk;
pub mod types;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod as ApiPod;

use crate::Kubelet;
use crate::node::machine;
use crate::pod::facts::PodFacts;
use crate::pod::workers::Handle;
use disk::{Counts, Taken};
use types::{Container, Cpu, Fs, Interface, Memory, Network, Node, Pod, PodRef, Processes, PvcRef};
use types::{Rlimit, Runtime, Summary, Swap, Volume};

/// How old what was counted of a directory may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disks {
    /// Directories are not counted.
    Skip,
    /// As upstream's once a minute.
    Recent,
    /// Counted now.
    Now,
}

impl Disks {
    fn age(self) -> Duration {
        if self == Disks::Now { Duration::ZERO } else { Duration::from_secs(60) }
    }
}

/// What statistics remember.
#[derive(Debug, Default)]
pub struct Stats {
    counts: Counts,
    /// The node's processor time at an earlier moment, for its rate.
    before: Mutex<Option<(Instant, u64, Option<u64>)>>,
}

impl Stats {
    /// The rate in billionths of a core since the last time this was asked, at least a second ago.
    fn rate(&self, total: u64) -> Option<u64> {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *before {
            Some((at, earlier, rate)) => {
                let passed = now.duration_since(at).as_nanos();
                if passed < 1_000_000_000 {
                    return rate;
                }
                let nano = u128::from(total.saturating_sub(earlier)) * 1_000_000_000 / passed;
                let rate = u64::try_from(nano).ok(); // fits for any number of cores
                *before = Some((now, total, rate));
                rate
            }
            None => {
                *before = Some((now, total, None));
                None
            }
        }
    }

    /// Forgets what is no more.
    pub fn sweep(&self) {
        self.counts.sweep();
    }
}

fn value(v: Option<&v1::UInt64Value>) -> Option<u64> {
    v.map(|v| v.value)
}

fn time(nanoseconds: i64) -> Option<Timestamp> {
    let second = nanoseconds.div_euclid(1_000_000_000);
    Timestamp::from_second(second).ok().filter(|_| nanoseconds != 0) // the runtime's clock is in range
}

fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_else(|_| Timestamp::now()) // any time has its second
}

fn cpu(usage: &v1::CpuUsage) -> Cpu {
    Cpu {
        time: time(usage.timestamp).unwrap_or_else(now),
        usage_nano_cores: value(usage.usage_nano_cores.as_ref()),
        usage_core_nano_seconds: value(usage.usage_core_nano_seconds.as_ref()),
    }
}

fn memory(usage: &v1::MemoryUsage) -> Memory {
    Memory {
        time: time(usage.timestamp).unwrap_or_else(now),
        available_bytes: value(usage.available_bytes.as_ref()).filter(|a| *a > 0),
        usage_bytes: value(usage.usage_bytes.as_ref()),
        working_set_bytes: value(usage.working_set_bytes.as_ref()),
        rss_bytes: value(usage.rss_bytes.as_ref()),
        page_faults: value(usage.page_faults.as_ref()),
        major_page_faults: value(usage.major_page_faults.as_ref()),
    }
}

fn swap(usage: Option<&v1::SwapUsage>) -> Swap {
    Swap {
        time: usage.and_then(|u| time(u.timestamp)).unwrap_or_else(now),
        swap_available_bytes: usage.and_then(|u| value(u.swap_available_bytes.as_ref())),
        swap_usage_bytes: Some(usage.and_then(|u| value(u.swap_usage_bytes.as_ref())).unwrap_or(0)),
    }
}

fn interface(i: &v1::NetworkInterfaceUsage) -> Interface {
    Interface {
        name: i.name.clone(),
        rx_bytes: value(i.rx_bytes.as_ref()),
        rx_errors: value(i.rx_errors.as_ref()),
        tx_bytes: value(i.tx_bytes.as_ref()),
        tx_errors: value(i.tx_errors.as_ref()),
    }
}

fn network(usage: &v1::NetworkUsage) -> Network {
    let mut interfaces: Vec<_> = usage.interfaces.iter().map(interface).collect();
    let default = usage.default_interface.as_ref().map(interface);
    if let Some(default) = default.as_ref().filter(|d| interfaces.iter().all(|i| i.name != d.name)) {
        interfaces.insert(0, default.clone());
    }
    Network { time: time(usage.timestamp).unwrap_or_else(now), default, interfaces }
}

/// A file system as it is now; `None` for a path that is not there.
pub fn file_system(path: &Path) -> Option<Fs> {
    let d = machine::disk(path).ok()?; // not there: nothing to tell
    let number = |v: i64| u64::try_from(v).unwrap_or(0);
    Some(Fs {
        time: now(),
        available_bytes: Some(number(d.free)),
        capacity_bytes: Some(number(d.size)),
        used_bytes: Some(number(d.size - d.free)),
        inodes_free: Some(number(d.inodes_free)),
        inodes: Some(number(d.inodes)),
        inodes_used: Some(number(d.inodes - d.inodes_free)),
    })
}

/// The file system with what something takes of it.
fn part_of(whole: Fs, taken: Taken) -> Fs {
    Fs { used_bytes: Some(taken.bytes), inodes_used: Some(taken.inodes), ..whole }
}

/// The kernel's count of the node's processor time since boot, in nanoseconds.
pub fn node_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default(); // not there: not known
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|v| v.parse().ok()).collect();
    let idle = ticks.get(3).copied().unwrap_or(0) + ticks.get(4).copied().unwrap_or(0);
    let busy = ticks.iter().take(8).sum::<u64>().saturating_sub(idle);
    busy * 10_000_000 // a tick is a hundredth of a second
}

/// Everything, as it is now.
///
/// # Errors
/// The runtime does not answer.
pub async fn summary(kubelet: &Kubelet, disks: Disks) -> Result<Summary, cri::Error> {
    let request = v1::ListPodSandboxStatsRequest { filter: None };
    let listed = kubelet.runtime.list_pod_sandbox_stats(request).await?.stats;
    let root = file_system(&kubelet.settings.root_dir).unwrap_or_default();
    let images = image_file_system(kubelet).await;
    let mut pods = Vec::with_capacity(listed.len());
    for stats in &listed {
        let uid = stats.attributes.as_ref().and_then(|a| a.metadata.as_ref()).map(|m| m.uid.as_str());
        let Some(handle) = uid.and_then(|u| kubelet.workers.get(u)) else { continue };
        pods.extend(pod(kubelet, &handle, stats, root, images, disks).await);
    }
    Ok(Summary { node: node(kubelet, root, images), pods })
}

/// Where images and containers' layers are.
async fn image_file_system(kubelet: &Kubelet) -> Fs {
    let told = kubelet.runtime.image_fs_info(v1::ImageFsInfoRequest {}).await;
    let told = match told {
        Ok(told) => told.image_filesystems.into_iter().next(),
        Err(error) => {
            tracing::debug!(error = crate::chain(&error), "Asking for the images' file system");
            None
        }
    };
    let Some(told) = told else { return Fs::default() };
    let point = told.fs_id.as_ref().map(|f| f.mountpoint.clone()).unwrap_or_default();
    let whole = file_system(Path::new(&point)).unwrap_or_default();
    let bytes = value(told.used_bytes.as_ref()).unwrap_or(0);
    part_of(whole, Taken { bytes, inodes: value(told.inodes_used.as_ref()).unwrap_or(0) })
}

fn node(kubelet: &Kubelet, root: Fs, images: Fs) -> Node {
    let time = now();
    let total = node_cpu();
    let m = machine::memory().unwrap_or_default(); // not there: not known
    let number = |v: i64| u64::try_from(v).ok(); // negative: not known
    let processes = machine::processes().unwrap_or_default(); // as above
    Node {
        node_name: kubelet.name.clone(),
        start_time: Some(kubelet.machine.booted),
        cpu: Some(Cpu {
            time,
            usage_nano_cores: kubelet.stats.rate(total),
            usage_core_nano_seconds: Some(total),
        }),
        memory: Some(Memory {
            time,
            available_bytes: number(m.available),
            usage_bytes: number(m.total - m.free),
            working_set_bytes: number(m.total - m.available),
            rss_bytes: number(m.anonymous),
            page_faults: Some(0),
            major_page_faults: Some(0),
        }),
        fs: Some(root),
        runtime: Some(Runtime { image_fs: Some(images), container_fs: Some(images) }),
        rlimit: Some(Rlimit { time, maxpid: processes.limit, curproc: processes.running }),
        swap: Some(Swap {
            time,
            swap_available_bytes: number(m.swap_free),
            swap_usage_bytes: number(m.swap - m.swap_free),
        }),
        ..Node::default()
    }
}

async fn pod(
    kubelet: &Kubelet,
    handle: &Handle,
    stats: &v1::PodSandboxStats,
    root: Fs,
    images: Fs,
    disks: Disks,
) -> Option<Pod> {
    let metadata = stats.attributes.as_ref()?.metadata.as_ref()?;
    let linux = stats.linux.as_ref()?;
    let (api, view) = (handle.pod(), handle.view());
    let mut taken = Taken::default();
    let mut containers = Vec::new();
    for c in &linux.containers {
        let name = c.attributes.as_ref()?.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
        let seen = view.observed.newest(&name);
        let layer = c.writable_layer.as_ref();
        let layer = Taken {
            bytes: layer.and_then(|l| value(l.used_bytes.as_ref())).unwrap_or(0),
            inodes: layer.and_then(|l| value(l.inodes_used.as_ref())).unwrap_or(0),
        };
        let log = seen.map(|s| log_size(Path::new(&s.log_path))).unwrap_or_default();
        taken += layer;
        taken += log;
        containers.push(Container {
            name,
            start_time: seen.and_then(|s| time(s.started_at)),
            cpu: c.cpu.as_ref().map(cpu),
            memory: c.memory.as_ref().map(memory),
            rootfs: Some(part_of(images, layer)),
            logs: Some(part_of(root, log)),
            swap: Some(swap(c.swap.as_ref())),
            id: seen.map(|s| s.id.clone()).unwrap_or_default(),
            image: seen.map(|s| s.image.clone()).unwrap_or_default(),
        });
    }
    let volumes = if disks == Disks::Skip { Vec::new() } else { volumes(kubelet, &api, disks).await };
    for v in volumes.iter().filter(|v| v.ephemeral) {
        taken += Taken { bytes: v.fs.used_bytes.unwrap_or(0), inodes: v.fs.inodes_used.unwrap_or(0) };
    }
    let count = linux.process.as_ref().and_then(|p| value(p.process_count.as_ref()));
    Some(Pod {
        pod_ref: PodRef {
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            uid: metadata.uid.clone(),
        },
        start_time: view.status.start_time.as_ref().map(|t| t.0),
        containers,
        cpu: linux.cpu.as_ref().map(cpu),
        memory: linux.memory.as_ref().map(memory),
        network: linux.network.as_ref().map(network),
        volumes,
        ephemeral_storage: Some(part_of(root, taken)),
        process_stats: Some(Processes { process_count: count.unwrap_or(0) }),
        swap: Some(swap(None)),
        sandbox: stats.attributes.as_ref().map(|a| a.id.clone()).unwrap_or_default(),
        cgroup: kubelet.cgroups.parent(&api),
    })
}

/// The log and what rotation has made of it.
fn log_size(log: &Path) -> Taken {
    use std::os::unix::fs::MetadataExt;
    let Some(entries) = log.parent().and_then(|dir| std::fs::read_dir(dir).ok()) else {
        return Taken::default();
    };
    let mut taken = Taken::default();
    for meta in entries.filter_map(|e| e.ok()?.metadata().ok()) {
        taken += Taken { bytes: meta.blocks() * 512, inodes: 1 };
    }
    taken
}

async fn volumes(kubelet: &Kubelet, pod: &ApiPod, disks: Disks) -> Vec<Volume> {
    let mut out = Vec::new();
    for volume in pod.facts().volumes.iter().flatten() {
        let path = kubelet.claims.path(pod, &volume.name);
        let path = path.or_else(|| crate::volumes::path_of(&kubelet.settings, pod, volume));
        let Some(path) = path else { continue };
        let Some(whole) = file_system(&path) else { continue };
        let claim = volume
            .persistent_volume_claim
            .as_ref()
            .map(|c| c.claim_name.clone())
            .or_else(|| volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name(), volume.name)))
            .map(|name| PvcRef { name, namespace: pod.namespace().to_owned() });
        let ephemeral = claim.is_none()
            && volume.empty_dir.as_ref().is_none_or(|e| e.medium.as_deref() != Some("Memory"));
        // a claim's file system is its own; a directory on the node's disk is counted
        let fs = if claim.is_some() {
            whole
        } else {
            part_of(whole, kubelet.stats.counts.of(&path, disks.age()).await)
        };
        out.push(Volume { fs, name: volume.name.clone(), pvc_ref: claim, ephemeral });
    }
    out
}
