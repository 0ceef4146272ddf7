//! Ending pods in order before the machine goes down: logind is asked to wait for it.
//!
//! # Upstream
//! `pkg/kubelet/nodeshutdown`
//!
//! # Differs
//! Where logind's longest delay is shorter than what is asked for, and its drop-in folder cannot be written (NixOS), the
//! kubelet says so and uses what there is, instead of giving up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use zbus::OwnedFd;

use crate::Kubelet;
use crate::events::Kind;
use crate::eviction::terminated_by_kubelet;
use crate::pod::facts::PodFacts;
use crate::pod::status::Verdict;
use crate::pod::workers::{self, Handle};
use crate::settings::{Settings, ShutdownGrace};

const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";
const CRITICAL: i32 = 2_000_000_000;
const DROP_IN: &str = "/etc/systemd/logind.conf.d/99-kubelet.conf";

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait Login {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;
    #[zbus(signal)]
    fn prepare_for_shutdown(&self, start: bool) -> zbus::Result<()>;
    #[zbus(property(emits_changed_signal = "false"), name = "InhibitDelayMaxUSec")]
    fn inhibit_delay_max_usec(&self) -> zbus::Result<u64>;
}

#[zbus::proxy(
    interface = "org.freedesktop.systemd1.Manager",
    default_service = "org.freedesktop.systemd1",
    default_path = "/org/freedesktop/systemd1"
)]
trait Systemd {
    fn kill_unit(&self, name: &str, whom: &str, signal: i32) -> zbus::Result<()>;
}

/// Whether the machine is going down.
#[derive(Debug, Default)]
pub struct Shutdown {
    now: AtomicBool,
    busy: tokio::sync::Mutex<()>,
}

impl Shutdown {
    /// Whether it is.
    pub fn imminent(&self) -> bool {
        self.now.load(Ordering::Relaxed)
    }

    /// Takes no pod in while the machine goes down.
    ///
    /// # Errors
    /// It does.
    pub fn admit(&self) -> Result<(), Box<Verdict>> {
        if !self.imminent() {
            return Ok(());
        }
        Err(Box::new(Verdict::rejected("NodeShutdown", "Pod was rejected as the node is shutting down.")))
    }

    /// Waits until pods that are being ended for a shutdown have ended.
    pub async fn settled(&self) {
        drop(self.busy.lock().await);
    }
}

/// The grace periods by priority, the least important first; none: pods are not ended for a shutdown. Pure.
pub fn periods(settings: &Settings) -> Vec<ShutdownGrace> {
    let mut by_priority = settings.shutdown_grace_period_by_pod_priority.clone();
    if by_priority.is_empty() {
        let (all, critical) = (settings.shutdown_grace_period, settings.shutdown_grace_period_critical_pods);
        let Some(others) = all.checked_sub(critical).filter(|_| !all.is_zero()) else { return Vec::new() };
        let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        by_priority = vec![
            ShutdownGrace { priority: 0, shutdown_grace_period_seconds: seconds(others) },
            ShutdownGrace { priority: CRITICAL, shutdown_grace_period_seconds: seconds(critical) },
        ];
    }
    by_priority.sort_by_key(|p| p.priority);
    by_priority
}

/// How long all of it may take.
pub fn whole(periods: &[ShutdownGrace]) -> Duration {
    let seconds: i64 = periods.iter().map(|p| p.shutdown_grace_period_seconds.max(0)).sum();
    Duration::from_secs(seconds.unsigned_abs())
}

/// The period a priority belongs to: the highest that is not above it, else the lowest. Pure.
fn group(periods: &[ShutdownGrace], priority: i32) -> usize {
    periods.iter().rposition(|p| p.priority <= priority).unwrap_or(0)
}

