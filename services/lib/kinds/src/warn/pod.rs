//! Pods and templates of pods.
//!
//! # Upstream
//! `pkg/api/pod/warnings.go`

use schema::{Map, Object};

use super::{Seen, Warnings, address, annotation, container, fraction, name, node, overlap, port, volume};
use crate::tree::{int, map, map_at, maps, text, texts};

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    ("security.alpha.kubernetes.io/sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        r#"non-functional in v1.11+; use the "sysctls" field instead"#,
    ),
];
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NO_POD: &str = "a null labelSelector results in matching no pod";

/// A pod, or what a workload makes its pods of.
#[derive(Clone, Copy)]
pub(super) struct Template<'a> {
    /// The path up to `spec` and `metadata`, with its dot; empty for a pod itself.
    pub(super) at: &'a str,
    pub(super) metadata: Option<&'a Map>,
    pub(super) spec: &'a Map,
}

/// A new pod. Changes are seldom made by people: they are not looked at.
pub(crate) fn pod(object: &Object, old: Option<&Object>) -> Warnings {
    let mut warnings = Warnings::new();
    if old.is_none() {
        name::hostname(&mut warnings, object, "the Pod's hostname");
        template(&mut warnings, "", Some(object.root()));
    }
    warnings
}

/// A pod's status: the addresses of the pod and of its node.
pub(crate) fn pod_status(object: &Object) -> Warnings {
    let mut warnings = Warnings::new();
    let Some(status) = map(object.root(), "status") else { return warnings };
    for key in ["podIPs", "hostIPs"] {
        for (i, owner) in maps(status, key).enumerate() {
            address::ip(&mut warnings, format_args!("status.{key}[{i}].ip"), text(owner, "ip"));
        }
    }
    warnings
}

/// What has `metadata` and `spec` of a pod; `at` is its path with a dot.
pub(super) fn template(warnings: &mut Warnings, at: &str, owner: Option<&Map>) {
    let Some(spec) = owner.and_then(|owner| map(owner, "spec")) else { return };
    let template = Template { at, metadata: owner.and_then(|owner| map(owner, "metadata")), spec };
    node_labels(warnings, template);
    spread(warnings, template);
    annotations(warnings, template);
    volume::volumes(warnings, template);
    overlap::overlaps(warnings, spec);
    repeated(warnings, template);
    overhead(warnings, template);
    seccomp(warnings, template);
    container::containers(warnings, template);
    port::ports(warnings, template);
    port::names(warnings, template);
    if int(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        warnings.push(format!(
            "{at}spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be \
             treated as 1"
        ));
    }
    pod_affinity(warnings, template);
    addresses(warnings, template);
}

fn node_labels(warnings: &mut Warnings, Template { at, spec, .. }: Template<'_>) {
    for (label, _) in map(spec, "nodeSelector").into_iter().flat_map(|selector| selector.iter()) {
        if let Some(advice) = node::deprecated(label) {
            warnings.push(format!("{at}spec.nodeSelector[{label}]: {advice}"));
        }
    }
    let Some(affinity) = map_at(spec, &["affinity", "nodeAffinity"]) else { return };
    let required = map(affinity, REQUIRED).into_iter().flat_map(|r| maps(r, "nodeSelectorTerms"));
    for (i, term) in required.enumerate() {
        let path = format_args!("{at}spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[{i}]");
        node::requirements(warnings, path, term);
    }
    for (i, preferred) in maps(affinity, PREFERRED).enumerate() {
        if let Some(term) = map(preferred, "preference") {
            let path = format_args!("{at}spec.affinity.nodeAffinity.{PREFERRED}[{i}].preference");
            node::requirements_and_values(warnings, path, term);
        }
    }
}

fn spread(warnings: &mut Warnings, Template { at, spec, .. }: Template<'_>) {
    for (i, constraint) in maps(spec, "topologySpreadConstraints").enumerate() {
        let path = format_args!("{at}spec.topologySpreadConstraints[{i}]");
        let key = text(constraint, "topologyKey");
        if let Some(advice) = node::deprecated(key) {
            warnings.push(format!("{path}.topologyKey: {key} is {advice}"));
        }
        if map(constraint, "labelSelector").is_none() {
            warnings.push(format!("{path}.labelSelector: {NO_POD}"));
        }
    }
}

fn annotations(warnings: &mut Warnings, Template { at, metadata, .. }: Template<'_>) {
    for (key, advice) in ANNOTATIONS {
        if annotation(metadata, key).is_some() {
            warnings.push(format!("{at}metadata.annotations[{key}]: {advice}"));
        }
    }
}

/// Entries of lists that are merged by a key and have it twice.
fn repeated(warnings: &mut Warnings, Template { at, spec, .. }: Template<'_>) {
    for (key, by) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let mut seen = Seen::default();
        for (i, entry) in maps(spec, key).map(|entry| text(entry, by)).enumerate() {
            if seen.again(entry) {
                let entry = meta::field::quote(entry);
                warnings.push(format!("{at}spec.{key}[{i}].{by}: duplicate {by} {entry}"));
            }
        }
    }
    for (i, _) in
        maps(spec, "imagePullSecrets").enumerate().filter(|(_, secret)| text(secret, "name").is_empty())
    {
        warnings.push(format!("{at}spec.imagePullSecrets[{i}].name: invalid empty name \"\""));
    }
}

fn overhead(warnings: &mut Warnings, Template { at, spec, .. }: Template<'_>) {
    let Some(overhead) = map(spec, "overhead") else { return };
    for resource in ["memory", "ephemeral-storage"] {
        fraction(warnings, format_args!("{at}spec.overhead[{resource}]"), text(overhead, resource));
    }
}

fn seccomp(warnings: &mut Warnings, Template { at, metadata, spec }: Template<'_>) {
    let has_field = map_at(spec, &["securityContext", "seccompProfile"]).is_some();
    if !has_field && annotation(metadata, SECCOMP).is_some() {
        warnings.push(format!(
            r#"{at}metadata.annotations[{SECCOMP}]: non-functional in v1.27+; use the "seccompProfile" field instead"#
        ));
    }
}

fn pod_affinity(warnings: &mut Warnings, Template { at, spec, .. }: Template<'_>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = map_at(spec, &["affinity", kind]) else { continue };
        for (i, term) in maps(affinity, REQUIRED).enumerate() {
            if map(term, "labelSelector").is_none() {
                warnings.push(format!("{at}spec.affinity.{kind}.{REQUIRED}[{i}].labelSelector: {NO_POD}"));
            }
        }
        for (i, term) in maps(affinity, PREFERRED).enumerate() {
            if map_at(term, &["podAffinityTerm", "labelSelector"]).is_none() {
                let path = format_args!("{at}spec.affinity.{kind}.{PREFERRED}[{i}].podAffinityTerm");
                warnings.push(format!("{path}.labelSelector: {NO_POD}"));
            }
        }
    }
}

fn addresses(warnings: &mut Warnings, Template { at, spec, .. }: Template<'_>) {
    if let Some(dns) = map(spec, "dnsConfig") {
        for (i, server) in texts(dns, "nameservers").enumerate() {
            address::ip(warnings, format_args!("{at}spec.dnsConfig.nameservers[{i}]"), server);
        }
    }
    for (i, alias) in maps(spec, "hostAliases").enumerate() {
        address::ip(warnings, format_args!("{at}spec.hostAliases[{i}].ip"), text(alias, "ip"));
    }
}
