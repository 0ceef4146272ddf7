//! The columns of every kind, as upstream prints them. Written by `gen/columns.py` and
//! `gen/describe.py`.

use crate::Column;
use crate::Description::{self, Field, Text};

const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const NAME: Description = Field(METADATA, "name");
const CREATED: Description = Field(METADATA, "creationTimestamp");

const fn column(
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    priority: i32,
    description: Description,
) -> Column {
    Column { name, kind, format, priority, description }
}

/// CSIDriver.
pub(crate) const CSI_DRIVER: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "AttachRequired",
        "boolean",
        "",
        0,
        Field("io.k8s.api.storage.v1.CSIDriverSpec", "attachRequired"),
    ),
    column(
        "PodInfoOnMount",
        "boolean",
        "",
        0,
        Field("io.k8s.api.storage.v1.CSIDriverSpec", "podInfoOnMount"),
    ),
    column(
        "StorageCapacity",
        "boolean",
        "",
        0,
        Field("io.k8s.api.storage.v1.CSIDriverSpec", "storageCapacity"),
    ),
    column("TokenRequests", "string", "", 0, Field("io.k8s.api.storage.v1.CSIDriverSpec", "tokenRequests")),
    column(
        "RequiresRepublish",
        "boolean",
        "",
        0,
        Field("io.k8s.api.storage.v1.CSIDriverSpec", "requiresRepublish"),
    ),
    column("Modes", "string", "", 0, Field("io.k8s.api.storage.v1.CSIDriverSpec", "volumeLifecycleModes")),
    column("Age", "string", "", 0, CREATED),
];
/// CSINode.
pub(crate) const CSI_NODE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Drivers",
        "integer",
        "",
        0,
        Text("Drivers indicates the number of CSI drivers registered on the node"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// CertificateSigningRequest.
pub(crate) const CERTIFICATE_SIGNING_REQUEST: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Age", "string", "", 0, CREATED),
    column(
        "SignerName",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1.CertificateSigningRequestSpec", "signerName"),
    ),
    column(
        "Requestor",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1.CertificateSigningRequestSpec", "request"),
    ),
    column(
        "RequestedDuration",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1.CertificateSigningRequestSpec", "expirationSeconds"),
    ),
    column(
        "Condition",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1.CertificateSigningRequestStatus", "conditions"),
    ),
];
/// ClusterTrustBundle.
pub(crate) const CLUSTER_TRUST_BUNDLE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "SignerName",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1beta1.ClusterTrustBundleSpec", "signerName"),
    ),
];
/// ConfigMap.
pub(crate) const CONFIG_MAP: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Data", "string", "", 0, Field("io.k8s.api.core.v1.ConfigMap", "data")),
    column("Age", "string", "", 0, CREATED),
];
/// ControllerRevision.
pub(crate) const CONTROLLER_REVISION: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Controller", "string", "", 0, Text("Controller of the object")),
    column("Revision", "string", "", 0, Field("io.k8s.api.apps.v1.ControllerRevision", "revision")),
    column("Age", "string", "", 0, CREATED),
];
/// CronJob.
pub(crate) const CRON_JOB: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Schedule", "string", "", 0, Field("io.k8s.api.batch.v1.CronJobSpec", "schedule")),
    column("Timezone", "string", "", 0, Field("io.k8s.api.batch.v1.CronJobSpec", "timeZone")),
    column("Suspend", "boolean", "", 0, Field("io.k8s.api.batch.v1.CronJobSpec", "suspend")),
    column("Active", "integer", "", 0, Field("io.k8s.api.batch.v1.CronJobStatus", "active")),
    column("Last Schedule", "string", "", 0, Field("io.k8s.api.batch.v1.CronJobStatus", "lastScheduleTime")),
    column("Age", "string", "", 0, CREATED),
    column("Containers", "string", "", 1, Text("Names of each container in the template.")),
    column("Images", "string", "", 1, Text("Images referenced by each container in the template.")),
    column("Selector", "string", "", 1, Field("io.k8s.api.batch.v1.JobSpec", "selector")),
];
/// DaemonSet.
pub(crate) const DAEMON_SET: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Desired",
        "integer",
        "",
        0,
        Field("io.k8s.api.apps.v1.DaemonSetStatus", "desiredNumberScheduled"),
    ),
    column(
        "Current",
        "integer",
        "",
        0,
        Field("io.k8s.api.apps.v1.DaemonSetStatus", "currentNumberScheduled"),
    ),
    column("Ready", "integer", "", 0, Field("io.k8s.api.apps.v1.DaemonSetStatus", "numberReady")),
    column(
        "Up-to-date",
        "integer",
        "",
        0,
        Field("io.k8s.api.apps.v1.DaemonSetStatus", "updatedNumberScheduled"),
    ),
    column("Available", "integer", "", 0, Field("io.k8s.api.apps.v1.DaemonSetStatus", "numberAvailable")),
    column("Node Selector", "string", "", 0, Field("io.k8s.api.core.v1.PodSpec", "nodeSelector")),
    column("Age", "string", "", 0, CREATED),
    column("Containers", "string", "", 1, Text("Names of each container in the template.")),
    column("Images", "string", "", 1, Text("Images referenced by each container in the template.")),
    column("Selector", "string", "", 1, Field("io.k8s.api.apps.v1.DaemonSetSpec", "selector")),
];
/// Deployment.
pub(crate) const DEPLOYMENT: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Ready", "string", "", 0, Text("Number of the pod with ready state")),
    column("Up-to-date", "string", "", 0, Field("io.k8s.api.apps.v1.DeploymentStatus", "updatedReplicas")),
    column("Available", "string", "", 0, Field("io.k8s.api.apps.v1.DeploymentStatus", "availableReplicas")),
    column("Age", "string", "", 0, CREATED),
    column("Containers", "string", "", 1, Text("Names of each container in the template.")),
    column("Images", "string", "", 1, Text("Images referenced by each container in the template.")),
    column("Selector", "string", "", 1, Field("io.k8s.api.apps.v1.DeploymentSpec", "selector")),
];
/// DeviceClass.
pub(crate) const DEVICE_CLASS: &[Column] =
    &[column("Name", "string", "name", 0, NAME), column("Age", "string", "", 0, CREATED)];
