//! What every main does: settings, logging, metrics, health, D-Bus presence, drain.
//!
//! A daemon's `main.rs` is one call of [`run`] with an [`About`] and its own `async fn(settings, Context)`:
//!
//! ```text
//! settings → logging → sockets → runtime → D-Bus (in the background) → your function → drain
//! ```
//!
//! Invariant: nothing here waits for D-Bus. A missing or dying bus costs visibility, never service.

mod args;
mod bus;
mod context;
mod health;
mod host;
mod journal;
mod logging;
mod messages;
mod metrics;
mod run;
mod watch;

pub use context::{Context, State};
pub use health::{Check, Health, serve_health};
pub use host::host_name;
pub use logging::LogLevel;
pub use metrics::Metrics;
pub use run::{About, run};
pub use watch::FolderWatch;

/// Exit status for a configuration that cannot be used (sysexits' `EX_CONFIG`): systemd does not restart on it.
pub const EXIT_CONFIG: u8 = 78;
