//! Metrics in Prometheus' text form.
//!
//! # Upstream
//! `pkg/kubelet/metrics/collectors/{resource_metrics,volume_stats}.go`, `pkg/kubelet/metrics/metrics.go`

use std::fmt::Write;
use std::sync::atomic::Ordering;

use http::StatusCode;
use jiff::Timestamp;

use super::{Answer, text};
use crate::Kubelet;
use crate::stats::types::{Container, Pod, Summary};
use crate::stats::{Disks, summary};

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a string takes text");
        self.0.push('\n');
    }

    /// A family of one value.
    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// A family of samples with the time they are of.
    fn samples(&mut self, name: &str, kind: &str, help: &str, all: impl Iterator<Item = Sample>) {
        self.family(name, kind, help);
        for s in all {
            let brackets = if s.labels.is_empty() { String::new() } else { format!("{{{}}}", s.labels) };
            match s.at {
                Some(at) => self.line(format_args!("{name}{brackets} {} {}", s.value, at.as_millisecond())),
                None => self.line(format_args!("{name}{brackets} {}", s.value)),
            }
        }
    }
}

struct Sample {
    labels: String,
    value: f64,
    at: Option<Timestamp>,
}

/// The kubelet's own.
pub(super) async fn own(kubelet: &Kubelet) -> Answer {
    let mut out = Text(String::new());
    let handles = kubelet.workers.handles();
    let running = handles.iter().filter(|h| h.view().observed.running().next().is_some()).count();
    let help = "[BETA] Number of pods that have a running pod sandbox";
    out.one("kubelet_running_pods", "gauge", help, running);
    out.family("kubelet_running_containers", "gauge", "[BETA] Number of containers currently running");
    for (state, name) in [
        (cri::v1::ContainerState::ContainerRunning, "running"),
        (cri::v1::ContainerState::ContainerExited, "exited"),
        (cri::v1::ContainerState::ContainerCreated, "created"),
    ] {
        let count: usize = handles
            .iter()
            .map(|h| h.view().observed.containers.iter().filter(|c| c.state == state).count())
            .sum();
        out.line(format_args!("kubelet_running_containers{{container_state=\"{name}\"}} {count}"));
    }
    let help = "[ALPHA] The number of pods the kubelet considers active";
    out.one("kubelet_active_pods", "gauge", help, handles.iter().filter(|h| !h.view().ended).count());
    out.family("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
    out.line(format_args!("kubelet_node_name{{node=\"{}\"}} 1", kubelet.name));
    let evicted = kubelet.eviction.evicted.load(Ordering::Relaxed);
    out.one("kubelet_evictions", "counter", "[BETA] Cumulative number of pod evictions", evicted);
    runtime_operations(kubelet, &mut out);
    process(&mut out);
    volumes(kubelet, &mut out).await;
    text(StatusCode::OK, out.0)
}

fn runtime_operations(kubelet: &Kubelet, out: &mut Text) {
    let counts = kubelet.runtime.counts();
    let labelled = |value: fn(&cri::Count) -> f64| {
        let of = |(name, count): (&'static str, cri::Count)| Sample {
            labels: format!("operation_type=\"{}\"", snake(name)),
            value: value(&count),
            at: None,
        };
        counts.clone().into_iter().map(of).collect::<Vec<_>>().into_iter()
    };
    let help = "[BETA] Cumulative number of runtime operations by operation type.";
    out.samples("kubelet_runtime_operations_total", "counter", help, labelled(|c| c.calls as f64));
    let help = "[BETA] Cumulative number of runtime operation errors by operation type.";
    let failed = labelled(|c| c.errors as f64).filter(|s| s.value > 0.0);
    out.samples("kubelet_runtime_operations_errors_total", "counter", help, failed);
    let help = "[ALPHA] Seconds spent in runtime operations by operation type.";
    out.samples("kubelet_runtime_operations_seconds_total", "counter", help, labelled(|c| c.seconds));
}

/// `RunPodSandbox` as upstream's label has it: `run_podsandbox` and its like are spelt with every word apart here.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out.replace("pod_sandbox", "podsandbox")
}

/// What this very process uses.
fn process(out: &mut Text) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default(); // of a kernel: always there
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0); // as above
    let help = "Total user and system CPU time spent in seconds.";
    out.one("process_cpu_seconds_total", "counter", help, (number(11) + number(12)) / 100.0);
    out.one("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", number(20));
    out.one("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", number(21) * 4096.0);
    let open = std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or(0); // as above
    out.one("process_open_fds", "gauge", "Number of open file descriptors.", open);
    out.family("kubernetes_build_info", "gauge", "[ALPHA] The version this component was built from.");
    let version = env!("CARGO_PKG_VERSION");
    out.line(format_args!("kubernetes_build_info{{git_version=\"v1.36.3+k3s-rs{version}\"}} 1"));
}

