use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Depths, Event, PodChange, Queue};
use crate::model::Pod;
use crate::plugins::{Plugin, PluginSet};
use crate::state::World;

fn pod(name: &str, priority: i32, on: &str, gates: &[&str]) -> Arc<Pod> {
    let gates: Vec<_> = gates.iter().map(|g| json!({"name": g})).collect();
    let object = json!({
        "metadata": {"name": name, "namespace": "d", "uid": name},
        "spec": {"priority": priority, "nodeName": on, "schedulingGates": gates,
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
    });
    Arc::new(Pod::project(object.to_string().as_bytes()).unwrap())
}

fn queue() -> Queue {
    Queue::new(Duration::from_secs(1), Duration::from_secs(10))
}

fn fit() -> PluginSet {
    [Plugin::NodeResourcesFit].into_iter().collect()
}

#[test]
fn important_pods_come_first() {
    let (mut queue, world, now) = (queue(), World::default(), Instant::now());
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0)] {
        queue.set(None, &pod(name, priority, "", &[]), &world, now);
    }
    let names: Vec<String> = std::iter::from_fn(|| queue.pop(now)).map(|a| a.pod.name.clone()).collect();
    assert_eq!(names, ["b", "a", "c"]);
}

#[test]
fn refused_pods_wait_for_what_may_help() {
    let (mut queue, world, now) = (queue(), World::default(), Instant::now());
    let waiting = pod("w", 0, "", &[]);
    queue.set(None, &waiting, &world, now);
    queue.pop(now).unwrap();
    queue.put_back("w", fit(), now);
    let event = |old: Option<Arc<Pod>>, new: Option<Arc<Pod>>| {
        let changes = PodChange::default();
        Event::Pod { old, new, changes }
    };
    let placed = pod("x", 0, "n1", &[]);
    queue.happened(&event(None, Some(Arc::clone(&placed))), &world, now);
    assert_eq!(queue.depths(), Depths { unschedulable: 1, ..Depths::default() }, "another pod came");
    queue.happened(&event(Some(placed), None), &world, now);
    assert_eq!(queue.depths(), Depths { backoff: 1, ..Depths::default() }, "another pod went");
    assert_eq!(queue.next_wake(), Some(now + Duration::from_secs(1)));
    assert_eq!(queue.pop(now).unwrap().attempts, 2, "nothing else to do");
}

#[test]
fn errors_wait_longer_each_time() {
    let (mut queue, world, mut now) = (queue(), World::default(), Instant::now());
    queue.set(None, &pod("w", 0, "", &[]), &world, now);
    for seconds in [1, 2, 4, 8, 10, 10] {
        queue.pop(now).unwrap();
        queue.put_back("w", PluginSet::default(), now);
        assert!(queue.pop(now).is_none(), "after an error its time is waited for");
        assert_eq!(queue.next_wake(), Some(now + Duration::from_secs(seconds)));
        now += Duration::from_secs(seconds);
    }
}

#[test]
fn gated_pods_wait_for_their_gates() {
    let (mut queue, world, now) = (queue(), World::default(), Instant::now());
    let gated = pod("g", 0, "", &["wait"]);
    queue.set(None, &gated, &world, now);
    assert_eq!(queue.depths(), Depths { gated: 1, ..Depths::default() });
    assert!(queue.pop(now).is_none());
    queue.set(Some(&gated), &pod("g", 0, "", &[]), &world, now);
    assert_eq!(queue.pop(now).unwrap().pod.name, "g");
}

#[test]
fn refused_pods_are_tried_again_after_five_minutes() {
    let (mut queue, world, now) = (queue(), World::default(), Instant::now());
    queue.set(None, &pod("w", 0, "", &[]), &world, now);
    queue.pop(now).unwrap();
    queue.put_back("w", fit(), now);
    assert!(queue.pop(now + Duration::from_secs(299)).is_none());
    assert!(queue.pop(now + Duration::from_secs(301)).is_some());
}
