//! `/metrics/cadvisor`: the families most dashboards and rules ask for, under the labels they ask by.
//!
//! # Upstream
//! `pkg/kubelet/server/server.go` `containerPrometheusLabelsFunc`

use http::StatusCode;
use jiff::Timestamp;

use super::metrics::{Sample, Text, seconds};
use super::{Answer, text};
use crate::Kubelet;
use crate::stats::types::{Container, Interface, Memory, Pod, Summary};
use crate::stats::{Disks, summary};

/// A value and when it was so.
type Value = (f64, Option<Timestamp>);

fn of_pod(pod: &Pod) -> String {
    format!("namespace=\"{}\",pod=\"{}\"", pod.pod_ref.namespace, pod.pod_ref.name)
}

fn containers<'a>(
    all: &'a Summary,
    more: &'static str,
    pick: impl Fn(&Container) -> Option<Value> + 'a,
) -> impl Iterator<Item = Sample> + 'a {
    let each = all.pods.iter().flat_map(|p| p.containers.iter().map(move |c| (p, c)));
    each.filter_map(move |(p, c)| {
        let (value, at) = pick(c)?;
        let (id, image, name) = (format!("{}/{}", p.cgroup, c.id), &c.image, &c.id);
        let labels = format!(
            "container=\"{}\",{more}id=\"{id}\",image=\"{image}\",name=\"{name}\",{}",
            c.name,
            of_pod(p)
        );
        Some(Sample { labels, value, at })
    })
}

/// The families.
pub(super) async fn metrics(kubelet: &Kubelet) -> Answer {
    let mut out = Text(String::new());
    let all = match summary(kubelet, Disks::Skip).await {
        Ok(all) => all,
        Err(e) => return text(StatusCode::INTERNAL_SERVER_ERROR, crate::chain(&e)),
    };
    let help = "Cumulative cpu time consumed in seconds.";
    let cpu = containers(&all, "cpu=\"total\",", |c| seconds(c.cpu));
    out.samples("container_cpu_usage_seconds_total", "counter", help, cpu);
    type Pick = fn(&Memory) -> Option<u64>;
    let memory: [(&str, &str, &str, Pick); 5] = [
        ("working_set_bytes", "gauge", "Current working set in bytes.", |m| m.working_set_bytes),
        (
            "usage_bytes",
            "gauge",
            "Current memory usage in bytes, including all memory regardless of when it was accessed",
            |m| m.usage_bytes,
        ),
        ("rss", "gauge", "Size of RSS in bytes.", |m| m.rss_bytes),
        ("cache", "gauge", "Number of bytes of page cache memory.", |m| {
            Some(m.usage_bytes?.saturating_sub(m.rss_bytes?))
        }),
        ("failures_total", "counter", "Cumulative count of memory allocation failures.", |m| {
            m.major_page_faults
        }),
    ];
    for (name, kind, help, pick) in memory {
        let more =
            if name == "failures_total" { "failure_type=\"pgmajfault\",scope=\"container\"," } else { "" };
        let value = move |c: &Container| {
            let m = c.memory.as_ref()?;
            Some((pick(m)? as f64, Some(m.time)))
        };
        out.samples(&format!("container_memory_{name}"), kind, help, containers(&all, more, value));
    }
    let help = "Number of bytes that are consumed by the container on this filesystem.";
    let layer = |c: &Container| c.rootfs.and_then(|f| Some((f.used_bytes? as f64, Some(f.time))));
    out.samples("container_fs_usage_bytes", "gauge", help, containers(&all, "device=\"\",", layer));
    let help = "Start time of the container since unix epoch in seconds.";
    let started = |c: &Container| c.start_time.map(|t| (t.as_second() as f64, None));
    out.samples("container_start_time_seconds", "gauge", help, containers(&all, "", started));
    networks(&all, &mut out);
    let machine = &kubelet.machine;
    out.one("machine_cpu_cores", "gauge", "Number of logical CPU cores.", machine.cpus);
    let help = "Amount of memory installed on the machine.";
    out.one("machine_memory_bytes", "gauge", help, machine.memory);
    let help = "Amount of swap memory available on the machine.";
    out.one("machine_swap_bytes", "gauge", help, machine.swap);
    text(StatusCode::OK, out.0)
}

/// What pods sent and received, by interface.
fn networks(all: &Summary, out: &mut Text) {
    type Pick = fn(&Interface) -> Option<u64>;
    let networks: [(&str, &str, Pick); 4] = [
        ("receive_bytes_total", "Cumulative count of bytes received", |i| i.rx_bytes),
        ("receive_errors_total", "Cumulative count of errors encountered while receiving", |i| i.rx_errors),
        ("transmit_bytes_total", "Cumulative count of bytes transmitted", |i| i.tx_bytes),
        ("transmit_errors_total", "Cumulative count of errors encountered while transmitting", |i| {
            i.tx_errors
        }),
    ];
    for (name, help, pick) in networks {
        let each = all.pods.iter().flat_map(|p| {
            let network = p.network.iter().flat_map(|n| n.interfaces.iter().map(move |i| (n.time, i)));
            network.map(move |(at, i)| (p, at, i))
        });
        let samples = each.filter_map(|(p, at, i)| {
            let (cgroup, sandbox) = (&p.cgroup, &p.sandbox);
            let labels = format!(
                "id=\"{cgroup}/{sandbox}\",image=\"\",interface=\"{}\",name=\"{sandbox}\",{}",
                i.name,
                of_pod(p)
            );
            Some(Sample { labels, value: pick(i)? as f64, at: Some(at) })
        });
        out.samples(&format!("container_network_{name}"), "counter", help, samples);
    }
}
