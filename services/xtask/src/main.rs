//! Tasks of the repository: build, install, up, test, conformance.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match k3s_rs_xtask::main(&k3s_rs_xtask::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            k3s_rs_xtask::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
