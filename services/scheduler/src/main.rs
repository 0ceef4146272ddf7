//! k3s-rs-scheduler: pods to nodes.

use std::process::ExitCode;

fn main() -> ExitCode {
    let about = daemon::About {
        name: "scheduler",
        component: "Scheduler",
        description: "Pods to nodes.",
        workers: 0,
    };
    daemon::run(about, k3s_rs_scheduler::run)
}