/// DeviceTaintRule.
pub(crate) const DEVICE_TAINT_RULE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Key", "string", "", 0, Field("io.k8s.api.resource.v1.DeviceTaint", "key")),
    column("Value", "string", "", 0, Field("io.k8s.api.resource.v1.DeviceTaint", "value")),
    column("Effect", "string", "", 0, Field("io.k8s.api.resource.v1.DeviceTaint", "effect")),
    column("TimeAdded", "string", "", 0, Field("io.k8s.api.resource.v1.DeviceTaint", "timeAdded")),
    column("Age", "string", "", 0, CREATED),
];
/// EndpointSlice.
pub(crate) const ENDPOINT_SLICE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("AddressType", "string", "", 0, Field("io.k8s.api.discovery.v1.EndpointSlice", "addressType")),
    column("Ports", "string", "", 0, Field("io.k8s.api.discovery.v1.EndpointSlice", "ports")),
    column("Endpoints", "string", "", 0, Field("io.k8s.api.discovery.v1.EndpointSlice", "endpoints")),
    column("Age", "string", "", 0, CREATED),
];
/// Endpoints.
pub(crate) const ENDPOINTS: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Endpoints", "string", "", 0, Field("io.k8s.api.core.v1.Endpoints", "subsets")),
    column("Age", "string", "", 0, CREATED),
];
/// Event.
pub(crate) const EVENT: &[Column] = &[
    column("Last Seen", "string", "", 0, Field("io.k8s.api.core.v1.Event", "lastTimestamp")),
    column("Type", "string", "", 0, Field("io.k8s.api.core.v1.Event", "type")),
    column("Reason", "string", "", 0, Field("io.k8s.api.core.v1.Event", "reason")),
    column("Object", "string", "", 0, Field("io.k8s.api.core.v1.Event", "involvedObject")),
    column("Subobject", "string", "", 1, Field("io.k8s.api.core.v1.ObjectReference", "fieldPath")),
    column("Source", "string", "", 1, Field("io.k8s.api.core.v1.Event", "source")),
    column("Message", "string", "", 0, Field("io.k8s.api.core.v1.Event", "message")),
    column("First Seen", "string", "", 1, Field("io.k8s.api.core.v1.Event", "firstTimestamp")),
    column("Count", "string", "", 1, Field("io.k8s.api.core.v1.Event", "count")),
    column("Name", "string", "name", 1, NAME),
];
/// FlowSchema.
pub(crate) const FLOW_SCHEMA: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "PriorityLevel",
        "string",
        "",
        0,
        Field("io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationReference", "name"),
    ),
    column(
        "MatchingPrecedence",
        "string",
        "",
        0,
        Field("io.k8s.api.flowcontrol.v1.FlowSchemaSpec", "matchingPrecedence"),
    ),
    column(
        "DistinguisherMethod",
        "string",
        "",
        0,
        Field("io.k8s.api.flowcontrol.v1.FlowSchemaSpec", "distinguisherMethod"),
    ),
    column("Age", "string", "", 0, CREATED),
    column(
        "MissingPL",
        "string",
        "",
        0,
        Text("references a broken or non-existent PriorityLevelConfiguration"),
    ),
];
/// HorizontalPodAutoscaler.
pub(crate) const HORIZONTAL_POD_AUTOSCALER: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Reference",
        "string",
        "",
        0,
        Field("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", "scaleTargetRef"),
    ),
    column(
        "Targets",
        "string",
        "",
        0,
        Field("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", "metrics"),
    ),
    column(
        "MinPods",
        "string",
        "",
        0,
        Field("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", "minReplicas"),
    ),
    column(
        "MaxPods",
        "string",
        "",
        0,
        Field("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", "maxReplicas"),
    ),
    column(
        "Replicas",
        "string",
        "",
        0,
        Field("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus", "currentReplicas"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// IPAddress.
pub(crate) const IP_ADDRESS: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("ParentRef", "string", "", 0, Field("io.k8s.api.networking.v1.IPAddressSpec", "parentRef")),
];
/// Ingress.
pub(crate) const INGRESS: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Class",
        "string",
        "",
        0,
        Text("The name of the IngressClass resource that should be used for additional configuration"),
    ),
    column(
        "Hosts",
        "string",
        "",
        0,
        Text("Hosts that incoming requests are matched against before the ingress rule"),
    ),
    column(
        "Address",
        "string",
        "",
        0,
        Text("Address is a list containing ingress points for the load-balancer"),
    ),
    column("Ports", "string", "", 0, Text("Ports of TLS configurations that open")),
    column("Age", "string", "", 0, CREATED),
];
/// IngressClass.
pub(crate) const INGRESS_CLASS: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Controller", "string", "", 0, Text("Controller that is responsible for handling this class")),
    column("Parameters", "string", "", 0, Text("A reference to a resource with additional parameters")),
    column("Age", "string", "", 0, CREATED),
];
/// Job.
pub(crate) const JOB: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Status", "string", "", 0, Text("Status of the job.")),
    column("Completions", "string", "", 0, Field("io.k8s.api.batch.v1.JobStatus", "succeeded")),
    column("Duration", "string", "", 0, Text("Time required to complete the job.")),
    column("Age", "string", "", 0, CREATED),
    column("Containers", "string", "", 1, Text("Names of each container in the template.")),
    column("Images", "string", "", 1, Text("Images referenced by each container in the template.")),
    column("Selector", "string", "", 1, Field("io.k8s.api.batch.v1.JobSpec", "selector")),
];
/// Lease.
pub(crate) const LEASE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Holder", "string", "", 0, Field("io.k8s.api.coordination.v1.LeaseSpec", "holderIdentity")),
    column("Age", "string", "", 0, CREATED),
];
/// LeaseCandidate.
pub(crate) const LEASE_CANDIDATE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "LeaseName",
        "string",
        "",
        0,
        Field("io.k8s.api.coordination.v1alpha2.LeaseCandidateSpec", "leaseName"),
    ),
    column("BinaryVersion", "string", "", 0, Text("")),
    column("EmulationVersion", "string", "", 0, Text("")),
    column("Age", "string", "", 0, CREATED),
];
/// MutatingAdmissionPolicy.
pub(crate) const MUTATING_ADMISSION_POLICY: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Mutations",
        "integer",
        "",
        0,
        Text("Mutation indicates the number of mutations rules defined in this configuration"),
    ),
    column(
        "ParamKind",
        "string",
        "",
        0,
        Text("ParamKind specifies the kind of resources used to parameterize this policy"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// MutatingAdmissionPolicyBinding.
pub(crate) const MUTATING_ADMISSION_POLICY_BINDING: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "PolicyName",
        "string",
        "",
        0,
        Text("PolicyName indicates the policy definition which the policy binding binded to"),
    ),
    column(
        "ParamRef",
        "string",
        "",
        0,
        Text("ParamRef indicates the param resource which sets the configuration param"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// MutatingWebhookConfiguration.
pub(crate) const MUTATING_WEBHOOK_CONFIGURATION: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Webhooks",
        "integer",
        "",
        0,
        Text("Webhooks indicates the number of webhooks registered in this configuration"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// Namespace.
pub(crate) const NAMESPACE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Status", "string", "", 0, Text("The status of the namespace")),
    column("Age", "string", "", 0, CREATED),
];
/// NetworkPolicy.
pub(crate) const NETWORK_POLICY: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Pod-Selector",
        "string",
        "",
        0,
        Field("io.k8s.api.networking.v1.NetworkPolicySpec", "podSelector"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// Node.
pub(crate) const NODE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Status", "string", "", 0, Text("The status of the node")),
    column("Roles", "string", "", 0, Text("The roles of the node")),
    column("Age", "string", "", 0, CREATED),
    column("Version", "string", "", 0, Field("io.k8s.api.core.v1.NodeSystemInfo", "kubeletVersion")),
    column("Internal-IP", "string", "", 1, Field("io.k8s.api.core.v1.NodeStatus", "addresses")),
    column("External-IP", "string", "", 1, Field("io.k8s.api.core.v1.NodeStatus", "addresses")),
    column("OS-Image", "string", "", 1, Field("io.k8s.api.core.v1.NodeSystemInfo", "osImage")),
    column("Kernel-Version", "string", "", 1, Field("io.k8s.api.core.v1.NodeSystemInfo", "kernelVersion")),
    column(
        "Container-Runtime",
        "string",
        "",
        1,
        Field("io.k8s.api.core.v1.NodeSystemInfo", "containerRuntimeVersion"),
    ),
];
/// PersistentVolume.
pub(crate) const PERSISTENT_VOLUME: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Capacity", "string", "", 0, Field("io.k8s.api.core.v1.PersistentVolumeSpec", "capacity")),
    column("Access Modes", "string", "", 0, Field("io.k8s.api.core.v1.PersistentVolumeSpec", "accessModes")),
    column(
        "Reclaim Policy",
        "string",
        "",
        0,
        Field("io.k8s.api.core.v1.PersistentVolumeSpec", "persistentVolumeReclaimPolicy"),
    ),
    column("Status", "string", "", 0, Field("io.k8s.api.core.v1.PersistentVolumeStatus", "phase")),
    column("Claim", "string", "", 0, Field("io.k8s.api.core.v1.PersistentVolumeSpec", "claimRef")),
    column("StorageClass", "string", "", 0, Text("StorageClass of the pv")),
    column("VolumeAttributesClass", "string", "", 0, Text("VolumeAttributesClass of the pv")),
    column("Reason", "string", "", 0, Field("io.k8s.api.core.v1.PersistentVolumeStatus", "reason")),
    column("Age", "string", "", 0, CREATED),
    column("VolumeMode", "string", "", 1, Field("io.k8s.api.core.v1.PersistentVolumeSpec", "volumeMode")),
];
/// PersistentVolumeClaim.
pub(crate) const PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Status", "string", "", 0, Field("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "phase")),
    column("Volume", "string", "", 0, Field("io.k8s.api.core.v1.PersistentVolumeClaimSpec", "volumeName")),
    column("Capacity", "string", "", 0, Field("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "capacity")),
    column(
        "Access Modes",
        "string",
        "",
        0,
        Field("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "accessModes"),
    ),
    column("StorageClass", "string", "", 0, Text("StorageClass of the pvc")),
    column("VolumeAttributesClass", "string", "", 0, Text("VolumeAttributesClass of the pvc")),
    column("Age", "string", "", 0, CREATED),
    column(
        "VolumeMode",
        "string",
        "",
        1,
        Field("io.k8s.api.core.v1.PersistentVolumeClaimSpec", "volumeMode"),
    ),
];
/// Pod.
pub(crate) const POD: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Ready",
        "string",
        "",
        0,
        Text("The aggregate readiness state of this pod for accepting traffic."),
    ),
    column("Status", "string", "", 0, Text("The aggregate status of the containers in this pod.")),
    column(
        "Restarts",
        "string",
        "",
        0,
        Text(
            "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
        ),
    ),
    column("Age", "string", "", 0, CREATED),
    column("IP", "string", "", 1, Field("io.k8s.api.core.v1.PodStatus", "podIP")),
    column("Node", "string", "", 1, Field("io.k8s.api.core.v1.PodSpec", "nodeName")),
    column("Nominated Node", "string", "", 1, Field("io.k8s.api.core.v1.PodStatus", "nominatedNodeName")),
    column("Readiness Gates", "string", "", 1, Field("io.k8s.api.core.v1.PodSpec", "readinessGates")),
];
/// PodCertificateRequest.
pub(crate) const POD_CERTIFICATE_REQUEST: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "PodName",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec", "podName"),
    ),
    column(
        "ServiceAccountName",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec", "serviceAccountName"),
    ),
    column(
        "NodeName",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec", "nodeName"),
    ),
    column(
        "SignerName",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec", "signerName"),
    ),
    column("State", "string", "", 0, Text("Is the request Pending, Issued, Denied, or Failed?")),
    column(
        "UnverifiedUserAnnotations",
        "string",
        "",
        0,
        Field("io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec", "unverifiedUserAnnotations"),
    ),
];
/// PodDisruptionBudget.
pub(crate) const POD_DISRUPTION_BUDGET: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Min Available", "string", "", 0, Text("The minimum number of pods that must be available.")),
    column("Max Unavailable", "string", "", 0, Text("The maximum number of pods that may be unavailable.")),
    column(
        "Allowed Disruptions",
        "integer",
        "",
        0,
        Text("Calculated number of pods that may be disrupted at this time."),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// PodGroup.
pub(crate) const POD_GROUP: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Policy",
        "string",
        "",
        0,
        Field("io.k8s.api.scheduling.v1alpha2.PodGroupSpec", "schedulingPolicy"),
    ),
    column("Workload", "string", "", 0, Text("Name of the referenced Workload object")),
    column("Status", "string", "", 0, Text("Status of the PodGroup")),
    column("Age", "string", "", 0, CREATED),
];
/// PodTemplate.
pub(crate) const POD_TEMPLATE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Containers", "string", "", 0, Text("Names of each container in the template.")),
    column("Images", "string", "", 0, Text("Images referenced by each container in the template.")),
    column("Pod Labels", "string", "", 0, Text("The labels for the pod template.")),
];
/// PriorityClass.
pub(crate) const PRIORITY_CLASS: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Value", "integer", "", 0, Field("io.k8s.api.scheduling.v1.PriorityClass", "value")),
    column(
        "Global-Default",
        "boolean",
        "",
        0,
        Field("io.k8s.api.scheduling.v1.PriorityClass", "globalDefault"),
    ),
    column("Age", "string", "", 0, CREATED),
    column(
        "PreemptionPolicy",
        "string",
        "",
        0,
        Field("io.k8s.api.scheduling.v1.PriorityClass", "preemptionPolicy"),
    ),
];
/// PriorityLevelConfiguration.
pub(crate) const PRIORITY_LEVEL_CONFIGURATION: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Type",
        "string",
        "",
        0,
        Field("io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec", "type"),
    ),
    column(
        "NominalConcurrencyShares",
        "string",
        "",
        0,
        Field("io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration", "nominalConcurrencyShares"),
    ),
    column("Queues", "string", "", 0, Field("io.k8s.api.flowcontrol.v1.QueuingConfiguration", "queues")),
    column("HandSize", "string", "", 0, Field("io.k8s.api.flowcontrol.v1.QueuingConfiguration", "handSize")),
    column(
        "QueueLengthLimit",
        "string",
        "",
        0,
        Field("io.k8s.api.flowcontrol.v1.QueuingConfiguration", "queueLengthLimit"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// ReplicaSet.
pub(crate) const REPLICA_SET: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Desired", "integer", "", 0, Field("io.k8s.api.apps.v1.ReplicaSetSpec", "replicas")),
    column("Current", "integer", "", 0, Field("io.k8s.api.apps.v1.ReplicaSetStatus", "replicas")),
    column("Ready", "integer", "", 0, Field("io.k8s.api.apps.v1.ReplicaSetStatus", "readyReplicas")),
    column("Age", "string", "", 0, CREATED),
    column("Containers", "string", "", 1, Text("Names of each container in the template.")),
    column("Images", "string", "", 1, Text("Images referenced by each container in the template.")),
    column("Selector", "string", "", 1, Field("io.k8s.api.apps.v1.ReplicaSetSpec", "selector")),
];
/// ReplicationController.
pub(crate) const REPLICATION_CONTROLLER: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Desired", "integer", "", 0, Field("io.k8s.api.core.v1.ReplicationControllerSpec", "replicas")),
    column("Current", "integer", "", 0, Field("io.k8s.api.core.v1.ReplicationControllerStatus", "replicas")),
    column(
        "Ready",
        "integer",
        "",
        0,
        Field("io.k8s.api.core.v1.ReplicationControllerStatus", "readyReplicas"),
    ),
    column("Age", "string", "", 0, CREATED),
    column("Containers", "string", "", 1, Text("Names of each container in the template.")),
    column("Images", "string", "", 1, Text("Images referenced by each container in the template.")),
    column("Selector", "string", "", 1, Field("io.k8s.api.core.v1.ReplicationControllerSpec", "selector")),
];
/// ResourceClaim.
pub(crate) const RESOURCE_CLAIM: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "State",
        "string",
        "",
        0,
        Text("A summary of the current state (allocated, pending, reserved, etc.)."),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// ResourceClaimTemplate.
