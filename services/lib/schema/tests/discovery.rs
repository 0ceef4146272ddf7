//! With every API on, the discovery documents are upstream's own; the default set is those without alpha and beta.
//!
//! The files are read from the k8s.io/kubernetes module in Go's module cache; without it the test says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a failing test may panic"
)]

use std::path::PathBuf;
use std::process::Command;

use k3s_rs_schema::discovery;
use k3s_rs_schema::table::{Facts, resources};
use serde_json::Value;

fn files() -> Option<PathBuf> {
    let cache = Command::new("go").args(["env", "GOMODCACHE"]).output().ok()?;
    let cache = String::from_utf8(cache.stdout).ok()?;
    let dir = PathBuf::from(cache.trim()).join("k8s.io/kubernetes@v1.36.3/api/discovery");
    dir.is_dir().then_some(dir)
}

fn ours(served: &[&Facts], name: &str) -> Option<Value> {
    let parts: Vec<&str> = name.split("__").collect();
    match parts.as_slice() {
        ["aggregated_v2"] => Some(discovery::aggregated(served, false)),
        ["api"] => Some(discovery::core_versions("10.10.10.10:8050")),
        ["apis"] => Some(discovery::group_list(served)),
        ["apis", group] => discovery::group(served, group),
        ["api", version] => discovery::resource_list(served, "", version),
        ["apis", group, version] => discovery::resource_list(served, group, version),
        _ => None,
    }
}

#[test]
fn equals_upstream() {
    let Some(dir) = files() else {
        println!("skipped: the k8s.io/kubernetes module is not in Go's module cache");
        return;
    };
    let served: Vec<&Facts> = resources().iter().filter(|f| f.group != "k3s.cattle.io").collect();
    let (mut checked, mut failed) = (0, Vec::new());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        checked += 1;
        if ours(&served, name).as_ref() != Some(&expected) {
            failed.push(format!("{name}: {:?}", ours(&served, name).map(|o| o.to_string())));
        }
    }
    println!("{checked} documents checked");
    assert!(checked > 50, "{checked}");
    assert!(failed.is_empty(), "{} of {checked} differ:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn default_set_has_no_alpha_or_beta() {
    let served: Vec<&Facts> = resources().iter().filter(|f| f.on_by_default()).collect();
    let groups = discovery::groups(&served);
    assert!(groups.iter().any(|(g, v)| *g == "autoscaling" && v == &["v2", "v1"]), "{groups:?}");
    assert!(
        groups.iter().flat_map(|(_, v)| v).all(|v| !v.contains("alpha") && !v.contains("beta")),
        "{groups:?}"
    );
    assert!(discovery::resource_list(&served, "internal.apiserver.k8s.io", "v1alpha1").is_none());
    assert!(discovery::group(&served, "internal.apiserver.k8s.io").is_none());
}
