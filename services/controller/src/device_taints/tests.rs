//! A pod, its claim and a tainted device; what differs is in tables.

use k8s_openapi::api::core::v1::Pod;
use reconcile::kit::World;
use serde_json::Value;

use super::*;
use crate::properties::{object, start};

/// A change of the pod and the claim.
type Change = fn(&mut Value, &mut Value);

fn slice(name: &str, generation: i64, effects: &[&str]) -> ResourceSlice {
    let since = meta::time::rfc3339(start());
    let taint = |effect: &&str| json!({"key": "k", "value": "v", "effect": effect, "timeAdded": since});
    let taints: Vec<_> = effects.iter().map(taint).collect();
    object(json!({"metadata": {"name": name}, "spec": {"driver": "d", "nodeName": "n",
        "pool": {"name": "n", "generation": generation, "resourceSliceCount": 1},
        "devices": [{"name": "gpu", "taints": taints}, {"name": "other", "attributes": {"a": {"int": 1}}}]}}))
}

fn world(change: Change, tolerations: &Value, slices: &[ResourceSlice]) -> World {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "default", "uid": "p"}, "spec": {
        "nodeName": "n", "containers": [], "resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}]}});
    let result =
        json!({"request": "r", "driver": "d", "pool": "n", "device": "gpu", "tolerations": tolerations});
    let mut claim = json!({"metadata": {"name": "c", "namespace": "default", "uid": "c"}, "spec": {}, "status": {
        "allocation": {"devices": {"results": [result]}},
        "reservedFor": [{"resource": "pods", "name": "p", "uid": "p"}]}});
    change(&mut pod, &mut claim);
    let mut world = World::new(start());
    world.put::<Pod>(&object(pod)).unwrap();
    world.put::<ResourceClaim>(&object(claim)).unwrap();
    slices.iter().for_each(|slice| world.put(slice).unwrap());
    world
}

fn key() -> Key {
    Key::new("default", "p")
}

/// In how many seconds the pod goes, if ever; with every property a controller must have.
fn left(world: &World) -> Option<u64> {
    let waits = world.plan(&DeviceTaints, &key()).unwrap().requeue;
    let settled = world.check(&DeviceTaints, &key(), 3).unwrap();
    if settled.all::<Pod>().is_empty() { Some(0) } else { waits.map(|left| left.as_secs()) }
}

#[test]
fn what_is_tolerated() {
    let seconds = |n: i64| json!({"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": n});
    let cases = [
        (json!([]), Some(0)),
        (json!([{"operator": "Exists", "effect": "NoExecute"}]), None),
        (json!([{"key": "k", "value": "v", "effect": "NoExecute"}]), None),
        (json!([{"key": "k", "operator": "Equal", "value": "w", "effect": "NoExecute"}]), Some(0)),
        (json!([{"key": "l", "operator": "Exists", "effect": "NoExecute"}]), Some(0)),
        (json!([{"operator": "Exists", "effect": "NoSchedule"}]), Some(0)),
        // the effect must be named
        (json!([{"operator": "Exists"}]), Some(0)),
        (json!([seconds(5)]), Some(5)),
        (json!([seconds(-5)]), Some(0)),
        // the least of several, but for ever is for ever
        (json!([seconds(9), seconds(7)]), Some(7)),
        (json!([seconds(9), {"key": "k", "value": "v", "effect": "NoExecute"}]), None),
    ];
    for (tolerations, expected) in cases {
        let world = world(|_, _| {}, &tolerations, &[slice("s", 1, &["NoSchedule", "NoExecute"])]);
        assert_eq!(left(&world), expected, "{tolerations}");
    }
    let world = world(|_, _| {}, &json!([seconds(i64::MAX)]), &[slice("s", 1, &["NoExecute"])]);
    assert!(left(&world) > Some(1 << 37), "less than four thousand years");
}

