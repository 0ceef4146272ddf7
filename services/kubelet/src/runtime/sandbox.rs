//! A sandbox's configuration. Pure.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_sandbox.go` `generatePodSandboxConfig`

use cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::resources::{PERIOD, quota, shares};
use super::{dns, hosts, labels, security};
use crate::pod::facts::{PodFacts, pod_limit, pod_request};
use crate::quantity::counted;
use crate::settings::Settings;

/// Where a pod's logs are: `<namespace>_<name>_<uid>`.
pub fn log_directory(settings: &Settings, pod: &Pod) -> String {
    let name = format!("{}_{}_{}", pod.namespace(), pod.name(), pod.uid());
    settings.pod_logs_dir.join(name).to_string_lossy().into_owned()
}

/// A sandbox's configuration.
pub fn config(
    pod: &Pod,
    settings: &Settings,
    node_dns: &v1::DnsConfig,
    cgroup_parent: String,
    attempt: u32,
    now: Timestamp,
    users: Option<&v1::UserNamespace>,
) -> v1::PodSandboxConfig {
    let (host, domain) = hosts::names(pod, &settings.cluster_domain);
    let fqdn = pod.facts().set_hostname_as_fqdn == Some(true) && !domain.is_empty();
    let hostname = if fqdn { format!("{host}.{domain}") } else { host };
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            namespace: pod.namespace().to_owned(),
            attempt,
        }),
        hostname: if pod.host_network() { String::new() } else { hostname },
        log_directory: log_directory(settings, pod),
        dns_config: Some(dns::config(pod, settings, node_dns)),
        port_mappings: if pod.host_network() { Vec::new() } else { ports(pod) },
        labels: labels::sandbox_labels(pod),
        annotations: labels::sandbox_annotations(pod, now),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent,
            security_context: Some(security::sandbox(pod, &settings.root_dir, &[], users)),
            sysctls: sysctls(pod),
            overhead: Some(overhead(pod)),
            resources: Some(total(pod)),
        }),
        windows: None,
    }
}

fn sysctls(pod: &Pod) -> std::collections::HashMap<String, String> {
    let own = pod.facts().security_context.as_ref().and_then(|s| s.sysctls.as_ref());
    own.into_iter().flatten().map(|s| (s.name.replace('/', "."), s.value.clone())).collect()
}

fn ports(pod: &Pod) -> Vec<v1::PortMapping> {
    let containers = pod.containers();
    let all = containers.iter().flat_map(|(_, c)| c.ports.iter().flatten());
    let mapped = all.filter(|p| p.host_port.unwrap_or(0) != 0).map(|p| v1::PortMapping {
        protocol: match p.protocol.as_deref() {
            Some("UDP") => v1::Protocol::Udp,
            Some("SCTP") => v1::Protocol::Sctp,
            _ => v1::Protocol::Tcp,
        } as i32,
        container_port: p.container_port,
        host_port: p.host_port.unwrap_or(0),
        host_ip: p.host_ip.clone().unwrap_or_default(),
    });
    mapped.collect()
}

fn overhead(pod: &Pod) -> v1::LinuxContainerResources {
    let amount =
        |name: &str| pod.facts().overhead.as_ref().and_then(|o| o.get(name)).map_or(0, |q| counted(name, q));
    let (cpu, memory) = (amount("cpu"), amount("memory"));
    if cpu == 0 && memory == 0 {
        return v1::LinuxContainerResources::default();
    }
    v1::LinuxContainerResources {
        cpu_period: PERIOD,
        cpu_quota: quota(cpu),
        cpu_shares: shares(cpu),
        memory_limit_in_bytes: memory,
        ..v1::LinuxContainerResources::default()
    }
}

fn total(pod: &Pod) -> v1::LinuxContainerResources {
    let spec = pod.facts();
    v1::LinuxContainerResources {
        cpu_period: PERIOD,
        cpu_quota: quota(pod_limit(spec, "cpu").unwrap_or(0)),
        cpu_shares: shares(pod_request(spec, "cpu")),
        memory_limit_in_bytes: pod_limit(spec, "memory").unwrap_or(0),
        ..v1::LinuxContainerResources::default()
    }
}
