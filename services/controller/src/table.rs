//! One line per controller.

use reconcile::Controller;

use crate::settings::Settings;
use crate::{
    accounts, addon, autoscaler, bootstrap, certificates, cronjob, daemonset, deployment, device_taints,
    disruption, endpoints, ephemeral, ipam, job, namespaces, nodes, passwords, pods, policies, protection,
    quota, replicas, resource_claims, roles, service_cidr, servicelb, statefulset, tokens, volumes,
};

/// A controller, its other names, and how it is made.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) on: bool,
    pub(crate) make: fn(&Settings) -> anyhow::Result<Box<dyn Controller>>,
}

macro_rules! table {
    ($($name:literal $on:ident $make:expr;)*) => {
        /// Every controller.
        pub(crate) const TABLE: &[Entry] = &[$(Entry { name: $name, on: table!(@$on), make: $make }),*];
    };
    (@on) => { true };
    (@off) => { false };
}

table! {
    "deployment-controller" on |_| Ok(Box::new(deployment::Deployments));
    "replicaset-controller" on |_| Ok(Box::new(replicas::ReplicaSets));
    "replicationcontroller-controller" on |_| Ok(Box::new(replicas::ReplicationControllers));
    "statefulset-controller" on |_| Ok(Box::new(statefulset::StatefulSets));
    "daemonset-controller" on |_| Ok(Box::new(daemonset::DaemonSets));
    "job-controller" on |_| Ok(Box::new(job::Jobs));
    "ttl-after-finished-controller" on |_| Ok(Box::new(pods::TtlAfterFinished));
    "pod-garbage-collector-controller" on |_| Ok(Box::new(pods::PodGc));
    "ttl-controller" on |_| Ok(Box::new(pods::Ttl));
    "node-lifecycle-controller" on |_| Ok(Box::new(nodes::Lifecycle));
    "taint-eviction-controller" on |_| Ok(Box::new(nodes::TaintEviction));
    "node-ipam-controller" on |s| Ok(Box::new(ipam::NodeIpam { ranges: s.node_ranges()? }));
    "resourcequota-controller" on |_| Ok(Box::new(quota::Quotas));
    "disruption-controller" on |_| Ok(Box::new(disruption::Disruption));
    "clusterrole-aggregation-controller" on |_| Ok(Box::new(roles::Aggregation));
    "cronjob-controller" on |_| Ok(Box::new(cronjob::CronJobs));
    "endpointslice-controller" on |_| Ok(Box::new(endpoints::Slices));
    "endpoints-controller" on |_| Ok(Box::new(endpoints::Legacy));
    "endpointslice-mirroring-controller" on |_| Ok(Box::new(endpoints::Mirror));
    "serviceaccount-controller" on |_| Ok(Box::new(accounts::DefaultAccounts));
    "root-ca-certificate-publisher-controller" on |s| Ok(Box::new(accounts::RootCertificates { root: s.root_ca()? }));
    "node-hosts-controller" on |_| Ok(Box::new(addon::NodeHosts));
    "node-password-controller" on |_| Ok(Box::new(passwords::NodePasswords));
    "serviceaccount-token-controller" on |s| Ok(Box::new(s.tokens()?));
    "legacy-serviceaccount-token-cleaner-controller" on |_| Ok(Box::new(tokens::Cleaner));
    "bootstrap-signer-controller" off |_| Ok(Box::new(bootstrap::Signer));
    "token-cleaner-controller" off |_| Ok(Box::new(bootstrap::Cleaner));
    "certificatesigningrequest-approving-controller" on |_| Ok(Box::new(certificates::Approving));
    "certificatesigningrequest-signing-controller" on |s| Ok(Box::new(certificates::Signing { authority: s.authority()? }));
    "certificatesigningrequest-cleaner-controller" on |_| Ok(Box::new(certificates::Cleaning));
    "ephemeral-volume-controller" on |_| Ok(Box::new(ephemeral::EphemeralVolumes));
    "persistentvolumeclaim-protection-controller" on |_| Ok(Box::new(protection::Claims));
    "persistentvolume-protection-controller" on |_| Ok(Box::new(protection::Volumes));
    "volumeattributesclass-protection-controller" on |_| Ok(Box::new(protection::AttributeClasses));
    "horizontal-pod-autoscaler-controller" on |_| Ok(Box::new(autoscaler::Autoscalers));
    "persistentvolume-binder-controller" on |_| Ok(Box::new(volumes::Binder));
    "persistentvolume-attach-detach-controller" on |_| Ok(Box::new(volumes::AttachDetach));
    "persistentvolume-expander-controller" on |_| Ok(Box::new(volumes::Expand));
    "resourceclaim-controller" on |_| Ok(Box::new(resource_claims::ResourceClaims));
    "device-taint-eviction-controller" on |_| Ok(Box::new(device_taints::DeviceTaints));
    "service-cidr-controller" on |_| Ok(Box::new(service_cidr::ServiceCidrs));
    "validatingadmissionpolicy-status-controller" on |_| Ok(Box::new(policies::PolicyStatus));
    "service-lb-controller" on |_| Ok(Box::new(servicelb::ServiceLb));
    "namespace-controller" on |_| Ok(Box::new(namespaces::Namespaces));
}
