//! Every key of k3s: one line each.
//!
//! # Upstream
//! k3s `pkg/cli/cmds/{server,agent,log,config}.go`

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One text; the last given counts.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`; as a flag it needs no value.
    Switch,
    /// Several texts.
    List,
    /// Several texts, each also split at commas.
    Commas,
}

/// Which roles take a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Servers.
    Server,
    /// Agents, and servers as they are nodes too.
    Both,
    /// Agents alone.
    Agent,
}

/// What we do with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// What k3s does.
    Done,
    /// Nothing, and it may be left so: why.
    Ignored(&'static str),
    /// Nothing yet, and the cluster would be another one than asked for: why a value is refused.
    Refused(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As in config.yaml and as a flag.
    pub name: &'static str,
    /// The short flag, if any.
    pub short: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The default, where it is a plain text.
    pub default: &'static str,
    /// The variable, if any.
    pub env: &'static str,
    /// Who takes it.
    pub role: For,
    /// What we do with it.
    pub support: Support,
}

impl Key {
    /// Whether a role takes it.
    pub fn applies(&self, role: crate::Role) -> bool {
        match self.role {
            For::Both => true,
            For::Server => role == crate::Role::Server,
            For::Agent => role == crate::Role::Agent,
        }
    }
}

/// The key of a name, or of an old name k3s still takes.
pub fn find(name: &str) -> Option<&'static Key> {
    let name = OLD_NAMES.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new);
    KEYS.iter().find(|key| key.name == name)
}

/// Names k3s has replaced.
const OLD_NAMES: [(&str, &str); 4] = [
    ("no-deploy", "disable"),
    ("cluster-secret", "token"),
    ("kube-controller-arg", "kube-controller-manager-arg"),
    ("kube-cloud-controller-arg", "kube-cloud-controller-manager-arg"),
];

use For::{Agent, Both, Server};
use Kind::{Commas, List, Number, Switch, Text};
use Support::{Done, Ignored, Refused};

const JOURNAL: Support = Ignored("the daemons log to the journal; see `systemctl service-log-level`");
const NO_ETCD: Support = Refused("an embedded etcd is not supported yet");
const SNAPSHOTS: Support = Ignored("snapshots are for the embedded etcd, which is not supported yet");
const TUNNEL: Support = Ignored("the API server reaches kubelets directly; there is no tunnel");

macro_rules! keys {
    ($($name:literal $short:literal $kind:ident $default:literal $env:literal $role:ident $support:expr;)*) => {
        /// The table.
        pub const KEYS: &[Key] = &[$(Key { name: $name, short: $short, kind: $kind, default: $default, env: $env, role: $role, support: $support }),*];
    };
}

keys! {
    "config" "c" Text "/etc/rancher/k3s/config.yaml" "K3S_CONFIG_FILE" Both Done;
    "debug" "" Switch "false" "K3S_DEBUG" Both JOURNAL;
    "v" "v" Number "0" "" Both JOURNAL;
    "vmodule" "" Text "" "" Both JOURNAL;
    "log" "l" Text "" "" Both JOURNAL;
    "alsologtostderr" "" Switch "false" "" Both JOURNAL;
    "data-dir" "d" Text "/var/lib/rancher/k3s" "K3S_DATA_DIR" Both Done;
    "bind-address" "" Text "" "" Both Done;
    "https-listen-port" "" Number "6443" "" Server Done;
    "supervisor-port" "" Number "0" "K3S_SUPERVISOR_PORT" Server Ignored("the supervisor shares the API server's port");
    "apiserver-port" "" Number "0" "K3S_APISERVER_PORT" Server Ignored("the API server has no second port");
    "apiserver-bind-address" "" Text "" "K3S_APISERVER_BIND_ADDRESS" Server Ignored("the API server has no second port");
    "advertise-address" "" Text "" "" Server Done;
    "advertise-port" "" Number "0" "" Server Refused("advertising another port than the one listened on is not supported");
    "tls-san" "" Commas "" "" Server Done;
    "tls-san-security" "" Switch "true" "" Server Done;
    "cluster-cidr" "" Commas "" "" Server Done;
    "service-cidr" "" Commas "" "" Server Done;
    "service-node-port-range" "" Text "30000-32767" "" Server Done;
    "cluster-dns" "" Commas "" "" Server Done;
    "cluster-domain" "" Text "cluster.local" "" Server Done;
    "flannel-backend" "" Text "vxlan" "" Server Done;
    "flannel-ipv6-masq" "" Switch "false" "" Server Refused("masquerading IPv6 is not supported yet");
    "flannel-external-ip" "" Switch "false" "" Server Refused("flannel over external addresses is not supported yet");
    "egress-selector-mode" "" Text "agent" "" Server TUNNEL;
    "servicelb-namespace" "" Text "kube-system" "" Server Ignored("ServiceLB needs no pods of its own");
    "write-kubeconfig" "o" Text "/etc/rancher/k3s/k3s.yaml" "K3S_KUBECONFIG_OUTPUT" Server Done;
    "write-kubeconfig-mode" "" Text "0600" "K3S_KUBECONFIG_MODE" Server Done;
    "write-kubeconfig-group" "" Text "" "K3S_KUBECONFIG_GROUP" Server Done;
    "helm-job-image" "" Text "" "" Server Ignored("charts are not installed by jobs");
    "token" "t" Text "" "K3S_TOKEN" Both Done;
    "token-file" "" Text "" "K3S_TOKEN_FILE" Both Done;
    "agent-token" "" Text "" "K3S_AGENT_TOKEN" Server Done;
    "agent-token-file" "" Text "" "K3S_AGENT_TOKEN_FILE" Server Done;
    "server" "s" Text "" "K3S_URL" Both Done;
    "cluster-init" "" Switch "false" "K3S_CLUSTER_INIT" Server NO_ETCD;
    "cluster-reset" "" Switch "false" "K3S_CLUSTER_RESET" Server NO_ETCD;
    "cluster-reset-restore-path" "" Text "" "" Server NO_ETCD;
    "datastore-endpoint" "" Text "" "K3S_DATASTORE_ENDPOINT" Server Done;
    "datastore-cafile" "" Text "" "K3S_DATASTORE_CAFILE" Server Done;
    "datastore-certfile" "" Text "" "K3S_DATASTORE_CERTFILE" Server Done;
    "datastore-keyfile" "" Text "" "K3S_DATASTORE_KEYFILE" Server Done;
    "kine-tls" "" Switch "false" "" Server Ignored("there is no kine");
    "etcd-expose-metrics" "" Switch "false" "" Server SNAPSHOTS;
    "etcd-disable-snapshots" "" Switch "false" "" Server SNAPSHOTS;
    "etcd-snapshot-name" "" Text "etcd-snapshot" "" Server SNAPSHOTS;
    "etcd-snapshot-schedule-cron" "" Text "0 */12 * * *" "" Server SNAPSHOTS;
    "etcd-snapshot-reconcile-interval" "" Text "10m" "" Server SNAPSHOTS;
    "etcd-snapshot-retention" "" Number "5" "" Server SNAPSHOTS;
    "etcd-snapshot-dir" "" Text "" "" Server SNAPSHOTS;
    "etcd-snapshot-compress" "" Switch "false" "" Server SNAPSHOTS;
    "etcd-s3" "" Switch "false" "" Server SNAPSHOTS;
    "etcd-s3-endpoint" "" Text "s3.amazonaws.com" "" Server SNAPSHOTS;
    "etcd-s3-endpoint-ca" "" Text "" "" Server SNAPSHOTS;
    "etcd-s3-skip-ssl-verify" "" Switch "false" "" Server SNAPSHOTS;
    "etcd-s3-access-key" "" Text "" "AWS_ACCESS_KEY_ID" Server SNAPSHOTS;
    "etcd-s3-secret-key" "" Text "" "AWS_SECRET_ACCESS_KEY" Server SNAPSHOTS;
    "etcd-s3-session-token" "" Text "" "AWS_SESSION_TOKEN" Server SNAPSHOTS;
    "etcd-s3-bucket" "" Text "" "" Server SNAPSHOTS;
    "etcd-s3-bucket-lookup-type" "" Text "auto" "" Server SNAPSHOTS;
    "etcd-s3-region" "" Text "us-east-1" "" Server SNAPSHOTS;
    "etcd-s3-folder" "" Text "" "" Server SNAPSHOTS;
    "etcd-s3-retention" "" Number "5" "" Server SNAPSHOTS;
    "etcd-s3-proxy" "" Text "" "" Server SNAPSHOTS;
    "etcd-s3-config-secret" "" Text "" "" Server SNAPSHOTS;
    "etcd-s3-insecure" "" Switch "false" "" Server SNAPSHOTS;
    "etcd-s3-timeout" "" Text "5m0s" "" Server SNAPSHOTS;
    "etcd-arg" "" List "" "" Server SNAPSHOTS;
    "disable" "" Commas "" "" Server Done;
    "disable-scheduler" "" Switch "false" "" Server Done;
    "disable-cloud-controller" "" Switch "false" "" Server Done;
    "disable-kube-proxy" "" Switch "false" "" Server Done;
    "disable-network-policy" "" Switch "false" "" Server Done;
    "disable-helm-controller" "" Switch "false" "" Server Done;
    "disable-apiserver" "" Switch "false" "" Server Refused("servers without an API server are not supported yet");
    "disable-controller-manager" "" Switch "false" "" Server Done;
    "disable-etcd" "" Switch "false" "" Server NO_ETCD;
    "disable-agent" "" Switch "false" "" Server Done;
    "embedded-registry" "" Switch "false" "" Server Ignored("nodes do not share images yet");
    "supervisor-metrics" "" Switch "false" "" Server Ignored("each daemon serves its own metrics");
    "kube-apiserver-arg" "" List "" "" Server Done;
    "kube-controller-manager-arg" "" List "" "" Server Done;
    "kube-scheduler-arg" "" List "" "" Server Done;
    "kube-cloud-controller-manager-arg" "" List "" "" Server Ignored("there is no cloud controller of its own");
    "helm-controller-arg" "" List "" "" Server Ignored("charts are not installed by jobs");
    "default-local-storage-path" "" Text "" "" Server Done;
    "secrets-encryption" "" Switch "false" "" Server Refused("encryption at rest is not supported yet");
    "secrets-encryption-provider" "" Text "aescbc" "" Server Ignored("encryption at rest is not supported yet");
    "system-default-registry" "" Text "" "K3S_SYSTEM_DEFAULT_REGISTRY" Server Done;
    "enable-pprof" "" Switch "false" "" Both Ignored("there is no Go to profile");
    "rootless" "" Switch "false" "" Both Refused("running without root is not supported");
    "prefer-bundled-bin" "" Switch "false" "" Both Ignored("nothing is bundled");
    "kubelet-arg" "" List "" "" Both Done;
    "kube-proxy-arg" "" List "" "" Both Done;
    "node-name" "" Text "" "K3S_NODE_NAME" Both Done;
    "with-node-id" "" Switch "false" "" Both Done;
    "node-label" "" List "" "" Both Done;
    "node-taint" "" List "" "" Both Done;
    "node-ip" "i" Commas "" "" Both Done;
    "node-external-ip" "" Commas "" "" Both Done;
    "node-internal-dns" "" List "" "" Both Ignored("the kubelet does not publish extra names yet");
    "node-external-dns" "" List "" "" Both Ignored("the kubelet does not publish extra names yet");
    "resolv-conf" "" Text "" "K3S_RESOLV_CONF" Both Done;
    "flannel-iface" "" Text "" "" Both Done;
    "flannel-conf" "" Text "" "" Both Refused("flannel does not read a file of its own; use flannel-backend");
    "flannel-cni-conf" "" Text "" "" Both Refused("the CNI chain cannot be replaced; use flannel-backend: none");
    "container-runtime-endpoint" "" Text "" "" Both Done;
    "image-service-endpoint" "" Text "" "" Both Ignored("images are pulled through the runtime's own endpoint");
    "default-runtime" "" Text "" "" Both Done;
    "snapshotter" "" Text "overlayfs" "" Both Done;
    "pause-image" "" Text "rancher/mirrored-pause:3.6" "" Both Done;
    "private-registry" "" Text "/etc/rancher/k3s/registries.yaml" "" Both Done;
    "disable-default-registry-endpoint" "" Switch "false" "" Both Done;
    "nonroot-devices" "" Switch "false" "" Both Done;
    "airgap-extra-registry" "" List "" "" Both Ignored("images of archives keep their names");
    "image-credential-provider-bin-dir" "" Text "/var/lib/rancher/credentialprovider/bin" "" Both Ignored("the kubelet has no credential providers yet");
    "image-credential-provider-config" "" Text "/var/lib/rancher/credentialprovider/config.yaml" "" Both Ignored("the kubelet has no credential providers yet");
    "selinux" "" Switch "false" "K3S_SELINUX" Both Done;
    "lb-server-port" "" Number "6444" "K3S_LB_SERVER_PORT" Both Ignored("agents speak to the server they joined; there is no load balancer yet");
    "disable-apiserver-lb" "" Switch "false" "" Agent Ignored("there is no load balancer yet");
    "protect-kernel-defaults" "" Switch "false" "" Both Done;
    "vpn-auth" "" Text "" "K3S_VPN_AUTH" Both Refused("joining through a VPN is not supported yet");
    "vpn-auth-file" "" Text "" "K3S_VPN_AUTH_FILE" Both Refused("joining through a VPN is not supported yet");
    "docker" "" Switch "false" "" Both Refused("Docker is not supported; containerd is");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_old_ones_lead_somewhere() {
        let mut names: Vec<&str> = KEYS.iter().map(|k| k.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
        for (old, new) in OLD_NAMES {
            assert_eq!(find(old).map(|k| k.name), Some(new));
        }
    }
}