/// File systems of claims.
async fn volumes(kubelet: &Kubelet, out: &mut Text) {
    let claimed = |h: &std::sync::Arc<crate::pod::workers::Handle>| {
        use crate::pod::facts::PodFacts;
        h.pod().facts().volumes.iter().flatten().any(|v| v.persistent_volume_claim.is_some())
    };
    if !kubelet.workers.handles().iter().any(claimed) {
        return;
    }
    let pods = summary(kubelet, Disks::Recent).await.map(|s| s.pods).unwrap_or_default(); // told by the other metrics
    let all: Vec<_> =
        pods.iter().flat_map(|p| &p.volumes).filter_map(|v| Some((v.pvc_ref.as_ref()?, v.fs))).collect();
    type Pick = fn(&crate::stats::types::Fs) -> Option<u64>;
    let families: [(&str, &str, Pick); 6] = [
        ("capacity_bytes", "Capacity in bytes of the volume", |f| f.capacity_bytes),
        ("available_bytes", "Number of available bytes in the volume", |f| f.available_bytes),
        ("used_bytes", "Number of used bytes in the volume", |f| f.used_bytes),
        ("inodes", "Maximum number of inodes in the volume", |f| f.inodes),
        ("inodes_free", "Number of free inodes in the volume", |f| f.inodes_free),
        ("inodes_used", "Number of used inodes in the volume", |f| f.inodes_used),
    ];
    for (name, help, pick) in families {
        let of = |(claim, fs): &(&crate::stats::types::PvcRef, crate::stats::types::Fs)| {
            let labels =
                format!("namespace=\"{}\",persistentvolumeclaim=\"{}\"", claim.namespace, claim.name);
            Some(Sample { labels, value: pick(fs)? as f64, at: None })
        };
        let name = format!("kubelet_volume_stats_{name}");
        out.samples(&name, "gauge", &format!("[ALPHA] {help}"), all.iter().filter_map(of));
    }
}

fn of_pod(pod: &Pod) -> String {
    format!("namespace=\"{}\",pod=\"{}\"", pod.pod_ref.namespace, pod.pod_ref.name)
}

fn containers<'a>(
    all: &'a Summary,
    pick: impl Fn(&Container) -> Option<(f64, Option<Timestamp>)> + 'a,
) -> impl Iterator<Item = Sample> + 'a {
    let each = all.pods.iter().flat_map(|p| p.containers.iter().map(move |c| (p, c)));
    each.filter_map(move |(p, c)| {
        let (value, at) = pick(c)?;
        Some(Sample { labels: format!("container=\"{}\",{}", c.name, of_pod(p)), value, at })
    })
}

fn pods<'a>(
    all: &'a Summary,
    pick: impl Fn(&Pod) -> Option<(f64, Option<Timestamp>)> + 'a,
) -> impl Iterator<Item = Sample> + 'a {
    all.pods.iter().filter_map(move |p| {
        let (value, at) = pick(p)?;
        Some(Sample { labels: of_pod(p), value, at })
    })
}

fn seconds(cpu: Option<crate::stats::types::Cpu>) -> Option<(f64, Option<Timestamp>)> {
    let cpu = cpu?;
    Some((cpu.usage_core_nano_seconds? as f64 / 1e9, Some(cpu.time)))
}

fn working_set(memory: Option<crate::stats::types::Memory>) -> Option<(f64, Option<Timestamp>)> {
    let memory = memory?;
    Some((memory.working_set_bytes? as f64, Some(memory.time)))
}

fn swapped(swap: Option<crate::stats::types::Swap>) -> Option<(f64, Option<Timestamp>)> {
    let swap = swap?;
    Some((swap.swap_usage_bytes? as f64, Some(swap.time)))
}

