//! The names of nodes in cluster DNS: `NodeHosts` of the ConfigMap `coredns`.
//!
//! # Upstream
//! k3s `pkg/node/controller.go` `updateCoreDNSConfigMap`

use std::collections::BTreeSet;

use client::Key;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Watch};

const DATA: &str = "NodeHosts";

/// The controller.
#[derive(Debug)]
pub(crate) struct NodeHosts;

fn config_map() -> Key {
    Key::new(super::owner::NAMESPACE, "coredns")
}

impl Controller for NodeHosts {
    fn name(&self) -> &'static str {
        "node-hosts-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<ConfigMap>(), Watch::map::<Node>(|_, _| vec![config_map()])]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<ConfigMap>("patch")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(map) = ask.view.get::<ConfigMap>(ask.key).filter(|_| *ask.key == config_map()) else {
            return Ok(plan);
        };
        let lines: BTreeSet<String> = ask.view.all::<Node>().flat_map(|node| lines(node)).collect();
        let wanted: String = lines.into_iter().map(|line| line + "\n").collect();
        if map.data.as_ref().and_then(|d| d.get(DATA)) != Some(&wanted) {
            let mut next = ConfigMap::clone(map);
            next.data.get_or_insert_default().insert(DATA.into(), wanted);
            plan.update(map.as_ref(), &next)?;
        }
        Ok(plan)
    }
}

/// A line for each address of a node.
fn lines(node: &Node) -> Vec<String> {
    let addresses = node.status.iter().flat_map(|s| s.addresses.iter().flatten());
    let of = |kind: &'static str| addresses.clone().filter(move |a| a.type_ == kind);
    let mut names = vec![node.name().to_owned()];
    names.extend(of("Hostname").map(|a| a.address.clone()).filter(|h| h != node.name()));
    of("InternalIP").map(|a| format!("{} {}", a.address, names.join(" "))).collect()
}
