//! The kernel's own confinements: AppArmor, SELinux, seccomp, sysctls.
//!
//! # Upstream
//! `k8s.io/pod-security-admission/policy/check_{appArmorProfile,seLinuxOptions,seccompProfile_*,sysctls}.go`

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::SELinuxOptions;

use crate::baseline::violation;
use crate::parts::{containers, plural, quoted, setters};
use crate::{Pod, Version, Violation};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(crate) fn app_armor(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let fine = |kind: &&str| !matches!(*kind, "RuntimeDefault" | "Localhost");
    let mut values = BTreeSet::new();
    let own = pod.spec.security_context.as_ref().and_then(|s| s.app_armor_profile.as_ref());
    let own = own.map(|profile| profile.type_.as_str()).filter(fine);
    values.extend(own);
    let bad = pod.parts.named(|part| {
        let profile = part.security.and_then(|s| s.app_armor_profile.as_ref());
        let kind = profile.map(|profile| profile.type_.as_str()).filter(fine);
        values.extend(kind);
        kind.is_some()
    });
    let mut who: Vec<String> = setters(own.is_some(), &bad).into_iter().collect();
    let allowed = |v: &str| v.is_empty() || v == "runtime/default" || v.starts_with("localhost/");
    let noted = pod.annotations.iter().filter(|(key, value)| key.starts_with(APP_ARMOR) && !allowed(value));
    let noted: Vec<String> = noted.map(|(key, value)| format!("{key}={value:?}")).collect();
    if !noted.is_empty() {
        who.push(plural("annotation", "annotations", noted.len()).to_owned());
    }
    if who.is_empty() {
        return None;
    }
    let all: Vec<String> = values.into_iter().map(str::to_owned).chain(noted).collect();
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", all.len());
    violation(reason, format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(&all)))
}

pub(crate) fn se_linux(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    let allowed = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (kind == "container_engine_t" && version.since(31))
    };
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut bad_options = |options: &SELinuxOptions| {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let kind = text(&options.type_);
        let (wrong, named, acted) =
            (!allowed(&kind), !text(&options.user).is_empty(), !text(&options.role).is_empty());
        if wrong {
            types.insert(kind);
        }
        user |= named;
        role |= acted;
        wrong || named || acted
    };
    let own = pod.spec.security_context.as_ref().and_then(|s| s.se_linux_options.as_ref());
    let own = own.is_some_and(&mut bad_options);
    let bad = pod
        .parts
        .named(|part| part.security.and_then(|s| s.se_linux_options.as_ref()).is_some_and(&mut bad_options));
    let who = setters(own, &bad)?;
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    if user {
        what.push("user may not be set".to_owned());
    }
    if role {
        what.push("role may not be set".to_owned());
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; "));
    violation("seLinuxOptions", detail)
}

/// A seccomp profile everybody may have.
pub(crate) fn is_confining(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

/// Who asks for no seccomp profile, as a violation.
pub(crate) fn explicitly_unconfined(pod: &Pod<'_>) -> Option<Violation> {
    let mut values = BTreeSet::new();
    let own = pod.spec.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref());
    let own = own.map(|profile| profile.type_.as_str()).filter(|kind| !is_confining(kind));
    values.extend(own);
    let bad = pod.parts.named(|part| {
        let profile = part.security.and_then(|s| s.seccomp_profile.as_ref());
        let kind = profile.map(|profile| profile.type_.as_str()).filter(|kind| !is_confining(kind));
        values.extend(kind);
        kind.is_some()
    });
    let who = setters(own.is_some(), &bad)?;
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values));
    violation("seccompProfile", detail)
}

pub(crate) fn baseline_seccomp(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version.since(19) {
        return explicitly_unconfined(pod);
    }
    let fine = |v: &str| matches!(v, "runtime/default" | "docker/default") || v.starts_with("localhost/");
    let keys = pod.parts.iter().map(|part| format!("{SECCOMP_CONTAINER}{}", part.name));
    let forbidden: BTreeSet<String> = std::iter::once(SECCOMP_POD.to_owned())
        .chain(keys)
        .filter_map(|key| {
            let value = pod.annotations.get(&key).filter(|value| !fine(value))?;
            Some(format!("{key}={value:?}"))
        })
        .collect();
    if forbidden.is_empty() {
        return None;
    }
    let (word, all) =
        (plural("annotation", "annotations", forbidden.len()), forbidden.into_iter().collect::<Vec<_>>());
    violation("seccompProfile", format!("forbidden {word} {}", all.join(", ")))
}

/// Sysctls that touch only the pod, with the version that allowed them.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

pub(crate) fn sysctls(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(known, since)| *known == name && version.since(*since));
    let set = pod.spec.security_context.as_ref().and_then(|s| s.sysctls.as_deref()).unwrap_or_default();
    let bad: Vec<&str> =
        set.iter().map(|sysctl| sysctl.name.as_str()).filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { violation("forbidden sysctls", bad.join(", ")) }
}

/// Restricted: somebody must ask for a profile.
pub(crate) fn restricted_seccomp(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if !version.since(19) || (version.since(25) && pod.is_windows()) {
        return None;
    }
    if let Some(found) = explicitly_unconfined(pod) {
        return Some(found);
    }
    if pod.spec.security_context.as_ref().is_some_and(|s| s.seccomp_profile.is_some()) {
        return None;
    }
    let bad = pod.parts.named(|part| part.security.is_none_or(|s| s.seccomp_profile.is_none()));
    if bad.is_empty() {
        return None;
    }
    let who = containers(&bad);
    let detail = format!(
        "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
    );
    violation("seccompProfile", detail)
}