#[test]
fn who_uses_the_device() {
    fn from_template(pod: &mut Value, _: &mut Value) {
        pod["spec"]["resourceClaims"] = json!([{"name": "gpu", "resourceClaimTemplateName": "t"}]);
        pod["status"]["resourceClaimStatuses"] = json!([{"name": "gpu", "resourceClaimName": "c"}]);
    }
    fn own(claim: &mut Value, uid: &str) {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": true});
        claim["metadata"]["ownerReferences"] = json!([owner]);
    }
    let cases: [(&str, Change, Option<u64>); 9] = [
        ("the pod", |_, _| {}, Some(0)),
        ("not bound", |pod, _| pod["spec"]["nodeName"] = json!(""), None),
        ("ended", |pod, _| pod["status"]["phase"] = json!("Succeeded"), Some(0)),
        ("another claim", |pod, _| pod["spec"]["resourceClaims"][0]["resourceClaimName"] = json!("d"), None),
        ("another device", |_, claim| claim["status"]["allocation"] = json!(null), None),
        ("reserved for its namesake", |_, claim| claim["status"]["reservedFor"][0]["uid"] = json!("q"), None),
        ("a template", |pod, claim| (from_template(pod, claim), own(claim, "p")).0, Some(0)),
        ("a template of its namesake", |pod, claim| (from_template(pod, claim), own(claim, "q")).0, None),
        (
            "a template, not noted",
            |pod, claim| {
                from_template(pod, claim);
                pod["status"] = json!({});
            },
            None,
        ),
    ];
    for (name, change, expected) in cases {
        assert_eq!(left(&world(change, &json!([]), &[slice("s", 1, &["NoExecute"])])), expected, "{name}");
    }
}

#[test]
fn which_slices_count() {
    let other = |change: fn(&mut ResourceSlice)| {
        let mut other = slice("o", 2, &[]);
        change(&mut other);
        other
    };
    let cases = [
        ("none", vec![], None),
        ("no effect to go for", vec![slice("s", 1, &["NoSchedule", "None"])], None),
        ("the last generation", vec![slice("a", 1, &[]), slice("b", 2, &["NoExecute"])], Some(0)),
        ("an older one", vec![slice("a", 2, &[]), slice("b", 1, &["NoExecute"])], None),
        ("a slice beside it", vec![slice("a", 1, &[]), slice("b", 1, &["NoExecute"])], Some(0)),
        (
            "another driver's",
            vec![slice("a", 1, &["NoExecute"]), other(|o| o.spec.driver = "e".into())],
            Some(0),
        ),
        (
            "another pool's",
            vec![slice("a", 1, &["NoExecute"]), other(|o| o.spec.pool.name = "m".into())],
            Some(0),
        ),
    ];
    for (name, slices, expected) in cases {
        assert_eq!(left(&world(|_, _| {}, &json!([]), &slices)), expected, "{name}");
    }
}

#[test]
fn waits_and_lets_go() {
    let tolerations = json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]);
    let mut world = world(|_, _| {}, &tolerations, &[slice("s", 1, &["NoExecute"])]);
    let said = |world: &World| -> Vec<String> {
        world.plan(&DeviceTaints, &key()).unwrap().events.into_iter().map(|e| e.message).collect()
    };
    let untainted = |world: &World| {
        let mut world = world.clone();
        world.put(&slice("s", 1, &[])).unwrap();
        world
    };
    assert!(said(&untainted(&world)).is_empty(), "nobody waited yet");
    world.settle(&DeviceTaints, &key(), 1).unwrap();
    let mut freed = untainted(&world);
    assert_eq!(said(&freed), ["Cancelling deletion"]);
    freed.settle(&DeviceTaints, &key(), 1).unwrap();
    assert!(said(&freed).is_empty(), "once");
    // half a second early is early
    world.now = start() + SignedDuration::from_millis(4500);
    assert_eq!(world.plan(&DeviceTaints, &key()).unwrap().requeue, Some(Duration::from_millis(500)));
    world.now = start() + SignedDuration::from_secs(5);
    assert_eq!(said(&world), ["Marking for deletion"]);
    world.settle(&DeviceTaints, &key(), 2).unwrap();
    assert!(world.all::<Pod>().is_empty());
}
