//! Metrics in Prometheus' text form.
//!
//! # Upstream
//! `pkg/kubelet/metrics/collectors/resource_metrics.go`, `pkg/kubelet/metrics/metrics.go`

use std::fmt::Write;

use cri::v1;
use http::StatusCode;

use super::{Answer, text};
use crate::Kubelet;

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.write_fmt(line).expect("a string takes text");
        self.0.push('\n');
    }
}

/// The kubelet's own.
pub(super) fn own(kubelet: &Kubelet) -> Answer {
    let mut out = Text(String::new());
    let handles = kubelet.workers.handles();
    let running = handles.iter().filter(|h| h.view().observed.running().next().is_some()).count();
    out.family("kubelet_running_pods", "gauge", "[BETA] Number of pods that have a running pod sandbox");
    out.line(format_args!("kubelet_running_pods {running}"));
    let containers: usize = handles.iter().map(|h| h.view().observed.running().count()).sum();
    out.family("kubelet_running_containers", "gauge", "[BETA] Number of containers currently running");
    out.line(format_args!("kubelet_running_containers{{container_state=\"running\"}} {containers}"));
    out.family("kubelet_active_pods", "gauge", "[ALPHA] The number of pods the kubelet considers active");
    out.line(format_args!("kubelet_active_pods {}", handles.len()));
    out.family("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
    out.line(format_args!("kubelet_node_name{{node=\"{}\"}} 1", kubelet.name));
    text(StatusCode::OK, out.0)
}

async fn stats(kubelet: &Kubelet) -> Result<Vec<v1::PodSandboxStats>, cri::Error> {
    let request = v1::ListPodSandboxStatsRequest { filter: None };
    kubelet.runtime.list_pod_sandbox_stats(request).await.map(|l| l.stats)
}

fn seconds(v: Option<&v1::CpuUsage>) -> Option<f64> {
    v?.usage_core_nano_seconds.as_ref().map(|v| v.value as f64 / 1e9)
}

fn working_set(v: Option<&v1::MemoryUsage>) -> Option<u64> {
    v?.working_set_bytes.as_ref().map(|v| v.value)
}

struct Sample {
    labels: String,
    cpu: Option<f64>,
    memory: Option<u64>,
    started: Option<f64>,
}

fn samples(kubelet: &Kubelet, all: &[v1::PodSandboxStats]) -> (Vec<Sample>, Vec<Sample>) {
    let (mut containers, mut pods) = (Vec::new(), Vec::new());
    for stats in all {
        let Some(metadata) = stats.attributes.as_ref().and_then(|a| a.metadata.as_ref()) else { continue };
        let Some(linux) = &stats.linux else { continue };
        let who = format!("namespace=\"{}\",pod=\"{}\"", metadata.namespace, metadata.name);
        let handle = kubelet.workers.get(&metadata.uid);
        let view = handle.map(|h| h.view()).unwrap_or_default();
        for c in &linux.containers {
            let name =
                c.attributes.as_ref().and_then(|a| a.metadata.as_ref()).map_or("", |m| m.name.as_str());
            containers.push(Sample {
                labels: format!("container=\"{name}\",{who}"),
                cpu: seconds(c.cpu.as_ref()),
                memory: working_set(c.memory.as_ref()),
                started: view.observed.newest(name).map(|s| s.started_at as f64 / 1e9),
            });
        }
        let (cpu, memory) = (seconds(linux.cpu.as_ref()), working_set(linux.memory.as_ref()));
        pods.push(Sample { labels: who, cpu, memory, started: None });
    }
    (containers, pods)
}

/// `/metrics/resource`.
pub(super) async fn resource(kubelet: &Kubelet) -> Answer {
    let mut out = Text(String::new());
    let all = stats(kubelet).await;
    let (containers, pods) = samples(kubelet, all.as_deref().unwrap_or_default());
    for (prefix, samples) in [("container", &containers), ("pod", &pods)] {
        let name = format!("{prefix}_cpu_usage_seconds_total");
        out.family(
            &name,
            "counter",
            &format!("[STABLE] Cumulative cpu time consumed by the {prefix} in core-seconds"),
        );
        for s in samples.iter() {
            if let Some(cpu) = s.cpu {
                out.line(format_args!("{name}{{{}}} {cpu}", s.labels));
            }
        }
        let name = format!("{prefix}_memory_working_set_bytes");
        out.family(&name, "gauge", &format!("[STABLE] Current working set of the {prefix} in bytes"));
        for s in samples.iter() {
            if let Some(memory) = s.memory {
                out.line(format_args!("{name}{{{}}} {memory}", s.labels));
            }
        }
    }
    out.family(
        "container_start_time_seconds",
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
    );
    for s in &containers {
        if let Some(started) = s.started {
            out.line(format_args!("container_start_time_seconds{{{}}} {started}", s.labels));
        }
    }
    let cpu = super::stats::node_cpu() as f64 / 1e9;
    out.family(
        "node_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    );
    out.line(format_args!("node_cpu_usage_seconds_total {cpu}"));
    let available = crate::node::machine::memory_available().unwrap_or(0); // not there: not known
    out.family("node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes");
    out.line(format_args!("node_memory_working_set_bytes {}", kubelet.machine.memory - available));
    out.family(
        "resource_scrape_error",
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    );
    out.line(format_args!("resource_scrape_error {}", u8::from(all.is_err())));
    text(StatusCode::OK, out.0)
}

/// `/metrics/cadvisor`: the families most dashboards ask for.
pub(super) async fn cadvisor(kubelet: &Kubelet) -> Answer {
    let mut out = Text(String::new());
    let all = match stats(kubelet).await {
        Ok(all) => all,
        Err(e) => return text(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&e)),
    };
    let (containers, _) = samples(kubelet, &all);
    out.family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.");
    for s in &containers {
        if let Some(cpu) = s.cpu {
            out.line(format_args!("container_cpu_usage_seconds_total{{cpu=\"total\",{}}} {cpu}", s.labels));
        }
    }
    out.family("container_memory_working_set_bytes", "gauge", "Current working set in bytes.");
    for s in &containers {
        if let Some(memory) = s.memory {
            out.line(format_args!("container_memory_working_set_bytes{{{}}} {memory}", s.labels));
        }
    }
    out.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.");
    out.line(format_args!("machine_cpu_cores {}", kubelet.machine.cpus));
    out.family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
    out.line(format_args!("machine_memory_bytes {}", kubelet.machine.memory));
    text(StatusCode::OK, out.0)
}
