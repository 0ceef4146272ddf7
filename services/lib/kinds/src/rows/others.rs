//! Rows of storage, scheduling, scaling and devices.

use meta::Quantity;
use schema::{Map, Value};

use super::{
    Row, age, at, boolean_or, cells, deleted, items, name, number, number_or, or, since, string, structs,
    three,
};
use crate::tree::{int, is_nil, map, map_at, text, texts};
use crate::{Cell, Column, Description};

pub(crate) fn storage_class(root: &Map) -> Row {
    let annotation = |key| at(root, &["metadata", "annotations", key]) == "true";
    let default = annotation("storageclass.kubernetes.io/is-default-class")
        || annotation("storageclass.beta.kubernetes.io/is-default-class");
    let name = at(root, &["metadata", "name"]);
    cells([
        string(if default { format!("{name} (default)") } else { name.to_owned() }),
        string(at(root, &["provisioner"])),
        or(at(root, &["reclaimPolicy"]), "Delete"),
        or(at(root, &["volumeBindingMode"]), "Immediate"),
        Cell::Bool(boolean_or(root, &["allowVolumeExpansion"]).unwrap_or(false)),
        age(root),
    ])
}

pub(crate) fn volume_attributes_class(root: &Map) -> Row {
    cells([name(root), string(at(root, &["driverName"])), age(root)])
}

pub(crate) fn volume_attachment(root: &Map) -> Row {
    cells([
        name(root),
        string(at(root, &["spec", "attacher"])),
        string(at(root, &["spec", "source", "persistentVolumeName"])),
        string(at(root, &["spec", "nodeName"])),
        Cell::Bool(boolean_or(root, &["status", "attached"]).unwrap_or(false)),
        age(root),
    ])
}

pub(crate) fn csi_node(root: &Map) -> Row {
    cells([name(root), Cell::Int(items(root, &["spec", "drivers"]).len() as i64), age(root)])
}

pub(crate) fn csi_driver(root: &Map) -> Row {
    let yes = |key, default| Cell::Bool(boolean_or(root, &["spec", key]).unwrap_or(default));
    let spec = map(root, "spec");
    let tokens = spec.filter(|s| !is_nil(s, "tokenRequests")).map(|_| {
        structs(root, &["spec", "tokenRequests"]).map(|t| text(t, "audience")).collect::<Vec<_>>().join(",")
    });
    let modes: Vec<&str> = spec.map(|s| texts(s, "volumeLifecycleModes").collect()).unwrap_or_default();
    cells([
        name(root),
        yes("attachRequired", true),
        yes("podInfoOnMount", false),
        yes("storageCapacity", false),
        string(tokens.unwrap_or_else(|| "<unset>".to_owned())),
        yes("requiresRepublish", false),
        or(&modes.join(","), "<none>"),
        age(root),
    ])
}

/// As the columns of k3s's CustomResourceDefinition.
pub(crate) const ADDON: &[Column] = &[
    Column { name: "Name", kind: "string", format: "name", priority: 0, description: Description::Text("") },
    Column { name: "Source", kind: "string", format: "", priority: 0, description: Description::Text("") },
    Column { name: "Checksum", kind: "string", format: "", priority: 0, description: Description::Text("") },
];

pub(crate) fn addon(root: &Map) -> Row {
    let spec = |key| string(at(root, &["spec", key]));
    cells([name(root), spec("source"), spec("checksum")])
}

