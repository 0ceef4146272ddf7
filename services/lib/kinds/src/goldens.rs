//! Compares with what upstream's own code answered (`gen/goldens.py` wrote it down).

use std::io::{BufRead, BufReader};

use flate2::read::GzDecoder;
use schema::{Object, Value};

use crate::tree::{from_json, json};
use crate::{Cell, StorageResource, kinds};

fn read(name: &str) -> impl Iterator<Item = serde_json::Value> {
    let path = format!("{}/goldens/{name}.jsonl.gz", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(path).unwrap();
    BufReader::new(GzDecoder::new(file)).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

fn object(value: &serde_json::Value) -> Object {
    match from_json(value.clone()) {
        Value::Map(map) => Object::new(map),
        _ => panic!("not an object"),
    }
}

fn resource<'a>(all: &'a [StorageResource], object: &Object) -> &'a StorageResource {
    let wanted = |r: &&StorageResource| {
        r.faces
            .iter()
            .any(|f| f.gvk.kind == object.kind() && f.gvk.group_version().to_string() == object.api_version())
    };
    all.iter().find(wanted).unwrap_or_else(|| panic!("{} {}", object.api_version(), object.kind()))
}

/// Drops what Go's encoder may leave out.
fn pruned(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(m) => {
            let kept = m.iter().map(|(k, v)| (k.clone(), pruned(v))).filter(|(_, v)| !hollow(v));
            serde_json::Value::Object(kept.collect())
        }
        serde_json::Value::Array(l) => serde_json::Value::Array(l.iter().map(pruned).collect()),
        other => other.clone(),
    }
}

fn hollow(v: &serde_json::Value) -> bool {
    use serde_json::Value as V;
    match v {
        V::Null => true,
        V::Bool(b) => !b,
        V::Number(n) => n.as_i64() == Some(0),
        V::String(s) => s.is_empty(),
        V::Array(l) => l.is_empty(),
        V::Object(m) => m.is_empty(),
    }
}

fn differences(path: &str, a: &serde_json::Value, b: &serde_json::Value, out: &mut Vec<String>) {
    use serde_json::Value as V;
    match (a, b) {
        (V::Object(x), V::Object(y)) => {
            let keys: std::collections::BTreeSet<_> = x.keys().chain(y.keys()).collect();
            for k in keys {
                differences(&format!("{path}.{k}"), &a[k.as_str()], &b[k.as_str()], out);
            }
        }
        (V::Array(x), V::Array(y)) if x.len() == y.len() => {
            for (i, (x, y)) in x.iter().zip(y).enumerate() {
                differences(&format!("{path}[{i}]"), x, y, out);
            }
        }
        _ if a == b => {}
        _ => out.push(format!("{path}: ours {a} upstream {b}")),
    }
}

fn check(found: &[String]) {
    let shown: Vec<&String> = found.iter().take(60).collect();
    assert!(found.is_empty(), "{} differences: {shown:#?}", found.len());
}

#[test]
fn defaults_are_upstreams() {
    let all = kinds();
    let mut found = Vec::new();
    for case in read("default") {
        let mut ours = object(&case["in"]);
        let resource = resource(&all, &ours);
        let version = ours.api_version().rsplit('/').next().unwrap().to_owned();
        resource.hooks.default_versioned(&version, &mut ours);
        let once = ours.clone();
        resource.hooks.default_versioned(&version, &mut ours);
        assert!(once == ours, "{} is not idempotent", ours.kind());
        // device taints take the time they are decoded at, and devices Go's zero quantities: not done yet
        if matches!(ours.kind(), "DeviceTaintRule" | "ResourceSlice") {
            continue;
        }
        let ours = pruned(&json(&Value::Map(ours.into_root())));
        differences(case["in"]["kind"].as_str().unwrap(), &ours, &pruned(&case["out"]), &mut found);
    }
    check(&found);
}

#[test]
fn rows_are_upstreams() {
    let all = kinds();
    let mut found = Vec::new();
    for case in read("rows") {
        let object = object(&case["in"]);
        let hooks = &resource(&all, &object).hooks;
        let columns: Vec<&str> = hooks.columns().iter().map(|c| c.name).collect();
        let (cells, _) = hooks.row(&object);
        // upstream gives an address one cell more than there are columns
        assert!(columns.len() <= cells.len(), "{}", object.kind());
        if columns.is_empty() {
            continue;
        }
        differences(object.kind(), &columns.clone().into(), &case["columns"], &mut found);
        for ((cell, theirs), column) in cells.iter().zip(case["cells"].as_array().unwrap()).zip(columns) {
            let ours: serde_json::Value = match cell {
                Cell::Text(t) => t.clone().into(),
                Cell::Int(i) => (*i).into(),
                Cell::Bool(b) => (*b).into(),
                Cell::Age(None) => "<unknown>".into(),
                // ages move on
                Cell::Age(Some(_)) | Cell::Since { .. } => continue,
            };
            differences(&format!("{} {column}", object.kind()), &ours, theirs, &mut found);
        }
    }
    check(&found);
}

