//! `/stats/summary`.
//!
//! # Upstream
//! `pkg/kubelet/server/stats/summary.go`, `k8s.io/kubelet/pkg/apis/stats/v1alpha1`

use std::collections::HashMap;

use cri::v1;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, json as answer, text};
use crate::Kubelet;
use crate::node::machine;

fn value(v: Option<&v1::UInt64Value>) -> Value {
    v.map_or(Value::Null, |v| json!(v.value))
}

fn time(nanoseconds: i64) -> Value {
    let seconds = nanoseconds.div_euclid(1_000_000_000);
    Timestamp::from_second(seconds).map_or(Value::Null, |t| json!(t.to_string()))
}

fn cpu(usage: Option<&v1::CpuUsage>) -> Value {
    usage.map_or(Value::Null, |u| {
        json!({
            "time": time(u.timestamp),
            "usageNanoCores": value(u.usage_nano_cores.as_ref()),
            "usageCoreNanoSeconds": value(u.usage_core_nano_seconds.as_ref()),
        })
    })
}

fn memory(usage: Option<&v1::MemoryUsage>) -> Value {
    usage.map_or(Value::Null, |u| {
        json!({
            "time": time(u.timestamp),
            "availableBytes": value(u.available_bytes.as_ref()),
            "usageBytes": value(u.usage_bytes.as_ref()),
            "workingSetBytes": value(u.working_set_bytes.as_ref()),
            "rssBytes": value(u.rss_bytes.as_ref()),
            "pageFaults": value(u.page_faults.as_ref()),
            "majorPageFaults": value(u.major_page_faults.as_ref()),
        })
    })
}

fn interface(i: &v1::NetworkInterfaceUsage) -> Value {
    json!({
        "name": i.name,
        "rxBytes": value(i.rx_bytes.as_ref()), "rxErrors": value(i.rx_errors.as_ref()),
        "txBytes": value(i.tx_bytes.as_ref()), "txErrors": value(i.tx_errors.as_ref()),
    })
}

fn network(usage: Option<&v1::NetworkUsage>) -> Value {
    let Some(u) = usage else { return Value::Null };
    let all: Vec<_> = u.default_interface.iter().chain(&u.interfaces).map(interface).collect();
    let mut out = u.default_interface.as_ref().map_or_else(|| json!({}), interface);
    out["time"] = time(u.timestamp);
    out["interfaces"] = json!(all);
    out
}

/// A file system as it is now.
fn file_system(path: &std::path::Path) -> Value {
    match machine::disk(path) {
        Ok(d) => json!({
            "time": Timestamp::now().to_string(),
            "availableBytes": d.free, "capacityBytes": d.size, "usedBytes": d.size - d.free,
            "inodesFree": d.inodes_free, "inodes": d.inodes, "inodesUsed": d.inodes - d.inodes_free,
        }),
        Err(_) => Value::Null,
    }
}

fn container(stats: &v1::ContainerStats, started: Option<i64>, disk: &Value) -> Value {
    let attributes = stats.attributes.as_ref();
    let name = attributes.and_then(|a| a.metadata.as_ref()).map(|m| m.name.clone()).unwrap_or_default();
    let layer = stats.writable_layer.as_ref();
    let mut rootfs = disk.clone();
    rootfs["usedBytes"] = value(layer.and_then(|l| l.used_bytes.as_ref()));
    rootfs["inodesUsed"] = value(layer.and_then(|l| l.inodes_used.as_ref()));
    json!({
        "name": name,
        "startTime": started.map_or(Value::Null, time),
        "cpu": cpu(stats.cpu.as_ref()),
        "memory": memory(stats.memory.as_ref()),
        "rootfs": rootfs,
        "logs": disk,
        "swap": { "time": Timestamp::now().to_string(), "swapUsageBytes": 0 },
    })
}

fn pod(kubelet: &Kubelet, stats: &v1::PodSandboxStats, disk: &Value) -> Option<Value> {
    let attributes = stats.attributes.as_ref()?;
    let metadata = attributes.metadata.as_ref()?;
    let linux = stats.linux.as_ref()?;
    let handle = kubelet.workers.get(&metadata.uid)?;
    let view = handle.view();
    let started = |name: &str| view.observed.newest(name).map(|c| c.started_at);
    let containers: Vec<_> = linux
        .containers
        .iter()
        .map(|c| {
            let name =
                c.attributes.as_ref().and_then(|a| a.metadata.as_ref()).map_or("", |m| m.name.as_str());
            container(c, started(name), disk)
        })
        .collect();
    Some(json!({
        "podRef": { "name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid },
        "startTime": view.status.start_time,
        "containers": containers,
        "cpu": cpu(linux.cpu.as_ref()),
        "memory": memory(linux.memory.as_ref()),
        "network": network(linux.network.as_ref()),
        "process_stats": { "process_count": linux.process.as_ref().and_then(|p| p.process_count.as_ref()).map_or(0, |v| v.value) },
        "ephemeral-storage": disk,
    }))
}

/// The node's processor time in nanoseconds, by the kernel's count since boot.
pub(super) fn node_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default(); // not there: not known
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|v| v.parse().ok()).collect();
    let idle = ticks.get(3).copied().unwrap_or(0) + ticks.get(4).copied().unwrap_or(0);
    let busy = ticks.iter().take(8).sum::<u64>().saturating_sub(idle);
    busy * 10_000_000 // a tick is a hundredth of a second
}

/// Everything, or with `only_cpu_and_memory` those two.
pub(super) async fn summary(kubelet: &Kubelet, query: &HashMap<String, Vec<String>>) -> Answer {
    let listed =
        match kubelet.runtime.list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest { filter: None }).await {
            Ok(listed) => listed.stats,
            Err(e) => return text(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&e)),
        };
    let disk = file_system(&kubelet.settings.root_dir);
    let pods: Vec<_> = listed.iter().filter_map(|s| pod(kubelet, s, &disk)).collect();
    let now = Timestamp::now().to_string();
    let available = machine::memory_available().unwrap_or(0); // not there: not known
    let used = kubelet.machine.memory - available;
    let mut node = json!({
        "nodeName": kubelet.name,
        "cpu": { "time": now, "usageCoreNanoSeconds": node_cpu() },
        "memory": {
            "time": now, "availableBytes": available, "usageBytes": used, "workingSetBytes": used, "rssBytes": used,
            "pageFaults": 0, "majorPageFaults": 0,
        },
        "fs": disk,
        "runtime": { "imageFs": disk, "containerFs": disk },
        "rlimit": { "time": now, "maxpid": 0, "curproc": 0 },
        "systemContainers": [],
    });
    if query.get("only_cpu_and_memory").is_some_and(|v| v.iter().any(|v| v == "true")) {
        for key in ["fs", "runtime", "rlimit"] {
            node[key].take();
        }
    }
    answer(&json!({ "node": node, "pods": pods }))
}
