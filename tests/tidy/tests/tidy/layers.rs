//! Who may depend on whom, read from the manifests.

use std::collections::BTreeMap;

use crate::tree;

/// Package directory → the packages of ours it depends on, by directory.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(tree::root())
        .output()
        .expect("cargo metadata");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let manifest = std::path::Path::new(package["manifest_path"].as_str().expect("a path"));
        let dir = tree::name(manifest.parent().expect("a folder"));
        let ours = package["dependencies"].as_array().expect("dependencies").iter();
        let ours = ours.filter(|d| d["kind"].is_null()).filter_map(|d| d["path"].as_str());
        found.insert(dir, ours.map(|p| tree::name(std::path::Path::new(p))).collect());
    }
    found
}

#[test]
fn daemons_link_no_daemon_and_libraries_only_libraries() {
    for (package, needs) in dependencies() {
        if !package.starts_with("services/") {
            continue;
        }
        for need in needs {
            assert!(need.starts_with("services/lib/"), "{package} depends on {need}");
        }
    }
}

#[test]
fn every_crate_is_a_member_and_takes_the_lints() {
    let workspace = std::fs::read_to_string(tree::root().join("Cargo.toml")).expect("Cargo.toml");
    for manifest in
        tree::files("services", "Cargo.toml").into_iter().chain(tree::files("tests", "Cargo.toml"))
    {
        let text = std::fs::read_to_string(&manifest).expect("UTF-8");
        let dir = tree::name(manifest.parent().expect("a folder"));
        if text.contains("[workspace]") {
            continue; // a generator of its own
        }
        assert!(workspace.contains(&format!("  \"{dir}\",\n")), "{dir} is not among the members");
        assert!(text.contains("[lints]\nworkspace = true"), "{dir} does not take the workspace's lints");
    }
}
