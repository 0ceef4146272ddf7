//! `up` and `down`: our own cluster on machines of this host.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::command::{cluster, host, run};
use crate::install;
use crate::repository::Repository;

/// The cluster `up` makes unless it is told another name.
pub(crate) const DEFAULT_NAME: &str = "k3srs";

/// How the cluster is made.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Machines besides the server
    #[arg(long, default_value_t = 0)]
    agents: u32,
    /// The cluster's name
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
    /// Port of the API server on 127.0.0.1 of this host
    #[arg(long, default_value_t = 6443)]
    port: u16,
    /// Cargo's profile
    #[arg(long, default_value = "dev")]
    profile: String,
    /// Use an installation made before by `install --destdir`, and build nothing
    #[arg(long)]
    root: Option<PathBuf>,
}

/// Builds and installs into a folder, boots machines with that installation, starts the targets.
pub(crate) fn up(repository: &Repository, options: &Up) -> Result<()> {
    host(repository)?;
    let root = match &options.root {
        Some(root) => root.clone(),
        None => {
            let root = repository.image();
            if root.exists() {
                fs::remove_dir_all(&root).with_context(|| root.display().to_string())?;
            }
            install::install(repository, &options.profile, &root)?;
            root
        }
    };
    let words = [
        "product".to_owned(),
        format!("--name={}", options.name),
        format!("--root={}", root.display()),
        format!("--agents={}", options.agents),
        format!("--port={}", options.port),
    ];
    run(&mut cluster(repository, words))
}

/// Removes the cluster.
pub(crate) fn down(repository: &Repository, name: &str) -> Result<()> {
    run(&mut cluster(repository, ["down", name]))
}