/// The text up to where upstream appends a difference of Go values.
fn headline(message: &str) -> String {
    message.split('\n').next().unwrap_or("").trim_end().to_owned()
}

/// Writes are checked in the storage version.
fn to_storage(storage: &meta::GroupVersionKind, hooks: &dyn crate::Hooks, object: &mut Object) {
    let (from, to) = (object.api_version().to_owned(), storage.group_version().to_string());
    if from != to && !(from.contains('/') && to.contains('/')) {
        hooks.convert(&from, &to, object).unwrap();
    }
}

#[test]
fn writes_are_upstreams() {
    let all = kinds();
    let mut found = Vec::new();
    for case in read("writes") {
        let mut new = object(&case["object"]);
        let hooks = &resource(&all, &new).hooks;
        let version = new.api_version().rsplit('/').next().unwrap().to_owned();
        let group = new.api_version().rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let subresource = case["sub"].as_str().unwrap_or("");
        let extra = std::collections::BTreeMap::new();
        let cx = crate::Context {
            now,
            user: "someone",
            uid: "",
            groups: &[],
            extra: &extra,
            subresource,
            group: &group,
            version: &version,
            warnings: &std::sync::Mutex::default(),
        };
        hooks.default_versioned(&version, &mut new);
        to_storage(&resource(&all, &new).storage, &**hooks, &mut new);
        let errors = if case["op"] == "create" {
            new.metadata_mut().insert("uid", "u1");
            hooks.prepare_create(&cx, &mut new);
            hooks.validate(&cx, &new)
        } else {
            let mut old = object(&case["old"]);
            hooks.default_versioned(&version, &mut old);
            to_storage(&resource(&all, &old).storage, &**hooks, &mut old);
            hooks.prepare_update(&cx, &mut new, &old);
            hooks.validate_update(&cx, &new, &old)
        };
        let ours: std::collections::BTreeSet<(String, String)> =
            errors.iter().map(|e| (e.path.clone(), headline(&e.body()))).collect();
        let text = |c: &serde_json::Value, key: &str| c[key].as_str().unwrap_or("").to_owned();
        let theirs: std::collections::BTreeSet<(String, String)> = case["causes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| (text(c, "field"), headline(&text(c, "message"))))
            .collect();
        let name = format!("{} {}", case["op"].as_str().unwrap(), new.kind());
        found.extend(ours.difference(&theirs).map(|e| format!("{name} only ours: {e:?}")));
        found.extend(theirs.difference(&ours).map(|e| format!("{name} only upstream: {e:?}")));
        if case["error"] == "" && case["op"] == "create" {
            for key in ["spec", "status"] {
                let ours = new.root().get(key).map_or(serde_json::Value::Null, json);
                differences(&format!("{name}.{key}"), &pruned(&ours), &pruned(&case["out"][key]), &mut found);
            }
        }
    }
    check(&found);
}

#[test]
fn what_is_not_validated_only_shrinks() {
    let list = include_str!("../unvalidated.txt");
    let lines: Vec<&str> = list.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(lines.len() <= 44, "unvalidated.txt grew to {}", lines.len());
    let all = kinds();
    for line in lines {
        let kind = line.split('.').next().unwrap();
        assert!(all.iter().any(|r| r.storage.kind == kind), "{line}: no such kind");
    }
}

#[test]
fn keys_and_faces_are_unique() {
    let all = kinds();
    let mut keys = std::collections::BTreeSet::new();
    let mut faces = std::collections::BTreeSet::new();
    for r in &all {
        assert!(keys.insert(r.key_prefix.clone()), "{}", r.key_prefix);
        for f in &r.faces {
            assert!(faces.insert(format!("{} {}", f.gvk.group_version(), f.plural)), "{}", f.plural);
        }
        assert!(
            r.faces.iter().any(|f| f.gvk == r.storage),
            "{} is served in its storage version",
            r.key_prefix
        );
    }
}
