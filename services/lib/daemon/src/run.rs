//! From `main` to the daemon's own function and back.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{self, Command};
use crate::{Context, EXIT_CONFIG, bus, logging, messages};

/// Seconds running requests get to end after the stop signal, unless the daemon asks for another time.
const DRAIN: u64 = 10;

/// What a daemon is called.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Lower case, as in the unit: `proxy`.
    pub name: &'static str,
    /// As on D-Bus: `Proxy` gives `org.k3s_rs.Proxy`.
    pub component: &'static str,
    /// One sentence for `--help`.
    pub description: &'static str,
    /// Worker threads; 0 runs everything on one thread.
    pub workers: usize,
}

/// Runs a daemon: reads its settings `S`, sets everything up, calls `body`, and on SIGTERM or SIGINT sets the
/// context's shutdown signal and gives `body` time to end.
pub fn run<S, F, Fut>(about: About, body: F) -> ExitCode
where
    S: DeserializeOwned + Serialize + Send + 'static,
    F: FnOnce(S, Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let command = match args::parse(&about, std::env::args_os()) {
        Ok(command) => command,
        Err(error) => return complain(&format!("k3s-rs-{}: {error}; try --help", about.name), 64),
    };
    let config = match &command {
        Command::Help => return say(&args::help(&about)),
        Command::Version => return say(&format!("k3s-rs-{} {}\n", about.name, env!("CARGO_PKG_VERSION"))),
        Command::Run { config } | Command::Check { config } | Command::Dump { config } => config,
    };
    let settings: S = match read(config) {
        Ok(settings) => settings,
        Err(error) => return complain(&format!("k3s-rs-{}: {error:#}", about.name), EXIT_CONFIG),
    };
    match command {
        Command::Dump { .. } => match serde_json::to_string_pretty(&settings) {
            Ok(text) => say(&(text + "\n")),
            Err(error) => complain(&error.to_string(), 70),
        },
        Command::Check { .. } => say(&format!("{}: valid\n", config.display())),
        _ => start(about, settings, body),
    }
}

fn read<S: DeserializeOwned>(path: &Path) -> anyhow::Result<S> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let value = yaml::parse(&text).with_context(|| format!("parsing {}", path.display()))?;
    serde_json::from_value(value).with_context(|| format!("settings in {}", path.display()))
}

fn start<S, F, Fut>(about: About, settings: S, body: F) -> ExitCode
where
    F: FnOnce(S, Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let level = match logging::install(about) {
        Ok(level) => level,
        Err(error) => return complain(&format!("k3s-rs-{}: setting up logs: {error}", about.name), 70),
    };
    let sockets = match k3s_rs_systemd::Sockets::take() {
        Ok(sockets) => sockets,
        Err(error) => return complain(&format!("k3s-rs-{}: {error}", about.name), 71),
    };
    let runtime = match about.workers {
        0 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        n => tokio::runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build(),
    };
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("k3s-rs-{}: starting: {error}", about.name), 71),
    };
    let ended = runtime.block_on(supervise(about, sockets, level, |context| body(settings, context)));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                message_id = messages::STOPPED_BY_ERROR,
                error = format!("{error:#}"),
                "Stopped by an error"
            );
            ExitCode::FAILURE
        }
    }
}

async fn supervise<F, Fut>(
    about: About,
    sockets: k3s_rs_systemd::Sockets,
    level: crate::LogLevel,
    body: F,
) -> anyhow::Result<()>
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let mut terminate = signal(SignalKind::terminate()).context("handling SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("handling SIGINT")?;
    let (stop, shutdown) = web::shutdown();
    let drain = Arc::new(AtomicU64::new(DRAIN));
    let (context, state) = Context::new(about, sockets, shutdown, level.clone(), Arc::clone(&drain));
    let notify = context.notify();
    tokio::spawn(bus::stay_on_bus(about, state, level));
    let body = body(context);
    tokio::pin!(body);
    tokio::select! {
        ended = &mut body => return ended,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("Stopping");
    notify.stopping();
    stop.send_replace(true);
    let seconds = drain.load(Ordering::Relaxed);
    match tokio::time::timeout(Duration::from_secs(seconds), body).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::warn!(message_id = messages::CUT_OFF, seconds, "Stopped before everything had ended");
            Ok(())
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer of a command line")]
fn say(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[expect(clippy::print_stderr, reason = "before logging is set up")]
fn complain(text: &str, code: u8) -> ExitCode {
    eprintln!("{text}");
    ExitCode::from(code)
}
