//! The columns of every kind, as upstream prints them. Written by `gen/columns.py`.

use crate::Column;

const fn column(name: &'static str, kind: &'static str, format: &'static str, priority: i32) -> Column {
    Column { name, kind, format, priority, description: "" }
}

/// CSIDriver.
pub(crate) const CSI_DRIVER: &[Column] = &[
    column("Name", "string", "name", 0),
    column("AttachRequired", "boolean", "", 0),
    column("PodInfoOnMount", "boolean", "", 0),
    column("StorageCapacity", "boolean", "", 0),
    column("TokenRequests", "string", "", 0),
    column("RequiresRepublish", "boolean", "", 0),
    column("Modes", "string", "", 0),
    column("Age", "string", "", 0),
];
/// CSINode.
pub(crate) const CSI_NODE: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Drivers", "integer", "", 0),
    column("Age", "string", "", 0),
];
/// CSIStorageCapacity.
pub(crate) const CSI_STORAGE_CAPACITY: &[Column] = &[
    column("Name", "string", "name", 0),
    column("StorageClassName", "string", "", 0),
    column("Capacity", "string", "", 0),
];
/// CertificateSigningRequest.
pub(crate) const CERTIFICATE_SIGNING_REQUEST: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Age", "string", "", 0),
    column("SignerName", "string", "", 0),
    column("Requestor", "string", "", 0),
    column("RequestedDuration", "string", "", 0),
    column("Condition", "string", "", 0),
];
/// ClusterTrustBundle.
pub(crate) const CLUSTER_TRUST_BUNDLE: &[Column] =
    &[column("Name", "string", "name", 0), column("SignerName", "string", "", 0)];
/// ConfigMap.
pub(crate) const CONFIG_MAP: &[Column] =
    &[column("Name", "string", "name", 0), column("Data", "string", "", 0), column("Age", "string", "", 0)];
/// ControllerRevision.
pub(crate) const CONTROLLER_REVISION: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Controller", "string", "", 0),
    column("Revision", "string", "", 0),
    column("Age", "string", "", 0),
];
/// CronJob.
pub(crate) const CRON_JOB: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Schedule", "string", "", 0),
    column("Timezone", "string", "", 0),
    column("Suspend", "boolean", "", 0),
    column("Active", "integer", "", 0),
    column("Last Schedule", "string", "", 0),
    column("Age", "string", "", 0),
    column("Containers", "string", "", 1),
    column("Images", "string", "", 1),
    column("Selector", "string", "", 1),
];
/// DaemonSet.
pub(crate) const DAEMON_SET: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Desired", "integer", "", 0),
    column("Current", "integer", "", 0),
    column("Ready", "integer", "", 0),
    column("Up-to-date", "integer", "", 0),
    column("Available", "integer", "", 0),
    column("Node Selector", "string", "", 0),
    column("Age", "string", "", 0),
    column("Containers", "string", "", 1),
    column("Images", "string", "", 1),
    column("Selector", "string", "", 1),
];
/// Deployment.
pub(crate) const DEPLOYMENT: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Ready", "string", "", 0),
    column("Up-to-date", "string", "", 0),
    column("Available", "string", "", 0),
    column("Age", "string", "", 0),
    column("Containers", "string", "", 1),
    column("Images", "string", "", 1),
    column("Selector", "string", "", 1),
];
/// DeviceClass.
pub(crate) const DEVICE_CLASS: &[Column] =
    &[column("Name", "string", "name", 0), column("Age", "string", "", 0)];
