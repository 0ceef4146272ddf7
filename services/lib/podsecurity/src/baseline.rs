//! What the baseline level forbids.
//!
//! # Upstream
//! `k8s.io/pod-security-admission/policy/check_*.go`

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{LifecycleHandler, Probe};

use crate::confined::{app_armor, baseline_seccomp, se_linux, sysctls};
use crate::parts::{containers, plural, quoted, setters};
use crate::{Check, Pod, Version, Violation};

/// In the order of upstream's names for them.
pub(crate) const CHECKS: [Check; 12] = [
    app_armor,
    capabilities,
    host_namespaces,
    host_path_volumes,
    host_ports,
    host_probes,
    privileged,
    proc_mount_unless_own_users,
    se_linux,
    baseline_seccomp,
    sysctls,
    windows_host_process,
];

pub(crate) fn violation(reason: &str, detail: String) -> Option<Violation> {
    Some(Violation { reason: reason.to_owned(), detail })
}

/// What any container may add.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let mut beyond = BTreeSet::new();
    let bad = pod.parts.named(|part| {
        let added = part.security.and_then(|s| s.capabilities.as_ref()?.add.as_deref()).unwrap_or_default();
        let more: Vec<&String> = added.iter().filter(|c| !CAPABILITIES.contains(&c.as_str())).collect();
        beyond.extend(more.iter().copied());
        !more.is_empty()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must not include {} in securityContext.capabilities.add",
        containers(&bad),
        quoted(beyond)
    );
    violation("non-default capabilities", detail)
}

pub(crate) fn host_namespaces(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let spec = pod.spec;
    let all = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    let used: Vec<String> =
        all.iter().filter(|(_, on)| *on == Some(true)).map(|(name, _)| format!("{name}=true")).collect();
    if used.is_empty() { None } else { violation("host namespaces", used.join(", ")) }
}

fn host_path_volumes(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let volumes = pod.spec.volumes.iter().flatten().filter(|v| v.host_path.is_some());
    let names: Vec<&str> = volumes.map(|v| v.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    violation("hostPath volumes", format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names)))
}

pub(crate) fn host_ports(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let bad = pod.parts.named(|part| {
        let used: Vec<i32> = part.ports.iter().filter_map(|p| p.host_port).filter(|p| *p != 0).collect();
        ports.extend(used.iter().map(ToString::to_string));
        !used.is_empty()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {}",
        containers(&bad),
        plural("uses", "use", bad.len()),
        plural("hostPort", "hostPorts", ports.len()),
        ports.into_iter().collect::<Vec<_>>().join(", ")
    );
    violation("hostPort", detail)
}

pub(crate) fn host_probes(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if !version.since(34) {
        return None;
    }
    let (mut bad, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for part in pod.parts.iter() {
        let probes = part.probes.into_iter().flatten().flat_map(hosts_of_probe);
        let handlers = part.lifecycle.iter().flat_map(|l| [l.post_start.as_ref(), l.pre_stop.as_ref()]);
        let found: Vec<&str> = probes.chain(handlers.flatten().flat_map(hosts_of_handler)).collect();
        if !found.is_empty() {
            bad.insert(part.name);
            hosts.extend(found);
        }
    }
    if bad.is_empty() {
        return None;
    }
    let bad: Vec<&str> = bad.into_iter().collect();
    let detail = format!(
        "{} {} {} {}",
        containers(&bad),
        plural("uses", "use", bad.len()),
        plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
        quoted(hosts)
    );
    violation("probe or lifecycle host", detail)
}

fn hosts_of_probe(probe: &Probe) -> impl Iterator<Item = &str> {
    let http = probe.http_get.as_ref().and_then(|get| get.host.as_deref());
    let tcp = probe.tcp_socket.as_ref().and_then(|socket| socket.host.as_deref());
    [http, tcp].into_iter().flatten().filter(|host| !host.is_empty())
}

fn hosts_of_handler(handler: &LifecycleHandler) -> impl Iterator<Item = &str> {
    let http = handler.http_get.as_ref().and_then(|get| get.host.as_deref());
    let tcp = handler.tcp_socket.as_ref().and_then(|socket| socket.host.as_deref());
    [http, tcp].into_iter().flatten().filter(|host| !host.is_empty())
}

pub(crate) fn privileged(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let bad = pod.parts.named(|part| part.security.is_some_and(|s| s.privileged == Some(true)));
    if bad.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", containers(&bad)))
}

fn proc_mount_unless_own_users(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version.since(35) && pod.has_own_users() { None } else { proc_mount(pod, version) }
}

pub(crate) fn proc_mount(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let mut types = BTreeSet::new();
    let bad = pod.parts.named(|part| {
        let mount = part.security.and_then(|s| s.proc_mount.as_deref()).filter(|mount| *mount != "Default");
        types.extend(mount);
        mount.is_some()
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", containers(&bad), quoted(types));
    violation("procMount", detail)
}

pub(crate) fn windows_host_process(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let own = pod.spec.security_context.as_ref().and_then(|s| s.windows_options.as_ref()?.host_process);
    let bad = pod
        .parts
        .named(|part| part.security.and_then(|s| s.windows_options.as_ref()?.host_process) == Some(true));
    let who = setters(own == Some(true), &bad)?;
    violation("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
