//! The table of kinds: one line each. Order is that of the groups in discovery.

use std::sync::Arc;

use meta::{GroupResource, GroupVersionKind};

use crate::kind::{Entry, Kind};
use crate::{Face, StorageResource, apps, batch, core, others};

/// A line of the table.
struct Line {
    group: &'static str,
    /// The storage version.
    version: &'static str,
    /// Other served versions, in order of preference after the storage version's place.
    also: &'static [&'static str],
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    subresources: &'static [&'static str],
    behaviour: &'static Kind,
}

const S: &[&str] = &["status"];
const SS: &[&str] = &["status", "scale"];
const NONE: &[&str] = &[];

const fn line(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
    subresources: &'static [&'static str],
    behaviour: &'static Kind,
) -> Line {
    Line { group, version, also: &[], kind, plural, namespaced, subresources, behaviour }
}

impl Line {
    const fn also(mut self, versions: &'static [&'static str]) -> Self {
        self.also = versions;
        self
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const FLOW: &str = "flowcontrol.apiserver.k8s.io";
const K3S: &str = "k3s.cattle.io";
const NETWORKING: &str = "networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";
const STORAGE: &str = "storage.k8s.io";

const POD: &[&str] = &[
    "attach",
    "binding",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "log",
    "portforward",
    "proxy",
    "resize",
    "status",
];

#[rustfmt::skip]
static TABLE: &[Line] = &[
    line("", "v1", "ConfigMap", "configmaps", true, NONE, &core::CONFIG_MAP),
    line("", "v1", "Endpoints", "endpoints", true, NONE, &core::ENDPOINTS),
    line("", "v1", "Event", "events", true, NONE, &core::EVENT),
    line("", "v1", "LimitRange", "limitranges", true, NONE, &core::LIMIT_RANGE),
    line("", "v1", "Namespace", "namespaces", false, &["finalize", "status"], &core::NAMESPACE),
    line("", "v1", "Node", "nodes", false, &["proxy", "status"], &core::NODE),
    line("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true, S, &core::PERSISTENT_VOLUME_CLAIM),
    line("", "v1", "PersistentVolume", "persistentvolumes", false, S, &core::PERSISTENT_VOLUME),
    line("", "v1", "Pod", "pods", true, POD, &core::POD),
    line("", "v1", "PodTemplate", "podtemplates", true, NONE, &core::POD_TEMPLATE),
    line("", "v1", "ReplicationController", "replicationcontrollers", true, SS, &core::REPLICATION_CONTROLLER),
    line("", "v1", "ResourceQuota", "resourcequotas", true, S, &core::RESOURCE_QUOTA),
    line("", "v1", "Secret", "secrets", true, NONE, &core::SECRET),
    line("", "v1", "ServiceAccount", "serviceaccounts", true, &["token"], &core::SERVICE_ACCOUNT),
    line("", "v1", "Service", "services", true, &["proxy", "status"], &core::SERVICE),
    line("apps", "v1", "ControllerRevision", "controllerrevisions", true, NONE, &apps::CONTROLLER_REVISION),
    line("apps", "v1", "DaemonSet", "daemonsets", true, S, &apps::DAEMON_SET),
    line("apps", "v1", "Deployment", "deployments", true, SS, &apps::DEPLOYMENT),
    line("apps", "v1", "ReplicaSet", "replicasets", true, SS, &apps::REPLICA_SET),
    line("apps", "v1", "StatefulSet", "statefulsets", true, SS, &apps::STATEFUL_SET),
    line("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true, S, &others::HORIZONTAL_POD_AUTOSCALER).also(&["v1"]),
    line("batch", "v1", "CronJob", "cronjobs", true, S, &batch::CRON_JOB),
    line("batch", "v1", "Job", "jobs", true, S, &batch::JOB),
    line(CERTIFICATES, "v1", "CertificateSigningRequest", "certificatesigningrequests", false, &["approval", "status"], &others::CERTIFICATE_SIGNING_REQUEST),
    line(CERTIFICATES, "v1beta1", "ClusterTrustBundle", "clustertrustbundles", false, NONE, &others::CLUSTER_TRUST_BUNDLE).also(&["v1alpha1"]),
    line(CERTIFICATES, "v1beta1", "PodCertificateRequest", "podcertificaterequests", true, S, &others::POD_CERTIFICATE_REQUEST),
    line(NETWORKING, "v1", "IngressClass", "ingressclasses", false, NONE, &others::INGRESS_CLASS),
    line(NETWORKING, "v1", "Ingress", "ingresses", true, S, &others::INGRESS),
    line(NETWORKING, "v1", "IPAddress", "ipaddresses", false, NONE, &others::IP_ADDRESS).also(&["v1beta1"]),
    line(NETWORKING, "v1", "NetworkPolicy", "networkpolicies", true, NONE, &others::NETWORK_POLICY),
    line(NETWORKING, "v1", "ServiceCIDR", "servicecidrs", false, S, &others::SERVICE_CIDR).also(&["v1beta1"]),
    line("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true, S, &others::POD_DISRUPTION_BUDGET),
    line(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", false, NONE, &others::CLUSTER_ROLE_BINDING),
    line(RBAC, "v1", "ClusterRole", "clusterroles", false, NONE, &others::ROLE),
    line(RBAC, "v1", "RoleBinding", "rolebindings", true, NONE, &others::ROLE_BINDING),
    line(RBAC, "v1", "Role", "roles", true, NONE, &others::ROLE),
    line(STORAGE, "v1", "CSIDriver", "csidrivers", false, NONE, &others::CSI_DRIVER),
    line(STORAGE, "v1", "CSINode", "csinodes", false, NONE, &others::CSI_NODE),
    line(STORAGE, "v1", "CSIStorageCapacity", "csistoragecapacities", true, NONE, &others::CSI_STORAGE_CAPACITY),
    line(STORAGE, "v1", "StorageClass", "storageclasses", false, NONE, &others::STORAGE_CLASS),
    line(STORAGE, "v1", "VolumeAttachment", "volumeattachments", false, S, &others::VOLUME_ATTACHMENT),
    line(STORAGE, "v1", "VolumeAttributesClass", "volumeattributesclasses", false, NONE, &others::VOLUME_ATTRIBUTES_CLASS).also(&["v1beta1"]),
    line(ADMISSION, "v1beta1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", false, NONE, &others::MUTATING_ADMISSION_POLICY).also(&["v1", "v1alpha1"]),
    line(ADMISSION, "v1beta1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", false, NONE, &others::MUTATING_ADMISSION_POLICY_BINDING).also(&["v1", "v1alpha1"]),
    line(ADMISSION, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", false, NONE, &others::MUTATING_WEBHOOK_CONFIGURATION),
    line(ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", false, S, &others::VALIDATING_ADMISSION_POLICY),
    line(ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", false, NONE, &others::VALIDATING_ADMISSION_POLICY_BINDING),
    line(ADMISSION, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", false, NONE, &others::VALIDATING_WEBHOOK_CONFIGURATION),
    line("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false, S, &others::CUSTOM_RESOURCE_DEFINITION),
    line("apiregistration.k8s.io", "v1", "APIService", "apiservices", false, S, &others::API_SERVICE),
    line(SCHEDULING, "v1", "PriorityClass", "priorityclasses", false, NONE, &others::PRIORITY_CLASS),
    line(SCHEDULING, "v1alpha2", "PodGroup", "podgroups", true, S, &others::POD_GROUP),
    line(SCHEDULING, "v1alpha2", "Workload", "workloads", true, NONE, &others::WORKLOAD),
    line(COORDINATION, "v1", "Lease", "leases", true, NONE, &others::LEASE),
    line(COORDINATION, "v1beta1", "LeaseCandidate", "leasecandidates", true, NONE, &others::LEASE_CANDIDATE).also(&["v1alpha2"]),
    line("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", false, NONE, &others::RUNTIME_CLASS),
    line("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true, NONE, &others::ENDPOINT_SLICE),
    line(RESOURCE, "v1", "DeviceClass", "deviceclasses", false, NONE, &others::DEVICE_CLASS).also(&["v1beta2", "v1beta1"]),
    line(RESOURCE, "v1", "ResourceClaim", "resourceclaims", true, S, &others::RESOURCE_CLAIM).also(&["v1beta2"]),
    line(RESOURCE, "v1", "ResourceClaimTemplate", "resourceclaimtemplates", true, NONE, &others::RESOURCE_CLAIM_TEMPLATE).also(&["v1beta2"]),
    line(RESOURCE, "v1", "ResourceSlice", "resourceslices", false, NONE, &others::RESOURCE_SLICE).also(&["v1beta2"]),
    line(RESOURCE, "v1alpha3", "DeviceTaintRule", "devicetaintrules", false, S, &others::DEVICE_TAINT_RULE).also(&["v1beta2"]),
    line(FLOW, "v1", "FlowSchema", "flowschemas", false, S, &others::FLOW_SCHEMA),
    line(FLOW, "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", false, S, &others::PRIORITY_LEVEL_CONFIGURATION),
    line("internal.apiserver.k8s.io", "v1alpha1", "StorageVersion", "storageversions", false, S, &others::STORAGE_VERSION),
    line(K3S, "v1", "Addon", "addons", true, NONE, &others::ADDON),
    line("storagemigration.k8s.io", "v1beta1", "StorageVersionMigration", "storageversionmigrations", false, S, &others::STORAGE_VERSION_MIGRATION),
];

/// Kinds whose PUT creates a missing object (appendix C.2).
const CREATE_ON_UPDATE: &[&str] = &[
    "Service",
    "Endpoints",
    "Event",
    "LimitRange",
    "Lease",
    "LeaseCandidate",
    "RuntimeClass",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
];

/// Kinds whose PUT needs a resource version (appendix C.3).
const CONDITIONAL_UPDATE: &[&str] = &[
    "CustomResourceDefinition",
    "APIService",
    "Lease",
    "LeaseCandidate",
    "PodDisruptionBudget",
    "RuntimeClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "CSIDriver",
    "CSINode",
    "CSIStorageCapacity",
    "VolumeAttachment",
    "ClusterTrustBundle",
    "PodCertificateRequest",
    "StorageVersion",
    "StorageVersionMigration",
    "ResourcePoolStatusRequest",
];

/// Kinds whose DELETE answers the object (appendix C.5).
const DELETE_RETURNS_OBJECT: &[&str] = &[
    "Pod",
    "PodTemplate",
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
    "ServiceAccount",
    "ResourceQuota",
    "StorageClass",
    "VolumeAttributesClass",
    "VolumeAttachment",
    "CSIDriver",
    "CSINode",
    "DeviceClass",
    "DeviceTaintRule",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceSlice",
    "ResourcePoolStatusRequest",
];

/// Every built-in storage resource.
pub fn kinds() -> Vec<StorageResource> {
    TABLE.iter().map(resource).collect()
}

/// Keys as upstream spells them: old names, the groups of the two servers that once were apart, and what k3s defines
/// by CustomResourceDefinitions.
///
/// # Upstream
/// `pkg/kubeapiserver/default_storage_factory_builder.go` `SpecialDefaultResourcePrefixes`
fn key_prefix(line: &Line) -> String {
    match (line.group, line.kind) {
        ("", "ReplicationController") => "controllers".to_owned(),
        ("", "Endpoints") => "services/endpoints".to_owned(),
        ("", "Node") => "minions".to_owned(),
        ("", "Service") => "services/specs".to_owned(),
        (NETWORKING, "Ingress") => "ingress".to_owned(),
        ("apiextensions.k8s.io" | "apiregistration.k8s.io" | K3S, _) => {
            format!("{}/{}", line.group, line.plural)
        }
        _ => line.plural.to_owned(),
    }
}

fn resource(line: &Line) -> StorageResource {
    let face = |group: &str, version: &str| Face {
        gvk: GroupVersionKind::new(group, version, line.kind),
        plural: line.plural.to_owned(),
        subresources: line.subresources.iter().map(|s| (*s).to_owned()).collect(),
    };
    let mut versions: Vec<&str> = std::iter::once(line.version).chain(line.also.iter().copied()).collect();
    versions.sort_by_key(|v| preference(v));
    let mut faces: Vec<Face> = versions.into_iter().map(|v| face(line.group, v)).collect();
    if line.group.is_empty() && line.kind == "Event" {
        faces.push(face("events.k8s.io", "v1"));
    }
    StorageResource {
        key_prefix: key_prefix(line),
        storage: GroupVersionKind::new(line.group, line.version, line.kind),
        resource: GroupResource { group: line.group.to_owned(), resource: line.plural.to_owned() },
        namespaced: line.namespaced,
        faces,
        create_on_update: CREATE_ON_UPDATE.contains(&line.kind),
        unconditional_update: !CONDITIONAL_UPDATE.contains(&line.kind),
        delete_returns_object: DELETE_RETURNS_OBJECT.contains(&line.kind),
        hooks: Arc::new(Entry { kind: line.behaviour }),
    }
}

/// Stable before beta before alpha, higher numbers first.
fn preference(version: &str) -> (u8, std::cmp::Reverse<String>) {
    let rank = if version.contains("alpha") { 2 } else { u8::from(version.contains("beta")) };
    (rank, std::cmp::Reverse(version.to_owned()))
}
