//! What is handed over is what has changed.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;

use super::*;
use crate::kit::World;

fn owner(name: &str) -> OwnerReference {
    let fields = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": format!("uid-of-{name}"),
        "controller": name == "a"});
    serde_json::from_value(fields).unwrap()
}

/// Every way to have some of three owners, in any order.
fn owners() -> Vec<Vec<OwnerReference>> {
    let mut all: Vec<Vec<&str>> = vec![Vec::new()];
    let mut from = 0;
    while from < all.len() {
        for name in ["a", "b", "c"].into_iter().filter(|name| !all[from].contains(name)).collect::<Vec<_>>() {
            let longer = all[from].iter().copied().chain([name]).collect();
            all.push(longer);
        }
        from += 1;
    }
    all.into_iter().map(|names| names.into_iter().map(owner).collect()).collect()
}

fn stored(world: &World) -> ReplicaSet {
    world.all::<ReplicaSet>().remove(0)
}

/// What becomes of an object in a world, without the revision.
fn after(world: &World, plan: &Plan) -> (Vec<OwnerReference>, Value) {
    let mut world = world.clone();
    plan.writes.iter().for_each(|write| world.apply(write).unwrap());
    let mut set = stored(&world);
    let owners = set.metadata.owner_references.take().unwrap_or_default();
    set.metadata.resource_version = None;
    (owners, set.encode().unwrap())
}

#[test]
fn handing_over_is_the_difference_of_owners() {
    let all = owners();
    assert_eq!(all.len(), 16);
    for before in &all {
        let mut world = World::new(Timestamp::UNIX_EPOCH);
        let mut set = ReplicaSet::default();
        set.metadata.name = Some("s".into());
        set.metadata.namespace = Some("default".into());
        set.metadata.labels = Some([("app".into(), "a".into())].into());
        set.metadata.owner_references = Some(before.clone()).filter(|owners| !owners.is_empty());
        world.put(&set).unwrap();
        let set = stored(&world);
        for next in &all {
            let (mut handed, mut changed) = (Plan::nothing(), Plan::nothing());
            handed.hand_over(&set, next);
            let mut new = set.clone();
            new.metadata.owner_references = Some(next.clone()).filter(|owners| !owners.is_empty());
            assert_eq!(changed.update(&set, &new).unwrap(), before != next);
            assert_eq!(after(&world, &handed), after(&world, &changed));
            assert_eq!(&after(&world, &handed).0, next);
        }
    }
}

/// Both fail alike where somebody else was quicker.
#[test]
fn handing_over_asks_for_the_same_state() {
    let mut world = World::new(Timestamp::UNIX_EPOCH);
    let mut set = ReplicaSet::default();
    set.metadata.name = Some("s".into());
    world.put(&set).unwrap();
    let set = stored(&world);
    let preconditions = |plan: &Plan| {
        let Op::Patch { subresource: "", patch: Patch::Merge(patch) } = &plan.writes[0].op else {
            unreachable!()
        };
        [patch["metadata"]["uid"].clone(), patch["metadata"]["resourceVersion"].clone()]
    };
    for revision in [set.metadata.resource_version.clone(), None] {
        let mut old = set.clone();
        old.metadata.resource_version = revision;
        let mut new = old.clone();
        new.metadata.owner_references = Some(vec![owner("a")]);
        let (mut handed, mut changed) = (Plan::nothing(), Plan::nothing());
        handed.hand_over(&old, &[owner("a")]);
        changed.update(&old, &new).unwrap();
        assert_eq!(preconditions(&handed), preconditions(&changed));
        assert_eq!(handed.writes[0].key, changed.writes[0].key);
    }
}
