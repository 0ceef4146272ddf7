//! What a daemon's own function is given.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use k3s_rs_systemd::{Notify, Sockets, watchdog_interval};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::{About, Health, LogLevel, Metrics, messages};

/// How every answer of a health port begins.
const HTTP: &[u8; 9] = b"HTTP/1.1 ";

/// How a component is, as D-Bus and `k3s-rs status` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// It serves.
    pub ready: bool,
    /// One line for people.
    pub status: String,
    /// The last error that still matters, empty when none does.
    pub last_error: String,
    /// Since when it is ready or not.
    pub since: SystemTime,
}

/// What a daemon's own function is given.
#[derive(Debug)]
pub struct Context {
    /// The daemon's names.
    pub about: About,
    /// Sockets handed over by socket units.
    pub sockets: Sockets,
    /// Set when the daemon shall end.
    pub shutdown: web::Shutdown,
    /// Named health checks, served by `serve_health`.
    pub health: Health,
    /// The metrics registry, served by `serve_health`.
    pub metrics: Metrics,
    /// The level of the logs, changeable while running.
    pub log_level: LogLevel,
    state: watch::Sender<State>,
    drain: Arc<AtomicU64>,
}

impl Context {
    pub(crate) fn new(
        about: About,
        sockets: Sockets,
        shutdown: web::Shutdown,
        log_level: LogLevel,
        drain: Arc<AtomicU64>,
    ) -> (Self, watch::Receiver<State>) {
        let starting = State {
            ready: false,
            status: "starting".into(),
            last_error: String::new(),
            since: SystemTime::now(),
        };
        let (state, receiver) = watch::channel(starting);
        let (health, metrics) = (Health::default(), Metrics::default());
        (Self { about, sockets, shutdown, health, metrics, log_level, state, drain }, receiver)
    }

    /// Gives the daemon's own function this long to end after the stop signal, instead of ten seconds. The unit's
    /// `TimeoutStopSec=` must be longer.
    pub fn drain_within(&self, limit: Duration) {
        self.drain.store(limit.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn notify(&self) -> Notify {
        Notify
    }

    /// The sockets handed over under a name, or one bound by `bind` when there is none (outside systemd).
    ///
    /// # Errors
    /// Taking over or binding fails; a port in use says so.
    pub async fn listeners<F>(&mut self, name: &str, bind: F) -> io::Result<Vec<web::Listener>>
    where
        F: AsyncFnOnce() -> io::Result<web::Listener>,
    {
        let handed = self.sockets.named(name);
        if handed.is_empty() {
            return Ok(vec![bind().await?]);
        }
        handed.into_iter().map(web::Listener::from_fd).collect()
    }

    /// Says that the daemon serves: to systemd, to D-Bus, to the log.
    pub fn ready(&self, status: &str) {
        for name in self.sockets.unclaimed() {
            tracing::warn!(socket = name, "Handed a socket this daemon does not know");
        }
        Notify.ready(status);
        tracing::info!(message_id = messages::READY, status, "Ready");
        self.state.send_modify(|state| {
            *state = State {
                ready: true,
                status: status.into(),
                last_error: String::new(),
                since: SystemTime::now(),
            }
        });
    }

    /// Changes the line for people, and whether an error matters.
    pub fn status(&self, status: &str, last_error: &str) {
        Notify.status(status);
        self.state.send_modify(|state| {
            state.status = status.into();
            state.last_error = last_error.into();
        });
    }

    /// Feeds the watchdog as long as this daemon's own health port answers, whatever it says: a request that goes through
    /// the kernel, the listener and the loop everything else runs on. What it waits for (the API server) is no reason to
    /// be ended.
    pub fn feed_watchdog_from_port(&self, address: SocketAddr) {
        self.feed_watchdog(move || async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
            let mut begin = [0; HTTP.len()];
            stream.read_exact(&mut begin).await?;
            if begin == *HTTP { Ok(()) } else { Err(format!("{address} speaks no HTTP").into()) }
        });
    }

    /// Feeds the watchdog from `probe`, a real round trip through what the daemon does: as long as it succeeds.
    /// Does nothing where the unit has no watchdog.
    pub fn feed_watchdog<F, Fut>(&self, probe: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        let Some(interval) = watchdog_interval() else { return };
        let limit = (interval / 2).max(Duration::from_millis(100));
        tokio::spawn(async move {
            loop {
                match tokio::time::timeout(limit, probe()).await {
                    Ok(Ok(())) => Notify.alive(),
                    Ok(Err(error)) => tracing::error!(
                        message_id = messages::UNHEALTHY,
                        error = &*error as &dyn std::error::Error,
                        "Unhealthy"
                    ),
                    Err(_) => tracing::error!(
                        message_id = messages::UNHEALTHY,
                        seconds = limit.as_secs(),
                        "Health round trip took too long"
                    ),
                }
                tokio::time::sleep(limit).await;
            }
        });
    }
}
