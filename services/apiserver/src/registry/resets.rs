//! Which fields an endpoint leaves as they are, whatever the client sends.
//!
//! # Upstream
//! `pkg/registry/*/strategy.go` `GetResetFields`

/// A path of field names.
pub type Path = &'static [&'static str];

const STATUS: &[Path] = &[&["status"]];
const SPEC: &[Path] = &[&["spec"]];
const SPEC_METADATA: &[Path] = &[&["spec"], &["metadata"]];
const NONE: &[Path] = &[];

/// Kinds whose status endpoint ignores metadata as well.
const METADATA_TOO: [&str; 13] = [
    "ValidatingAdmissionPolicy",
    "StorageVersion",
    "FlowSchema",
    "PriorityLevelConfiguration",
    "ServiceCIDR",
    "DeviceTaintRule",
    "ResourceClaim",
    "ResourcePoolStatusRequest",
    "PodGroup",
    "VolumeAttachment",
    "StorageVersionMigration",
    "CustomResourceDefinition",
    "APIService",
];

/// The fields that endpoint `subresource` of `kind` does not change; `has_status`: the kind has a status endpoint.
pub fn resets(kind: &str, subresource: &str, has_status: bool) -> &'static [Path] {
    match (kind, subresource) {
        ("CertificateSigningRequest", "") => &[&["spec"], &["status"]],
        ("CertificateSigningRequest", "status") => &[&["spec"], &["status", "conditions"]],
        ("CertificateSigningRequest", "approval") => &[&["spec"], &["status", "certificate"]],
        ("PodCertificateRequest" | "ResourcePoolStatusRequest", "") => NONE,
        ("Deployment", "status") => &[&["spec"], &["metadata", "labels"]],
        ("Pod", "status") => {
            &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]
        }
        ("Namespace", "finalize") => STATUS,
        (_, "") if has_status => STATUS,
        (_, "") => NONE,
        (kind, "status") if METADATA_TOO.contains(&kind) => SPEC_METADATA,
        (_, "status") => SPEC,
        _ => NONE,
    }
}
