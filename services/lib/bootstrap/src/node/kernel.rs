//! Kernel modules and settings a node needs.
//!
//! # Upstream
//! k3s `pkg/agent/syssetup/setup.go` `Configure`; `pkg/kubelet/cm/container_manager_linux.go` `setupKernelTunables`

use std::path::{Path, PathBuf};

use crate::BootstrapError;

const MODULES: [&str; 4] = ["overlay", "nf_conntrack", "br_netfilter", "nf_tables"];

/// Settings k3s makes.
const NETWORK: [(&str, &str); 4] = [
    ("net/ipv4/conf/all/forwarding", "1"),
    ("net/ipv4/conf/default/forwarding", "1"),
    ("net/bridge/bridge-nf-call-iptables", "1"),
    ("net/ipv4/ip_forward", "1"),
];
const NETWORK_V6: [(&str, &str); 3] = [
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv6/conf/default/forwarding", "1"),
    ("net/bridge/bridge-nf-call-ip6tables", "1"),
];
/// Settings kubelet makes, or with `protect-kernel-defaults` only wants.
const KUBELET: [(&str, &str); 4] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
];

/// Sets what is not set. What cannot be set is a warning, as with k3s: a kernel may have it built in or forbidden.
pub(super) fn prepare(protect: bool, v6: bool, warnings: &mut Vec<String>) -> Result<(), BootstrapError> {
    for module in MODULES {
        if !has_module(module) {
            load(module, warnings);
        }
    }
    let v6 = if v6 { &NETWORK_V6[..] } else { &[] };
    for (name, value) in NETWORK.iter().chain(v6) {
        set(name, value, warnings);
    }
    let mut wrong = Vec::new();
    for (name, value) in KUBELET {
        match (protect, now(name)) {
            (true, Some(now)) if now != value => {
                wrong.push(format!("protect-kernel-defaults: invalid kernel flag: {name}, expected value: {value}, actual value: {now}"));
            }
            (true, _) => {}
            (false, _) => set(name, value, warnings),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(config::Errors(wrong).into()) }
}

fn has_module(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

fn load(module: &str, warnings: &mut Vec<String>) {
    match std::process::Command::new("modprobe").args(["--", module]).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            warnings.push(format!("Failed to load kernel module {module} with modprobe: {}", said.trim()));
        }
        Err(error) => warnings.push(format!("Failed to load kernel module {module} with modprobe: {error}")),
    }
}

fn path(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn now(name: &str) -> Option<String> {
    std::fs::read_to_string(path(name)).ok().map(|t| t.trim().to_owned()) // a kernel without it
}

fn set(name: &str, value: &str, warnings: &mut Vec<String>) {
    if now(name).as_deref() == Some(value) {
        return;
    }
    match std::fs::write(path(name), value) {
        Ok(()) => tracing::info!(name, value, "Set a kernel parameter"),
        Err(error) => warnings.push(format!("Failed to set sysctl {name}={value}: {error}")),
    }
}
