//! The typed configuration, checked.
//!
//! # Upstream
//! k3s `pkg/cli/server/server.go` `run`, `pkg/cli/agent/agent.go` `Run`

use std::net::IpAddr;
use std::path::PathBuf;

use crate::network::{Network, is_host_name};
use crate::values::{Problems, Values};
use crate::{Component, Role, arguments};

/// A secret text: it has no `Debug` that shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// What a machine is configured to be.
#[derive(Debug, Clone)]
pub struct Config {
    /// Control plane or node.
    pub role: Role,
    /// `server/` and `agent/` are below it.
    pub data_dir: PathBuf,
    /// Where to listen; everywhere when unset.
    pub bind_address: Option<IpAddr>,
    /// The join token, as given.
    pub token: Option<Token>,
    /// Where an agent joins.
    pub server_url: Option<String>,
    /// The control plane's part, on servers.
    pub server: Option<Server>,
    /// The node's part; a server without it is `disable-agent`.
    pub agent: Agent,
}

/// The control plane's part.
#[derive(Debug, Clone)]
pub struct Server {
    /// Port of the API.
    pub port: u16,
    /// The address others reach this server at, if given.
    pub advertise_address: Option<IpAddr>,
    /// More names of the serving certificate.
    pub tls_sans: Vec<String>,
    /// Pod ranges.
    pub cluster_cidrs: Vec<Network>,
    /// Service ranges.
    pub service_cidrs: Vec<Network>,
    /// `first-last`.
    pub node_ports: String,
    /// Addresses of the DNS Service.
    pub cluster_dns: Vec<IpAddr>,
    /// The cluster's domain.
    pub cluster_domain: String,
    /// How pods' packets get to other nodes.
    pub flannel_backend: String,
    /// Where the administrator's kubeconfig goes.
    pub kubeconfig: PathBuf,
    /// Its mode.
    pub kubeconfig_mode: u32,
    /// Its group.
    pub kubeconfig_group: Option<String>,
    /// The token of agents, when not the server's.
    pub agent_token: Option<Token>,
    /// An external store, or none for the built-in one.
    pub datastore: Option<Datastore>,
    /// Packaged components and manifests that shall not be there.
    pub disable: Vec<String>,
    /// No scheduler.
    pub disable_scheduler: bool,
    /// No controllers.
    pub disable_controllers: bool,
    /// Nodes get no addresses from us.
    pub disable_cloud_controller: bool,
    /// Services are somebody else's.
    pub disable_proxy: bool,
    /// NetworkPolicies are somebody else's.
    pub disable_network_policy: bool,
    /// Charts are somebody else's.
    pub disable_helm: bool,
    /// This machine is no node.
    pub disable_agent: bool,
    /// Where local volumes are.
    pub local_storage: PathBuf,
    /// A prefix of the packaged components' images.
    pub default_registry: String,
    /// Arguments of the API server, controllers and scheduler.
    pub arguments: Vec<(Component, String)>,
}

/// A store that is not ours.
#[derive(Debug, Clone)]
pub struct Datastore {
    /// Where it is.
    pub endpoint: String,
    /// Trusted authorities.
    pub ca_file: Option<PathBuf>,
    /// Our certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// The node's part.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The node's name, if given.
    pub node_name: Option<String>,
    /// Whether a random id is appended to the name.
    pub with_node_id: bool,
    /// Labels at first registration.
    pub labels: Vec<String>,
    /// Taints at first registration.
    pub taints: Vec<String>,
    /// Addresses, if given.
    pub ips: Vec<IpAddr>,
    /// Addresses others see.
    pub external_ips: Vec<IpAddr>,
    /// The resolver file of pods, if given.
    pub resolv_conf: Option<PathBuf>,
    /// The device towards other nodes, if given.
    pub flannel_iface: String,
    /// A container runtime that is not ours.
    pub runtime_endpoint: Option<String>,
    /// containerd's default runtime.
    pub default_runtime: String,
    /// containerd's snapshotter.
    pub snapshotter: String,
    /// The image of pod sandboxes.
    pub pause_image: String,
    /// Mirrors and credentials of registries.
    pub registries: PathBuf,
    /// Registries with mirrors are not asked themselves.
    pub no_default_endpoint: bool,
    /// Devices belong to the user of the container.
    pub nonroot_devices: bool,
    /// SELinux labels.
    pub selinux: bool,
    /// Kernel settings are checked, not changed.
    pub protect_kernel_defaults: bool,
    /// Arguments of kubelet and kube-proxy.
    pub arguments: Vec<(Component, String)>,
}

