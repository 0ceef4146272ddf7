//! `up` and `down`: a cluster of our parts on machines of this host.

use anyhow::Result;
use clap::Args;

use crate::command::{Task, cluster, host, output, run};
use crate::repository::Repository;
use crate::{binaries, install, say};

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
    /// PART=ours|upstream,…: a cluster of these parts, started by hand, in place of our installation
    #[arg(long)]
    parts: Option<String>,
    /// Cargo's profile
    #[arg(long, default_value = "dev")]
    profile: String,
}

/// Installs what is ours, boots the machines, starts the cluster and says how to use it.
pub(crate) fn up(repository: &Repository, options: &Up) -> Result<()> {
    match &options.parts {
        Some(parts) => up_parts(repository, options, parts),
        None => up_installed(repository, options),
    }
}

fn up_installed(repository: &Repository, options: &Up) -> Result<()> {
    host(repository, Task::Up)?;
    let root = repository.image();
    say("building our programs (minutes the first time) and installing them");
    install::install(repository, &options.profile, &root)?;
    say(
        "starting machines; the first time upstream's programs, a Debian tree and the images are made before that",
    );
    let words = [
        "product".to_owned(),
        format!("--name={}", options.name),
        format!("--root={}", root.display()),
        format!("--agents={}", options.agents),
        format!("--port={}", options.port),
    ];
    run(&mut cluster(repository, words))
}

fn up_parts(repository: &Repository, options: &Up, parts: &str) -> Result<()> {
    host(repository, Task::Test)?;
    let parts = format!("--parts={parts}");
    let ours = output(&mut cluster(repository, ["binaries", &parts]))?;
    let ours: Vec<String> = ours.split_whitespace().map(str::to_owned).collect();
    let folder = repository.programs(&options.profile);
    if !ours.is_empty() {
        binaries::build(repository, &options.profile, &ours, &folder)?;
    }
    let words = [
        "up".to_owned(),
        format!("--name={}", options.name),
        parts,
        format!("--bin={}", folder.display()),
        format!("--nodes={}", options.agents + 1),
        format!("--port={}", options.port),
    ];
    run(&mut cluster(repository, words))
}

/// Removes the cluster.
pub(crate) fn down(repository: &Repository, name: &str) -> Result<()> {
    run(&mut cluster(repository, ["down", name]))
}
