//! The configuration, as bootstrap writes it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The API server's configuration. Names follow upstream's flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// The store: `unix:///…`, `http://host:port`, `https://host:port`; several separated by commas.
    pub datastore: String,
    /// Trusted authorities of the store's TLS.
    pub datastore_ca_file: Option<PathBuf>,
    /// Client certificate for the store.
    pub datastore_cert_file: Option<PathBuf>,
    /// Its key.
    pub datastore_key_file: Option<PathBuf>,
    /// Where to serve.
    pub listen: SocketAddr,
    /// A unix socket to serve on as well, empty for none.
    pub local_socket: Option<PathBuf>,
    /// The address others reach this server at.
    pub advertise_address: Option<IpAddr>,
    /// Ranges of ClusterIPs, the first one primary.
    #[serde(rename = "serviceClusterIPRange")]
    pub service_cluster_ip_range: String,
    /// Ports for NodePort Services: `30000-32767`.
    pub service_node_port_range: String,
    /// Serving certificate.
    pub tls_cert_file: PathBuf,
    /// Its key.
    pub tls_private_key_file: PathBuf,
    /// Authorities for client certificates.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: PathBuf,
    /// Certificate for kubelets.
    pub kubelet_client_certificate: Option<PathBuf>,
    /// Its key.
    pub kubelet_client_key: Option<PathBuf>,
    /// Authorities of kubelets.
    pub kubelet_certificate_authority: Option<PathBuf>,
    /// Keys service account tokens are verified with.
    pub service_account_key_file: Option<PathBuf>,
    /// The key service account tokens are signed with.
    pub service_account_signing_key_file: Option<PathBuf>,
    /// The issuer of service account tokens.
    pub service_account_issuer: String,
    /// Audiences of this server; the issuer when empty.
    pub api_audiences: Vec<String>,
    /// Authorities of the front proxy.
    #[serde(rename = "requestheaderClientCAFile")]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Names the front proxy may have; empty for any.
    pub requestheader_allowed_names: Vec<String>,
    /// Front proxy certificate for aggregated servers.
    pub proxy_client_cert_file: Option<PathBuf>,
    /// Its key.
    pub proxy_client_key_file: Option<PathBuf>,
    /// Let requests without credentials in as `system:anonymous`.
    pub anonymous_auth: bool,
    /// Admission plugins to switch on besides those that are on by default.
    pub enable_admission_plugins: Vec<String>,
    /// Admission plugins to switch off.
    pub disable_admission_plugins: Vec<String>,
    /// Requests that read worked on at once; 0 for no limit.
    pub max_requests_inflight: usize,
    /// Requests that write worked on at once; 0 for no limit.
    pub max_mutating_requests_inflight: usize,
    /// What is audited; nothing without it.
    pub audit_policy_file: Option<PathBuf>,
    /// The audit log.
    pub audit_log_path: Option<PathBuf>,
    /// Seconds between compactions; 0 for none.
    pub compaction_interval_seconds: u64,
    /// API versions to switch on or off, as `--runtime-config`: `group/version=true`.
    pub runtime_config: Vec<String>,
    /// k3s's supervisor: what agents join by.
    pub supervisor: Option<crate::supervisor::Settings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            datastore: "unix:///run/k3s-rs/datastore.sock".into(),
            datastore_ca_file: None,
            datastore_cert_file: None,
            datastore_key_file: None,
            listen: SocketAddr::from(([0, 0, 0, 0], 6443)),
            local_socket: None,
            advertise_address: None,
            service_cluster_ip_range: "10.43.0.0/16".into(),
            service_node_port_range: "30000-32767".into(),
            tls_cert_file: PathBuf::new(),
            tls_private_key_file: PathBuf::new(),
            client_ca_file: PathBuf::new(),
            kubelet_client_certificate: None,
            kubelet_client_key: None,
            kubelet_certificate_authority: None,
            service_account_key_file: None,
            service_account_signing_key_file: None,
            service_account_issuer: "https://kubernetes.default.svc.cluster.local".into(),
            api_audiences: Vec::new(),
            requestheader_client_ca_file: None,
            requestheader_allowed_names: Vec::new(),
            proxy_client_cert_file: None,
            proxy_client_key_file: None,
            anonymous_auth: true,
            enable_admission_plugins: Vec::new(),
            disable_admission_plugins: Vec::new(),
            max_requests_inflight: 400,
            max_mutating_requests_inflight: 200,
            audit_policy_file: None,
            audit_log_path: None,
            compaction_interval_seconds: 300,
            runtime_config: Vec::new(),
            supervisor: None,
        }
    }
}

impl Settings {
    /// The audiences tokens for this server have.
    pub fn audiences(&self) -> Vec<String> {
        if self.api_audiences.is_empty() {
            return vec![self.service_account_issuer.clone()];
        }
        self.api_audiences.clone()
    }

    /// The address others reach this server at.
    pub fn advertised(&self) -> IpAddr {
        self.advertise_address.unwrap_or_else(|| self.listen.ip())
    }

    /// The ClusterIP ranges.
    ///
    /// # Errors
    /// One is no range.
    pub fn service_ranges(&self) -> anyhow::Result<Vec<crate::alloc::range::Range>> {
        let parts = self.service_cluster_ip_range.split(',').map(str::trim).filter(|p| !p.is_empty());
        parts.map(|p| p.parse().map_err(anyhow::Error::msg)).collect()
    }

    /// The first and last NodePort.
    ///
    /// # Errors
    /// It is no range.
    pub fn node_ports(&self) -> anyhow::Result<(u16, u16)> {
        let (first, last) = self
            .service_node_port_range
            .split_once('-')
            .ok_or_else(|| anyhow::anyhow!("serviceNodePortRange: not of the form first-last"))?;
        Ok((first.trim().parse()?, last.trim().parse()?))
    }

    /// Whether an API version is served: what is stable unless switched otherwise.
    pub fn serves(&self, gvk: &meta::GroupVersionKind) -> bool {
        let stability = if gvk.version.contains("alpha") {
            "api/alpha"
        } else if gvk.version.contains("beta") {
            "api/beta"
        } else {
            "api/ga"
        };
        let name = gvk.group_version().to_string();
        let mut on = stability == "api/ga";
        for setting in &self.runtime_config {
            let (key, value) = setting.split_once('=').unwrap_or((setting, "true"));
            if key == "api/all" || key == stability || key == name {
                on = value != "false";
            }
        }
        on
    }
}

/// Reads a duration as Go writes it (`1m30s`, `500ms`); `None` when it is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        total += number
            * match &rest[digits..unit_end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let table =
            [("30s", Some(30_000)), ("1m30s", Some(90_000)), ("500ms", Some(500)), ("x", None), ("5", None)];
        for (text, millis) in table {
            assert_eq!(parse_duration(text).map(|d| d.as_millis()), millis, "{text}");
        }
    }

    #[test]
    fn versions() {
        let gvk = |v: &str| meta::GroupVersionKind::new("apps", v, "X");
        let mut s = Settings::default();
        assert!(s.serves(&gvk("v1")) && !s.serves(&gvk("v1beta1")));
        s.runtime_config = vec!["apps/v1beta1=true".into(), "apps/v1=false".into()];
        assert!(!s.serves(&gvk("v1")) && s.serves(&gvk("v1beta1")));
    }
}
