//! Signs of life: what of a node changed, and when that was seen here. Nodes' own clocks do not matter.
//!
//! # Upstream
//! `pkg/controller/nodelifecycle/node_lifecycle_controller.go` `tryUpdateNodeHealth`
//!
//! # Differs
//! A lease whose time goes back is a sign of life too: the node's clock was set.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus};
use reconcile::{Ask, Kind};

use super::condition;
use crate::common::{created, time};

/// Seconds of silence of a node that has reported.
const GRACE: i64 = 50;
/// Seconds until the first report.
const STARTUP_GRACE: i64 = 60;

/// Why nothing is known of a node that has reported.
pub(super) const STOPPED: &str = "NodeStatusUnknown";

/// What is remembered of a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Health {
    uid: String,
    /// When the kubelet says it reported; the outer `None` before there is a report.
    heartbeat: Option<Option<Timestamp>>,
    renewed: Option<Timestamp>,
    /// When something of this was last seen to change.
    seen: Timestamp,
}

impl Health {
    /// What is known of a node now, and whether it is new here.
    pub(super) fn of(ask: &Ask<'_>, node: &Node) -> (Self, bool) {
        let before = ask.remembered::<Self>().filter(|known| known.uid == node.uid());
        let heartbeat = condition(node, "Ready").map(|c| c.last_heartbeat_time.as_ref().map(|beat| beat.0));
        let lease = ask.view.named::<Lease>("kube-node-lease", node.name());
        let renewed = lease.and_then(|l| l.spec.as_ref()?.renew_time.as_ref().map(|renewed| renewed.0));
        let seen = match before {
            Some(known) if (known.heartbeat, known.renewed) == (heartbeat, renewed) => known.seen,
            // a node that never said anything has been silent since it was made
            None if heartbeat.is_none() && renewed.is_none() => created(node),
            _ => ask.now,
        };
        (Self { uid: node.uid().to_owned(), heartbeat, renewed, seen }, before.is_none())
    }

    /// The uid of the node it is of.
    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Whether the node has said nothing for too long.
    pub(super) fn is_silent(&self, now: Timestamp) -> bool {
        let grace = if self.heartbeat.is_some() { GRACE } else { STARTUP_GRACE };
        now.as_second() - self.seen.as_second() > grace
    }
}

/// Conditions of a node that says nothing any more.
pub(super) fn silence(node: &mut Node, now: Timestamp) {
    let made = node.metadata.creation_timestamp.clone();
    let status: &mut NodeStatus = node.status.get_or_insert_default();
    let conditions = status.conditions.get_or_insert_default();
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match conditions.iter_mut().find(|c| c.type_ == kind) {
            Some(known) if known.status != "Unknown" => {
                known.status = "Unknown".into();
                known.reason = Some(STOPPED.into());
                known.message = Some("Kubelet stopped posting node status.".into());
                known.last_transition_time = time(now);
            }
            Some(_) => {}
            None => conditions.push(NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: made.clone(),
                last_transition_time: time(now),
            }),
        }
    }
}
