//! The daemon on D-Bus: `Component1` and systemd's `LogControl1`.

use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::watch;
use zbus::connection::Builder;
use zbus::{Connection, fdo, interface};

use crate::{About, LogLevel, State};

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);

struct Component {
    about: About,
    state: watch::Receiver<State>,
}

#[interface(name = "org.k3s_rs.Component1")]
impl Component {
    /// `starting` or `ready`.
    #[zbus(property)]
    async fn state(&self) -> String {
        if self.state.borrow().ready { "ready".into() } else { "starting".into() }
    }

    /// Whether the component serves.
    #[zbus(property)]
    async fn ready(&self) -> bool {
        self.state.borrow().ready
    }

    /// One line for people.
    #[zbus(property)]
    async fn status_text(&self) -> String {
        self.state.borrow().status.clone()
    }

    /// The last error that still matters, or empty.
    #[zbus(property)]
    async fn last_error(&self) -> String {
        self.state.borrow().last_error.clone()
    }

    /// Since when `State` is what it is, in microseconds since 1970.
    #[zbus(property, name = "SinceUSec")]
    async fn since_usec(&self) -> u64 {
        let since = self.state.borrow().since.duration_since(UNIX_EPOCH);
        since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
    }

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").into()
    }

    /// The component's name.
    #[zbus(property(emits_changed_signal = "const"))]
    async fn name(&self) -> String {
        self.about.name.into()
    }
}

struct LogControl {
    about: About,
    level: LogLevel,
}

#[interface(name = "org.freedesktop.LogControl1")]
impl LogControl {
    #[zbus(property)]
    async fn log_level(&self) -> String {
        self.level.name().into()
    }

    #[zbus(property)]
    async fn set_log_level(&mut self, value: String) -> fdo::Result<()> {
        if self.level.set(&value) {
            tracing::info!(level = value, "Changed the log level");
            Ok(())
        } else {
            Err(fdo::Error::InvalidArgs(format!("unknown log level {value:?}")))
        }
    }

    #[zbus(property)]
    async fn log_target(&self) -> String {
        if k3s_rs_systemd::stderr_is_journal() { "journal".into() } else { "console".into() }
    }

    #[zbus(property(emits_changed_signal = "const"))]
    async fn syslog_identifier(&self) -> String {
        format!("k3s-rs-{}", self.about.name)
    }
}

/// Keeps the daemon on the system bus for ever: connects, serves, follows the state, connects again.
pub(crate) async fn stay_on_bus(about: About, mut state: watch::Receiver<State>, level: LogLevel) {
    let mut wait = RETRY_FIRST;
    loop {
        match connect(about, state.clone(), level.clone()).await {
            Ok(connection) => {
                wait = RETRY_FIRST;
                tracing::debug!("On the system bus");
                if let Err(error) = follow(&connection, about, &mut state).await {
                    tracing::info!(error = &error as &dyn std::error::Error, "Left the system bus");
                }
            }
            Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "No system bus"),
        }
        if state.has_changed().is_err() {
            return; // the daemon ends
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MOST);
    }
}

async fn connect(about: About, state: watch::Receiver<State>, level: LogLevel) -> zbus::Result<Connection> {
    Builder::system()
        .serve_at(path(about), Component { about, state })
        .serve_at("/org/freedesktop/LogControl1", LogControl { about, level })
        .name(format!("org.k3s_rs.{}", about.component))
        .build()
        .await
}

fn path(about: About) -> String {
    format!("/org/k3s_rs/{}", about.component)
}

/// Emits a change signal for each change of state, until the bus or the daemon goes.
async fn follow(
    connection: &Connection,
    about: About,
    state: &mut watch::Receiver<State>,
) -> zbus::Result<()> {
    let interface = connection.object_server().interface::<_, Component>(path(about)).await?;
    loop {
        let changed = tokio::select! {
            changed = state.changed() => changed,
            () = gone(connection) => return Ok(()),
        };
        if changed.is_err() {
            return Ok(());
        }
        let component = interface.get().await;
        component.state_changed(interface.signal_emitter()).await?;
        component.ready_changed(interface.signal_emitter()).await?;
        component.status_text_changed(interface.signal_emitter()).await?;
        component.last_error_changed(interface.signal_emitter()).await?;
        component.since_u_sec_changed(interface.signal_emitter()).await?;
    }
}

/// Completes when the broker has gone away.
async fn gone(connection: &Connection) {
    use futures_util::StreamExt;
    let mut messages = zbus::MessageStream::from(connection);
    while let Some(Ok(_)) = messages.next().await {}
}