/// DeviceTaintRule.
pub(crate) const DEVICE_TAINT_RULE: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Key", "string", "", 0),
    column("Value", "string", "", 0),
    column("Effect", "string", "", 0),
    column("TimeAdded", "string", "", 0),
    column("Age", "string", "", 0),
];
/// EndpointSlice.
pub(crate) const ENDPOINT_SLICE: &[Column] = &[
    column("Name", "string", "name", 0),
    column("AddressType", "string", "", 0),
    column("Ports", "string", "", 0),
    column("Endpoints", "string", "", 0),
    column("Age", "string", "", 0),
];
/// Endpoints.
pub(crate) const ENDPOINTS: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Endpoints", "string", "", 0),
    column("Age", "string", "", 0),
];
/// Event.
pub(crate) const EVENT: &[Column] = &[
    column("Last Seen", "string", "", 0),
    column("Type", "string", "", 0),
    column("Reason", "string", "", 0),
    column("Object", "string", "", 0),
    column("Subobject", "string", "", 1),
    column("Source", "string", "", 1),
    column("Message", "string", "", 0),
    column("First Seen", "string", "", 1),
    column("Count", "string", "", 1),
    column("Name", "string", "name", 1),
];
/// FlowSchema.
pub(crate) const FLOW_SCHEMA: &[Column] = &[
    column("Name", "string", "name", 0),
    column("PriorityLevel", "string", "", 0),
    column("MatchingPrecedence", "string", "", 0),
    column("DistinguisherMethod", "string", "", 0),
    column("Age", "string", "", 0),
    column("MissingPL", "string", "", 0),
];
/// HorizontalPodAutoscaler.
pub(crate) const HORIZONTAL_POD_AUTOSCALER: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Reference", "string", "", 0),
    column("Targets", "string", "", 0),
    column("MinPods", "string", "", 0),
    column("MaxPods", "string", "", 0),
    column("Replicas", "string", "", 0),
    column("Age", "string", "", 0),
];
/// IPAddress.
pub(crate) const IP_ADDRESS: &[Column] =
    &[column("Name", "string", "name", 0), column("ParentRef", "string", "", 0)];
/// Ingress.
pub(crate) const INGRESS: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Class", "string", "", 0),
    column("Hosts", "string", "", 0),
    column("Address", "string", "", 0),
    column("Ports", "string", "", 0),
    column("Age", "string", "", 0),
];
/// IngressClass.
pub(crate) const INGRESS_CLASS: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Controller", "string", "", 0),
    column("Parameters", "string", "", 0),
    column("Age", "string", "", 0),
];
/// Job.
pub(crate) const JOB: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Status", "string", "", 0),
    column("Completions", "string", "", 0),
    column("Duration", "string", "", 0),
    column("Age", "string", "", 0),
    column("Containers", "string", "", 1),
    column("Images", "string", "", 1),
    column("Selector", "string", "", 1),
];
/// Lease.
pub(crate) const LEASE: &[Column] =
    &[column("Name", "string", "name", 0), column("Holder", "string", "", 0), column("Age", "string", "", 0)];
/// LeaseCandidate.
pub(crate) const LEASE_CANDIDATE: &[Column] = &[
    column("Name", "string", "name", 0),
    column("LeaseName", "string", "", 0),
    column("BinaryVersion", "string", "", 0),
    column("EmulationVersion", "string", "", 0),
    column("Age", "string", "", 0),
];
/// MutatingAdmissionPolicy.
pub(crate) const MUTATING_ADMISSION_POLICY: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Mutations", "integer", "", 0),
    column("ParamKind", "string", "", 0),
    column("Age", "string", "", 0),
];
/// MutatingAdmissionPolicyBinding.
pub(crate) const MUTATING_ADMISSION_POLICY_BINDING: &[Column] = &[
    column("Name", "string", "name", 0),
    column("PolicyName", "string", "", 0),
    column("ParamRef", "string", "", 0),
    column("Age", "string", "", 0),
];
/// MutatingWebhookConfiguration.
pub(crate) const MUTATING_WEBHOOK_CONFIGURATION: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Webhooks", "integer", "", 0),
    column("Age", "string", "", 0),
];
/// Namespace.
pub(crate) const NAMESPACE: &[Column] =
    &[column("Name", "string", "name", 0), column("Status", "string", "", 0), column("Age", "string", "", 0)];
