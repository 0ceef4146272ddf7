//! Building our programs; which there are, cargo says.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::command::{command, output, run, slot};
use crate::repository::Repository;

/// Every program of ours has this prefix, the command line tool is just it.
pub(crate) const PREFIX: &str = "k3s-rs";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The names of all programs of ours that are installed.
pub(crate) fn all(repository: &Repository) -> Result<Vec<String>> {
    let cargo = ["metadata", "--no-deps", "--format-version=1"];
    parse(&output(&mut command(repository, "cargo", cargo))?)
}

fn parse(metadata: &str) -> Result<Vec<String>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("the output of cargo metadata")?;
    let targets = metadata.packages.into_iter().flat_map(|package| package.targets);
    let programs = targets.filter(|target| target.kind.iter().any(|kind| kind == "bin"));
    let mut names: Vec<String> = programs
        .map(|target| target.name)
        .filter(|name| name == PREFIX || name.starts_with("k3s-rs-"))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds the named programs, or all, and puts them into a folder; a running program's file is replaced, not written to.
pub(crate) fn build(repository: &Repository, profile: &str, names: &[String], out: &Path) -> Result<()> {
    let known = all(repository)?;
    for name in names {
        ensure!(known.contains(name), "there is no program {name}");
    }
    let wanted = if names.is_empty() { &known[..] } else { names };
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    run(&mut slot(repository, ["sh".to_owned(), "-euc".to_owned(), script(profile, wanted, out)]))
}

/// The target folder is known only inside the slot, and another checkout may build there right after it. Of the whole
/// workspace, whichever programs are wanted: dependencies then always have the same features, those of `cargo test`, and
/// are built once.
fn script(profile: &str, wanted: &[String], out: &Path) -> String {
    let bins: Vec<String> = wanted.iter().map(|name| format!("--bin {name}")).collect();
    let folder = if profile == "dev" { "debug" } else { profile };
    let files: Vec<String> =
        wanted.iter().map(|name| format!("\"$CARGO_TARGET_DIR/{folder}/{name}\"")).collect();
    format!(
        "cargo build --locked --workspace --profile {profile} {} && install -t '{}' {}",
        bins.join(" "),
        out.display(),
        files.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_programs_count() {
        let metadata = r#"{"packages": [
            {"name": "k3s-rs-cli", "targets": [{"name": "k3s-rs", "kind": ["bin"]}, {"name": "k3s_rs_cli", "kind": ["lib"]}]},
            {"name": "k3s-rs-apiserver", "targets": [{"name": "k3s-rs-apiserver", "kind": ["bin"]}]},
            {"name": "k3s-rs-xtask", "targets": [{"name": "xtask", "kind": ["bin"]}]}]}"#;
        assert_eq!(parse(metadata).unwrap(), ["k3s-rs", "k3s-rs-apiserver"]);
    }
}