pub(crate) const RESOURCE_CLAIM_TEMPLATE: &[Column] =
    &[column("Name", "string", "name", 0, NAME), column("Age", "string", "", 0, CREATED)];
/// ResourceQuota.
pub(crate) const RESOURCE_QUOTA: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Request",
        "string",
        "",
        0,
        Text("Request represents a minimum amount of cpu/memory that a container may consume."),
    ),
    column(
        "Limit",
        "string",
        "",
        0,
        Text(
            "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
        ),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// ResourceSlice.
pub(crate) const RESOURCE_SLICE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Node", "string", "", 0, Field("io.k8s.api.resource.v1.ResourceSliceSpec", "nodeName")),
    column("Driver", "string", "", 0, Field("io.k8s.api.resource.v1.ResourceSliceSpec", "driver")),
    column("Pool", "string", "", 0, Field("io.k8s.api.resource.v1.ResourcePool", "name")),
    column("Age", "string", "", 0, CREATED),
];
/// ClusterRoleBinding.
pub(crate) const CLUSTER_ROLE_BINDING: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Role", "string", "", 0, Field("io.k8s.api.rbac.v1.ClusterRoleBinding", "roleRef")),
    column("Age", "string", "", 0, CREATED),
    column("Users", "string", "", 1, Text("Users in the clusterRoleBinding")),
    column("Groups", "string", "", 1, Text("Groups in the clusterRoleBinding")),
    column("ServiceAccounts", "string", "", 1, Text("ServiceAccounts in the clusterRoleBinding")),
];
/// RoleBinding.
pub(crate) const ROLE_BINDING: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Role", "string", "", 0, Field("io.k8s.api.rbac.v1.RoleBinding", "roleRef")),
    column("Age", "string", "", 0, CREATED),
    column("Users", "string", "", 1, Text("Users in the roleBinding")),
    column("Groups", "string", "", 1, Text("Groups in the roleBinding")),
    column("ServiceAccounts", "string", "", 1, Text("ServiceAccounts in the roleBinding")),
];
/// RuntimeClass.
pub(crate) const RUNTIME_CLASS: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Handler", "string", "", 0, Text("")),
    column("Age", "string", "", 0, CREATED),
];
/// Secret.
pub(crate) const SECRET: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Type", "string", "", 0, Field("io.k8s.api.core.v1.Secret", "type")),
    column("Data", "string", "", 0, Field("io.k8s.api.core.v1.Secret", "data")),
    column("Age", "string", "", 0, CREATED),
];
/// Service.
pub(crate) const SERVICE: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Type", "string", "", 0, Field("io.k8s.api.core.v1.ServiceSpec", "type")),
    column("Cluster-IP", "string", "", 0, Field("io.k8s.api.core.v1.ServiceSpec", "clusterIP")),
    column("External-IP", "string", "", 0, Field("io.k8s.api.core.v1.ServiceSpec", "externalIPs")),
    column("Port(s)", "string", "", 0, Field("io.k8s.api.core.v1.ServiceSpec", "ports")),
    column("Age", "string", "", 0, CREATED),
    column("Selector", "string", "", 1, Field("io.k8s.api.core.v1.ServiceSpec", "selector")),
];
/// ServiceAccount.
pub(crate) const SERVICE_ACCOUNT: &[Column] =
    &[column("Name", "string", "name", 0, NAME), column("Age", "string", "", 0, CREATED)];
