//! The Kubernetes API: HTTP in, store out.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// With glibc's, half the time of a create or patch goes into it; this one also gives back what a burst took, from a thread of its own.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let about = daemon::About {
        name: "apiserver",
        component: "Apiserver",
        description: "The Kubernetes API: HTTP in, store out.",
        workers: 2,
    };
    daemon::run(about, k3s_rs_apiserver::run)
}
