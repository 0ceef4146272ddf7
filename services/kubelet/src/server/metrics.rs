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

pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    pub(super) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a string takes text");
        self.0.push('\n');
    }

    /// A family of one value.
    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    /// One histogram of a family.
    fn histogram(&mut self, name: &str, labels: &str, buckets: &[(f64, u64)], count: u64, sum: f64) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, within) in buckets {
            self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {within}"));
        }
        self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"));
        let brackets = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        self.line(format_args!("{name}_sum{brackets} {sum}\n{name}_count{brackets} {count}"));
    }

    /// A family of samples with the time they are of.
    pub(super) fn samples(&mut self, name: &str, kind: &str, help: &str, all: impl Iterator<Item = Sample>) {
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

pub(super) struct Sample {
    pub(super) labels: String,
    pub(super) value: f64,
    pub(super) at: Option<Timestamp>,
}

/// The kubelet's own.
pub(super) async fn own(kubelet: &Kubelet) -> Answer {
    let mut out = Text(String::new());
    let handles = kubelet.workers.handles();
    let running = handles.iter().filter(|h| h.look(|v| v.observed.running().next().is_some())).count();
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
            .map(|h| h.look(|v| v.observed.containers.iter().filter(|c| c.state == state).count()))
            .sum();
        out.line(format_args!("kubelet_running_containers{{container_state=\"{name}\"}} {count}"));
    }
    let help = "[ALPHA] The number of pods the kubelet considers active";
    out.one("kubelet_active_pods", "gauge", help, handles.iter().filter(|h| !h.look(|v| v.ended)).count());
    out.family("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
    out.line(format_args!("kubelet_node_name{{node=\"{}\"}} 1", kubelet.name));
    let evicted = kubelet.eviction.evicted.load(Ordering::Relaxed);
    out.one("kubelet_evictions", "counter", "[BETA] Cumulative number of pod evictions", evicted);
    runtime_operations(kubelet, &mut out);
    workers(kubelet, &mut out);
    devices(kubelet, &mut out);
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
    let name = "kubelet_runtime_operations_duration_seconds";
    let help = "[BETA] Duration in seconds of runtime operations. Broken down by operation type.";
    out.family(name, "histogram", help);
    for (operation, count) in &counts {
        let labels = format!("operation_type=\"{}\"", snake(operation));
        let buckets: Vec<_> = cri::BOUNDS.into_iter().zip(count.within).collect();
        out.histogram(name, &labels, &buckets, count.calls, count.seconds);
    }
}

/// How long pods take.
fn workers(kubelet: &Kubelet, out: &mut Text) {
    let measures = &kubelet.measures;
    let name = "kubelet_pod_worker_duration_seconds";
    let help = "[BETA] Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync";
    out.family(name, "histogram", help);
    for (operation, histogram) in [("sync", &measures.sync), ("terminate", &measures.terminate)] {
        let (buckets, count, sum) = histogram.read();
        out.histogram(name, &format!("operation_type=\"{operation}\""), &buckets, count, sum);
    }
    let name = "kubelet_pod_start_duration_seconds";
    let help =
        "[BETA] Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run";
    out.family(name, "histogram", help);
    let (buckets, count, sum) = measures.start.read();
    out.histogram(name, "", &buckets, count, sum);
}

/// Devices of plugins.
fn devices(kubelet: &Kubelet, out: &mut Text) {
    let help = "[ALPHA] Cumulative number of device plugin registrations. Broken down by resource name.";
    let all = kubelet.devices.registrations().into_iter();
    let of = |(resource, count): (String, u64)| Sample {
        labels: format!("resource_name=\"{resource}\""),
        value: count as f64,
        at: None,
    };
    out.samples("kubelet_device_plugin_registration_total", "counter", help, all.map(of));
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
        let claims = |v: &k8s_openapi::api::core::v1::Volume| {
            v.persistent_volume_claim.is_some() || v.ephemeral.is_some()
        };
        h.pod().facts().volumes.iter().flatten().any(claims)
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

pub(super) fn seconds(cpu: Option<crate::stats::types::Cpu>) -> Option<(f64, Option<Timestamp>)> {
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
