//! Security contexts as CRI takes them. Pure.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/security_context.go`, `pkg/securitycontext/util.go`

use cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, SeccompProfile, SecurityContext};

use crate::pod::facts::PodFacts;

/// Paths upstream hides unless `procMount: Unmasked`.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn int(value: i64) -> Option<v1::Int64Value> {
    Some(v1::Int64Value { value })
}

fn of_pod(pod: &Pod) -> PodSecurityContext {
    pod.facts().security_context.clone().unwrap_or_default()
}

/// Groups every process of the pod has beside its own.
fn groups(pod: &PodSecurityContext, extra: &[i64]) -> Vec<i64> {
    let mut all: Vec<i64> = pod.supplemental_groups.clone().unwrap_or_default();
    all.extend(pod.fs_group);
    all.extend(extra);
    all
}

fn groups_policy(pod: &PodSecurityContext) -> i32 {
    match pod.supplemental_groups_policy.as_deref() {
        Some("Strict") => v1::SupplementalGroupsPolicy::Strict as i32,
        _ => v1::SupplementalGroupsPolicy::Merge as i32,
    }
}

/// Which namespaces are the pod's, the node's, or another container's.
pub fn namespaces(
    pod: &Pod,
    target: Option<String>,
    users: Option<&v1::UserNamespace>,
) -> v1::NamespaceOption {
    let spec = pod.facts();
    let mode = |node: Option<bool>| {
        if node == Some(true) { v1::NamespaceMode::Node } else { v1::NamespaceMode::Pod }
    };
    let pid = match (&target, spec.host_pid, spec.share_process_namespace) {
        (Some(_), ..) => v1::NamespaceMode::Target,
        (None, Some(true), _) => v1::NamespaceMode::Node,
        (None, _, Some(true)) => v1::NamespaceMode::Pod,
        _ => v1::NamespaceMode::Container,
    };
    v1::NamespaceOption {
        ipc: mode(spec.host_ipc) as i32,
        network: mode(spec.host_network) as i32,
        pid: pid as i32,
        target_id: target.unwrap_or_default(),
        userns_options: users.cloned(),
    }
}

fn seccomp(profile: Option<&SeccompProfile>, default: bool, root: &std::path::Path) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let (kind, reference) = match profile.map(|p| p.type_.as_str()) {
        Some("RuntimeDefault") => (ProfileType::RuntimeDefault, String::new()),
        Some("Localhost") => {
            let name = profile.and_then(|p| p.localhost_profile.as_deref()).unwrap_or_default();
            (ProfileType::Localhost, root.join("seccomp").join(name).to_string_lossy().into_owned())
        }
        Some(_) => (ProfileType::Unconfined, String::new()),
        None if default => (ProfileType::RuntimeDefault, String::new()),
        None => (ProfileType::Unconfined, String::new()),
    };
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref: reference }
}

fn selinux(own: Option<&k8s_openapi::api::core::v1::SELinuxOptions>) -> Option<v1::SeLinuxOption> {
    own.map(|o| v1::SeLinuxOption {
        user: o.user.clone().unwrap_or_default(),
        role: o.role.clone().unwrap_or_default(),
        r#type: o.type_.clone().unwrap_or_default(),
        level: o.level.clone().unwrap_or_default(),
    })
}

/// A sandbox's security context.
pub fn sandbox(
    pod: &Pod,
    root: &std::path::Path,
    extra_groups: &[i64],
    users: Option<&v1::UserNamespace>,
) -> v1::LinuxSandboxSecurityContext {
    use v1::security_profile::ProfileType;
    let own = of_pod(pod);
    let privileged = pod
        .containers()
        .iter()
        .any(|(_, c)| c.security_context.as_ref().is_some_and(|s| s.privileged == Some(true)));
    let profile = match own.seccomp_profile.as_ref() {
        Some(p) if p.type_ != "Unconfined" => seccomp(Some(p), false, root),
        // the pause process needs nothing special
        _ => v1::SecurityProfile {
            profile_type: ProfileType::RuntimeDefault as i32,
            localhost_ref: String::new(),
        },
    };
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod, None, users)),
        selinux_options: selinux(own.se_linux_options.as_ref()),
        run_as_user: own.run_as_user.and_then(int),
        run_as_group: own.run_as_user.and(own.run_as_group).and_then(int),
        supplemental_groups: groups(&own, extra_groups),
        supplemental_groups_policy: groups_policy(&own),
        privileged,
        seccomp: Some(profile),
        ..v1::LinuxSandboxSecurityContext::default()
    }
}

