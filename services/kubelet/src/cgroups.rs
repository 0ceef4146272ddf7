//! Cgroups above containers: tiers by quality of service, and one per pod. Through files, as CRI's `cgroupfs` driver
//! wants it, or named as systemd slices.
//!
//! # Upstream
//! `pkg/kubelet/cm/cgroup_manager_linux.go`, `pod_container_manager_linux.go`, `qos_container_manager_linux.go`

use std::io;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::pod::facts::{PodFacts, Qos, pod_limit, pod_request, qos};
use crate::runtime::resources::{PERIOD, quota, shares};

/// Hierarchies of version 1 a pod has a directory in.
const V1: &[&str] =
    &["cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb", "systemd"];
const V2: &[&str] = &["cpu", "cpuset", "memory", "pids", "io", "hugetlb"];

/// The node's cgroups.
#[derive(Debug, Clone)]
pub struct Cgroups {
    root: PathBuf,
    /// Version 2 (one hierarchy) rather than 1.
    pub v2: bool,
    /// Named as systemd slices.
    pub systemd: bool,
}

/// What a cgroup is given.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Cpu shares.
    pub shares: Option<i64>,
    /// Microseconds per period; 0 for no limit.
    pub quota: Option<i64>,
    /// Bytes; 0 for no limit.
    pub memory: Option<i64>,
    /// Processes; 0 or less for no limit.
    pub pids: Option<i64>,
}

impl Cgroups {
    /// Looks at what the kernel offers.
    pub fn new(systemd: bool) -> Self {
        let root = PathBuf::from("/sys/fs/cgroup");
        let v2 = root.join("cgroup.controllers").exists();
        Self { root, v2, systemd }
    }

    /// The cgroup a pod's containers are put under, as CRI takes it.
    pub fn parent(&self, pod: &Pod) -> String {
        let tier = qos(pod.facts());
        if self.systemd {
            let uid = pod.uid().replace('-', "_");
            return match tier {
                Qos::Guaranteed => format!("kubepods-pod{uid}.slice"),
                Qos::Burstable => format!("kubepods-burstable-pod{uid}.slice"),
                Qos::BestEffort => format!("kubepods-besteffort-pod{uid}.slice"),
            };
        }
        format!("/{}", self.pod_path(pod).display())
    }

    fn pod_path(&self, pod: &Pod) -> PathBuf {
        self.tier(qos(pod.facts())).join(self.leaf(pod))
    }

    fn leaf(&self, pod: &Pod) -> String {
        let uid = pod.uid();
        if !self.systemd {
            return format!("pod{uid}");
        }
        self.parent(pod)
    }

    fn tier(&self, tier: Qos) -> PathBuf {
        let (root, suffix) = if self.systemd { ("kubepods.slice", ".slice") } else { ("kubepods", "") };
        let root = PathBuf::from(root);
        let prefix = if self.systemd { "kubepods-" } else { "" };
        match tier {
            Qos::Guaranteed => root,
            Qos::Burstable => root.join(format!("{prefix}burstable{suffix}")),
            Qos::BestEffort => root.join(format!("{prefix}besteffort{suffix}")),
        }
    }

    /// Makes the tiers; `limits` are of all pods together.
    ///
    /// # Errors
    /// The cgroup file system refuses.
    pub fn ensure_tiers(&self, limits: Limits) -> io::Result<()> {
        self.ensure(&self.tier(Qos::Guaranteed), limits)?;
        self.ensure(&self.tier(Qos::Burstable), Limits::default())?;
        self.ensure(&self.tier(Qos::BestEffort), Limits { shares: Some(2), ..Limits::default() })
    }

    /// Shares of the burstable tier: what its pods request together.
    ///
    /// # Errors
    /// The cgroup file system refuses.
    pub fn set_burstable_shares(&self, milli_cpu: i64) -> io::Result<()> {
        self.apply(
            &self.tier(Qos::Burstable),
            Limits { shares: Some(shares(milli_cpu)), ..Limits::default() },
        )
    }

    /// Makes a pod's cgroup, or brings its limits up to date.
    ///
    /// # Errors
    /// The cgroup file system refuses.
    pub fn ensure_pod(&self, pod: &Pod, pids: i64, cfs: bool) -> io::Result<()> {
        self.ensure(&self.pod_path(pod), pod_limits(pod, pids, cfs))
    }

    /// Raises a pod's limits where they grow; where they shrink they stay until its containers have shrunk.
    ///
    /// # Errors
    /// The cgroup file system refuses.
    pub fn widen_pod(&self, pod: &Pod, limits: Limits) -> io::Result<()> {
        if self.systemd {
            return Ok(());
        }
        let path = self.pod_path(pod);
        let (quota_file, memory_file) = if self.v2 {
            (self.root.join(&path).join("cpu.max"), self.root.join(&path).join("memory.max"))
        } else {
            let cpu = self.root.join("cpu").join(&path).join("cpu.cfs_quota_us");
            (cpu, self.root.join("memory").join(&path).join("memory.limit_in_bytes"))
        };
        let now = |file: &Path| -> io::Result<i64> {
            let text = std::fs::read_to_string(file)?;
            // "max" and -1: no limit
            Ok(text
                .split_whitespace()
                .next()
                .and_then(|v| v.parse().ok())
                .filter(|v| *v > 0)
                .unwrap_or(i64::MAX))
        };
        let wider = |wanted: Option<i64>, now: i64| wanted.filter(|w| *w <= 0 || *w > now);
        let wanted = Limits {
            shares: limits.shares,
            quota: wider(limits.quota, now(&quota_file)?),
            memory: wider(limits.memory, now(&memory_file)?),
            pids: None,
        };
        self.apply(&path, wanted)
    }

