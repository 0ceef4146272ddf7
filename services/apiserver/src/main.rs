//! The Kubernetes API: HTTP in, store out.

use std::process::ExitCode;

fn main() -> ExitCode {
    let about = daemon::About {
        name: "apiserver",
        component: "Apiserver",
        description: "The Kubernetes API: HTTP in, store out.",
        workers: 2,
    };
    daemon::run(about, k3s_rs_apiserver::run)
}
