//! Upstream's conformance suite against a cluster of any mix of parts.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::binaries;
use crate::command::{Task, cluster, host, output, status};
use crate::repository::Repository;

/// What is run, and on what.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// PART=ours|upstream|none,… of all, datastore, apiserver, controller, scheduler, kubelet, proxy, network
    #[arg(long, default_value = "all=ours")]
    parts: String,
    /// Only specs whose name matches this regular expression
    #[arg(long)]
    focus: Option<String>,
    /// No specs whose name matches this regular expression
    #[arg(long)]
    skip: Option<String>,
    /// Only specs of this special interest group: node, network, apps, … (may be repeated)
    #[arg(long)]
    sig: Vec<String>,
    /// Specs at a time; serial ones always run alone
    #[arg(long, default_value_t = 12)]
    procs: u32,
    /// Times to run the selection; a spec counts as passed if it passes every time
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Only the fast subset that every change runs
    #[arg(long)]
    fast: bool,
    /// The cluster's name
    #[arg(long, default_value = "conformance")]
    name: String,
    /// Cargo's profile for our parts
    #[arg(long, default_value = "dev")]
    profile: String,
    /// Leave the cluster up afterwards
    #[arg(long)]
    keep: bool,
}

impl Options {
    /// The whole suite on a mix of parts, as the repository's slow tests run it.
    pub(crate) fn whole(parts: &str, name: &str) -> Self {
        Self {
            parts: parts.to_owned(),
            focus: None,
            skip: None,
            sig: Vec::new(),
            procs: 12,
            repeat: 1,
            fast: false,
            name: name.to_owned(),
            profile: "dev".to_owned(),
            keep: false,
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut words = vec![format!("--procs={}", self.procs), format!("--repeat={}", self.repeat)];
        words.extend(self.focus.iter().map(|focus| format!("--focus={focus}")));
        words.extend(self.skip.iter().map(|skip| format!("--skip={skip}")));
        words.extend(self.sig.iter().map(|sig| format!("--sig={sig}")));
        words.extend(self.fast.then(|| "--fast".to_owned()));
        words.extend(self.keep.then(|| "--keep".to_owned()));
        words
    }
}

/// Builds our parts of the mix, brings the cluster up, runs, judges, ends the cluster.
pub(crate) fn run(repository: &Repository, options: &Options) -> Result<ExitCode> {
    host(repository, Task::Test)?;
    let parts = format!("--parts={}", options.parts);
    let ours = output(&mut cluster(repository, ["binaries", &parts]))?;
    let ours: Vec<String> = ours.split_whitespace().map(str::to_owned).collect();
    let folder = repository.programs(&options.profile);
    if !ours.is_empty() {
        binaries::build(repository, &options.profile, &ours, &folder)?;
    }
    let mut words = vec!["run".to_owned(), format!("--name={}", options.name), parts];
    words.push(format!("--bin={}", folder.display()));
    words.push("--update-list".to_owned());
    words.extend(options.arguments());
    let ended = status(&mut cluster(repository, words))?;
    Ok(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
