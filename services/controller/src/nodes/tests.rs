//! Nodes that fall silent, one and many.

use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use reconcile::Kind;
use reconcile::kit::World;
use serde_json::json;

use super::{Lifecycle, zones};
use crate::properties::{object, start};

/// Nodes that have reported once, the second half of them by clocks that are an hour behind.
fn cluster(size: usize) -> World {
    let mut world = World::new(start());
    let behind = start().as_second() - 3600;
    for number in 0..size {
        let beat = if number * 2 < size { start() } else { Timestamp::from_second(behind).unwrap() };
        let ready =
            json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": meta::time::rfc3339(beat)}]);
        let node = json!({"metadata": {"name": format!("n{number}")}, "status": {"conditions": ready}});
        world.put::<Node>(&object(node)).unwrap();
    }
    world
}

/// Lets seconds pass, in which the nodes from `silent` on say nothing; gives what was given up when.
fn pass(world: &mut World, seconds: i64, silent: usize) -> Vec<(i64, String)> {
    let mut gone = Vec::new();
    for second in (0..seconds).step_by(5) {
        let size = world.all::<Node>().len();
        for number in 0..size.min(silent) {
            let renewed = meta::time::rfc3339_micro(world.now);
            let name = format!("n{number}");
            let lease = json!({"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": {"renewTime": renewed}});
            world.put::<Lease>(&object(lease)).unwrap();
        }
        for number in 0..size {
            world.settle(&Lifecycle, &Key::new("", format!("n{number}")), 10).unwrap();
        }
        for node in world.all::<Node>().iter().filter(|n| tainted(n, "NoExecute")) {
            if !gone.iter().any(|(_, name)| name == node.name()) {
                gone.push((second, node.name().to_owned()));
            }
        }
        world.now = Timestamp::from_second(world.now.as_second() + 5).unwrap();
    }
    gone
}

fn tainted(node: &Node, effect: &str) -> bool {
    super::taints(node).any(|t| t.effect == effect && t.key == "node.kubernetes.io/unreachable")
}

#[test]
fn clocks_of_nodes_do_not_matter() {
    let mut world = cluster(2);
    assert_eq!(pass(&mut world, 600, 2), []);
    assert!(!world.all::<Node>().iter().any(|n| tainted(n, "NoSchedule")));
}

#[test]
fn after_a_restart_nodes_have_time_to_report() {
    let mut world = cluster(3);
    world.now = Timestamp::from_second(start().as_second() + 7200).unwrap();
    assert_eq!(pass(&mut world, 50, 0), []);
    assert!(!world.all::<Node>().iter().any(|n| tainted(n, "NoSchedule")));
}

#[test]
fn a_zone_gives_up_one_after_the_other() {
    let mut world = cluster(6);
    let gone: Vec<_> = pass(&mut world, 120, 4);
    assert_eq!(gone, [(60, "n4".to_owned()), (70, "n5".to_owned())]);
}

#[test]
fn where_most_are_silent_none_is_given_up() {
    let mut world = cluster(6);
    assert_eq!(pass(&mut world, 600, 2), []);
    assert_eq!(world.all::<Node>().iter().filter(|n| tainted(n, "NoSchedule")).count(), 4);
}

#[test]
fn when_all_fall_silent_those_given_up_come_back() {
    let mut world = cluster(3);
    assert_eq!(pass(&mut world, 70, 2).len(), 1);
    assert_eq!(pass(&mut world, 70, 0).len(), 1, "given up before the others fell silent");
    assert!(!world.all::<Node>().iter().any(|n| tainted(n, "NoExecute")));
    assert!(world.all::<Node>().iter().all(|n| tainted(n, "NoSchedule")));
}

#[test]
fn that_a_node_goes_is_told_once() {
    let (mut world, key) = (cluster(2), Key::new("", "n1"));
    pass(&mut world, 10, 2);
    let uid = world.all::<Node>().iter().find(|n| n.name() == "n1").map(|n| n.uid().to_owned()).unwrap();
    world.remove::<Node>(&key);
    let told = world.plan(&Lifecycle, &key).unwrap().events;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].reason, &told[0].about.uid), ("RemovingNode", &uid));
    assert_eq!(told[0].message, "Node n1 event: Removing Node n1 from Controller");
    world.settle(&Lifecycle, &key, 10).unwrap();
    assert_eq!(world.plan(&Lifecycle, &key).unwrap().events, []);
}

#[test]
fn zones_are_named_as_upstream_names_them() {
    let named = |labels| zones::zone(&object(json!({"metadata": {"name": "n", "labels": labels}})));
    assert_eq!(named(json!({})), "");
    let new = json!({"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"});
    assert_eq!(named(new), "r:\0:z");
    assert_eq!(named(json!({"failure-domain.beta.kubernetes.io/zone": "z"})), ":\0:z");
}

/// To count them for each node would take seconds.
#[test]
fn thousands_of_silent_nodes_are_counted_once_a_look() {
    let mut world = cluster(5000);
    world.sweep(&Lifecycle).unwrap();
    for seconds in [55, 60] {
        world.now = Timestamp::from_second(start().as_second() + seconds).unwrap();
        let plans = world.sweep(&Lifecycle).unwrap();
        assert_eq!(plans.iter().filter(|p| p.writes.len() == 1).count(), 5000, "after {seconds} s");
        assert_eq!(plans.iter().filter(|p| p.shared.is_some()).count(), 1);
        for plan in plans {
            plan.writes.iter().for_each(|write| world.apply(write).unwrap());
        }
    }
    world.now = Timestamp::from_second(start().as_second() + 65).unwrap();
    assert!(world.sweep(&Lifecycle).unwrap().iter().all(|p| p.is_quiet()));
}
