//! A pod's `/etc/hosts`.
//!
//! # Upstream
//! `pkg/kubelet/kubelet_pods.go` `ensureHostsFile`

use std::fmt::Write;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::facts::PodFacts;

/// A pod's host name and, with a subdomain, its domain.
pub fn names(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = pod.facts();
    if let Some(name) = spec.hostname_override.as_ref().filter(|n| !n.is_empty()) {
        return (name.clone(), String::new());
    }
    let own = spec.hostname.as_ref().filter(|h| !h.is_empty());
    let mut name: String = own.cloned().unwrap_or_else(|| pod.name().chars().take(63).collect());
    while name.ends_with(['-', '.']) {
        name.pop();
    }
    let domain = match spec.subdomain.as_ref().filter(|s| !s.is_empty()) {
        Some(sub) => format!("{sub}.{}.svc.{cluster_domain}", pod.namespace()),
        None => String::new(),
    };
    (name, domain)
}

/// The text of the file; `node` is the node's own, used in the node's network.
pub fn render(pod: &Pod, ips: &[String], host: &str, domain: &str, node: &str) -> String {
    let mut out = String::new();
    if pod.host_network() {
        out.push_str("# Kubernetes-managed hosts file (host network).\n");
        out.push_str(node);
    } else {
        out.push_str(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        for ip in ips {
            // writing to a String cannot fail
            if domain.is_empty() {
                writeln!(out, "{ip}\t{host}").expect("a string takes text");
            } else {
                writeln!(out, "{ip}\t{host}.{domain}\t{host}").expect("a string takes text");
            }
        }
    }
    let aliases = pod.facts().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            writeln!(out, "{}\t{names}", alias.ip).expect("a string takes text");
        }
    }
    out
}
