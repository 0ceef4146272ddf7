//! Incremental state equals rebuilt state, and so do the decisions made from both.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CPU, State, World};
use crate::config::Profile;
use crate::decide::{Decider, Decision};
use crate::model::{Node, Pod};

#[derive(Debug, Clone)]
enum Change {
    Node { name: u8, zone: u8, tainted: bool, cpu: u8 },
    NodeGone(u8),
    Pod { name: u8, node: u8, kind: u8, deleting: bool },
    PodGone(u8),
    Ask(u8),
}

fn node(name: u8, zone: u8, tainted: bool, cpu: u8) -> Arc<Node> {
    let mut labels = json!({"kubernetes.io/hostname": format!("n{name}")});
    if zone > 0 {
        labels["topology.kubernetes.io/zone"] = format!("z{zone}").into();
    }
    let taints: Vec<Value> =
        tainted.then(|| json!({"key": "a", "effect": "NoSchedule"})).into_iter().collect();
    let object = json!({
        "metadata": {"name": format!("n{name}"), "labels": labels},
        "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": cpu.to_string(), "memory": "8Gi", "pods": "10", "example.com/gpu": "2"}},
    });
    Arc::new(Node::project(object.to_string().as_bytes()).unwrap())
}

/// Kinds of pods that look at each other in every way.
fn pod(name: u8, on: Option<u8>, kind: u8, deleting: bool) -> Arc<Pod> {
    let term =
        |app: &str, key: &str| json!({"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key});
    let (zone, host) = ("topology.kubernetes.io/zone", "kubernetes.io/hostname");
    let required = |term: Value| json!({"requiredDuringSchedulingIgnoredDuringExecution": [term]});
    let preferred = |term: Value| json!({"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "podAffinityTerm": term}]});
    let spread = |key: &str, action: &str, policy: &str| {
        json!([{"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": action, "nodeTaintsPolicy": policy,
                "labelSelector": {"matchLabels": {"app": "a"}}}])
    };
    let mut spec =
        json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m"}}}]});
    match kind {
        1 => spec["affinity"] = json!({"podAntiAffinity": required(term("a", host))}),
        2 => spec["affinity"] = json!({"podAffinity": required(term("a", zone))}),
        3 => {
            spec["affinity"] = json!({"podAffinity": preferred(term("b", zone)), "podAntiAffinity": preferred(term("a", host))})
        }
        4 => spec["topologySpreadConstraints"] = spread(zone, "DoNotSchedule", "Honor"),
        5 => spec["topologySpreadConstraints"] = spread(host, "ScheduleAnyway", "Ignore"),
        6 => spec["containers"][0]["resources"]["requests"]["example.com/gpu"] = "1".into(),
        7 => spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 80}]),
        _ => {}
    }
    if let Some(on) = on {
        spec["nodeName"] = format!("n{on}").into();
    }
    let mut metadata = json!({"name": format!("p{name}"), "namespace": "d", "uid": format!("u{name}"),
        "labels": {"app": if kind.is_multiple_of(2) { "a" } else { "b" }}});
    if deleting {
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    Arc::new(Pod::project(json!({"metadata": metadata, "spec": spec}).to_string().as_bytes()).unwrap())
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => (0..6_u8, 0..3_u8, any::<bool>(), 1..5_u8)
            .prop_map(|(name, zone, tainted, cpu)| Change::Node { name, zone, tainted: tainted && zone == 2, cpu }),
        1 => (0..6_u8).prop_map(Change::NodeGone),
        6 => (0..20_u8, 0..6_u8, 0..8_u8, any::<bool>())
            .prop_map(|(name, node, kind, d)| Change::Pod { name, node, kind, deleting: d && kind == 0 }),
        2 => (0..20_u8).prop_map(Change::PodGone),
        6 => (0..8_u8).prop_map(Change::Ask),
    ]
}

fn apply(state: &mut State, nodes: &BTreeMap<u8, Arc<Node>>, pods: &BTreeMap<u8, Arc<Pod>>) {
    nodes.values().for_each(|n| state.set_node(n));
    pods.values().for_each(|p| state.set_pod(p));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn incremental_equals_rebuilt(changes in proptest::collection::vec(change(), 1..60)) {
        let (world, profile) = (World::default(), Profile::default());
        let (mut state, mut decider) = (State::default(), Decider::new(1));
        let (mut nodes, mut pods) = (BTreeMap::new(), BTreeMap::new());
        for change in changes {
            match change {
                Change::Node { name, zone, tainted, cpu } => {
                    let node = node(name, zone, tainted, cpu);
                    state.set_node(&node);
                    nodes.insert(name, node);
                }
                Change::NodeGone(name) => {
                    state.remove_node(&format!("n{name}"));
                    nodes.remove(&name);
                }
                Change::Pod { name, node, kind, deleting } => {
                    let pod = pod(name, Some(node), kind, deleting);
                    state.set_pod(&pod);
                    pods.insert(name, pod);
                }
                Change::PodGone(name) => {
                    state.remove_pod(&format!("u{name}"));
                    pods.remove(&name);
                }
                Change::Ask(kind) => {
                    let mut anew = State::default();
                    apply(&mut anew, &nodes, &pods);
                    let asking = pod(99, None, kind, false);
                    let incremental = decider.scores(&asking, &profile, &mut state, &world);
                    let rebuilt = Decider::new(1).scores(&asking, &profile, &mut anew, &world);
                    prop_assert_eq!(&incremental, &rebuilt, "kind {}", kind);
                    let (node, feasible) = match decider.decide(&asking, 0, &profile, &mut state, &world) {
                        Decision::Place(placement) => (Some(placement.node), placement.feasible),
                        Decision::Refuse(_) => (None, 0),
                    };
                    let score = node.and_then(|node| rebuilt.get(&node));
                    prop_assert_eq!((score, feasible), (rebuilt.values().max(), rebuilt.len()), "kind {}", kind);
                }
            }
        }
        let mut anew = State::default();
        apply(&mut anew, &nodes, &pods);
        for name in nodes.values().map(|n| &n.name) {
            let (a, b) = (state.nodes.find(name).unwrap(), anew.nodes.find(name).unwrap());
            for which in CPU..=super::PODS {
                prop_assert_eq!(state.nodes.requested(which, a), anew.nodes.requested(which, b));
                prop_assert_eq!(state.nodes.allocatable(which, a), anew.nodes.allocatable(which, b));
            }
            prop_assert_eq!(state.nodes.scalar("example.com/gpu", a), anew.nodes.scalar("example.com/gpu", b));
            prop_assert_eq!(state.nodes.pods(a).len(), anew.nodes.pods(b).len());
        }
    }
}

#[test]
fn assumed_pods_are_confirmed_or_forgotten() {
    let mut state = State::default();
    state.set_node(&node(0, 0, false, 4));
    let pod = pod(1, Some(0), 0, false);
    state.assume(&pod);
    let slot = state.nodes.find("n0").unwrap();
    assert_eq!(state.nodes.requested(CPU, slot), 500);
    state.set_pod(&pod);
    assert!(state.forget("u1").is_none(), "confirmed by the API server");
    assert_eq!(state.nodes.requested(CPU, slot), 500);
    state.assume(&pod);
    assert!(state.forget("u1").is_some());
    assert_eq!(state.nodes.requested(CPU, slot), 0);
}
