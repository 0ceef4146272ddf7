//! Rows of the core group's other kinds.

use meta::Quantity;
use schema::{Map, Value};

use super::{Row, age, at, cells, deleted, items, name, number, or, since, string, structs};
use crate::Cell;
use crate::tree::{flag, int, map, map_at, text};

fn size(root: &Map, path: &[&str]) -> usize {
    map_at(root, path).map_or(0, Map::len)
}

pub(crate) fn config_map(root: &Map) -> Row {
    let count = size(root, &["data"]) + size(root, &["binaryData"]);
    cells([name(root), Cell::Int(count as i64), age(root)])
}

pub(crate) fn secret(root: &Map) -> Row {
    cells([name(root), string(at(root, &["type"])), Cell::Int(size(root, &["data"]) as i64), age(root)])
}

pub(crate) fn service_account(root: &Map) -> Row {
    cells([name(root), age(root)])
}

pub(crate) fn namespace(root: &Map) -> Row {
    cells([name(root), string(at(root, &["status", "phase"])), age(root)])
}

pub(crate) fn endpoints(root: &Map) -> Row {
    let (mut shown, mut count, mut any) = (Vec::new(), 0, false);
    for subset in structs(root, &["subsets"]) {
        any = true;
        let ports: Vec<Option<i64>> =
            match structs(subset, &["ports"]).map(|p| int(p, "port")).collect::<Vec<_>>() {
                ports if ports.is_empty() => vec![None],
                ports => ports.into_iter().map(|p| Some(p.unwrap_or(0))).collect(),
            };
        for port in ports {
            for address in structs(subset, &["addresses"]) {
                count += 1;
                let ip = text(address, "ip");
                let v6 = ip.contains(':');
                shown.push(match port {
                    None => ip.to_owned(),
                    Some(p) if v6 => format!("[{ip}]:{p}"),
                    Some(p) => format!("{ip}:{p}"),
                });
            }
        }
    }
    let text = match (any, count) {
        (false, _) => "<none>".to_owned(),
        (true, n) if n > 3 => format!("{} + {} more...", shown[..3].join(","), n - 3),
        _ => shown.join(","),
    };
    cells([name(root), string(text), age(root)])
}

pub(crate) fn event(root: &Map) -> Row {
    let first_path: &[&str] =
        if at(root, &["firstTimestamp"]).is_empty() { &["eventTime"] } else { &["firstTimestamp"] };
    let last_path: &[&str] = match (map(root, "series"), at(root, &["lastTimestamp"])) {
        (Some(_), _) => &["series", "lastObservedTime"],
        (None, "") => first_path,
        _ => &["lastTimestamp"],
    };
    let count = match (map(root, "series"), number(root, &["count"])) {
        (Some(series), _) => int(series, "count").unwrap_or(0),
        (None, 0) => 1,
        (None, n) => n,
    };
    let kind = at(root, &["involvedObject", "kind"]).to_lowercase();
    let target = match at(root, &["involvedObject", "name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let first = |a: &'static [&'static str], b: &str| match at(root, a) {
        "" => at(root, &[b]).to_owned(),
        found => found.to_owned(),
    };
    let component = first(&["source", "component"], "reportingComponent");
    let source = match first(&["source", "host"], "reportingInstance") {
        host if host.is_empty() => component,
        host => format!("{component}, {host}"),
    };
    cells([
        since(root, last_path),
        string(at(root, &["type"])),
        string(at(root, &["reason"])),
        string(target),
        string(at(root, &["involvedObject", "fieldPath"])),
        string(source),
        string(at(root, &["message"]).trim()),
        since(root, first_path),
        Cell::Int(count),
        name(root),
    ])
}

pub(crate) fn node(root: &Map) -> Row {
    let mut status =
        match structs(root, &["status", "conditions"]).filter(|c| text(c, "type") == "Ready").last() {
            None => "Unknown".to_owned(),
            Some(c) if text(c, "status") == "True" => "Ready".to_owned(),
            Some(_) => "NotReady".to_owned(),
        };
    if map(root, "spec").is_some_and(|s| flag(s, "unschedulable")) {
        status.push_str(",SchedulingDisabled");
    }
    let address = |kind: &str| {
        let found = structs(root, &["status", "addresses"]).find(|a| text(a, "type") == kind);
        string(found.map_or("<none>", |a| text(a, "address")))
    };
    let info = |key: &str| at(root, &["status", "nodeInfo", key]);
    let mut kernel = match info("kernelVersion") {
        "" => "<unknown>".to_owned(),
        version => version.to_owned(),
    };
    if !info("architecture").is_empty() {
        kernel.push_str(&format!(" ({})", info("architecture")));
    }
    cells([
        name(root),
        string(status),
        or(&roles(root), "<none>"),
        age(root),
        string(info("kubeletVersion")),
        address("InternalIP"),
        address("ExternalIP"),
        or(info("osImage"), "<unknown>"),
        string(kernel),
        or(info("containerRuntimeVersion"), "<unknown>"),
    ])
}

fn roles(root: &Map) -> String {
    let mut roles = std::collections::BTreeSet::new();
    for (key, value) in map_at(root, &["metadata", "labels"]).into_iter().flat_map(|m| m.iter()) {
        let value = value.as_str().unwrap_or("");
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/") {
            roles.insert(role);
        } else if key == "kubernetes.io/role" {
            roles.insert(value);
        }
    }
    roles.into_iter().filter(|r| !r.is_empty()).collect::<Vec<_>>().join(",")
}

