//! Lets calls that change something end before the daemon does, and no new one begin.

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, Default)]
struct State {
    closed: bool,
    running: usize,
}

/// Counts calls that must not be cut short: a container whose start is given up half-way is one that failed.
#[derive(Debug)]
pub(crate) struct Gate {
    state: watch::Sender<State>,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Pass<'a>(&'a Gate);

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.state.send_modify(|s| s.running -= 1);
    }
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::new(State::default()) }
    }

    /// Lets a call begin; once the gate is closed none does any more.
    pub(crate) async fn enter(&self) -> Pass<'_> {
        let mut open = false;
        self.state.send_modify(|s| {
            open = !s.closed;
            s.running += usize::from(open);
        });
        if !open {
            std::future::pending::<()>().await;
        }
        Pass(self)
    }

    /// Closes the gate and waits until the last call has ended.
    pub(crate) async fn close(&self) {
        self.state.send_modify(|s| s.closed = true);
        if self.state.subscribe().wait_for(|s| s.running == 0).await.is_err() {
            tracing::trace!("The sender lives as long as the gate");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn closing_waits_for_what_runs_and_lets_nothing_in() {
        let gate = Gate::new();
        let pass = gate.enter().await;
        let short = Duration::from_millis(20);
        assert!(tokio::time::timeout(short, gate.close()).await.is_err(), "a call is under way");
        assert!(tokio::time::timeout(short, gate.enter()).await.is_err(), "it is closed");
        drop(pass);
        gate.close().await;
    }
}
