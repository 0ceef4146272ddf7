//! `k3s-rs bootstrap`: what k3s-rs-bootstrap.service runs before every daemon.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use bootstrap::{BootstrapError, Options, Places};
use config::{Config, Errors, Role};

/// sysexits' `EX_CONFIG`: systemd does not try again.
const EXIT_CONFIG: u8 = 78;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Prepare,
    Renew,
    Images,
}

/// Makes this machine ready, or says what is wrong with its configuration.
pub(crate) fn bootstrap(arguments: &[OsString]) -> Result<ExitCode> {
    logs();
    let mut rest = arguments.to_vec();
    let mut take = |word: &str| {
        let found = rest.iter().position(|a| a == word);
        found.map(|at| rest.remove(at)).is_some()
    };
    let task = if take("images") {
        Task::Images
    } else if take("--renew") {
        Task::Renew
    } else {
        Task::Prepare
    };
    let role = match (take("server"), take("agent")) {
        (true, _) => Role::Server,
        (_, true) => Role::Agent,
        _ => role_of_machine()?,
    };
    let config = match load(role, &rest) {
        Ok(config) => config,
        Err(errors) => return Ok(refuse(&errors)),
    };
    if task == Task::Images {
        warn(&bootstrap::import_images(&Places::new(&config))?);
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options { libexec: libexec()?, renew: task == Task::Renew };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(bootstrap::run(&config, &options)) {
        Ok(report) => {
            warn(&report.warnings);
            Ok(ExitCode::SUCCESS)
        }
        Err(BootstrapError::Config(errors)) => Ok(refuse(&errors)),
        Err(error) => Err(error.into()),
    }
}

/// Reads the configuration of this machine and says what has no effect.
pub(crate) fn load(role: Role, flags: &[OsString]) -> std::result::Result<Config, Errors> {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))) // k3s's variables are text
        .collect();
    let loaded = config::load(role, flags, &environment)?;
    warn(&loaded.warnings);
    Ok(loaded.config)
}

#[expect(clippy::print_stderr, reason = "the answer of a command line")]
pub(crate) fn refuse(errors: &Errors) -> ExitCode {
    for error in &errors.0 {
        eprintln!("<3>k3s-rs: {error}");
    }
    ExitCode::from(EXIT_CONFIG)
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(warning, "Configuration");
    }
}

/// What this machine is: K3S_RS_ROLE says it, or else which target is started, wanted at boot, or neither (an agent).
/// `systemctl` asks systemd itself, not the bus.
pub(crate) fn role_of_machine() -> Result<Role> {
    match std::env::var("K3S_RS_ROLE").as_deref() {
        Ok("server") => return Ok(Role::Server),
        Ok("agent") => return Ok(Role::Agent),
        Ok("") | Err(_) => {}
        Ok(other) => anyhow::bail!("K3S_RS_ROLE: {other:?} is neither server nor agent"),
    }
    let properties = "--property=ActiveState,Job,UnitFileState";
    let output = Command::new("systemctl").args(["show", properties, "k3s-rs-server.target"]).output();
    let output = output.context("asking systemd for k3s-rs-server.target")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value =
        |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default();
    let server = value("ActiveState") == "active"
        || !matches!(value("Job"), "" | "0")
        || matches!(value("UnitFileState"), "enabled" | "enabled-runtime");
    Ok(if server { Role::Server } else { Role::Agent })
}

/// `../libexec/k3s-rs`, seen from this program.
fn libexec() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program")?;
    let prefix =
        own.parent().and_then(std::path::Path::parent).context("this program is in no bin folder")?;
    Ok(prefix.join("libexec/k3s-rs"))
}

/// Lines with the journal's priorities.
fn logs() {
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let format = tracing_subscriber::fmt::layer()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr);
    let level = tracing_subscriber::filter::LevelFilter::INFO;
    tracing_subscriber::registry().with(format).with(level).init();
}
