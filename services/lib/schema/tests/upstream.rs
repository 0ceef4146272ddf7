//! Every object of upstream's API round-trip data goes through both encodings and comes out byte for byte.
//!
//! The data are read from the k8s.io/api module in Go's module cache; without it the test says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a failing test may panic"
)]

use std::path::PathBuf;
use std::process::Command;

use k3s_rs_schema::{Schema, json, proto};
use meta::{GroupVersion, GroupVersionKind};

fn testdata() -> Option<PathBuf> {
    let cache = Command::new("go").args(["env", "GOMODCACHE"]).output().ok()?;
    let dir =
        PathBuf::from(String::from_utf8(cache.stdout).ok()?.trim()).join("k8s.io/api@v0.36.3/testdata/HEAD");
    dir.is_dir().then_some(dir)
}

fn compact(bytes: &[u8]) -> Vec<u8> {
    // upstream's files are indented; the order of fields stays
    let mut out = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_transcode(&mut reader, &mut serde_json::Serializer::new(&mut out));
    // Go escapes what serde does not
    let text = String::from_utf8(out).unwrap();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").into_bytes()
}

fn serde_transcode(
    reader: &mut serde_json::Deserializer<serde_json::de::SliceRead<'_>>,
    out: &mut serde_json::Serializer<&mut Vec<u8>>,
) {
    use serde::Serialize;
    let raw: Ordered = serde::Deserialize::deserialize(reader).unwrap();
    raw.serialize(out).unwrap();
}

/// JSON that keeps the order of its fields.
enum Ordered {
    Leaf(serde_json::Value),
    List(Vec<Ordered>),
    Map(Vec<(String, Ordered)>),
}

impl<'de> serde::Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> serde::de::Visitor<'de> for V {
            type Value = Ordered;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("json")
            }
            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(serde_json::Value::Null))
            }
            fn visit_bool<E>(self, v: bool) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(v.into()))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(v.into()))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(v.into()))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(v.into()))
            }
            fn visit_str<E>(self, v: &str) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(v.into()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut a: A) -> Result<Ordered, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = a.next_element()? {
                    list.push(item);
                }
                Ok(Ordered::List(list))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut a: A) -> Result<Ordered, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = a.next_entry()? {
                    map.push(entry);
                }
                Ok(Ordered::Map(map))
            }
        }
        d.deserialize_any(V)
    }
}

impl serde::Serialize for Ordered {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Ordered::Leaf(v) => v.serialize(s),
            Ordered::List(l) => s.collect_seq(l),
            Ordered::Map(m) => s.collect_map(m.iter().map(|(k, v)| (k, v))),
        }
    }
}

#[test]
fn every_kind_round_trips() {
    let Some(dir) = testdata() else {
        println!("skipped: the k8s.io/api module is not in Go's module cache");
        return;
    };
    let (mut checked, mut failed, mut missing) = (0, Vec::new(), Vec::new());
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
        let text = std::fs::read(path).unwrap();
        let head: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        // kinds whose group is served by no API stand there without type
        let Some(version) = head["apiVersion"].as_str().and_then(GroupVersion::parse) else {
            missing.push(name);
            continue;
        };
        let gvk = GroupVersionKind::new(version.group, version.version, head["kind"].as_str().unwrap());
        let Some(schema) = Schema::builtin(&gvk) else {
            missing.push(name);
            continue;
        };
        let expected_json = compact(&text);
        let expected_proto = std::fs::read(path.with_extension("pb")).unwrap();
        let decoded = json::decode(&schema, &text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut out = Vec::new();
        json::encode(&schema, &decoded.root, &mut out);
        let mut wire = Vec::new();
        proto::encode(&schema, &decoded.root, &mut wire);
        let opened = proto::envelope(&expected_proto).unwrap();
        let mut back = proto::decode(&schema, opened.raw).unwrap_or_else(|e| panic!("{name}: {e}"));
        back.insert("apiVersion", opened.api_version);
        back.insert("kind", opened.kind);
        let mut again = Vec::new();
        json::encode(&schema, &back, &mut again);
        checked += 1;
        let mut direct = Vec::new();
        // schemas that are unions are written from the tree
        let written = proto::direct(&schema, &expected_json, &mut direct);
        let show = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let differ = |a: &[u8], b: &[u8]| {
            let at = a.iter().zip(b).take_while(|(x, y)| x == y).count();
            let from = at.saturating_sub(60);
            format!(
                "…{} ≠ …{}",
                show(&a[from..(at + 60).min(a.len())]),
                show(&b[from..(at + 60).min(b.len())])
            )
        };
        if !decoded.problems.is_empty() {
            failed.push(format!("{name}: {:?}", decoded.problems));
        } else if out != expected_json {
            failed.push(format!("{name}: json {}", differ(&out, &expected_json)));
        } else if wire != expected_proto {
            failed.push(format!("{name}: protobuf {}", differ(&wire, &expected_proto)));
        } else if written && direct != opened.raw {
            failed.push(format!("{name}: direct {}", differ(&direct, opened.raw)));
        } else if !written && !name.contains("CustomResourceDefinition") {
            failed.push(format!("{name}: not written directly"));
        } else if again != expected_json {
            failed.push(format!("{name}: from protobuf {}", differ(&again, &expected_json)));
        }
    }
    println!("{checked} checked, {} failed, not served: {missing:?}", failed.len());
    assert!(
        failed.is_empty(),
        "{} of {checked}:\n{}",
        failed.len(),
        failed[..failed.len().min(12)].join("\n")
    );
}
