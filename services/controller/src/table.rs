//! One line per controller.

use reconcile::Controller;

use crate::settings::Settings;
use crate::{
    accounts, addon, cronjob, daemonset, deployment, disruption, endpoints, ipam, job, namespaces, nodes, pods,
    quota, replicas, roles, statefulset,
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
    "namespace-controller" on |_| Ok(Box::new(namespaces::Namespaces));
}
