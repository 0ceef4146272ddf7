//! Who has to go first, and what is said about it. Pure.
//!
//! # Upstream
//! `pkg/kubelet/eviction/helpers.go` `rankMemoryPressure`, `rankDiskPressureFunc`, `rankPIDPressure`, `evictionMessage`

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;

use super::thresholds::{Observations, Signal, Threshold, binary, decimal};
use crate::pod::facts::{PodFacts, pod_request, request};
use crate::stats::types;

/// What of a pod's disk use counts for a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// One file system for everything.
    All,
    /// Logs and volumes: images and layers are elsewhere.
    LogsAndVolumes,
    /// Layers: the images' file system.
    Layers,
}

fn used(fs: Option<&types::Fs>, inodes: bool) -> i64 {
    let number = fs.and_then(|f| if inodes { f.inodes_used } else { f.used_bytes });
    number.map_or(0, |v| i64::try_from(v).unwrap_or(i64::MAX))
}

/// What a pod uses of the disk.
pub fn disk_use(stats: &types::Pod, what: Disk, inodes: bool) -> i64 {
    let mut total = 0;
    for c in &stats.containers {
        if what != Disk::Layers {
            total += used(c.logs.as_ref(), inodes);
        }
        if what != Disk::LogsAndVolumes {
            total += used(c.rootfs.as_ref(), inodes);
        }
    }
    if what != Disk::Layers {
        total += stats.volumes.iter().filter(|v| v.ephemeral).map(|v| used(Some(&v.fs), inodes)).sum::<i64>();
    }
    total
}

fn memory_use(stats: &types::Pod) -> i64 {
    stats.memory.and_then(|m| m.working_set_bytes).map_or(0, |v| i64::try_from(v).unwrap_or(i64::MAX))
}

/// The order in which pods go; the least goes first. A pod nothing is known of goes before all others.
pub type Order = (bool, Reverse<bool>, i32, Reverse<i64>);

/// A pod's place.
pub fn order(signal: Signal, what: Disk, pod: &Pod, stats: Option<&types::Pod>) -> Order {
    let priority = pod.facts().priority.unwrap_or(0);
    let Some(stats) = stats else { return (false, Reverse(true), priority, Reverse(0)) };
    let (exceeds, above) = match signal {
        Signal::Memory => {
            let (used, asked) = (memory_use(stats), pod_request(pod.facts(), "memory"));
            (used > asked, used - asked)
        }
        Signal::Pids => {
            (false, stats.process_stats.map_or(0, |p| i64::try_from(p.process_count).unwrap_or(0)))
        }
        Signal::NodeFs | Signal::ImageFs => {
            let (used, asked) = (disk_use(stats, what, false), pod_request(pod.facts(), "ephemeral-storage"));
            (used > asked, used - asked)
        }
        Signal::NodeFsInodes | Signal::ImageFsInodes => {
            let used = disk_use(stats, what, true);
            (used > 0, used)
        }
    };
    (true, Reverse(exceeds), priority, Reverse(above))
}

/// The message of the pod's status and event.
pub fn message(t: &Threshold, pod: &Pod, stats: Option<&types::Pod>, observations: &Observations) -> String {
    let resource = t.signal.resource();
    let mut text = format!("The node was low on resource: {resource}. ");
    if let Some(o) = observations.get(&t.signal) {
        let count = matches!(t.signal, Signal::NodeFsInodes | Signal::ImageFsInodes | Signal::Pids);
        let available = if count { decimal(o.available) } else { binary(o.available) };
        text += &format!("Threshold quantity: {}, available: {available}. ", t.value.shown(o.capacity));
    }
    let Some(stats) = stats else { return text };
    let asked_of_pod = pod.facts().resources.as_ref().and_then(|r| r.requests.as_ref()?.get(resource));
    if let (Signal::Memory, Some(asked)) = (t.signal, asked_of_pod) {
        let used = binary(memory_use(stats));
        let name = pod.name();
        text += &format!(
            "Pod {name} was using {used}, request is {}, has larger consumption of {resource}. ",
            asked.0
        );
    }
    let spec = pod.facts();
    for c in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        let Some(stats) = stats.containers.iter().find(|s| s.name == c.name) else { continue };
        let used = match t.signal {
            Signal::Memory => {
                stats.memory.and_then(|m| m.working_set_bytes).map_or(0, |v| i64::try_from(v).unwrap_or(0))
            }
            Signal::NodeFs | Signal::ImageFs => used(stats.rootfs.as_ref(), false) + used_of_logs(stats),
            _ => continue,
        };
        let own = c.resources.as_ref().and_then(|r| r.requests.as_ref()?.get(resource));
        let asked = own.map_or(0, |_| request(c, resource));
        if used > asked {
            let asked = own.map_or("0", |q| q.0.as_str());
            text += &format!(
                "Container {} was using {}, request is {asked}, has larger consumption of {resource}. ",
                c.name,
                binary(used)
            );
        }
    }
    text
}