/// What the image says about its user.
#[derive(Debug, Clone, Default)]
pub struct ImageUser {
    /// The uid, when it is a number.
    pub uid: Option<i64>,
    /// The name, when it is not.
    pub name: String,
}

fn effective<T: Clone>(
    own: Option<&SecurityContext>,
    pick: impl Fn(&SecurityContext) -> Option<T>,
    pod: Option<T>,
) -> Option<T> {
    own.and_then(pick).or(pod)
}

/// Refuses root where the pod forbids it.
///
/// # Errors
/// The text upstream shows with `CreateContainerConfigError`.
///
/// # Upstream
/// `pkg/kubelet/kuberuntime/security_context_others.go` `verifyRunAsNonRoot`
pub fn check_non_root(pod: &Pod, c: &Container, image: &ImageUser) -> Result<(), String> {
    let (pod_context, own) = (of_pod(pod), c.security_context.as_ref());
    if effective(own, |s| s.run_as_non_root, pod_context.run_as_non_root) != Some(true) {
        return Ok(());
    }
    let who = format!("pod: \"{}\", container: {}", pod.full_name(), c.name);
    match (effective(own, |s| s.run_as_user, pod_context.run_as_user), image.uid) {
        (Some(0), _) => Err(format!("container's runAsUser breaks non-root policy ({who})")),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(format!("container has runAsNonRoot and image will run as root ({who})")),
        (None, Some(_)) => Ok(()),
        (None, None) if !image.name.is_empty() => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root ({who})",
            image.name
        )),
        (None, None) => Ok(()),
    }
}

/// A container's security context.
#[expect(clippy::too_many_arguments, reason = "each is a fact of its own, and there is one caller")]
pub fn container(
    pod: &Pod,
    c: &Container,
    image: &ImageUser,
    target: Option<String>,
    seccomp_default: bool,
    root: &std::path::Path,
    extra_groups: &[i64],
    users: Option<&v1::UserNamespace>,
) -> v1::LinuxContainerSecurityContext {
    let (pod_context, own) = (of_pod(pod), c.security_context.as_ref());
    let privileged = own.and_then(|s| s.privileged) == Some(true);
    let user = effective(own, |s| s.run_as_user, pod_context.run_as_user);
    let group = effective(own, |s| s.run_as_group, pod_context.run_as_group);
    let unmasked = own.and_then(|s| s.proc_mount.as_deref()) == Some("Unmasked");
    let paths = |all: &[&str]| {
        if unmasked || privileged { Vec::new() } else { all.iter().map(|p| (*p).to_owned()).collect() }
    };
    let profile = effective(own, |s| s.seccomp_profile.clone(), pod_context.seccomp_profile.clone());
    let capabilities = own.and_then(|s| s.capabilities.as_ref()).map(|k| v1::Capability {
        add_capabilities: k.add.clone().unwrap_or_default(),
        drop_capabilities: k.drop.clone().unwrap_or_default(),
        ..v1::Capability::default()
    });
    let apparmor = effective(own, |s| s.app_armor_profile.clone(), pod_context.app_armor_profile.clone());
    v1::LinuxContainerSecurityContext {
        capabilities,
        privileged,
        namespace_options: Some(namespaces(pod, target, users)),
        selinux_options: selinux(
            effective(own, |s| s.se_linux_options.clone(), pod_context.se_linux_options.clone()).as_ref(),
        ),
        run_as_user: user.or(image.uid.filter(|_| image.name.is_empty())).and_then(int),
        run_as_group: group.and_then(int),
        run_as_username: if user.is_none() { image.name.clone() } else { String::new() },
        readonly_rootfs: own.and_then(|s| s.read_only_root_filesystem) == Some(true),
        supplemental_groups: groups(&pod_context, extra_groups),
        supplemental_groups_policy: groups_policy(&pod_context),
        no_new_privs: own.and_then(|s| s.allow_privilege_escalation) == Some(false),
        masked_paths: paths(MASKED),
        readonly_paths: paths(READ_ONLY),
        seccomp: Some(seccomp(profile.as_ref(), seccomp_default, root)),
        apparmor: apparmor.map(|a| {
            use v1::security_profile::ProfileType;
            let kind = match a.type_.as_str() {
                "RuntimeDefault" => ProfileType::RuntimeDefault,
                "Localhost" => ProfileType::Localhost,
                _ => ProfileType::Unconfined,
            };
            v1::SecurityProfile {
                profile_type: kind as i32,
                localhost_ref: a.localhost_profile.unwrap_or_default(),
            }
        }),
        ..v1::LinuxContainerSecurityContext::default()
    }
}
