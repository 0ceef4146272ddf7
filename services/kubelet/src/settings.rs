//! Upstream's `KubeletConfiguration`, and beside it what upstream takes as flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Settings; keys as in upstream's `KubeletConfiguration` (kubelet.config.k8s.io/v1beta1).
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // upstream documents its keys
pub struct Settings {
    /// Upstream's `--kubeconfig`.
    pub kubeconfig: PathBuf,
    /// Upstream's `--node-ip`: one address, or one of each family.
    #[serde(rename = "nodeIP")]
    pub node_ip: String,
    /// Upstream's `--hostname-override`.
    pub hostname_override: String,
    /// Upstream's `--node-labels`.
    pub node_labels: BTreeMap<String, String>,
    /// Upstream's `--root-dir`.
    pub root_dir: PathBuf,
    /// Upstream's `podLogsDir`.
    pub pod_logs_dir: PathBuf,
    #[serde(rename = "providerID")]
    pub provider_id: String,
    pub authentication: Authentication,
    pub authorization: Authorization,
    pub address: String,
    pub port: u16,
    pub healthz_port: u16,
    pub healthz_bind_address: String,
    pub tls_cert_file: PathBuf,
    pub tls_private_key_file: PathBuf,
    #[serde(rename = "clusterDNS")]
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    pub container_runtime_endpoint: String,
    pub resolv_conf: PathBuf,
    pub eviction_hard: BTreeMap<String, String>,
    pub eviction_soft: BTreeMap<String, String>,
    pub eviction_soft_grace_period: BTreeMap<String, String>,
    pub eviction_minimum_reclaim: BTreeMap<String, String>,
    pub eviction_max_pod_grace_period: i64,
    #[serde(with = "duration")]
    pub eviction_pressure_transition_period: Duration,
    pub max_pods: i64,
    pub pod_pids_limit: i64,
    pub static_pod_path: PathBuf,
    #[serde(with = "duration")]
    pub file_check_frequency: Duration,
    #[serde(with = "duration")]
    pub sync_frequency: Duration,
    #[serde(with = "duration")]
    pub node_status_update_frequency: Duration,
    #[serde(with = "duration")]
    pub node_status_report_frequency: Duration,
    pub node_lease_duration_seconds: i32,
    pub register_node: bool,
    pub register_with_taints: Vec<k8s_openapi::api::core::v1::Taint>,
    pub kube_reserved: BTreeMap<String, String>,
    pub system_reserved: BTreeMap<String, String>,
    #[serde(rename = "imageGCHighThresholdPercent")]
    pub image_gc_high_threshold_percent: i64,
    #[serde(rename = "imageGCLowThresholdPercent")]
    pub image_gc_low_threshold_percent: i64,
    #[serde(with = "duration", rename = "imageMinimumGCAge")]
    pub image_minimum_gc_age: Duration,
    #[serde(with = "duration", rename = "imageMaximumGCAge")]
    pub image_maximum_gc_age: Duration,
    pub container_log_max_size: String,
    pub container_log_max_files: usize,
    #[serde(with = "duration")]
    pub shutdown_grace_period: Duration,
    #[serde(with = "duration")]
    pub shutdown_grace_period_critical_pods: Duration,
    pub shutdown_grace_period_by_pod_priority: Vec<ShutdownGrace>,
    pub allowed_unsafe_sysctls: Vec<String>,
    pub seccomp_default: bool,
    #[serde(with = "duration")]
    pub streaming_connection_idle_timeout: Duration,
    #[serde(rename = "cpuCFSQuota")]
    pub cpu_cfs_quota: bool,
    pub serialize_image_pulls: bool,
    #[serde(with = "duration")]
    pub runtime_request_timeout: Duration,
    pub enable_debugging_handlers: bool,
    pub crash_loop_back_off: CrashLoopBackOff,
    /// Keys nobody here knows.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// `authentication`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authentication {
    /// Requests without credentials are `system:anonymous`.
    pub anonymous: Switch,
    /// Bearer tokens are asked of the API server.
    pub webhook: Switch,
    /// Client certificates.
    pub x509: X509,
}

/// `enabled`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Switch {
    /// Whether.
    #[serde(default)]
    pub enabled: bool,
}

/// `authentication.x509`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct X509 {
    /// The authority of client certificates.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: PathBuf,
}

/// `authorization`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Authorization {
    /// `Webhook` or `AlwaysAllow`.
    pub mode: String,
}

impl Default for Authorization {
    fn default() -> Self {
        Self { mode: "Webhook".into() }
    }
}

/// One of `shutdownGracePeriodByPodPriority`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShutdownGrace {
    /// Pods of this priority and above, up to the next one.
    pub priority: i32,
    /// How long they get.
    pub shutdown_grace_period_seconds: i64,
}

