//! The etcd v3 API over SQLite.

use std::process::ExitCode;

use daemon::About;

fn main() -> ExitCode {
    let about = About {
        name: "datastore",
        component: "Datastore",
        description: "The etcd v3 API over SQLite: the store of the API server.",
        workers: 0,
    };
    daemon::run(about, k3s_rs_datastore::run)
}