fn used_of_logs(stats: &types::Container) -> i64 {
    used(stats.logs.as_ref(), false)
}

/// Why a pod that takes more of the disk than it may has to go.
///
/// # Upstream
/// `pkg/kubelet/eviction/eviction_manager.go` `localStorageEviction`
pub fn over_limit(pod: &Pod, stats: &types::Pod, dedicated_images: bool) -> Option<String> {
    for volume in pod.facts().volumes.iter().flatten() {
        let Some(limit) = volume.empty_dir.as_ref().and_then(|e| e.size_limit.as_ref()) else { continue };
        let size = crate::quantity::value(limit);
        let used =
            stats.volumes.iter().find(|v| v.name == volume.name).map_or(0, |v| used(Some(&v.fs), false));
        if size > 0 && used > size {
            return Some(format!(
                "Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\". ",
                volume.name, limit.0
            ));
        }
    }
    if let Some(limit) = crate::pod::facts::pod_limit(pod.facts(), "ephemeral-storage").filter(|l| *l > 0)
        && used(stats.ephemeral_storage.as_ref(), false) > limit
    {
        let limit = binary(limit);
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
        ));
    }
    for c in &pod.facts().containers {
        let limits = c.resources.as_ref().and_then(|r| r.limits.as_ref());
        let Some(limit) = limits.and_then(|l| l.get("ephemeral-storage")) else { continue };
        let Some(stats) = stats.containers.iter().find(|s| s.name == c.name) else { continue };
        let layer = if dedicated_images { 0 } else { used(stats.rootfs.as_ref(), false) };
        let size = crate::quantity::value(limit);
        if size > 0 && layer + used_of_logs(stats) > size {
            return Some(format!(
                "Container {} exceeded its local ephemeral storage limit \"{}\". ",
                c.name, limit.0
            ));
        }
    }
    None
}

/// Whether a pod has limits its use of the disk is held to.
pub fn has_limits(pod: &Pod) -> bool {
    let spec = pod.facts();
    let limited = |c: &k8s_openapi::api::core::v1::Container| {
        c.resources
            .as_ref()
            .and_then(|r| r.limits.as_ref())
            .is_some_and(|l| l.contains_key("ephemeral-storage"))
    };
    spec.volumes.iter().flatten().any(|v| v.empty_dir.as_ref().is_some_and(|e| e.size_limit.is_some()))
        || spec.containers.iter().any(limited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, priority: i32, asked: &str) -> Pod {
        let container = json!({"name": "c", "resources": {"requests": {"memory": asked}}});
        let spec = json!({"priority": priority, "containers": [container]});
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    fn stats(bytes: u64) -> types::Pod {
        let memory = types::Memory { working_set_bytes: Some(bytes), ..types::Memory::default() };
        let container =
            types::Container { name: "c".into(), memory: Some(memory), ..types::Container::default() };
        types::Pod { memory: Some(memory), containers: vec![container], ..types::Pod::default() }
    }

    #[test]
    fn who_takes_more_than_asked_goes_first_then_who_matters_least() {
        let pods = [
            (pod("within", 0, "100Mi"), stats(50 << 20)),
            (pod("above", 0, "10Mi"), stats(30 << 20)),
            (pod("far-above", 0, "10Mi"), stats(40 << 20)),
            (pod("important", 5, "10Mi"), stats(90 << 20)),
        ];
        let mut order: Vec<_> = pods
            .iter()
            .map(|(p, s)| (super::order(Signal::Memory, Disk::All, p, Some(s)), p.name()))
            .collect();
        order.sort();
        let names: Vec<_> = order.into_iter().map(|(_, n)| n).collect();
        assert_eq!(names, ["far-above", "above", "important", "within"]);
    }

    #[test]
    fn messages() {
        let t = Threshold {
            signal: Signal::Memory,
            value: super::super::thresholds::Amount::Quantity("100Mi".into(), 100 << 20),
            grace: std::time::Duration::ZERO,
            reclaim: None,
        };
        let seen = super::super::thresholds::Observation { available: 90 << 20, capacity: 1 << 30 };
        let text =
            message(&t, &pod("p", 0, "10Mi"), Some(&stats(30 << 20)), &[(Signal::Memory, seen)].into());
        assert_eq!(
            text,
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. Container c was using 30Mi, \
             request is 10Mi, has larger consumption of memory. "
        );
    }
}
