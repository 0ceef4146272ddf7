//! What the datastore is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the datastore.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The unix socket served when systemd hands none over under the name `datastore`.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// The database file.
    #[serde(default = "path")]
    pub path: PathBuf,
    /// Serves TCP as well, on this address. Without `tls` in the clear: for tests on loopback.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Certificate and key for `listen`; clients must present a certificate of `client_ca`.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Memory for values read or written lately, in bytes.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: usize,
    /// A snapshot to begin with when the database does not exist yet.
    #[serde(default)]
    pub restore: Option<PathBuf>,
    /// k3s's own database (`state.db`) to begin with when the database does not exist yet, nor a snapshot is given. It
    /// is only read, and stays where it is.
    #[serde(default)]
    pub import: Option<PathBuf>,
}

/// TLS files of the TCP listener.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authority of client certificates, PEM.
    pub client_ca: PathBuf,
}

fn socket() -> PathBuf {
    "/run/k3s-rs/datastore.sock".into()
}

fn path() -> PathBuf {
    "/var/lib/rancher/k3s/server/db/k3s-rs.db".into()
}

fn cache_bytes() -> usize {
    mvcc::Options::default().cache_bytes
}
