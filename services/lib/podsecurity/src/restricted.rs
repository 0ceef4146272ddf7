//! What the restricted level forbids beyond the baseline.
//!
//! # Upstream
//! `k8s.io/pod-security-admission/policy/check_*.go`

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Volume;

use crate::baseline::{
    host_namespaces, host_ports, host_probes, privileged, proc_mount, violation, windows_host_process,
};
use crate::confined::{app_armor, restricted_seccomp, se_linux, sysctls};
use crate::parts::{containers, plural, quoted, setters};
use crate::{Check, Pod, Version, Violation};

/// Baseline checks that no stricter one replaces.
pub(crate) const KEPT_OF_BASELINE: [Check; 8] = [
    app_armor,
    host_namespaces,
    host_ports,
    host_probes,
    privileged,
    se_linux,
    sysctls,
    windows_host_process,
];

/// The stricter ones, in the order of upstream's names for them.
pub(crate) const CHECKS: [Check; 7] = [
    allow_privilege_escalation,
    capabilities,
    proc_mount,
    restricted_volumes,
    run_as_non_root,
    run_as_user,
    restricted_seccomp,
];

fn allow_privilege_escalation(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if !version.since(8) || (version.since(25) && pod.is_windows()) {
        return None;
    }
    let bad = pod
        .parts
        .named(|part| part.security.and_then(|s| s.allow_privilege_escalation).is_none_or(|allowed| allowed));
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&bad));
    violation("allowPrivilegeEscalation != false", detail)
}

fn capabilities(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if !version.since(22) || (version.since(25) && pod.is_windows()) {
        return None;
    }
    let of = |part: &crate::parts::Part<'_>, add: bool| -> Vec<String> {
        let capabilities = part.security.and_then(|s| s.capabilities.clone()).unwrap_or_default();
        if add { capabilities.add.unwrap_or_default() } else { capabilities.drop.unwrap_or_default() }
    };
    let keeping = pod.parts.named(|part| !of(part, false).iter().any(|c| c == "ALL"));
    let mut added = BTreeSet::new();
    let adding = pod.parts.named(|part| {
        let more: Vec<String> = of(part, true).into_iter().filter(|c| c != "NET_BIND_SERVICE").collect();
        added.extend(more.iter().cloned());
        !more.is_empty()
    });
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let who = containers(&keeping);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if !adding.is_empty() {
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            containers(&adding),
            quoted(added)
        ));
    }
    if details.is_empty() { None } else { violation("unrestricted capabilities", details.join("; ")) }
}

/// The source a volume has: `Ok` when anybody may have it, else its name.
fn source(volume: &Volume) -> Result<(), &'static str> {
    let free = volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.image.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some();
    if free {
        return Ok(());
    }
    let named = [
        (volume.host_path.is_some(), "hostPath"),
        (volume.gce_persistent_disk.is_some(), "gcePersistentDisk"),
        (volume.aws_elastic_block_store.is_some(), "awsElasticBlockStore"),
        (volume.git_repo.is_some(), "gitRepo"),
        (volume.nfs.is_some(), "nfs"),
        (volume.iscsi.is_some(), "iscsi"),
        (volume.glusterfs.is_some(), "glusterfs"),
        (volume.rbd.is_some(), "rbd"),
        (volume.flex_volume.is_some(), "flexVolume"),
        (volume.cinder.is_some(), "cinder"),
        (volume.cephfs.is_some(), "cephfs"),
        (volume.flocker.is_some(), "flocker"),
        (volume.fc.is_some(), "fc"),
        (volume.azure_file.is_some(), "azureFile"),
        (volume.vsphere_volume.is_some(), "vsphereVolume"),
        (volume.quobyte.is_some(), "quobyte"),
        (volume.azure_disk.is_some(), "azureDisk"),
        (volume.photon_persistent_disk.is_some(), "photonPersistentDisk"),
        (volume.portworx_volume.is_some(), "portworxVolume"),
        (volume.scale_io.is_some(), "scaleIO"),
        (volume.storageos.is_some(), "storageos"),
    ];
    Err(named.iter().find(|(is, _)| *is).map_or("unknown", |(_, name)| name))
}

fn restricted_volumes(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let volumes = pod.spec.volumes.iter().flatten();
    let bad: Vec<(&str, &str)> =
        volumes.filter_map(|v| source(v).err().map(|kind| (v.name.as_str(), kind))).collect();
    if bad.is_empty() {
        return None;
    }
    let kinds: BTreeSet<&str> = bad.iter().map(|(_, kind)| *kind).collect();
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", bad.len()),
        quoted(bad.iter().map(|(name, _)| *name)),
        plural("uses", "use", bad.len()),
        plural("restricted volume type", "restricted volume types", kinds.len()),
        quoted(kinds)
    );
    violation("restricted volume types", detail)
}

fn run_as_non_root(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version.since(35) && pod.has_own_users() {
        return None;
    }
    let own = pod.spec.security_context.as_ref().and_then(|s| s.run_as_non_root);
    let said = |part: &crate::parts::Part<'_>| part.security.and_then(|s| s.run_as_non_root);
    let explicit = pod.parts.named(|part| said(part) == Some(false));
    if let Some(who) = setters(own == Some(false), &explicit) {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return violation("runAsNonRoot != true", detail);
    }
    let silent = pod.parts.named(|part| own != Some(true) && said(part).is_none());
    if silent.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent));
    violation("runAsNonRoot != true", detail)
}

fn run_as_user(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if !version.since(23) || (version.since(35) && pod.has_own_users()) {
        return None;
    }
    let own = pod.spec.security_context.as_ref().and_then(|s| s.run_as_user);
    let bad = pod.parts.named(|part| part.security.and_then(|s| s.run_as_user) == Some(0));
    let who = setters(own == Some(0), &bad)?;
    violation("runAsUser=0", format!("{who} must not set runAsUser=0"))
}
