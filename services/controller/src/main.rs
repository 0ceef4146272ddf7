//! The daemon.

use std::process::ExitCode;

fn main() -> ExitCode {
    let about = daemon::About {
        name: "controller",
        component: "Controller",
        description: "The controllers of the control plane.",
        workers: 0,
    };
    if std::env::args().nth(1).as_deref() == Some("role") {
        return k3s_rs_controller::print_role();
    }
    daemon::run(about, k3s_rs_controller::run)
}