/// ServiceCIDR.
pub(crate) const SERVICE_CIDR: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("CIDRs", "string", "", 0, Field("io.k8s.api.networking.v1.ServiceCIDRSpec", "cidrs")),
    column("Age", "string", "", 0, CREATED),
];
/// StatefulSet.
pub(crate) const STATEFUL_SET: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Ready", "string", "", 0, Text("Number of the pod with ready state")),
    column("Age", "string", "", 0, CREATED),
    column("Containers", "string", "", 1, Text("Names of each container in the template.")),
    column("Images", "string", "", 1, Text("Images referenced by each container in the template.")),
];
/// StorageClass.
pub(crate) const STORAGE_CLASS: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Provisioner", "string", "", 0, Field("io.k8s.api.storage.v1.StorageClass", "provisioner")),
    column("ReclaimPolicy", "string", "", 0, Field("io.k8s.api.storage.v1.StorageClass", "reclaimPolicy")),
    column(
        "VolumeBindingMode",
        "string",
        "",
        0,
        Field("io.k8s.api.storage.v1.StorageClass", "volumeBindingMode"),
    ),
    column(
        "AllowVolumeExpansion",
        "string",
        "",
        0,
        Field("io.k8s.api.storage.v1.StorageClass", "allowVolumeExpansion"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// StorageVersion.
pub(crate) const STORAGE_VERSION: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "CommonEncodingVersion",
        "string",
        "",
        0,
        Field("io.k8s.api.apiserverinternal.v1alpha1.StorageVersionStatus", "commonEncodingVersion"),
    ),
    column(
        "StorageVersions",
        "string",
        "",
        0,
        Field("io.k8s.api.apiserverinternal.v1alpha1.StorageVersionStatus", "storageVersions"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// StorageVersionMigration.
pub(crate) const STORAGE_VERSION_MIGRATION: &[Column] = &[
    column("Name", "string", "", 0, NAME),
    column("Resource", "string", "", 0, Text("GroupResource to migrate")),
    column("Status", "string", "", 0, Text("Status of the migration")),
];
/// ValidatingAdmissionPolicy.
pub(crate) const VALIDATING_ADMISSION_POLICY: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Validations",
        "integer",
        "",
        0,
        Text("Validations indicates the number of validation rules defined in this configuration"),
    ),
    column(
        "ParamKind",
        "string",
        "",
        0,
        Text("ParamKind specifies the kind of resources used to parameterize this policy"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// ValidatingAdmissionPolicyBinding.
pub(crate) const VALIDATING_ADMISSION_POLICY_BINDING: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "PolicyName",
        "string",
        "",
        0,
        Text("PolicyName indicates the policy definition which the policy binding binded to"),
    ),
    column(
        "ParamRef",
        "string",
        "",
        0,
        Text("ParamRef indicates the param resource which sets the configuration param"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// ValidatingWebhookConfiguration.
pub(crate) const VALIDATING_WEBHOOK_CONFIGURATION: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column(
        "Webhooks",
        "integer",
        "",
        0,
        Text("Webhooks indicates the number of webhooks registered in this configuration"),
    ),
    column("Age", "string", "", 0, CREATED),
];
/// VolumeAttachment.
pub(crate) const VOLUME_ATTACHMENT: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("Attacher", "string", "name", 0, Field("io.k8s.api.storage.v1.VolumeAttachmentSpec", "attacher")),
    column(
        "PV",
        "string",
        "",
        0,
        Field("io.k8s.api.storage.v1.VolumeAttachmentSource", "persistentVolumeName"),
    ),
    column("Node", "string", "", 0, Field("io.k8s.api.storage.v1.VolumeAttachmentSpec", "nodeName")),
    column("Attached", "boolean", "", 0, Field("io.k8s.api.storage.v1.VolumeAttachmentStatus", "attached")),
    column("Age", "string", "", 0, CREATED),
];
/// VolumeAttributesClass.
pub(crate) const VOLUME_ATTRIBUTES_CLASS: &[Column] = &[
    column("Name", "string", "name", 0, NAME),
    column("DriverName", "string", "", 0, Field("io.k8s.api.storage.v1.VolumeAttributesClass", "driverName")),
    column("Age", "string", "", 0, CREATED),
];
/// Workload.
pub(crate) const WORKLOAD: &[Column] =
    &[column("Name", "string", "name", 0, NAME), column("Age", "string", "", 0, CREATED)];
