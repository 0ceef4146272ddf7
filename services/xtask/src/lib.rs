//! Tasks of the repository: build, install, up, test, conformance.
//!
//! This program decides what is built and in which order things run; machines, clusters and the conformance suite are
//! the business of `tests/machines`, which it calls.

mod binaries;
mod cluster;
mod command;
mod conformance;
mod install;
mod repository;
mod suite;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::repository::Repository;

/// Tasks of the repository.
#[derive(Debug, Parser)]
#[command(name = "xtask", version)]
pub struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds our programs and puts them into a folder
    Build {
        /// The folder (default: one in the cache, by profile)
        #[arg(long)]
        out: Option<PathBuf>,
        /// Cargo's profile: dev, release or dist
        #[arg(long, default_value = "dev")]
        profile: String,
        /// Programs to build (default: all)
        programs: Vec<String>,
    },
    /// Lays programs, units and what belongs to them out under a folder, as a package holds them
    Install {
        /// The folder that stands for the root
        #[arg(long)]
        destdir: PathBuf,
        /// Cargo's profile: dev, release or dist
        #[arg(long, default_value = "dist")]
        profile: String,
    },
    /// Brings up a cluster of our own on machines of this host and says how to use it
    Up(cluster::Up),
    /// Ends that cluster and removes all of it
    Down {
        /// The cluster's name
        #[arg(long, default_value = cluster::DEFAULT_NAME)]
        name: String,
    },
    /// Runs upstream's conformance suite against a cluster of any mix of parts
    Conformance(conformance::Options),
    /// Runs every test of the repository; the last line counts them
    Test {
        /// Also the whole conformance suite and every slow scenario
        #[arg(long)]
        slow: bool,
        /// Only steps with this in their name
        #[arg(long)]
        only: Option<String>,
    },
}

/// Runs the task of the command line.
pub fn main(cli: &Cli) -> Result<ExitCode> {
    let repository = Repository::find()?;
    match &cli.task {
        Task::Build { out, profile, programs } => {
            let folder = out.clone().unwrap_or_else(|| repository.programs(profile));
            binaries::build(&repository, profile, programs, &folder)?;
            say(&format!("programs are in {}", folder.display()));
        }
        Task::Install { destdir, profile } => install::install(&repository, profile, destdir)?,
        Task::Up(options) => cluster::up(&repository, options)?,
        Task::Down { name } => cluster::down(&repository, name)?,
        Task::Conformance(options) => return conformance::run(&repository, options),
        Task::Test { slow, only } => return suite::run(&repository, *slow, only.as_deref()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a line for the person at the terminal. A closed terminal is no reason to stop.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}
