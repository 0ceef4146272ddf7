//! A thin Kubernetes client: connection, list and watch, patch, and caches of projections.
//!
//! One HTTP/2 connection carries everything of a daemon but upgrades. Objects arrive as JSON bytes; what is kept of
//! them is a projection the caller makes ([`Cache`]), never the object.

mod cache;
mod config;
mod connection;
mod error;
mod joined;
mod named;
mod request;
mod resource;
mod snapshot;
mod tls;
mod watch;

pub use cache::{Cache, CacheBuilder, Change, Changes, IndexValues, Project};
pub use config::{ClusterConfig, ConfigError};
pub use connection::Upgraded;
pub use error::Error;
pub use request::{DeleteOptions, List, ListParams, Patch, PatchParams, Preconditions, Propagation};
pub use resource::{Key, Resource};
pub use snapshot::Snapshot;
pub use watch::{Sent, WatchEvent, Watcher};

use std::sync::Arc;

/// A connection to one API server. Clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<connection::Connection>,
}

impl Client {
    /// A client for a cluster; connects on first use. `user_agent` names the component (`k3s-rs-proxy`).
    ///
    /// # Errors
    /// The certificates cannot be used.
    pub fn new(config: ClusterConfig, user_agent: &str) -> Result<Self, ConfigError> {
        Ok(Self { inner: Arc::new(connection::Connection::new(config, user_agent)?) })
    }

    /// A client as a kubeconfig's current context says.
    ///
    /// # Errors
    /// The file cannot be read or used.
    pub fn from_kubeconfig(path: &std::path::Path, user_agent: &str) -> Result<Self, ConfigError> {
        Self::new(ClusterConfig::from_kubeconfig(path)?, user_agent)
    }
}