impl Config {
    pub(crate) fn from_values(role: Role, values: &Values, problems: &mut Problems) -> Self {
        values.unsupported(problems);
        let token = secret("token", values, problems);
        let server_url = values.optional("server");
        let data_dir = PathBuf::from(values.text("data-dir"));
        if !data_dir.is_absolute() {
            problems.error(format!("data-dir: {} is not an absolute path", data_dir.display()));
        }
        let agent = agent(values, problems);
        if let Some(url) = server_url.as_ref().filter(|u| !u.starts_with("https://")) {
            problems.error(format!("only https:// URLs are supported, invalid scheme: {url}"));
        }
        if role == Role::Server && server_url.is_some() {
            problems
                .error("server: joining further servers needs an embedded etcd, which is not supported yet");
        }
        if role == Role::Agent {
            if server_url.is_none() {
                problems.error("--server is required");
            }
            if token.is_none() && !data_dir.join("agent/client-kubelet.key").exists() {
                problems.error("--token is required");
            }
        }
        let server = (role == Role::Server).then(|| server(&data_dir, &agent, values, problems));
        let bind_address = address("bind-address", values, problems);
        Self { role, data_dir, bind_address, token, server_url, server, agent }
    }

    /// The node's part, unless this machine is to be no node.
    pub fn node(&self) -> Option<&Agent> {
        let off = self.server.as_ref().is_some_and(|s| s.disable_agent);
        (!off).then_some(&self.agent)
    }
}

fn secret(name: &str, values: &Values, problems: &mut Problems) -> Option<Token> {
    if let Some(text) = values.optional(name) {
        return Some(Token(text));
    }
    let file = values.optional(&format!("{name}-file"))?;
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim().is_empty() => problems.error(format!("{name}-file: {file} is empty")),
        Ok(text) => return Some(Token(text.trim().to_owned())),
        Err(error) => problems.error(format!("{name}-file: {file}: {error}")),
    }
    None
}

fn address(name: &str, values: &Values, problems: &mut Problems) -> Option<IpAddr> {
    let text = values.optional(name)?;
    text.parse().map_err(|_| problems.error(format!("{name}: invalid IP address {text:?}"))).ok()
}

fn addresses(name: &str, values: &Values, problems: &mut Problems) -> Vec<IpAddr> {
    let parse = |text: String| match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            problems.error(format!("invalid {name}: invalid ip format '{text}'"));
            None
        }
    };
    values.list(name).into_iter().filter_map(parse).collect()
}

fn networks(
    name: &str,
    defaults: (&str, &str),
    v6: bool,
    values: &Values,
    problems: &mut Problems,
) -> Vec<Network> {
    let mut given = values.list(name);
    if given.is_empty() {
        given.push(if v6 { defaults.1 } else { defaults.0 }.to_owned());
    }
    let parse = |text: String| match text.parse::<Network>() {
        Ok(network) => Some(network),
        Err(error) => {
            problems.error(format!("invalid {name} {text}: {error}"));
            None
        }
    };
    let found: Vec<Network> = given.into_iter().filter_map(parse).collect();
    let of = |v4: bool| found.iter().filter(|n| n.is_ipv4() == v4).count();
    if of(true) > 1 || of(false) > 1 {
        problems.error(format!("{name}: at most one range of each address family"));
    }
    found
}

