//! `/version`.

/// The Kubernetes version served.
pub const GIT_VERSION: &str = "v1.36.3+k3s-rs1";

/// The document; Helm and operators read `gitVersion` as a semantic version.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/version/types.go` `Info`
pub fn document() -> String {
    let value = serde_json::json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": env!("CARGO_PKG_VERSION"),
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.26.0",
        "compiler": "rustc",
        "platform": format!("linux/{}", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }),
    });
    value.to_string()
}