    /// Removes a pod's cgroup; processes left in it are ended first.
    ///
    /// # Errors
    /// Something still runs in it.
    pub fn remove_pod(&self, pod: &Pod) -> io::Result<()> {
        let path = self.pod_path(pod);
        for base in self.bases() {
            let dir = base.join(&path);
            if dir.exists() {
                kill_all(&dir)?;
                remove_tree(&dir)?;
            }
        }
        Ok(())
    }

    fn bases(&self) -> Vec<PathBuf> {
        if self.v2 {
            return vec![self.root.clone()];
        }
        V1.iter().map(|c| self.root.join(c)).filter(|p| p.is_dir()).collect()
    }

    fn ensure(&self, path: &Path, limits: Limits) -> io::Result<()> {
        for base in self.bases() {
            let mut at = base.clone();
            for part in path.components() {
                let parent = at.clone();
                at.push(part);
                if at.is_dir() {
                    continue;
                }
                std::fs::create_dir(&at).or_else(|e| if at.is_dir() { Ok(()) } else { Err(e) })?;
                if self.v2 {
                    self.delegate(&parent)?;
                } else {
                    copy_cpuset(&parent, &at)?;
                }
            }
        }
        self.apply(path, limits)
    }

    fn delegate(&self, parent: &Path) -> io::Result<()> {
        let offered = std::fs::read_to_string(parent.join("cgroup.controllers"))?;
        for controller in V2.iter().filter(|c| offered.split_whitespace().any(|o| o == **c)) {
            std::fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"))?;
        }
        Ok(())
    }

    fn apply(&self, path: &Path, limits: Limits) -> io::Result<()> {
        let unlimited = |v: i64, none: &str| if v <= 0 { none.to_owned() } else { v.to_string() };
        if self.v2 {
            let at = self.root.join(path);
            if let Some(shares) = limits.shares {
                set(&at.join("cpu.weight"), &weight(shares).to_string())?;
            }
            if let Some(quota) = limits.quota {
                set(&at.join("cpu.max"), &format!("{} {PERIOD}", unlimited(quota, "max")))?;
            }
            if let Some(memory) = limits.memory {
                set(&at.join("memory.max"), &unlimited(memory, "max"))?;
            }
            if let Some(pids) = limits.pids {
                set(&at.join("pids.max"), &unlimited(pids, "max"))?;
            }
            return Ok(());
        }
        let cpu = self.root.join("cpu").join(path);
        if let Some(shares) = limits.shares {
            set(&cpu.join("cpu.shares"), &shares.to_string())?;
        }
        if let Some(quota) = limits.quota {
            set(&cpu.join("cpu.cfs_period_us"), &PERIOD.to_string())?;
            set(&cpu.join("cpu.cfs_quota_us"), &unlimited(quota, "-1"))?;
        }
        if let Some(memory) = limits.memory {
            set(
                &self.root.join("memory").join(path).join("memory.limit_in_bytes"),
                &unlimited(memory, "-1"),
            )?;
        }
        if let Some(pids) = limits.pids {
            set(&self.root.join("pids").join(path).join("pids.max"), &unlimited(pids, "max"))?;
        }
        Ok(())
    }
}

/// What a pod's cgroup is given.
pub fn pod_limits(pod: &Pod, pids: i64, cfs: bool) -> Limits {
    let spec = pod.facts();
    let memory = pod_limit(spec, "memory");
    Limits {
        shares: Some(shares(pod_request(spec, "cpu"))),
        quota: Some(if cfs { quota(pod_limit(spec, "cpu").unwrap_or(0)) } else { 0 }),
        memory: Some(memory.unwrap_or(0)),
        pids: (pids > 0).then_some(pids),
    }
}

/// Cpu shares as version 2's weight; runc's conversion since 1.3, quadratic so that 1024 becomes 100.
pub fn weight(shares: i64) -> i64 {
    let l = (shares.clamp(2, 262_144) as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    (10f64.powf(exponent)).ceil() as i64
}

/// Writes unless the kernel has no such file, or the value is there already.
fn set(file: &Path, value: &str) -> io::Result<()> {
    match std::fs::read_to_string(file) {
        Ok(now) if now.trim() == value => return Ok(()),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    }
    std::fs::write(file, value)
}

/// A cpuset of version 1 takes no process before it is told its cpus and memory nodes.
fn copy_cpuset(parent: &Path, child: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if parent.join(file).exists() {
            let value = std::fs::read_to_string(parent.join(file))?;
            std::fs::write(child.join(file), value.trim())?;
        }
    }
    Ok(())
}

fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all.push(entry.path());
        }
    }
    Ok(all)
}

fn kill_all(dir: &Path) -> io::Result<()> {
    for child in children(dir)? {
        kill_all(&child)?;
    }
    let processes = std::fs::read_to_string(dir.join("cgroup.procs"))?;
    // A process the kubelet's pid namespace does not show is listed as 0; to kill(2) that is the caller's own group.
    for process in processes.lines().filter_map(|l| l.parse::<i32>().ok()).filter(|pid| *pid > 0) {
        match nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    for child in children(dir)? {
        remove_tree(&child)?;
    }
    std::fs::remove_dir(dir)
}