/// NetworkPolicy.
pub(crate) const NETWORK_POLICY: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Pod-Selector", "string", "", 0),
    column("Age", "string", "", 0),
];
/// Node.
pub(crate) const NODE: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Status", "string", "", 0),
    column("Roles", "string", "", 0),
    column("Age", "string", "", 0),
    column("Version", "string", "", 0),
    column("Internal-IP", "string", "", 1),
    column("External-IP", "string", "", 1),
    column("OS-Image", "string", "", 1),
    column("Kernel-Version", "string", "", 1),
    column("Container-Runtime", "string", "", 1),
];
/// PersistentVolume.
pub(crate) const PERSISTENT_VOLUME: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Capacity", "string", "", 0),
    column("Access Modes", "string", "", 0),
    column("Reclaim Policy", "string", "", 0),
    column("Status", "string", "", 0),
    column("Claim", "string", "", 0),
    column("StorageClass", "string", "", 0),
    column("VolumeAttributesClass", "string", "", 0),
    column("Reason", "string", "", 0),
    column("Age", "string", "", 0),
    column("VolumeMode", "string", "", 1),
];
/// PersistentVolumeClaim.
pub(crate) const PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Status", "string", "", 0),
    column("Volume", "string", "", 0),
    column("Capacity", "string", "", 0),
    column("Access Modes", "string", "", 0),
    column("StorageClass", "string", "", 0),
    column("VolumeAttributesClass", "string", "", 0),
    column("Age", "string", "", 0),
    column("VolumeMode", "string", "", 1),
];
/// Pod.
pub(crate) const POD: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Ready", "string", "", 0),
    column("Status", "string", "", 0),
    column("Restarts", "string", "", 0),
    column("Age", "string", "", 0),
    column("IP", "string", "", 1),
    column("Node", "string", "", 1),
    column("Nominated Node", "string", "", 1),
    column("Readiness Gates", "string", "", 1),
];
/// PodCertificateRequest.
pub(crate) const POD_CERTIFICATE_REQUEST: &[Column] = &[
    column("Name", "string", "name", 0),
    column("PodName", "string", "", 0),
    column("ServiceAccountName", "string", "", 0),
    column("NodeName", "string", "", 0),
    column("SignerName", "string", "", 0),
    column("State", "string", "", 0),
    column("UnverifiedUserAnnotations", "string", "", 0),
];
/// PodDisruptionBudget.
pub(crate) const POD_DISRUPTION_BUDGET: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Min Available", "string", "", 0),
    column("Max Unavailable", "string", "", 0),
    column("Allowed Disruptions", "integer", "", 0),
    column("Age", "string", "", 0),
];
/// PodGroup.
pub(crate) const POD_GROUP: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Policy", "string", "", 0),
    column("Workload", "string", "", 0),
    column("Status", "string", "", 0),
    column("Age", "string", "", 0),
];
/// PodTemplate.
pub(crate) const POD_TEMPLATE: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Containers", "string", "", 0),
    column("Images", "string", "", 0),
    column("Pod Labels", "string", "", 0),
];
/// PriorityClass.
pub(crate) const PRIORITY_CLASS: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Value", "integer", "", 0),
    column("Global-Default", "boolean", "", 0),
    column("Age", "string", "", 0),
    column("PreemptionPolicy", "string", "", 0),
];
/// PriorityLevelConfiguration.
pub(crate) const PRIORITY_LEVEL_CONFIGURATION: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Type", "string", "", 0),
    column("NominalConcurrencyShares", "string", "", 0),
    column("Queues", "string", "", 0),
    column("HandSize", "string", "", 0),
    column("QueueLengthLimit", "string", "", 0),
    column("Age", "string", "", 0),
];
/// ReplicaSet.
pub(crate) const REPLICA_SET: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Desired", "integer", "", 0),
    column("Current", "integer", "", 0),
    column("Ready", "integer", "", 0),
    column("Age", "string", "", 0),
    column("Containers", "string", "", 1),
    column("Images", "string", "", 1),
    column("Selector", "string", "", 1),
];
/// ReplicationController.
pub(crate) const REPLICATION_CONTROLLER: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Desired", "integer", "", 0),
    column("Current", "integer", "", 0),
    column("Ready", "integer", "", 0),
    column("Age", "string", "", 0),
    column("Containers", "string", "", 1),
    column("Images", "string", "", 1),
    column("Selector", "string", "", 1),
];
/// ResourceClaim.
pub(crate) const RESOURCE_CLAIM: &[Column] =
    &[column("Name", "string", "name", 0), column("State", "string", "", 0), column("Age", "string", "", 0)];
/// ResourceClaimTemplate.
pub(crate) const RESOURCE_CLAIM_TEMPLATE: &[Column] =
    &[column("Name", "string", "name", 0), column("Age", "string", "", 0)];
