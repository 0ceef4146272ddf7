//! The command people type: k3s-rs.

mod bootstrap;
mod certificate;
mod check_config;
mod generate;
mod kubectl;
mod status;
mod token;

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
    /// Makes this machine ready for the daemons: certificates, credentials, settings, join.
    ///
    /// Run by k3s-rs-bootstrap.service; takes k3s's flags. `bootstrap server …` and `bootstrap agent …` say what this
    /// machine is, else the target that is started or enabled does. Ends with status 78 and every error when the
    /// configuration cannot be used. `bootstrap --renew` renews certificates, `bootstrap images` imports archives.
    #[command(disable_help_flag = true)]
    Bootstrap {
        /// The role and k3s's flags.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Checks this machine's configuration and kernel.
    CheckConfig {
        /// The role and k3s's flags.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Tokens agents join by.
    #[command(subcommand)]
    Token(token::Token),
    /// Certificates of this machine.
    #[command(subcommand)]
    Certificate(certificate::Certificate),
    /// Writes man pages and completions below a folder that stands for /usr/share.
    #[command(hide = true)]
    Generate {
        /// The folder.
        share: std::path::PathBuf,
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
        Command::Bootstrap { arguments } => bootstrap::bootstrap(&arguments),
        Command::CheckConfig { arguments } => check_config::check_config(&arguments),
        Command::Token(command) => token::token(&command),
        Command::Certificate(command) => certificate::certificate(&command),
        Command::Generate { share } => generate::generate(&share),
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
