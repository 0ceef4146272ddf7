//! A pod's resolver configuration. Pure but for reading the node's own.
//!
//! # Upstream
//! `pkg/kubelet/network/dns/dns.go`

use cri::v1::DnsConfig;
use k8s_openapi::api::core::v1::Pod;

use crate::pod::facts::PodFacts;
use crate::settings::Settings;

/// Reads a resolv.conf's servers, searches and options.
pub fn parse(text: &str) -> DnsConfig {
    let mut out = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => out.servers.extend(words.next().map(str::to_owned)),
            // the last of these counts, a lone dot is no domain
            Some("search") => out.searches = words.filter(|w| *w != ".").map(str::to_owned).collect(),
            Some("options") => out.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    out
}

fn add_new(list: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

/// A pod's resolver configuration from its policy and the node's own.
pub fn config(pod: &Pod, settings: &Settings, node: &DnsConfig) -> DnsConfig {
    let spec = pod.facts();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirst" => !pod.host_network(),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut out = if policy == "None" {
        DnsConfig::default()
    } else if cluster && !settings.cluster_dns.is_empty() {
        let mut searches = Vec::new();
        if !settings.cluster_domain.is_empty() {
            let (namespace, domain) = (pod.namespace(), &settings.cluster_domain);
            searches = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
        }
        add_new(&mut searches, node.searches.iter().cloned());
        DnsConfig { servers: settings.cluster_dns.clone(), searches, options: vec!["ndots:5".into()] }
    } else {
        node.clone()
    };
    if let Some(own) = &spec.dns_config {
        add_new(&mut out.servers, own.nameservers.iter().flatten().cloned());
        add_new(&mut out.searches, own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            out.options.retain(|o| o.split(':').next() != Some(name));
            let value = option.value.as_ref().filter(|v| !v.is_empty());
            out.options.push(value.map_or_else(|| name.clone(), |v| format!("{name}:{v}")));
        }
    }
    out
}