/// ResourceQuota.
pub(crate) const RESOURCE_QUOTA: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Request", "string", "", 0),
    column("Limit", "string", "", 0),
    column("Age", "string", "", 0),
];
/// ResourceSlice.
pub(crate) const RESOURCE_SLICE: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Node", "string", "", 0),
    column("Driver", "string", "", 0),
    column("Pool", "string", "", 0),
    column("Age", "string", "", 0),
];
/// RoleBinding.
pub(crate) const ROLE_BINDING: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Role", "string", "", 0),
    column("Age", "string", "", 0),
    column("Users", "string", "", 1),
    column("Groups", "string", "", 1),
    column("ServiceAccounts", "string", "", 1),
];
/// RuntimeClass.
pub(crate) const RUNTIME_CLASS: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Handler", "string", "", 0),
    column("Age", "string", "", 0),
];
/// Secret.
pub(crate) const SECRET: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Type", "string", "", 0),
    column("Data", "string", "", 0),
    column("Age", "string", "", 0),
];
/// Service.
pub(crate) const SERVICE: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Type", "string", "", 0),
    column("Cluster-IP", "string", "", 0),
    column("External-IP", "string", "", 0),
    column("Port(s)", "string", "", 0),
    column("Age", "string", "", 0),
    column("Selector", "string", "", 1),
];
/// ServiceAccount.
pub(crate) const SERVICE_ACCOUNT: &[Column] =
    &[column("Name", "string", "name", 0), column("Age", "string", "", 0)];
/// ServiceCIDR.
pub(crate) const SERVICE_CIDR: &[Column] =
    &[column("Name", "string", "name", 0), column("CIDRs", "string", "", 0), column("Age", "string", "", 0)];
/// StatefulSet.
pub(crate) const STATEFUL_SET: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Ready", "string", "", 0),
    column("Age", "string", "", 0),
    column("Containers", "string", "", 1),
    column("Images", "string", "", 1),
];
/// StorageClass.
pub(crate) const STORAGE_CLASS: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Provisioner", "string", "", 0),
    column("ReclaimPolicy", "string", "", 0),
    column("VolumeBindingMode", "string", "", 0),
    column("AllowVolumeExpansion", "string", "", 0),
    column("Age", "string", "", 0),
];
/// StorageVersion.
pub(crate) const STORAGE_VERSION: &[Column] = &[
    column("Name", "string", "name", 0),
    column("CommonEncodingVersion", "string", "", 0),
    column("StorageVersions", "string", "", 0),
    column("Age", "string", "", 0),
];
/// StorageVersionMigration.
pub(crate) const STORAGE_VERSION_MIGRATION: &[Column] = &[
    column("Name", "string", "", 0),
    column("Resource", "string", "", 0),
    column("Status", "string", "", 0),
];
/// ValidatingAdmissionPolicy.
pub(crate) const VALIDATING_ADMISSION_POLICY: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Validations", "integer", "", 0),
    column("ParamKind", "string", "", 0),
    column("Age", "string", "", 0),
];
/// ValidatingAdmissionPolicyBinding.
pub(crate) const VALIDATING_ADMISSION_POLICY_BINDING: &[Column] = &[
    column("Name", "string", "name", 0),
    column("PolicyName", "string", "", 0),
    column("ParamRef", "string", "", 0),
    column("Age", "string", "", 0),
];
/// ValidatingWebhookConfiguration.
pub(crate) const VALIDATING_WEBHOOK_CONFIGURATION: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Webhooks", "integer", "", 0),
    column("Age", "string", "", 0),
];
/// VolumeAttachment.
pub(crate) const VOLUME_ATTACHMENT: &[Column] = &[
    column("Name", "string", "name", 0),
    column("Attacher", "string", "name", 0),
    column("PV", "string", "", 0),
    column("Node", "string", "", 0),
    column("Attached", "boolean", "", 0),
    column("Age", "string", "", 0),
];
/// VolumeAttributesClass.
pub(crate) const VOLUME_ATTRIBUTES_CLASS: &[Column] = &[
    column("Name", "string", "name", 0),
    column("DriverName", "string", "", 0),
    column("Age", "string", "", 0),
];
/// Workload.
pub(crate) const WORKLOAD: &[Column] = &[column("Name", "string", "name", 0), column("Age", "string", "", 0)];