/// `/metrics/resource`.
pub(super) async fn resource(kubelet: &Kubelet) -> Answer {
    let mut out = Text(String::new());
    let answer = summary(kubelet, Disks::Skip).await;
    let failed = answer.is_err();
    let all = answer.unwrap_or_default(); // told by the last family
    let help = "[STABLE] Cumulative cpu time consumed by the container in core-seconds";
    out.samples("container_cpu_usage_seconds_total", "counter", help, containers(&all, |c| seconds(c.cpu)));
    let help = "[STABLE] Current working set of the container in bytes";
    out.samples(
        "container_memory_working_set_bytes",
        "gauge",
        help,
        containers(&all, |c| working_set(c.memory)),
    );
    let help = "[STABLE] Start time of the container since unix epoch in seconds";
    let started = |c: &Container| c.start_time.map(|t| (t.as_second() as f64, None));
    out.samples("container_start_time_seconds", "gauge", help, containers(&all, started));
    let help =
        "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems";
    out.samples("container_swap_usage_bytes", "gauge", help, containers(&all, |c| swapped(c.swap)));
    let node = |value: Option<(f64, Option<Timestamp>)>| {
        value.into_iter().map(|(value, at)| Sample { labels: String::new(), value, at })
    };
    let help = "[STABLE] Cumulative cpu time consumed by the node in core-seconds";
    out.samples("node_cpu_usage_seconds_total", "counter", help, node(seconds(all.node.cpu)));
    let help = "[STABLE] Current working set of the node in bytes";
    out.samples("node_memory_working_set_bytes", "gauge", help, node(working_set(all.node.memory)));
    let help = "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems";
    out.samples("node_swap_usage_bytes", "gauge", help, node(swapped(all.node.swap)));
    let help = "[STABLE] Cumulative cpu time consumed by the pod in core-seconds";
    out.samples("pod_cpu_usage_seconds_total", "counter", help, pods(&all, |p| seconds(p.cpu)));
    let help = "[STABLE] Current working set of the pod in bytes";
    out.samples("pod_memory_working_set_bytes", "gauge", help, pods(&all, |p| working_set(p.memory)));
    let help = "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise";
    out.one("resource_scrape_error", "gauge", help, u8::from(failed));
    text(StatusCode::OK, out.0)
}

/// `/metrics/cadvisor`: the families most dashboards ask for.
pub(super) async fn cadvisor(kubelet: &Kubelet) -> Answer {
    let mut out = Text(String::new());
    let all = match summary(kubelet, Disks::Skip).await {
        Ok(all) => all,
        Err(e) => return text(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&e)),
    };
    let cpu = containers(&all, |c| seconds(c.cpu))
        .map(|s| Sample { labels: format!("cpu=\"total\",{}", s.labels), ..s });
    out.samples(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        cpu,
    );
    let memory = |pick: fn(&crate::stats::types::Memory) -> Option<u64>| {
        move |c: &Container| c.memory.as_ref().and_then(|m| Some((pick(m)? as f64, Some(m.time))))
    };
    let help = "Current working set in bytes.";
    out.samples(
        "container_memory_working_set_bytes",
        "gauge",
        help,
        containers(&all, memory(|m| m.working_set_bytes)),
    );
    let help = "Current memory usage in bytes, including all memory regardless of when it was accessed";
    out.samples("container_memory_usage_bytes", "gauge", help, containers(&all, memory(|m| m.usage_bytes)));
    out.samples(
        "container_memory_rss",
        "gauge",
        "Size of RSS in bytes.",
        containers(&all, memory(|m| m.rss_bytes)),
    );
    let help = "Number of bytes that are consumed by the container on this filesystem.";
    let layer = |c: &Container| c.rootfs.and_then(|f| Some((f.used_bytes? as f64, Some(f.time))));
    out.samples("container_fs_usage_bytes", "gauge", help, containers(&all, layer));
    let help = "Start time of the container since unix epoch in seconds.";
    let started = |c: &Container| c.start_time.map(|t| (t.as_second() as f64, None));
    out.samples("container_start_time_seconds", "gauge", help, containers(&all, started));
    type Pick = fn(&crate::stats::types::Interface) -> Option<u64>;
    let networks: [(&str, &str, Pick); 4] = [
        ("container_network_receive_bytes_total", "Cumulative count of bytes received", |i| i.rx_bytes),
        (
            "container_network_receive_errors_total",
            "Cumulative count of errors encountered while receiving",
            |i| i.rx_errors,
        ),
        ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", |i| i.tx_bytes),
        (
            "container_network_transmit_errors_total",
            "Cumulative count of errors encountered while transmitting",
            |i| i.tx_errors,
        ),
    ];
    for (name, help, pick) in networks {
        let of = |p: &Pod| {
            let network = p.network.as_ref()?;
            let value = pick(network.default.as_ref()?)? as f64;
            Some((value, Some(network.time)))
        };
        out.samples(name, "counter", help, pods(&all, of));
    }
    out.one("machine_cpu_cores", "gauge", "Number of logical CPU cores.", kubelet.machine.cpus);
    out.one(
        "machine_memory_bytes",
        "gauge",
        "Amount of memory installed on the machine.",
        kubelet.machine.memory,
    );
    out.one(
        "machine_swap_bytes",
        "gauge",
        "Amount of swap memory available on the machine.",
        kubelet.machine.swap,
    );
    text(StatusCode::OK, out.0)
}
