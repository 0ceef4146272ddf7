//! An APIService as far as routing needs it.

use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

use super::Remote;
use crate::store::entry::Entry;

/// Who answers a group and version.
#[derive(Debug, Clone)]
pub struct ApiService {
    /// The group, empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The group's place among groups: higher is earlier.
    pub group_priority: i32,
    /// The version's place in its group: higher is earlier.
    pub version_priority: i32,
    /// The server that answers; `None` for this one.
    pub remote: Option<Remote>,
    /// Whether its condition `Available` is true.
    pub available: bool,
}

impl ApiService {
    /// Reads a stored object; `None`, said in the log, when it is none.
    pub(super) fn read(entry: &Entry) -> Option<Self> {
        let object: APIService = match serde_json::from_slice(&entry.bytes) {
            Ok(object) => object,
            Err(error) => {
                tracing::error!(key = %entry.key, error = %error, "unreadable APIService");
                return None;
            }
        };
        let spec = object.spec?;
        let conditions = object.status.and_then(|status| status.conditions).unwrap_or_default();
        let remote = spec.service.map(|service| Remote {
            namespace: service.namespace.unwrap_or_default(),
            name: service.name.unwrap_or_default(),
            port: service.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
            insecure: spec.insecure_skip_tls_verify.unwrap_or(false),
            authority: spec.ca_bundle.map(|bytes| bytes.0).unwrap_or_default(),
        });
        Some(Self {
            group: spec.group.unwrap_or_default(),
            version: spec.version.unwrap_or_default(),
            group_priority: spec.group_priority_minimum,
            version_priority: spec.version_priority,
            remote,
            available: conditions.iter().any(|c| c.type_ == "Available" && c.status == "True"),
        })
    }
}
