//! The files of the repository.

use std::path::{Path, PathBuf};

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository exists")
}

/// Every file below a folder of the repository with an ending, without build output.
pub(crate) fn files(below: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.expect("readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A path as the repository names it.
pub(crate) fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Hand-written sources that ship: no tests, nothing generated.
pub(crate) fn sources() -> Vec<(String, String)> {
    let all =
        files("services", ".rs").into_iter().map(|p| (name(&p), std::fs::read_to_string(&p).expect("UTF-8")));
    let generated = |text: &str| text.lines().take(3).any(|l| l.contains("@generated"));
    all.filter(|(name, text)| !is_test(name) && !generated(text)).collect()
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/")
        || name.ends_with("/tests.rs")
        || name.ends_with("_test.rs")
        || name.contains("/benches/")
        || name.contains("/examples/")
}
