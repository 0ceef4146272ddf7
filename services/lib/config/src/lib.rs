//! k3s's configuration: its keys, files, flags, environment and precedence, as one typed struct.
//!
//! ```text
//! files < environment < flags → values by key (a table says which there are) → Config, or every error at once
//! ```
//!
//! [`keys`] is the table: name, kind, default, environment, role, and whether we do it. What k3s knows and we do not
//! either fails (the cluster would be another one than asked for) or warns (it would merely be less than asked for).

mod arguments;
mod config;
mod file;
mod flags;
pub mod keys;
mod network;
mod values;

pub use arguments::{Argument, Component, Patch, apply_arguments};
pub use config::{Agent, Config, Server, Token};
pub use network::{Network, is_host_name};

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Where k3s's configuration file is unless said otherwise.
pub const CONFIG_FILE: &str = "/etc/rancher/k3s/config.yaml";

/// What this machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Control plane, and a node too unless `disable-agent`.
    Server,
    /// A node only.
    Agent,
}

/// A configuration and what should be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Keys that were skipped or have no effect.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("invalid configuration:\n  {}", .0.join("\n  "))]
pub struct Errors(pub Vec<String>);

/// Reads files, environment and flags of a role.
///
/// # Errors
/// Something in them cannot be used: all of it is told at once.
pub fn load(
    role: Role,
    arguments: &[OsString],
    environment: &BTreeMap<String, String>,
) -> Result<Loaded, Errors> {
    let mut problems = values::Problems::default();
    let given = flags::parse(role, arguments, &mut problems);
    let from_files = file::read(role, &given, environment, &mut problems);
    let values = values::merge(role, from_files, environment, given);
    let config = Config::from_values(role, &values, &mut problems);
    if problems.errors.is_empty() {
        Ok(Loaded { config, warnings: problems.warnings })
    } else {
        Err(Errors(problems.errors))
    }
}
