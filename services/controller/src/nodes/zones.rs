//! How fast nodes may be given up: the more of a zone is silent, the likelier it is the network that failed.
//!
//! # Upstream
//! `pkg/controller/nodelifecycle/node_lifecycle_controller.go` `handleDisruption`, `ComputeZoneState`,
//! `doNoExecuteTaintingPass`
//!
//! # Differs
//! The pace is kept by the times in the taints instead of a token bucket in memory, so a restart does not start it anew. No
//! node is given up before all others were looked at once more: those that fell silent with it are known then.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use reconcile::{Ask, Kind};

use super::{LOOK, condition};

/// Between two nodes of a zone.
const PACE: Duration = Duration::from_secs(10);
/// The same in a large zone most of which is silent.
const SLOW: Duration = Duration::from_secs(100);
/// A zone of more nodes is large.
const LARGE: usize = 50;
/// A zone with fewer silent nodes is well.
const FEW: usize = 3;
/// Nodes with this label do not count.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

/// Whether a node that is not ready may get the taint its pods have to go for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Now.
    Now,
    /// It may be asked again then.
    Later(Duration),
    /// As long as nothing changes, not.
    No,
    /// No node is ready anywhere: rather this side is cut off. Who has the taint loses it.
    Nobody,
}

#[derive(Default)]
struct Count {
    ready: usize,
    silent: usize,
}

fn zone(node: &Node) -> (&str, &str) {
    let label = |new: &str, old: &str| node.label(new).or_else(|| node.label(old)).unwrap_or_default();
    (
        label("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
        label("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    )
}

fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|c| c.status == "True")
}

/// The taint by which a node's pods have to go, of those given here.
pub(super) fn given_up(node: &Node) -> Option<&Taint> {
    let mut taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    taints.find(|t| {
        let key = t.key.strip_prefix("node.kubernetes.io/");
        t.effect == "NoExecute" && key.is_some_and(|k| matches!(k, "not-ready" | "unreachable"))
    })
}

/// Since when a node is as ready as it is.
fn since(node: &Node) -> Option<Timestamp> {
    condition(node, "Ready")?.last_transition_time.as_ref().map(|t| t.0)
}

/// Who has waited longest is next.
fn turn(node: &Node) -> (Option<Timestamp>, &str) {
    (since(node), node.name())
}

/// The time since then. A time ahead is by the clock of a node that is, and long past for all that is known here.
fn passed(now: Timestamp, since: Option<Timestamp>) -> Duration {
    since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or(Duration::MAX)
}

/// Whether `own`, which is not ready, may be given up.
pub(super) fn leave(ask: &Ask<'_>, own: &Node) -> Leave {
    let mine = zone(own);
    let (mut here, mut ready) = (Count::default(), 0);
    let (mut last, mut is_next) = (None::<Timestamp>, true);
    for stored in ask.view.all::<Node>() {
        let node = if stored.name() == own.name() { own } else { stored };
        let counts = node.label(EXCLUDED).is_none();
        ready += usize::from(counts && is_ready(node));
        if zone(node) != mine {
            continue;
        }
        if counts {
            *(if is_ready(node) { &mut here.ready } else { &mut here.silent }) += 1;
        }
        match given_up(node) {
            Some(taint) => last = last.max(taint.time_added.as_ref().map(|t| t.0)),
            None if condition(node, "Ready").is_some() && !is_ready(node) => {
                is_next &= turn(own) <= turn(node)
            }
            None => {}
        }
    }
    if ready == 0 && own.label(EXCLUDED).is_none() {
        return Leave::Nobody;
    }
    let Some(pace) = pace(&here) else { return Leave::No };
    let calm = passed(ask.now, since(own));
    match pace.saturating_sub(passed(ask.now, last)).max(LOOK.saturating_sub(calm)) {
        Duration::ZERO if is_next => Leave::Now,
        Duration::ZERO => Leave::Later(pace), // the next one is on its way
        left => Leave::Later(left),
    }
}

/// The time between two nodes; `None`: none at all.
fn pace(zone: &Count) -> Option<Duration> {
    let all = zone.ready + zone.silent;
    let most = zone.silent >= FEW && zone.silent * 20 >= all * 11; // 55 %
    match (most && zone.ready > 0, all > LARGE) {
        (false, _) => Some(PACE),
        (true, true) => Some(SLOW),
        (true, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_mostly_silent_is_spared() {
        let pace = |ready, silent| pace(&Count { ready, silent });
        assert_eq!([pace(9, 1), pace(1, 2), pace(3, 3), pace(0, 4)], [Some(PACE); 4]);
        assert_eq!([pace(2, 3), pace(9, 11)], [None; 2]);
        assert_eq!(pace(20, 31), Some(SLOW));
    }

    #[test]
    fn clocks_that_are_ahead_hold_nothing_up() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(passed(at(60), Some(at(50))), Duration::from_secs(10));
        assert_eq!([passed(at(60), Some(at(3600))), passed(at(60), None)], [Duration::MAX; 2]);
    }
}
