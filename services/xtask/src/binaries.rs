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
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// A program and the package it is built from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binary {
    pub(crate) name: String,
    pub(crate) package: String,
}

/// All programs of ours that are installed.
pub(crate) fn all(repository: &Repository) -> Result<Vec<Binary>> {
    let cargo = ["metadata", "--no-deps", "--format-version=1"];
    parse(&output(&mut command(repository, "cargo", cargo))?)
}

fn parse(metadata: &str) -> Result<Vec<Binary>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("the output of cargo metadata")?;
    let mut binaries: Vec<Binary> = metadata
        .packages
        .into_iter()
        .flat_map(|package| {
            let programs =
                package.targets.into_iter().filter(|target| target.kind.iter().any(|kind| kind == "bin"));
            let package = package.name;
            programs
                .map(move |target| Binary { name: target.name, package: package.clone() })
                .collect::<Vec<_>>()
        })
        .filter(|binary| binary.name == PREFIX || binary.name.starts_with("k3s-rs-"))
        .collect();
    binaries.sort();
    Ok(binaries)
}

/// Builds the named programs, or all, and puts them into a folder; a running program's file is replaced, not written to.
pub(crate) fn build(repository: &Repository, profile: &str, names: &[String], out: &Path) -> Result<()> {
    let known = all(repository)?;
    for name in names {
        ensure!(known.iter().any(|binary| &binary.name == name), "there is no program {name}");
    }
    let wanted = known.iter().filter(|binary| names.is_empty() || names.contains(&binary.name));
    let wanted: Vec<&Binary> = wanted.collect();
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    run(&mut slot(repository, ["sh".to_owned(), "-euc".to_owned(), script(profile, &wanted, out)]))
}

/// The target folder is known only inside the slot, and another checkout may build there right after it.
fn script(profile: &str, wanted: &[&Binary], out: &Path) -> String {
    let packages: Vec<String> = wanted.iter().map(|binary| format!("-p {}", binary.package)).collect();
    let bins: Vec<String> = wanted.iter().map(|binary| format!("--bin {}", binary.name)).collect();
    let folder = if profile == "dev" { "debug" } else { profile };
    let files: Vec<String> =
        wanted.iter().map(|binary| format!("\"$CARGO_TARGET_DIR/{folder}/{}\"", binary.name)).collect();
    format!(
        "cargo build --locked --profile {profile} {} {} && install -t '{}' {}",
        packages.join(" "),
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
        let names: Vec<String> = parse(metadata).unwrap().into_iter().map(|binary| binary.name).collect();
        assert_eq!(names, ["k3s-rs", "k3s-rs-apiserver"]);
    }
}
