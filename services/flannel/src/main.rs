//! k3s-rs-flannel: the pod network of this node.

use std::process::ExitCode;

fn main() -> ExitCode {
    let about = daemon::About {
        name: "flannel",
        component: "Flannel",
        description: "The pod network of one node.",
        workers: 0,
    };
    daemon::run(about, k3s_rs_flannel::run)
}
