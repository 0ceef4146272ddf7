//! What the daemon is told.

use std::path::{Path, PathBuf};

use anyhow::Context;
use auth::token::SigningKey;
use serde::{Deserialize, Serialize};

use crate::addon::AddonSettings;
use crate::certificates::Authority;
use crate::ipam::Range;
use crate::tokens::Tokens;

/// The settings file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// How to reach the API server.
    pub kubeconfig: PathBuf,
    /// The certificate that signs certificates asked for by CertificateSigningRequests.
    pub cluster_signing_cert_file: Option<PathBuf>,
    /// Its key.
    pub cluster_signing_key_file: Option<PathBuf>,
    /// The certificate published to every namespace.
    #[serde(rename = "rootCAFile")]
    pub root_ca_file: Option<PathBuf>,
    /// The key that signs legacy service account tokens.
    pub service_account_private_key_file: Option<PathBuf>,
    /// Pod address ranges, separated by commas; nodes get their share of them.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// Service address ranges.
    #[serde(rename = "serviceClusterIPRange")]
    pub service_cluster_ip_range: String,
    /// Prefix length of a node's share, IPv4.
    #[serde(rename = "nodeCIDRMaskSizeIPv4")]
    pub node_cidr_mask_v4: u8,
    /// Prefix length of a node's share, IPv6.
    #[serde(rename = "nodeCIDRMaskSizeIPv6")]
    pub node_cidr_mask_v6: u8,
    /// Whether nodes get their share of the pod range at all.
    #[serde(rename = "allocateNodeCIDRs")]
    pub allocate_node_cidrs: bool,
    /// Whether several of these elect one by Lease.
    pub leader_elect: bool,
    /// Which controllers run: `*`, names, `-name` to leave one out.
    pub controllers: Vec<String>,
    /// Where health and metrics are served, when no socket is handed over.
    pub bind_address: String,
    /// Manifests that are applied from a folder.
    pub addons: AddonSettings,
    /// Signing for nodes that join.
    pub node_signer: Option<NodeSigner>,
}

/// Signing for nodes that join.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSigner {
    /// Has `client-ca` and `server-ca`, each `.crt` and `.key`.
    pub folder: PathBuf,
    /// Where the supervisor asks, when no socket is handed over.
    pub socket: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kubeconfig: "/run/k3s-rs/controller/kubeconfig".into(),
            cluster_signing_cert_file: None,
            cluster_signing_key_file: None,
            root_ca_file: None,
            service_account_private_key_file: None,
            cluster_cidr: "10.42.0.0/16".into(),
            service_cluster_ip_range: "10.43.0.0/16".into(),
            node_cidr_mask_v4: 24,
            node_cidr_mask_v6: 64,
            allocate_node_cidrs: true,
            leader_elect: false,
            controllers: vec!["*".into()],
            bind_address: "127.0.0.1:10257".into(),
            node_signer: None,
            addons: AddonSettings::default(),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

impl Settings {
    /// The certificate published to every namespace.
    pub(crate) fn root_ca(&self) -> anyhow::Result<String> {
        let path = self.root_ca_file.as_ref().context("rootCAFile is not set")?;
        read(path)
    }

    /// Who signs certificate requests, if anybody.
    pub(crate) fn authority(&self) -> anyhow::Result<Option<Authority>> {
        let (Some(certificate), Some(key)) =
            (&self.cluster_signing_cert_file, &self.cluster_signing_key_file)
        else {
            return Ok(None);
        };
        let authority = Authority::new(&read(certificate)?, &read(key)?);
        Ok(Some(authority.with_context(|| format!("the signing authority {}", certificate.display()))?))
    }

    /// What signs service account tokens in Secrets, if they are filled at all, and the root certificate beside them.
    pub(crate) fn tokens(&self) -> anyhow::Result<Tokens> {
        let path = self.service_account_private_key_file.as_ref();
        let key = path.map(|path| {
            SigningKey::from_pem(&read(path)?).with_context(|| format!("the token key {}", path.display()))
        });
        Ok(Tokens { key: key.transpose()?, root: self.root_ca_file.as_deref().map(read).transpose()? })
    }

    /// The pod ranges, each with the prefix length of a node's share.
    pub(crate) fn node_ranges(&self) -> anyhow::Result<Vec<(Range, u8)>> {
        let ranges = self.cluster_cidr.split(',').map(str::trim).filter(|r| !r.is_empty());
        let length = |r: &str| if r.contains(':') { self.node_cidr_mask_v6 } else { self.node_cidr_mask_v4 };
        ranges.map(|r| Ok((Range::parse(r)?, length(r)))).collect()
    }

    /// Whether a controller shall run.
    ///
    /// # Upstream
    /// `k8s.io/controller-manager/pkg/leadermigration`, `genericcontrollermanager.IsControllerEnabled`
    pub(crate) fn enabled(&self, name: &str, by_default: bool) -> bool {
        for given in &self.controllers {
            if given == name {
                return true;
            }
            if given.strip_prefix('-') == Some(name) {
                return false;
            }
        }
        by_default && self.controllers.iter().any(|c| c == "*")
    }
}
