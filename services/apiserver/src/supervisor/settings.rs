//! What the supervisor is told, as bootstrap writes it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// The authority of servers, given to anybody.
    #[serde(rename = "serverCAFile")]
    pub server_ca_file: PathBuf,
    /// The authority of clients.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: PathBuf,
    /// Accounts of join tokens: lines of `password,user,uid,group`.
    pub passwd_file: PathBuf,
    /// What agents are told of the cluster.
    pub config_file: PathBuf,
    /// Roles and bindings of our daemons.
    #[serde(default)]
    pub objects_file: Option<PathBuf>,
    /// Files for anybody.
    pub static_dir: PathBuf,
    /// The socket nodes' certificates are signed behind.
    pub signer: PathBuf,
    /// This machine's node, if it is one.
    #[serde(default)]
    pub local_node: Option<LocalNode>,
}

/// This machine's node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalNode {
    /// Its name.
    pub name: String,
    /// The file with its password.
    pub password_file: PathBuf,
}
