//! The etcd v3 API over SQLite.

use std::path::Path;
use std::process::ExitCode;

use daemon::About;

/// `export DATABASE FILE`: what a stopped datastore holds, as a database of k3s.
#[expect(clippy::print_stderr, reason = "a command for people")]
fn export(database: &Path, target: &Path) -> ExitCode {
    match k3s_rs_datastore::kine::export(database, target) {
        Ok(moved) => {
            eprintln!("{} keys, revision {}: {}", moved.keys, moved.revision, target.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
            eprintln!("k3s-rs-datastore export: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if let [command, database, target] = words.as_slice()
        && command == "export"
    {
        return export(Path::new(database), Path::new(target));
    }
    let about = About {
        name: "datastore",
        component: "Datastore",
        description: "The etcd v3 API over SQLite: the store of the API server.",
        workers: 0,
    };
    daemon::run(about, k3s_rs_datastore::run)
}