fn server(data_dir: &std::path::Path, agent: &Agent, values: &Values, problems: &mut Problems) -> Server {
    let v6 = agent.ips.first().is_some_and(IpAddr::is_ipv6);
    let cluster_cidrs = networks("cluster-cidr", ("10.42.0.0/16", "fd00:42::/56"), v6, values, problems);
    let service_cidrs = networks("service-cidr", ("10.43.0.0/16", "fd00:43::/112"), v6, values, problems);
    for range in &service_cidrs {
        if range.prefix < if range.is_ipv4() { 12 } else { 108 } {
            problems.error(format!("service-cidr: {range} is too large: at most /12, or /108 of IPv6"));
        }
    }
    let mut cluster_dns = addresses("cluster-dns", values, problems);
    if cluster_dns.is_empty() && !values.is_set("cluster-dns") {
        cluster_dns = service_cidrs.iter().map(|range| range.nth(10)).collect();
    }
    for dns in cluster_dns.iter().filter(|dns| !service_cidrs.iter().any(|range| range.contains(**dns))) {
        problems.error(format!("cluster-dns: {dns} is not in the service-cidr"));
    }
    let flannel_backend = values.text("flannel-backend");
    if !["vxlan", "host-gw", "wireguard-native", "none"].contains(&flannel_backend.as_str()) {
        problems.error(format!("flannel-backend: unknown backend {flannel_backend:?}: one of none, vxlan, host-gw, wireguard-native"));
    }
    let cluster_domain = values.text("cluster-domain");
    if !is_host_name(&cluster_domain) {
        problems.error(format!("cluster-domain: {cluster_domain:?} is not a domain"));
    }
    let node_ports = values.text("service-node-port-range");
    let ports = node_ports
        .split_once('-')
        .and_then(|(a, b)| Some((a.trim().parse::<u16>().ok()?, b.trim().parse::<u16>().ok()?)));
    if !ports.is_some_and(|(first, last)| first > 0 && first <= last) {
        problems.error(format!("invalid port range {node_ports}: must be first-last"));
    }
    let mode = values.text("write-kubeconfig-mode");
    let kubeconfig_mode = u32::from_str_radix(&mode, 8).unwrap_or_else(|_| {
        problems.error(format!("write-kubeconfig-mode: invalid mode {mode:?}"));
        0o600
    });
    let local_storage =
        values.optional("default-local-storage-path").map_or(data_dir.join("storage"), PathBuf::from);
    let mut args = arguments::given(Component::Apiserver, values.list("kube-apiserver-arg"));
    args.extend(arguments::given(Component::Controller, values.list("kube-controller-manager-arg")));
    args.extend(arguments::given(Component::Scheduler, values.list("kube-scheduler-arg")));
    Server {
        port: values.port("https-listen-port", problems),
        advertise_address: address("advertise-address", values, problems),
        tls_sans: values.list("tls-san"),
        cluster_cidrs,
        service_cidrs,
        node_ports,
        cluster_dns,
        cluster_domain,
        flannel_backend,
        kubeconfig: PathBuf::from(values.text("write-kubeconfig")),
        kubeconfig_mode,
        kubeconfig_group: values.optional("write-kubeconfig-group"),
        agent_token: secret("agent-token", values, problems),
        datastore: datastore(values, problems),
        disable: values.list("disable"),
        disable_scheduler: values.switch("disable-scheduler", problems),
        disable_controllers: values.switch("disable-controller-manager", problems),
        disable_cloud_controller: values.switch("disable-cloud-controller", problems),
        disable_proxy: values.switch("disable-kube-proxy", problems),
        disable_network_policy: values.switch("disable-network-policy", problems),
        disable_helm: values.switch("disable-helm-controller", problems),
        disable_agent: values.switch("disable-agent", problems),
        local_storage,
        default_registry: values.text("system-default-registry"),
        arguments: args,
    }
}

fn datastore(values: &Values, problems: &mut Problems) -> Option<Datastore> {
    let endpoint = values.optional("datastore-endpoint")?;
    let etcd = endpoint.starts_with("http://")
        || endpoint.starts_with("https://")
        || endpoint.starts_with("unix://");
    if !etcd {
        let scheme = endpoint.split("://").next().unwrap_or_default();
        problems.error(format!(
            "datastore-endpoint: {scheme:?} stores are not supported yet; http(s):// (etcd) is"
        ));
    }
    let file = |name: &str| values.optional(name).map(PathBuf::from);
    Some(Datastore {
        endpoint,
        ca_file: file("datastore-cafile"),
        cert_file: file("datastore-certfile"),
        key_file: file("datastore-keyfile"),
    })
}

fn agent(values: &Values, problems: &mut Problems) -> Agent {
    let node_name = values.optional("node-name").map(|n| n.to_lowercase());
    if let Some(name) = node_name.as_ref().filter(|n| !is_host_name(n)) {
        problems.error(format!("node-name: {name:?} is not a valid name"));
    }
    for label in values.list("node-label") {
        if !label.contains('=') {
            problems.error(format!("node-label: {label:?} is not key=value"));
        }
    }
    for taint in values.list("node-taint") {
        let effect = taint.rsplit_once(':').map(|(_, effect)| effect);
        if !matches!(effect, Some("NoSchedule" | "PreferNoSchedule" | "NoExecute")) {
            problems.error(format!("node-taint: {taint:?} is not key=value:effect"));
        }
    }
    let mut args = arguments::given(Component::Kubelet, values.list("kubelet-arg"));
    args.extend(arguments::given(Component::Proxy, values.list("kube-proxy-arg")));
    Agent {
        node_name,
        with_node_id: values.switch("with-node-id", problems),
        labels: values.list("node-label"),
        taints: values.list("node-taint"),
        ips: addresses("node-ip", values, problems),
        external_ips: addresses("node-external-ip", values, problems),
        resolv_conf: values.optional("resolv-conf").map(PathBuf::from),
        flannel_iface: values.text("flannel-iface"),
        runtime_endpoint: values.optional("container-runtime-endpoint"),
        default_runtime: values.text("default-runtime"),
        snapshotter: values.text("snapshotter"),
        pause_image: values.text("pause-image"),
        registries: PathBuf::from(values.text("private-registry")),
        no_default_endpoint: values.switch("disable-default-registry-endpoint", problems),
        nonroot_devices: values.switch("nonroot-devices", problems),
        selinux: values.switch("selinux", problems),
        protect_kernel_defaults: values.switch("protect-kernel-defaults", problems),
        arguments: args,
    }
}

#[cfg(test)]
mod tests;
