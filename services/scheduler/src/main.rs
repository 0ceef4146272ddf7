//! k3s-rs-scheduler: pods to nodes.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Placing a pod is two requests and two events, that is some hundreds of small pieces of memory and a task for each
/// request: with glibc's, a sixth of the time of a pod goes into them.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let about = daemon::About {
        name: "scheduler",
        component: "Scheduler",
        description: "Pods to nodes.",
        workers: 0,
    };
    daemon::run(about, k3s_rs_scheduler::run)
}
