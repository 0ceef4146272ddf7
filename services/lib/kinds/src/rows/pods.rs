//! The row of a pod: its status is a story told from all its containers.

use jiff::Timestamp;
use schema::Map;

use super::{Row, age, at, deleted, name, number, or, string, structs};
use crate::tree::{flag, map, maps, text};
use crate::{Cell, RowCondition};

/// What the containers say.
#[derive(Default)]
struct Story {
    reason: String,
    restarts: i64,
    last: Option<Timestamp>,
    ready: usize,
}

pub(crate) fn pod(root: &Map) -> Row {
    let phase = at(root, &["status", "phase"]);
    let own = at(root, &["status", "reason"]);
    let mut story = Story { reason: if own.is_empty() { phase } else { own }.to_owned(), ..Story::default() };
    let gated = |c: &Map| text(c, "type") == "PodScheduled" && text(c, "reason") == "SchedulingGated";
    if structs(root, &["status", "conditions"]).any(gated) {
        story.reason = "SchedulingGated".to_owned();
    }
    let sidecars: Vec<&str> = structs(root, &["spec", "initContainers"])
        .filter(|c| text(c, "restartPolicy") == "Always")
        .map(|c| text(c, "name"))
        .collect();
    let total = structs(root, &["spec", "containers"]).count() + sidecars.len();
    let (initializing, sidecar_restarts, sidecar_last) = init_containers(root, &sidecars, &mut story);
    if !initializing || condition(root, "Initialized") {
        (story.restarts, story.last) = (sidecar_restarts, sidecar_last);
        main_containers(root, &mut story);
    }
    if deleted(root) {
        if own == "NodeLost" {
            story.reason = "Unknown".to_owned();
        } else if !matches!(phase, "Failed" | "Succeeded") {
            story.reason = "Terminating".to_owned();
        }
    }
    let restarts = match story.last {
        Some(since) if story.restarts != 0 => Cell::Since { text: story.restarts.to_string(), since },
        _ => string(story.restarts.to_string()),
    };
    let ip = structs(root, &["status", "podIPs"]).next().map_or("", |m| text(m, "ip"));
    let row = vec![
        name(root),
        string(format!("{}/{total}", story.ready)),
        string(story.reason),
        restarts,
        age(root),
        or(ip, "<none>"),
        or(at(root, &["spec", "nodeName"]), "<none>"),
        or(at(root, &["status", "nominatedNodeName"]), "<none>"),
        readiness_gates(root),
    ];
    (row, finished(phase))
}

fn finished(phase: &str) -> Option<RowCondition> {
    match phase {
        "Succeeded" => {
            Some(RowCondition { reason: "Succeeded", message: "The pod has completed successfully." })
        }
        "Failed" => Some(RowCondition { reason: "Failed", message: "The pod failed." }),
        _ => None,
    }
}

fn condition(root: &Map, kind: &str) -> bool {
    structs(root, &["status", "conditions"]).any(|c| text(c, "type") == kind && text(c, "status") == "True")
}

fn readiness_gates(root: &Map) -> Cell {
    let gates: Vec<&str> =
        structs(root, &["spec", "readinessGates"]).map(|g| text(g, "conditionType")).collect();
    if gates.is_empty() {
        return string("<none>");
    }
    let met = gates.iter().filter(|g| {
        let first = structs(root, &["status", "conditions"]).find(|c| text(c, "type") == **g);
        first.is_some_and(|c| text(c, "status") == "True")
    });
    string(format!("{}/{}", met.count(), gates.len()))
}

fn last_end(container: &Map) -> Option<Timestamp> {
    meta::time::parse(at(container, &["lastState", "terminated", "finishedAt"]))
}

fn ended(terminated: &Map, prefix: &str) -> String {
    let code = |key: &str| number(terminated, &[key]);
    match text(terminated, "reason") {
        "" if code("signal") != 0 => format!("{prefix}Signal:{}", code("signal")),
        "" => format!("{prefix}ExitCode:{}", code("exitCode")),
        reason => format!("{prefix}{reason}"),
    }
}

/// Whether an init container holds the pod up, and what its sidecars add.
fn init_containers(root: &Map, sidecars: &[&str], story: &mut Story) -> (bool, i64, Option<Timestamp>) {
    let (mut restarts, mut last) = (0, None);
    let count = structs(root, &["spec", "initContainers"]).count();
    for (i, container) in structs(root, &["status", "initContainerStatuses"]).enumerate() {
        story.restarts += number(container, &["restartCount"]);
        story.last = story.last.max(last_end(container));
        let sidecar = sidecars.contains(&text(container, "name"));
        if sidecar {
            restarts += number(container, &["restartCount"]);
            last = last.max(last_end(container));
        }
        let state = map(container, "state");
        let terminated = state.and_then(|s| map(s, "terminated"));
        let waiting = state.and_then(|s| map(s, "waiting")).map_or("", |w| text(w, "reason"));
        if terminated.is_some_and(|t| number(t, &["exitCode"]) == 0) {
            continue;
        }
        if sidecar && flag(container, "started") {
            story.ready += usize::from(flag(container, "ready"));
            continue;
        }
        story.reason = match terminated {
            Some(t) => ended(t, "Init:"),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{i}/{count}"),
        };
        return (true, restarts, last);
    }
    (false, restarts, last)
}

fn main_containers(root: &Map, story: &mut Story) {
    let Some(status) = map(root, "status") else { return };
    let all: Vec<&Map> = maps(status, "containerStatuses").collect();
    let (mut running, mut error) = (false, None);
    for container in all.into_iter().rev() {
        story.restarts += number(container, &["restartCount"]);
        story.last = story.last.max(last_end(container));
        let waiting = at(container, &["state", "waiting", "reason"]);
        let state = |key: &str| map(container, "state").and_then(|s| map(s, key));
        if !waiting.is_empty() {
            story.reason = waiting.to_owned();
        } else if let Some(t) = state("terminated") {
            story.reason = ended(t, "");
            if number(t, &["exitCode"]) != 0 {
                error = Some(story.reason.clone());
            }
        } else if flag(container, "ready") && state("running").is_some() {
            running = true;
            story.ready += 1;
        }
    }
    if story.reason == "Completed" {
        if running && condition(root, "Ready") {
            story.reason = "Running".to_owned();
        } else if let Some(error) = error {
            story.reason = error;
        } else if running {
            story.reason = "NotReady".to_owned();
        }
    }
}
