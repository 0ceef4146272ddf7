//! `k3s-rs-kubelet --config FILE`: runs the pods of one node through CRI.

use std::process::ExitCode;

fn main() -> ExitCode {
    let about = daemon::About {
        name: "kubelet",
        component: "Kubelet",
        description: "Runs the pods of this node through a container runtime.",
        workers: 0,
    };
    daemon::run(about, k3s_rs_kubelet::run)
}
