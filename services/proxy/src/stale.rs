//! UDP flows that go on to endpoints which are gone: the kernel never asks the maps again for a tracked flow.

use std::collections::HashMap;

use netlink::conntrack::{Conntrack, Flow};
use netlink::nft::Family;

use crate::model::Protocol;
use crate::plan::{At, Front};

/// Deletes the tracked UDP flows of changed fronts that go elsewhere than the fronts now say.
///
/// # Errors
/// The kernel's answer.
///
/// # Upstream
/// `pkg/proxy/conntrack/cleanup.go` `CleanStaleEntries`
pub(crate) fn delete(
    conntrack: &mut Conntrack,
    fronts: &[(At, Option<Front>)],
) -> Result<usize, netlink::Error> {
    let udp = || fronts.iter().filter(|(at, _)| at.protocol() == Protocol::Udp);
    let mut deleted = 0;
    for family in [Family::Ip, Family::Ip6] {
        let of_family: HashMap<At, &Option<Front>> =
            udp().filter(|(at, _)| at.family() == family).map(|(at, front)| (*at, front)).collect();
        if !of_family.is_empty() {
            deleted += conntrack.delete(family, |flow| is_stale(flow, &of_family, family))?;
        }
    }
    Ok(deleted)
}

fn is_stale(flow: &Flow, fronts: &HashMap<At, &Option<Front>>, family: Family) -> bool {
    if flow.protocol != Protocol::Udp.number() {
        return false;
    }
    let (address, port) = flow.destination;
    let address = At::Address(address, Protocol::Udp, port);
    let Some(front) = fronts.get(&address).or_else(|| fronts.get(&At::NodePort(family, Protocol::Udp, port)))
    else {
        return false;
    };
    let targets = || front.iter().flat_map(|f| f.targets.iter().chain(&f.cluster_targets));
    match targets().next() {
        // nobody there: what was sent to an endpoint goes to one that is gone
        None => flow.answers != flow.destination,
        Some(_) => !targets().any(|target| *target == flow.answers),
    }
}