/// As the aggregator of API servers has them.
pub(crate) const API_SERVICE: &[Column] = &[
    Column {
        name: "Name",
        kind: "string",
        format: "name",
        priority: 0,
        description: Description::Field("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "name"),
    },
    Column {
        name: "Service",
        kind: "string",
        format: "",
        priority: 0,
        description: Description::Text("The reference to the service that hosts this API endpoint."),
    },
    Column {
        name: "Available",
        kind: "string",
        format: "",
        priority: 0,
        description: Description::Text("Whether this service is available."),
    },
    Column {
        name: "Age",
        kind: "string",
        format: "",
        priority: 0,
        description: Description::Field(
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
            "creationTimestamp",
        ),
    },
];

pub(crate) fn api_service(root: &Map) -> Row {
    let place = |key| at(root, &["spec", "service", key]);
    let remote = map(root, "spec").is_some_and(|spec| !is_nil(spec, "service"));
    let service = if remote { format!("{}/{}", place("namespace"), place("name")) } else { "Local".into() };
    let found = structs(root, &["status", "conditions"]).find(|c| text(c, "type") == "Available");
    let available = match found.map(|c| (text(c, "status"), text(c, "reason"))) {
        None => "Unknown".to_owned(),
        Some((status, reason)) if status == "True" || reason.is_empty() => status.to_owned(),
        Some((status, reason)) => format!("{status} ({reason})"),
    };
    cells([name(root), string(service), string(available), age(root)])
}

pub(crate) fn lease(root: &Map) -> Row {
    cells([name(root), string(at(root, &["spec", "holderIdentity"])), age(root)])
}

pub(crate) fn lease_candidate(root: &Map) -> Row {
    let spec = |key| string(at(root, &["spec", key]));
    cells([name(root), spec("leaseName"), spec("binaryVersion"), spec("emulationVersion"), age(root)])
}

pub(crate) fn priority_class(root: &Map) -> Row {
    cells([
        name(root),
        Cell::Int(number(root, &["value"])),
        Cell::Bool(boolean_or(root, &["globalDefault"]).unwrap_or(false)),
        age(root),
        string(at(root, &["preemptionPolicy"])),
    ])
}

pub(crate) fn runtime_class(root: &Map) -> Row {
    cells([name(root), string(at(root, &["handler"])), age(root)])
}

pub(crate) fn pod_disruption_budget(root: &Map) -> Row {
    let show = |key| match map(root, "spec").and_then(|s| s.get(key)) {
        Some(Value::Int(i)) => i.to_string(),
        Some(Value::Str(s)) => s.clone(),
        _ => "N/A".to_owned(),
    };
    cells([
        name(root),
        string(show("minAvailable")),
        string(show("maxUnavailable")),
        Cell::Int(number(root, &["status", "disruptionsAllowed"])),
        age(root),
    ])
}

pub(crate) fn horizontal_pod_autoscaler(root: &Map) -> Row {
    let statuses: Vec<&Map> = structs(root, &["status", "currentMetrics"]).collect();
    let shown: Vec<String> = structs(root, &["spec", "metrics"])
        .enumerate()
        .map(|(i, metric)| metric_text(metric, statuses.get(i).copied()))
        .collect();
    let metrics = match shown.len() {
        0 => "<none>".to_owned(),
        n if n > 2 => format!("{} + {} more...", shown[..2].join(", "), n - 2),
        _ => shown.join(", "),
    };
    let reference = map_at(root, &["spec", "scaleTargetRef"]);
    let reference = reference.map_or("/".to_owned(), |r| format!("{}/{}", text(r, "kind"), text(r, "name")));
    let least = number_or(root, &["spec", "minReplicas"]).map(|n| n.to_string());
    cells([
        name(root),
        string(reference),
        string(metrics),
        or(&least.unwrap_or_default(), "<unset>"),
        Cell::Int(number(root, &["spec", "maxReplicas"])),
        Cell::Int(number(root, &["status", "currentReplicas"])),
        age(root),
    ])
}

fn amount(owner: Option<&Map>, key: &str) -> Option<String> {
    let quantity = Quantity::parse(text(owner?, key)).ok()?;
    Some(quantity.to_string())
}

fn metric_text(metric: &Map, status: Option<&Map>) -> String {
    let (key, named) = match text(metric, "type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let source = map(metric, key);
    let target = source.and_then(|s| map(s, "target"));
    let current = status.and_then(|s| map_at(s, &[key, "current"]));
    let seen = |value: Option<String>| value.unwrap_or_else(|| "<unknown>".to_owned());
    let average = amount(target, "averageValue");
    if named {
        let name = source.map_or("", |s| text(s, "name"));
        let percent = |m: Option<&Map>| m.and_then(|m| int(m, "averageUtilization")).map(|p| format!("{p}%"));
        return match average {
            Some(wanted) => format!("{name}: {}/{wanted}", seen(amount(current, "averageValue"))),
            None => {
                format!(
                    "{name}: {}/{}",
                    seen(percent(current)),
                    percent(target).unwrap_or("<auto>".to_owned())
                )
            }
        };
    }
    match average {
        Some(wanted) if key == "pods" => format!("{}/{wanted}", seen(amount(current, "averageValue"))),
        Some(wanted) => format!("{}/{wanted} (avg)", seen(amount(current, "averageValue"))),
        None => {
            let wanted = amount(target, "value").unwrap_or_else(|| "<nil>".to_owned());
            format!("{}/{wanted}", seen(amount(current, "value")))
        }
    }
}

pub(crate) fn name_age(root: &Map) -> Row {
    cells([name(root), age(root)])
}

pub(crate) fn resource_claim(root: &Map) -> Row {
    let gone = deleted(root);
    let mut states = Vec::new();
    if gone {
        states.push("deleted");
    }
    if map_at(root, &["status", "allocation"]).is_some() {
        states.push("allocated");
        if !items(root, &["status", "reservedFor"]).is_empty() {
            states.push("reserved");
        }
    } else if !gone {
        states.push("pending");
    }
    cells([name(root), string(states.join(",")), age(root)])
}

pub(crate) fn resource_slice(root: &Map) -> Row {
    cells([
        name(root),
        string(at(root, &["spec", "nodeName"])),
        string(at(root, &["spec", "driver"])),
        string(at(root, &["spec", "pool", "name"])),
        age(root),
    ])
}

pub(crate) fn device_taint_rule(root: &Map) -> Row {
    let taint = |key| string(at(root, &["spec", "taint", key]));
    cells([
        name(root),
        taint("key"),
        taint("value"),
        taint("effect"),
        since(root, &["spec", "taint", "timeAdded"]),
        age(root),
    ])
}

pub(crate) fn storage_version(root: &Map) -> Row {
    let versions = structs(root, &["status", "storageVersions"])
        .map(|v| format!("{}={}", text(v, "apiServerID"), text(v, "encodingVersion")));
    cells([
        name(root),
        or(at(root, &["status", "commonEncodingVersion"]), "<unset>"),
        string(three(versions)),
        age(root),
    ])
}

pub(crate) fn storage_version_migration(root: &Map) -> Row {
    let resource = at(root, &["spec", "resource", "resource"]);
    let resource = match at(root, &["spec", "resource", "group"]) {
        "" => resource.to_owned(),
        group => format!("{resource}.{group}"),
    };
    let state = structs(root, &["status", "conditions"])
        .filter(|c| {
            text(c, "status") == "True" && matches!(text(c, "type"), "Running" | "Failed" | "Succeeded")
        })
        .last();
    cells([name(root), string(resource), string(state.map_or("Unknown", |c| text(c, "type")))])
}

pub(crate) fn pod_group(root: &Map) -> Row {
    let gang = map_at(root, &["spec", "schedulingPolicy", "gang"]).is_some();
    let condition =
        |kind: &str| structs(root, &["status", "conditions"]).filter(|c| text(c, "type") == kind).last();
    let status = match (condition("DisruptionTarget"), condition("PodGroupScheduled")) {
        (Some(c), _) => text(c, "reason"),
        (None, Some(c)) if text(c, "status") == "True" => "Scheduled",
        (None, Some(_)) => "Unschedulable",
        (None, None) => "Pending",
    };
    let workload = map_at(root, &["spec", "podGroupTemplateRef"])
        .map_or("<none>", |r| at(r, &["workload", "workloadName"]));
    cells([
        name(root),
        string(if gang { "Gang" } else { "Basic" }),
        string(workload),
        string(status),
        age(root),
    ])
}