/// `crashLoopBackOff`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CrashLoopBackOff {
    /// The longest wait between two starts.
    #[serde(with = "duration")]
    pub max_container_restart_period: Duration,
}

impl Default for CrashLoopBackOff {
    fn default() -> Self {
        Self { max_container_restart_period: Duration::from_secs(300) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let hard = [
            ("memory.available", "100Mi"),
            ("nodefs.available", "10%"),
            ("nodefs.inodesFree", "5%"),
            ("imagefs.available", "15%"),
            ("imagefs.inodesFree", "5%"),
        ];
        Self {
            kubeconfig: PathBuf::new(),
            node_ip: String::new(),
            hostname_override: String::new(),
            node_labels: BTreeMap::new(),
            root_dir: "/var/lib/kubelet".into(),
            pod_logs_dir: "/var/log/pods".into(),
            provider_id: String::new(),
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            address: "0.0.0.0".into(),
            port: 10250,
            healthz_port: 10248,
            healthz_bind_address: "127.0.0.1".into(),
            tls_cert_file: PathBuf::new(),
            tls_private_key_file: PathBuf::new(),
            cluster_dns: Vec::new(),
            cluster_domain: String::new(),
            container_runtime_endpoint: "unix:///run/containerd/containerd.sock".into(),
            resolv_conf: "/etc/resolv.conf".into(),
            eviction_hard: hard.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            eviction_soft: BTreeMap::new(),
            eviction_soft_grace_period: BTreeMap::new(),
            eviction_minimum_reclaim: BTreeMap::new(),
            eviction_max_pod_grace_period: 0,
            eviction_pressure_transition_period: Duration::from_secs(300),
            max_pods: 110,
            pod_pids_limit: -1,
            static_pod_path: PathBuf::new(),
            file_check_frequency: Duration::from_secs(20),
            sync_frequency: Duration::from_secs(60),
            node_status_update_frequency: Duration::from_secs(10),
            node_status_report_frequency: Duration::from_secs(300),
            node_lease_duration_seconds: 40,
            register_node: true,
            register_with_taints: Vec::new(),
            kube_reserved: BTreeMap::new(),
            system_reserved: BTreeMap::new(),
            image_gc_high_threshold_percent: 85,
            image_gc_low_threshold_percent: 80,
            image_minimum_gc_age: Duration::from_secs(120),
            image_maximum_gc_age: Duration::ZERO,
            container_log_max_size: "10Mi".into(),
            container_log_max_files: 5,
            shutdown_grace_period: Duration::ZERO,
            shutdown_grace_period_critical_pods: Duration::ZERO,
            shutdown_grace_period_by_pod_priority: Vec::new(),
            allowed_unsafe_sysctls: Vec::new(),
            seccomp_default: false,
            streaming_connection_idle_timeout: Duration::from_secs(4 * 3600),
            cpu_cfs_quota: true,
            serialize_image_pulls: true,
            runtime_request_timeout: Duration::from_secs(120),
            enable_debugging_handlers: true,
            crash_loop_back_off: CrashLoopBackOff::default(),
            unknown: BTreeMap::new(),
        }
    }
}

/// Keys that name the file's kind, or that say what is so here anyway.
const KNOWN: &[&str] = &["apiVersion", "kind", "failCgroupV1", "cgroupDriver", "failSwapOn"];

impl Settings {
    /// Keys that have no effect.
    pub fn ignored_keys(&self) -> impl Iterator<Item = &str> {
        self.unknown.keys().map(String::as_str).filter(|k| !KNOWN.contains(k))
    }

    /// The node's name: what was said, else the host's name in lower case.
    pub fn node_name(&self) -> String {
        if self.hostname_override.is_empty() {
            nix::unistd::gethostname().map(|n| n.to_string_lossy().trim().to_lowercase()).unwrap_or_default() // a host has a name
        } else {
            self.hostname_override.trim().to_lowercase()
        }
    }

    /// The runtime's socket path.
    pub fn runtime_socket(&self) -> &str {
        self.container_runtime_endpoint.trim_start_matches("unix://")
    }

    /// Where a pod's files are.
    pub fn pod_dir(&self, uid: &str) -> PathBuf {
        self.root_dir.join("pods").join(uid)
    }
}

/// Durations as Go writes them.
mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("invalid duration {text:?}")))
    }

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}s", duration.as_secs_f64()))
    }
}

/// Go's durations without a sign: `1h30m`, `10s`, `1.5s`, `100ms`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds; // a malformed number is no duration
        rest = tail;
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(total).ok() }
}
