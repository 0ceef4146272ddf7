//! Objects in which nothing is set, or everything to its zero value, are written as Go writes them
//! (`gen/zeros` wrote down how).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failing test may panic")]

use std::io::{BufRead, BufReader};

use base64::Engine;
use flate2::read::GzDecoder;
use k3s_rs_schema::{Schema, json, proto};
use meta::{GroupVersion, GroupVersionKind};

#[derive(serde::Deserialize)]
struct Case {
    form: String,
    kind: String,
    #[serde(rename = "in")]
    input: String,
    json: String,
    proto: String,
    back: String,
}

fn encoded(schema: &Schema, object: &k3s_rs_schema::Map) -> String {
    let mut out = Vec::new();
    json::encode(schema, object, &mut out);
    String::from_utf8(out).unwrap()
}

/// Where two texts part.
fn parting(ours: &str, theirs: &str) -> String {
    let at = ours.bytes().zip(theirs.bytes()).take_while(|(x, y)| x == y).count();
    let from = at.saturating_sub(60);
    let part = |text: &str| text.get(from..(at + 60).min(text.len())).unwrap_or_default().to_owned();
    format!("…{} ≠ …{}", part(ours), part(theirs))
}

fn differences(schema: &Schema, case: &Case) -> Vec<String> {
    let mut found = Vec::new();
    let decoded = match json::decode(schema, case.input.as_bytes()) {
        Ok(decoded) => decoded,
        Err(error) => return vec![format!("does not decode: {error}")],
    };
    let ours = encoded(schema, &decoded.root);
    if ours != case.json {
        found.push(format!("json {}", parting(&ours, &case.json)));
    }
    let theirs = base64::engine::general_purpose::STANDARD.decode(&case.proto).unwrap();
    let mut wire = Vec::new();
    proto::encode(schema, &decoded.root, &mut wire);
    if wire != theirs {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        found.push(format!("protobuf {}", parting(&hex(&wire), &hex(&theirs))));
    }
    let normal = json::decode(schema, ours.as_bytes()).unwrap().root;
    let (mut by_tree, mut direct) = (Vec::new(), Vec::new());
    proto::message(schema, &normal, &mut by_tree);
    if proto::direct(schema, ours.as_bytes(), &mut direct) && direct != by_tree {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        found.push(format!("direct {}", parting(&hex(&direct), &hex(&by_tree))));
    }
    let opened = proto::envelope(&theirs).unwrap();
    match proto::decode(schema, opened.raw) {
        Ok(mut back) => {
            back.insert("apiVersion", opened.api_version);
            back.insert("kind", opened.kind);
            let ours = encoded(schema, &back);
            if ours != case.back {
                found.push(format!("from protobuf {}", parting(&ours, &case.back)));
            }
        }
        Err(error) => found.push(format!("does not decode from protobuf: {error}")),
    }
    found
}

#[test]
fn zero_values_are_written_as_go_writes_them() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/goldens/zeros.jsonl.gz");
    let lines = BufReader::new(GzDecoder::new(std::fs::File::open(path).unwrap())).lines();
    let (mut checked, mut failed) = (0, Vec::new());
    for line in lines {
        let case: Case = serde_json::from_str(&line.unwrap()).unwrap();
        let (version, kind) = case.kind.split_once(' ').unwrap();
        let version = GroupVersion::parse(version).unwrap();
        // kinds of versions that are no longer served have no schema
        let Some(schema) = Schema::builtin(&GroupVersionKind::new(version.group, version.version, kind))
        else {
            continue;
        };
        checked += 1;
        let of = |text: String| format!("{} {}: {text}", case.form, case.kind);
        failed.extend(differences(&schema, &case).into_iter().map(of));
    }
    println!("{checked} checked");
    assert!(checked > 300, "only {checked} of the kinds are known");
    let shown = failed.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(failed.is_empty(), "{} of {checked}:\n{shown}", failed.len());
}
