//! The command people type: k3s-rs.

mod kubectl;
mod status;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A small Kubernetes as a systemd-native service suite.
///
/// The daemons are systemd services: `systemctl status 'k3s-rs-*'`, `journalctl -u k3s-rs-kubelet`.
#[derive(Parser)]
#[command(name = "k3s-rs", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How every component of this machine is, in one look.
    ///
    /// Ends with status 1 when a component that runs is not ready.
    Status,
    /// Runs kubectl with this machine's kubeconfig unless KUBECONFIG says otherwise.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// kubectl's own arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Prints the completion script of a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[expect(clippy::print_stderr, reason = "the answer of a command line")]
fn main() -> ExitCode {
    let answer = match Arguments::parse().command {
        Command::Status => status::status(),
        Command::Kubectl { arguments } => kubectl::kubectl(&arguments),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "k3s-rs", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    answer.unwrap_or_else(|error| {
        eprintln!("k3s-rs: {error:#}");
        ExitCode::FAILURE
    })
}