fn access_modes(modes: &[Value]) -> Cell {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let found = SHORT.iter().filter(|(long, _)| modes.iter().any(|m| m.as_str() == Some(long)));
    string(found.map(|(_, short)| *short).collect::<Vec<_>>().join(","))
}

fn storage(amounts: Option<&Map>) -> Cell {
    let amount = amounts.map_or("", |m| text(m, "storage"));
    string(Quantity::parse(amount).unwrap_or(Quantity::zero()).to_string())
}

fn unset<'a>(root: &'a Map, path: &[&str]) -> &'a str {
    let Some((last, parents)) = path.split_last() else { return "" };
    map_at(root, parents)
        .filter(|m| m.get(last).is_some_and(|v| !v.is_null()))
        .map_or("<unset>", |m| text(m, last))
}

fn class(root: &Map) -> &str {
    let old = at(root, &["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    if old.is_empty() { at(root, &["spec", "storageClassName"]) } else { old }
}

fn phase(root: &Map) -> Cell {
    string(if deleted(root) { "Terminating" } else { at(root, &["status", "phase"]) })
}

pub(crate) fn persistent_volume(root: &Map) -> Row {
    let claim = map_at(root, &["spec", "claimRef"]);
    cells([
        name(root),
        storage(map_at(root, &["spec", "capacity"])),
        access_modes(items(root, &["spec", "accessModes"])),
        string(at(root, &["spec", "persistentVolumeReclaimPolicy"])),
        phase(root),
        string(claim.map_or(String::new(), |c| format!("{}/{}", text(c, "namespace"), text(c, "name")))),
        string(class(root)),
        string(unset(root, &["spec", "volumeAttributesClassName"])),
        string(at(root, &["status", "reason"])),
        age(root),
        string(unset(root, &["spec", "volumeMode"])),
    ])
}

pub(crate) fn persistent_volume_claim(root: &Map) -> Row {
    let volume = at(root, &["spec", "volumeName"]);
    let bound = !volume.is_empty();
    cells([
        name(root),
        phase(root),
        string(volume),
        if bound { storage(map_at(root, &["status", "capacity"])) } else { string("") },
        access_modes(if bound { items(root, &["status", "accessModes"]) } else { &[] }),
        string(class(root)),
        string(unset(root, &["spec", "volumeAttributesClassName"])),
        age(root),
        string(unset(root, &["spec", "volumeMode"])),
    ])
}

pub(crate) fn resource_quota(root: &Map) -> Row {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = map_at(root, &["status", "hard"]);
    let mut keys: Vec<&str> = hard.into_iter().flat_map(|m| m.iter()).map(|(k, _)| k.as_ref()).collect();
    keys.sort_unstable();
    for key in keys {
        let amount = |which: &str| {
            let text = map_at(root, &["status", which]).map_or("", |m| text(m, key));
            Quantity::parse(text).unwrap_or(Quantity::zero()).to_string()
        };
        let cell = format!("{key}: {}/{}", amount("used"), amount("hard"));
        if key.starts_with("limits.") { limits.push(cell) } else { requests.push(cell) }
    }
    cells([name(root), string(requests.join(", ")), string(limits.join(", ")), age(root)])
}
