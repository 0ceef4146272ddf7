//! Logs: to the journal with fields where there is one, else to stderr.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::About;
use crate::journal::{self, JournalLayer};

/// systemd's names, most to least severe; those between are taken as the next more talkative we have.
const NAMES: [(&str, LevelFilter); 8] = [
    ("emerg", LevelFilter::ERROR),
    ("alert", LevelFilter::ERROR),
    ("crit", LevelFilter::ERROR),
    ("err", LevelFilter::ERROR),
    ("warning", LevelFilter::WARN),
    ("notice", LevelFilter::INFO),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
];

/// The level of a process' logs, changeable while it runs (`systemctl service-log-level`).
#[derive(Debug, Clone)]
pub struct LogLevel(Arc<AtomicU8>);

impl LogLevel {
    /// Sets it by systemd's name (`debug`, `info`, `warning`, `err`, …) or `trace`; false for a name unknown.
    pub fn set(&self, name: &str) -> bool {
        let Some(level) = parse(name) else { return false };
        self.0.store(encode(level), Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
        true
    }

    /// The level by systemd's name.
    pub fn name(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            0 => "emerg",
            1 => "err",
            2 => "warning",
            3 => "info",
            _ => "debug",
        }
    }
}

fn parse(name: &str) -> Option<LevelFilter> {
    match name {
        "trace" => Some(LevelFilter::TRACE),
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        _ => NAMES.iter().find(|(n, _)| *n == name).map(|(_, level)| *level),
    }
}

fn encode(level: LevelFilter) -> u8 {
    match level {
        LevelFilter::OFF => 0,
        LevelFilter::ERROR => 1,
        LevelFilter::WARN => 2,
        LevelFilter::INFO => 3,
        LevelFilter::DEBUG => 4,
        LevelFilter::TRACE => 5,
    }
}

impl LogLevel {
    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        // libraries at debug say what they do per frame: that is our trace
        let level = encode(LevelFilter::from_level(*metadata.level()));
        let ours = metadata.target().starts_with("k3s_rs");
        level + u8::from(!ours && level > 2) <= self.0.load(Ordering::Relaxed)
    }
}

/// What a place in the code says is decided once and again when the level changes, not each time it is passed: the
/// HTTP libraries pass dozens of them for a request.
impl Filter<Registry> for LogLevel {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, Registry>) -> bool {
        self.takes(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.takes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0.load(Ordering::Relaxed) {
            0 => LevelFilter::OFF,
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }
}

/// Sets the process' logs up. The level comes from K3S_RS_LOG_LEVEL, or is `debug` when systemd asks
/// (`RestartMode=debug`), or `info`.
pub(crate) fn install(about: About) -> std::io::Result<LogLevel> {
    let level = LogLevel(Arc::new(AtomicU8::new(encode(LevelFilter::INFO))));
    let asked = std::env::var("K3S_RS_LOG_LEVEL").ok(); // unset or not text: the default
    match asked.as_deref() {
        Some(name) if level.set(name) => {}
        _ if std::env::var_os("DEBUG_INVOCATION").is_some() => {
            level.set("debug");
        }
        _ => {}
    }
    if k3s_rs_systemd::stderr_is_journal() {
        let identifier = format!("k3s-rs-{}", about.name);
        let told = JournalLayer::new(identifier.clone()).with_filter(filter_fn(journal::is_told_in_full));
        let plain = tracing_journald::layer()?
            .with_field_prefix(Some("K3S_RS".into()))
            .with_syslog_identifier(identifier)
            .with_filter(filter_fn(|metadata| metadata.is_span() || !journal::is_told_in_full(metadata)));
        tracing_subscriber::registry().with(told.and_then(plain).with_filter(level.clone())).init();
    } else {
        let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(level.clone());
        tracing_subscriber::registry().with(text).init();
    }
    Ok(level)
}
