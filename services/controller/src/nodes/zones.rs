//! How fast nodes may be given up: the more of a zone is silent, the likelier it is the network that failed.
//!
//! # Upstream
//! `pkg/controller/nodelifecycle/node_lifecycle_controller.go` `handleDisruption`, `ComputeZoneState`,
//! `doNoExecuteTaintingPass`
//!
//! # Differs
//! The pace is kept by the times in the taints instead of a token bucket in memory, so a restart does not start it anew. No
//! node is given up before all others were looked at once more: those that fell silent with it are known then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use reconcile::{Ask, Kind, Plan, Sample};

use super::{LOOK, condition, metrics};

/// How long a count of all nodes holds: one for each node would be the square of them.
const HOLDS: Duration = Duration::from_secs(1);
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

/// The zones of all nodes as they were lately.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Zones {
    counted: Timestamp,
    /// Ready nodes of all zones.
    ready: usize,
    by_name: BTreeMap<String, Zone>,
}

#[derive(Debug, Default, PartialEq)]
struct Zone {
    ready: usize,
    silent: usize,
    /// When a node of it was given up last.
    last: Option<Timestamp>,
    /// Of those that are not ready and not given up, who has waited longest.
    next: Option<(Option<Timestamp>, String)>,
}

/// A zone's name, as upstream's metrics have it.
///
/// # Upstream
/// `k8s.io/component-helpers/node/topology/helpers.go` `GetZoneKey`
pub(super) fn zone(node: &Node) -> String {
    let label = |old: &str, new: &str| node.label(old).or_else(|| node.label(new)).unwrap_or_default();
    let zone = label("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    let region = label("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region");
    if zone.is_empty() && region.is_empty() { String::new() } else { format!("{region}:\0:{zone}") }
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

/// The time since then. A time ahead is by the clock of a node that is, and long past for all that is known here.
fn passed(now: Timestamp, since: Option<Timestamp>) -> Duration {
    since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or(Duration::MAX)
}

impl Zones {
    /// As counted lately, or now; then with what there is to measure.
    pub(super) fn of(ask: &Ask<'_>, plan: &mut Plan) -> Arc<Self> {
        let before = ask.shared::<Self>();
        let age = before.as_ref().and_then(|b| Duration::try_from(ask.now.duration_since(b.counted)).ok());
        match before {
            Some(known) if age.is_some_and(|age| age < HOLDS) => known,
            before => {
                let zones = Arc::new(Self::count(ask));
                plan.samples.extend(zones.samples(before.as_deref()));
                plan.share(Arc::clone(&zones));
                zones
            }
        }
    }

    fn count(ask: &Ask<'_>) -> Self {
        let mut zones = Self { counted: ask.now, ..Self::default() };
        for node in ask.view.all::<Node>() {
            let here = zones.by_name.entry(zone(node)).or_default();
            if node.label(EXCLUDED).is_none() {
                let ready = is_ready(node);
                zones.ready += usize::from(ready);
                *(if ready { &mut here.ready } else { &mut here.silent }) += 1;
            }
            match given_up(node) {
                Some(taint) => here.last = here.last.max(taint.time_added.as_ref().map(|t| t.0)),
                None if condition(node, "Ready").is_some() && !is_ready(node) => here.wait(node),
                None => {}
            }
        }
        zones
    }

    /// Whether a node, which is not ready, may be given up.
    pub(super) fn leave(&self, node: &Node, now: Timestamp) -> Leave {
        if self.ready == 0 && node.label(EXCLUDED).is_none() {
            return Leave::Nobody;
        }
        let Some(here) = self.by_name.get(&zone(node)) else { return Leave::Later(LOOK) };
        let Some(pace) = here.pace() else { return Leave::No };
        // by the time of the count
        let calm = passed(now, since(node)).saturating_sub(passed(now, Some(self.counted)));
        match pace.saturating_sub(passed(now, here.last)).max(LOOK.saturating_sub(calm)) {
            Duration::ZERO if here.is_next(node) => Leave::Now,
            Duration::ZERO => Leave::Later(pace), // the next one is on its way
            left => Leave::Later(left),
        }
    }

    /// What of it upstream measures; of a zone that is gone, that nothing is wrong with it.
    fn samples(&self, before: Option<&Self>) -> Vec<Sample> {
        let gone =
            before.into_iter().flat_map(|b| b.by_name.keys()).filter(|z| !self.by_name.contains_key(*z));
        let empty = Zone::default();
        let zones = self.by_name.iter().chain(gone.map(|name| (name, &empty)));
        zones.flat_map(|(name, zone)| zone.samples(name)).collect()
    }
}

impl Zone {
    fn size(&self) -> usize {
        self.ready + self.silent
    }

    fn wait(&mut self, node: &Node) {
        if self.is_next(node) {
            self.next = Some((since(node), node.name().to_owned()));
        }
    }

    /// Whether none has waited longer than a node.
    fn is_next(&self, node: &Node) -> bool {
        let next = self.next.as_ref().map(|(since, name)| (*since, name.as_str()));
        next.is_none_or(|next| (since(node), node.name()) <= next)
    }

    /// The time between two nodes; `None`: none at all.
    fn pace(&self) -> Option<Duration> {
        let most = self.silent >= FEW && self.silent * 20 >= self.size() * 11; // 55 %
        match (most && self.ready > 0, self.size() > LARGE) {
            (false, _) => Some(PACE),
            (true, true) => Some(SLOW),
            (true, false) => None,
        }
    }

    fn samples(&self, name: &str) -> [Sample; 4] {
        let health = if self.size() == 0 { 100.0 } else { 100.0 * self.ready as f64 / self.size() as f64 };
        [
            Sample::under(&metrics::ZONE_SIZE, name, self.size() as f64),
            Sample::under(&metrics::ZONE_HEALTH, name, health),
            Sample::under(&metrics::UNHEALTHY, name, self.silent as f64),
            Sample::under(&metrics::EVICTIONS, name, 0.0), // one that has none yet says so
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_mostly_silent_is_spared() {
        let pace = |ready, silent| Zone { ready, silent, ..Zone::default() }.pace();
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
