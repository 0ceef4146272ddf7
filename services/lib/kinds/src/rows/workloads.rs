//! Rows of what runs pods.

use schema::Map;

use super::{
    Row, age, at, boolean_or, cells, containers, deleted, items, labels, name, number, number_or, or,
    selector, selector_text, since, string, structs,
};
use crate::Cell;
use crate::core::replicas;
use crate::tree::{flag, map, map_at, text};

fn pod_spec(root: &Map) -> Option<&Map> {
    map_at(root, &["spec", "template", "spec"])
}

pub(crate) fn deployment(root: &Map) -> Row {
    let spec = map(root, "spec");
    let [names, images] = containers(pod_spec(root));
    let ready = number(root, &["status", "readyReplicas"]);
    cells([
        name(root),
        string(format!("{ready}/{}", replicas(spec))),
        Cell::Int(number(root, &["status", "updatedReplicas"])),
        Cell::Int(number(root, &["status", "availableReplicas"])),
        age(root),
        names,
        images,
        string(selector_text(spec.and_then(|s| map(s, "selector"))).replace("<error>", "<invalid>")),
    ])
}

pub(crate) fn replica_set(root: &Map) -> Row {
    let [names, images] = containers(pod_spec(root));
    cells([
        name(root),
        Cell::Int(replicas(map(root, "spec"))),
        Cell::Int(number(root, &["status", "replicas"])),
        Cell::Int(number(root, &["status", "readyReplicas"])),
        age(root),
        names,
        images,
        selector(map(root, "spec"), "selector"),
    ])
}

pub(crate) fn replication_controller(root: &Map) -> Row {
    let (mut row, condition) = replica_set(root);
    row[7] = labels(map_at(root, &["spec", "selector"]));
    (row, condition)
}

pub(crate) fn stateful_set(root: &Map) -> Row {
    let [names, images] = containers(pod_spec(root));
    let ready = number(root, &["status", "readyReplicas"]);
    cells([name(root), string(format!("{ready}/{}", replicas(map(root, "spec")))), age(root), names, images])
}

pub(crate) fn daemon_set(root: &Map) -> Row {
    let [names, images] = containers(pod_spec(root));
    let count = |key| Cell::Int(number(root, &["status", key]));
    cells([
        name(root),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        labels(pod_spec(root).and_then(|s| map(s, "nodeSelector"))),
        age(root),
        names,
        images,
        selector(map(root, "spec"), "selector"),
    ])
}

fn job_status(root: &Map) -> &'static str {
    let has = |kind: &str| {
        structs(root, &["status", "conditions"])
            .any(|c| text(c, "type") == kind && text(c, "status") == "True")
    };
    match () {
        () if has("Complete") => "Complete",
        () if has("Failed") => "Failed",
        () if deleted(root) => "Terminating",
        () if has("Suspended") => "Suspended",
        () if has("FailureTarget") => "FailureTarget",
        () if has("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn job_duration(root: &Map) -> Cell {
    let time = |key: &str| meta::time::parse(at(root, &["status", key]));
    match (time("startTime"), time("completionTime")) {
        (None, _) => string(""),
        (start, None) => Cell::Age(start),
        (Some(start), Some(end)) => string(meta::time::human_duration(end.as_second() - start.as_second())),
    }
}

pub(crate) fn job(root: &Map) -> Row {
    let done = number(root, &["status", "succeeded"]);
    let completions =
        match (number_or(root, &["spec", "completions"]), number(root, &["spec", "parallelism"])) {
            (Some(wanted), _) => format!("{done}/{wanted}"),
            (None, many) if many > 1 => format!("{done}/1 of {many}"),
            _ => format!("{done}/1"),
        };
    let [names, images] = containers(pod_spec(root));
    cells([
        name(root),
        string(job_status(root)),
        string(completions),
        job_duration(root),
        age(root),
        names,
        images,
        selector(map(root, "spec"), "selector"),
    ])
}

pub(crate) fn cron_job(root: &Map) -> Row {
    let last = match at(root, &["status", "lastScheduleTime"]) {
        "" => string("<none>"),
        _ => since(root, &["status", "lastScheduleTime"]),
    };
    let zone =
        map(root, "spec").filter(|s| s.contains_key("timeZone")).map_or("<none>", |s| text(s, "timeZone"));
    let suspend = match boolean_or(root, &["spec", "suspend"]) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let job = map_at(root, &["spec", "jobTemplate", "spec"]);
    let [names, images] = containers(job.and_then(|j| map_at(j, &["template", "spec"])));
    cells([
        name(root),
        string(at(root, &["spec", "schedule"])),
        string(zone),
        string(suspend),
        Cell::Int(items(root, &["status", "active"]).len() as i64),
        last,
        age(root),
        names,
        images,
        selector(job, "selector"),
    ])
}

pub(crate) fn pod_template(root: &Map) -> Row {
    let [names, images] = containers(map_at(root, &["template", "spec"]));
    cells([name(root), names, images, labels(map_at(root, &["template", "metadata", "labels"]))])
}

pub(crate) fn controller_revision(root: &Map) -> Row {
    let owner = structs(root, &["metadata", "ownerReferences"]).find(|o| flag(o, "controller"));
    let controller = owner.map(|o| {
        let kind = text(o, "kind").to_lowercase();
        match text(o, "apiVersion").split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{}", text(o, "name")),
            None => format!("{kind}/{}", text(o, "name")),
        }
    });
    cells([
        name(root),
        or(&controller.unwrap_or_default(), "<none>"),
        Cell::Int(number(root, &["revision"])),
        age(root),
    ])
}
