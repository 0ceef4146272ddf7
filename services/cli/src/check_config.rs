//! `k3s-rs check-config`: the configuration, and whether the kernel has what a node needs.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use config::Role;

use crate::bootstrap::{load, refuse, role_of_machine};

/// Controllers every node needs, as the hierarchies of version 1 name them.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "memory", "pids", "cpuacct"];
/// Modules, or their built-in form, and what they are for.
const MODULES: [(&str, &str); 6] = [
    ("overlay", "container images"),
    ("br_netfilter", "policies between pods of a node"),
    ("nf_conntrack", "Services"),
    ("nf_tables", "Services"),
    ("vxlan", "pods of other nodes"),
    ("bridge", "pods"),
];

/// Checks, prints a line for each thing, ends with 78 when the configuration is wrong.
#[expect(clippy::print_stdout, reason = "the answer of a command line")]
pub(crate) fn check_config(arguments: &[OsString]) -> Result<ExitCode> {
    let mut rest = arguments.to_vec();
    let role = match rest.first().and_then(|a| a.to_str()) {
        Some("server") => Some(Role::Server),
        Some("agent") => Some(Role::Agent),
        _ => None,
    };
    if role.is_some() {
        rest.remove(0);
    }
    let role = role.map_or_else(role_of_machine, Ok)?;
    let config = match load(role, &rest) {
        Ok(config) => config,
        Err(errors) => return Ok(refuse(&errors)),
    };
    println!("configuration: good ({})", if role == Role::Server { "server" } else { "agent" });
    println!("data folder: {}", config.data_dir.display());
    let mut missing = 0;
    let mut say = |what: String, there: bool| {
        missing += usize::from(!there);
        println!("{what}: {}", if there { "there" } else { "missing" });
    };
    for controller in CONTROLLERS.iter().filter(|c| **c != "cpuacct" || !unified()) {
        say(format!("cgroup controller {controller}"), has_controller(controller));
    }
    for (module, purpose) in MODULES {
        say(format!("kernel module {module} ({purpose})"), has_module(module));
    }
    for program in ["containerd", "ctr", "runc", "modprobe"] {
        say(format!("program {program}"), on_path(program));
    }
    Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn has_controller(name: &str) -> bool {
    let unified = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers");
    match unified {
        Ok(text) => text.split_whitespace().any(|c| c == name),
        Err(_) => Path::new("/sys/fs/cgroup").join(name).exists(),
    }
}

fn has_module(name: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default(); // then only what is loaded
    let listed = |file: &str| {
        let text =
            std::fs::read_to_string(format!("/lib/modules/{}/{file}", release.trim())).unwrap_or_default();
        text.lines().any(|l| l.split(':').next().is_some_and(|l| l.contains(&format!("/{name}.ko"))))
    };
    Path::new("/sys/module").join(name).exists() || listed("modules.builtin") || listed("modules.dep")
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
