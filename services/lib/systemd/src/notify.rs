//! `sd_notify`.

use std::time::Duration;

use systemd::daemon;

/// Tells the service manager how this daemon is. Outside systemd nothing is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notify;

impl Notify {
    /// Serving; `status` is shown by `systemctl status`.
    pub fn ready(self, status: &str) {
        send(&[("READY", "1"), ("STATUS", status)]);
    }

    /// One line for `systemctl status`.
    pub fn status(self, status: &str) {
        send(&[("STATUS", status)]);
    }

    /// Going down.
    pub fn stopping(self) {
        send(&[("STOPPING", "1")]);
    }

    /// Reading the configuration again, since `monotonic_usec`; ends with `ready`.
    pub fn reloading(self, monotonic_usec: u64) {
        send(&[("RELOADING", "1"), ("MONOTONIC_USEC", &monotonic_usec.to_string())]);
    }

    /// Alive: to be sent only by what has just proved it.
    pub fn alive(self) {
        send(&[("WATCHDOG", "1")]);
    }

    /// Start or stop takes longer than usual: this much from now.
    pub fn extend_timeout(self, by: Duration) {
        send(&[("EXTEND_TIMEOUT_USEC", &by.as_micros().to_string())]);
    }
}

fn send(state: &[(&str, &str)]) {
    if let Err(error) = daemon::notify(state.iter()) {
        tracing::warn!(error = &error as &dyn std::error::Error, "Notifying the service manager");
    }
}

/// How often the service manager wants a sign of life, if it does.
pub fn watchdog_interval() -> Option<Duration> {
    match daemon::watchdog_enabled() {
        Ok(0) => None,
        Ok(microseconds) => Some(Duration::from_micros(microseconds)),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "Reading the watchdog's interval");
            None
        }
    }
}