/// Waits for shutdowns for ever; returns at once when nothing is configured.
pub async fn run(kubelet: Arc<Kubelet>) {
    let periods = periods(&kubelet.settings);
    if periods.is_empty() {
        return std::future::pending().await;
    }
    loop {
        if let Err(error) = watch(&kubelet, &periods).await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "Cannot watch for the shutdown of this machine");
        }
        // the bus or logind went away: as soon as they are back
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn watch(kubelet: &Arc<Kubelet>, periods: &[ShutdownGrace]) -> zbus::Result<()> {
    let bus = zbus::Connection::system().await?;
    let login = LoginProxy::new(&bus).await?;
    ensure_delay(&bus, &login, whole(periods)).await?;
    let mut signals = login.receive_prepare_for_shutdown().await?;
    let mut restarts = login.inner().receive_owner_changed().await?;
    let mut lock = Some(inhibit(&login).await?);
    tracing::info!(seconds = whole(periods).as_secs(), "Ready for a graceful shutdown of this machine");
    loop {
        let begins = tokio::select! {
            signal = signals.next() => match signal {
                Some(signal) => signal.args()?.start,
                None => return Ok(()),
            },
            // a logind that comes back knows of no lock: all of this is set up anew
            _ = restarts.next() => return Ok(()),
        };
        kubelet.shutdown.now.store(begins, Ordering::Relaxed);
        kubelet.node_changed.notify_one();
        let what = if begins { "shutdown event" } else { "shutdown cancellation" };
        kubelet.events.node(Kind::Normal, "NodeShutdown", &format!("Shutdown manager detected {what}"));
        tracing::info!(begins, "Shutdown of this machine");
        if begins {
            let _busy = kubelet.shutdown.busy.lock().await;
            end_pods(kubelet, periods).await;
            drop(lock.take());
        } else {
            lock = Some(inhibit(&login).await?);
        }
    }
}

async fn inhibit(login: &LoginProxy<'_>) -> zbus::Result<OwnedFd> {
    login.inhibit("shutdown", "kubelet", "Kubelet needs time to handle node shutdown", "delay").await
}

/// Sees to it that logind waits long enough.
async fn ensure_delay(bus: &zbus::Connection, login: &LoginProxy<'_>, wanted: Duration) -> zbus::Result<()> {
    let enough =
        async || login.inhibit_delay_max_usec().await.map(|now| Duration::from_micros(now) >= wanted);
    if enough().await? {
        return Ok(());
    }
    let text = format!("# Kubelet logind override\n[Login]\nInhibitDelayMaxSec={}\n", wanted.as_secs());
    let path = Path::new(DROP_IN);
    let dir = path.parent().unwrap_or(Path::new("/"));
    if let Err(error) = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(path, text)) {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(
            error,
            seconds = wanted.as_secs(),
            "Cannot make logind wait long enough for a graceful shutdown"
        );
        return Ok(());
    }
    SystemdProxy::new(bus).await?.kill_unit("systemd-logind.service", "all", nix::libc::SIGHUP).await?;
    for attempt in 0..5 {
        tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
        if enough().await? {
            return Ok(());
        }
    }
    tracing::warn!(seconds = wanted.as_secs(), "Logind does not wait as long as asked");
    Ok(())
}

/// Ends all pods, the least important first, each group within its time.
async fn end_pods(kubelet: &Arc<Kubelet>, periods: &[ShutdownGrace]) {
    let mut groups: Vec<Vec<Arc<Handle>>> = vec![Vec::new(); periods.len()];
    for handle in kubelet.workers.handles() {
        if !handle.look(|v| v.ended) {
            let priority = handle.pod().facts().priority.unwrap_or(0);
            groups[group(periods, priority)].push(handle);
        }
    }
    for (period, handles) in periods.iter().zip(groups).filter(|(_, h)| !h.is_empty()) {
        let most = period.shutdown_grace_period_seconds;
        for handle in &handles {
            let pod = handle.pod();
            let grace = pod.facts().termination_grace_period_seconds.map_or(most, |own| own.min(most));
            tracing::info!(pod = pod.full_name(), grace, "Ending a pod for the shutdown of this machine");
            let condition = Some(terminated_by_kubelet(MESSAGE));
            let verdict = Verdict { reason: "Terminated".into(), message: MESSAGE.into(), condition };
            workers::end(handle, verdict, Some(grace));
        }
        let limit = Duration::from_secs(most.max(0).unsigned_abs());
        let all = join_all(handles.iter().map(|h| h.ended()));
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!(priority = period.priority, "Pods did not end in time before the shutdown");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        let settings = Settings {
            shutdown_grace_period: Duration::from_secs(30),
            shutdown_grace_period_critical_pods: Duration::from_secs(10),
            ..Settings::default()
        };
        let periods = periods(&settings);
        assert_eq!(whole(&periods), Duration::from_secs(30));
        let seconds: Vec<_> = periods.iter().map(|p| p.shutdown_grace_period_seconds).collect();
        assert_eq!(seconds, [20, 10]);
        for (priority, index) in [(-5, 0), (0, 0), (1_000_000, 0), (CRITICAL, 1), (CRITICAL + 1000, 1)] {
            assert_eq!(group(&periods, priority), index, "{priority}");
        }
        assert!(super::periods(&Settings::default()).is_empty());
    }
}
