//! Each node's share of the pod ranges.
//!
//! # Upstream
//! `pkg/controller/nodeipam/ipam/range_allocator.go`

use std::collections::HashSet;
use std::net::IpAddr;

use client::Patch;
use k8s_openapi::api::core::v1::Node;
use reconcile::{Ask, Controller, Error, Event, Kind, Permit, Plan, Watch};
use serde_json::json;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    base: u128,
    prefix: u8,
    v6: bool,
}

impl Range {
    /// Reads `10.42.0.0/16`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (address, prefix) = text.split_once('/').ok_or_else(|| anyhow::anyhow!("{text:?} is no CIDR"))?;
        let (base, v6) = match address.parse::<IpAddr>()? {
            IpAddr::V4(a) => (u128::from(u32::from(a)), false),
            IpAddr::V6(a) => (u128::from(a), true),
        };
        let prefix: u8 = prefix.parse()?;
        anyhow::ensure!(prefix <= if v6 { 128 } else { 32 }, "{text:?} is no CIDR");
        Ok(Self { base, prefix, v6 })
    }

    fn mask(&self) -> u128 {
        let host = u32::from(if self.v6 { 128 } else { 32 } - self.prefix);
        u128::MAX.checked_shl(host).unwrap_or(0)
    }

    /// Whether an address is in it.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let (value, v6) = match address {
            IpAddr::V4(a) => (u128::from(u32::from(a)), false),
            IpAddr::V6(a) => (u128::from(a), true),
        };
        v6 == self.v6 && value & self.mask() == self.base & self.mask()
    }

    /// Whether another range is in it.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.v6 == other.v6
            && self.prefix <= other.prefix
            && self.base & self.mask() == other.base & self.mask()
    }

    /// Its n-th part of a prefix length; `None` past the end.
    fn part(&self, n: u128, prefix: u8) -> Option<Self> {
        let bits = if self.v6 { 128 } else { 32 };
        let count = 1u128.checked_shl(u32::from(prefix - self.prefix.min(prefix)))?;
        (n < count).then(|| Self { base: self.base + (n << (bits - prefix)), prefix, v6: self.v6 })
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = if self.v6 {
            IpAddr::V6(self.base.into())
        } else {
            IpAddr::V4(u32::try_from(self.base).unwrap_or(0).into())
        };
        write!(f, "{address}/{}", self.prefix)
    }
}

/// The controller.
#[derive(Debug)]
pub(crate) struct NodeIpam {
    /// Ranges, each with the length of a node's share.
    pub(crate) ranges: Vec<(Range, u8)>,
}

impl Controller for NodeIpam {
    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn component(&self) -> &'static str {
        "cidrAllocator"
    }

    fn watches(&self) -> Vec<Watch> {
        // one key for all nodes: two shares are never chosen at once
        vec![Watch::map::<Node>(|_, _| vec![client::Key::new("", "nodes")])]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Node>("patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let mut taken: HashSet<Range> = HashSet::new();
        for node in ask.view.all::<Node>() {
            let shares = node.spec.iter().flat_map(|s| s.pod_cidrs.iter().flatten().chain(s.pod_cidr.iter()));
            taken.extend(shares.filter_map(|c| Range::parse(c).ok()));
        }
        let is_bare = |n: &&std::sync::Arc<Node>| {
            n.spec.as_ref().and_then(|s| s.pod_cidr.as_deref()).unwrap_or_default().is_empty()
                && !n.deleting()
        };
        let mut bare: Vec<_> = ask.view.all::<Node>().filter(is_bare).collect();
        bare.sort_by(|a, b| a.name().cmp(b.name()));
        // each goes on where it gave the last part: what lies before is taken
        let parts = |(range, length): &(Range, u8)| {
            let (range, length) = (*range, *length);
            (0..).map_while(move |n| range.part(n, length))
        };
        let mut parts: Vec<_> = self.ranges.iter().map(parts).collect();
        for node in bare {
            let mut shares = Vec::new();
            for parts in &mut parts {
                let Some(free) = parts.find(|part| !taken.contains(part)) else {
                    let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
                    plan.events.push(Event::normal(node.as_ref(), "CIDRNotAvailable", message));
                    return Ok(plan);
                };
                taken.insert(free);
                shares.push(free.to_string());
            }
            let patch = json!({"metadata": {"uid": node.uid(), "resourceVersion": node.metadata.resource_version},
                "spec": {"podCIDR": shares.first(), "podCIDRs": shares}});
            plan.patch(node.as_ref(), "", Patch::Merge(patch));
        }
        Ok(plan)
    }
}
