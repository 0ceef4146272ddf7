//! Requests and limits as the kernel takes them. Pure.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_container_linux.go` `generateLinuxContainerResources`, `pkg/kubelet/cm/helpers_linux.go`,
//! `pkg/kubelet/qos/policy.go`

use cri::v1::LinuxContainerResources;
use k8s_openapi::api::core::v1::{Container, Pod};

use crate::pod::facts::{PodFacts, Qos, limit, pod_limit, qos, request};

/// The kernel's period for CPU quotas, in microseconds.
pub const PERIOD: i64 = 100_000;

/// Thousandths of a core as cpu shares.
pub fn shares(milli: i64) -> i64 {
    if milli == 0 { 2 } else { (milli * 1024 / 1000).clamp(2, 262_144) }
}

/// Thousandths of a core as quota per period; 0 for none.
pub fn quota(milli: i64) -> i64 {
    if milli == 0 { 0 } else { (milli * PERIOD / 1000).max(1000) }
}

/// How willingly the kernel ends this container when memory is short.
pub fn oom_score_adj(pod: &Pod, c: &Container, memory_capacity: i64) -> i64 {
    if pod.facts().priority.unwrap_or(0) >= 2_000_001_000 {
        return -997;
    }
    match qos(pod.facts()) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let requested = i128::from(request(c, "memory"));
            let share = 1000 * requested / i128::from(memory_capacity.max(1));
            // within burstable: above every guaranteed pod, below every best-effort one
            i64::try_from(1000 - share).map_or(3, |s| s.clamp(3, 999))
        }
    }
}

/// A container's resources.
pub fn container(
    pod: &Pod,
    c: &Container,
    memory_capacity: i64,
    cfs: bool,
    v2: bool,
) -> LinuxContainerResources {
    let cpu_limit = limit(c, "cpu");
    let mut memory = limit(c, "memory");
    if memory == 0 {
        memory = pod.facts().resources.as_ref().and_then(|_| pod_limit(pod.facts(), "memory")).unwrap_or(0);
    }
    let unified =
        if v2 { [("memory.oom.group".to_owned(), "1".to_owned())].into() } else { Default::default() };
    LinuxContainerResources {
        cpu_period: PERIOD,
        cpu_quota: if cfs { quota(cpu_limit) } else { 0 },
        cpu_shares: shares(request(c, "cpu")),
        memory_limit_in_bytes: memory,
        oom_score_adj: oom_score_adj(pod, c, memory_capacity),
        unified,
        // swap stays off: what memory and swap may be together is what memory alone may be
        memory_swap_limit_in_bytes: memory,
        ..LinuxContainerResources::default()
    }
}
