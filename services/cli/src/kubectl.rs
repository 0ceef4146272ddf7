//! `k3s-rs kubectl`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::{Result, anyhow};

/// Where a server keeps its administrator's kubeconfig, as k3s.
const KUBECONFIG: &str = "/etc/rancher/k3s/k3s.yaml";

/// Becomes kubectl.
pub(crate) fn kubectl(arguments: &[OsString]) -> Result<ExitCode> {
    let mut command = std::process::Command::new("kubectl");
    command.args(arguments);
    if std::env::var_os("KUBECONFIG").is_none() {
        command.env("KUBECONFIG", KUBECONFIG);
    }
    let error = command.exec();
    if error.kind() == std::io::ErrorKind::NotFound {
        return Err(anyhow!("kubectl is not installed; put it on the PATH"));
    }
    Err(anyhow!(error).context("running kubectl"))
}
