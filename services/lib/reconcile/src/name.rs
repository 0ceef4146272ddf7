//! Names made from a prefix.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/storage/names/generate.go`, `pkg/registry/generic/registry/store.go` (Create)

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Op, Write};

const CHARS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const LONGEST_PREFIX: usize = 58;
const RANDOM: usize = 5;
/// How many names are tried.
pub(crate) const ATTEMPTS: usize = 8;

/// The prefix of what a write creates, if it has no name.
pub(crate) fn prefix(write: &Write) -> Option<String> {
    let Op::Create(object) = &write.op else { return None };
    let prefix = object["metadata"]["generateName"].as_str().filter(|p| !p.is_empty())?;
    write.key.name.is_empty().then(|| prefix.to_owned())
}

/// A name nobody else is likely to make.
pub(crate) fn make(prefix: &str) -> String {
    from(prefix, uuid::Uuid::new_v4().as_bytes())
}

/// The JSON form of an object under a name: what is created in number is one tree.
pub(crate) struct Named<'a> {
    pub(crate) object: &'a Value,
    /// Empty: the object's own.
    pub(crate) name: &'a str,
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(fields) = self.object.as_object().filter(|_| !self.name.is_empty()) else {
            return self.object.serialize(serializer);
        };
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (field, value) in fields {
            match value {
                Value::Object(meta) if field == "metadata" => {
                    map.serialize_entry(field, &NamedMeta { meta, name: self.name })?;
                }
                _ => map.serialize_entry(field, value)?,
            }
        }
        map.end()
    }
}

struct NamedMeta<'a> {
    meta: &'a Map<String, Value>,
    name: &'a str,
}

impl Serialize for NamedMeta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name)?;
        for (field, value) in self.meta.iter().filter(|(field, _)| *field != "name") {
            map.serialize_entry(field, value)?;
        }
        map.end()
    }
}

fn from(prefix: &str, random: &[u8]) -> String {
    let mut name: String = prefix.chars().take(LONGEST_PREFIX).collect();
    name.extend(random.iter().rev().take(RANDOM).map(|b| CHARS[usize::from(*b) % CHARS.len()] as char));
    name
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use client::{Key, Resource};
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn write(key: &str, metadata: serde_json::Value) -> Write {
        Write {
            resource: Resource::of::<Pod>(),
            key: Key::new("ns", key),
            op: Op::Create(Arc::new(json!({ "metadata": metadata, "spec": {"name": "s"} }))),
            together: false,
            on_ok: None,
            on_err: None,
            samples: Vec::new(),
        }
    }

    #[test]
    fn only_prefixes_are_completed() {
        for (key, metadata, made) in [
            ("", json!({ "generateName": "web-" }), Some("web-")),
            ("", json!({}), None),
            ("web-0", json!({ "name": "web-0", "generateName": "web-" }), None),
        ] {
            assert_eq!(prefix(&write(key, metadata)).as_deref(), made);
        }
    }

    #[test]
    fn another_name_is_another() {
        let name = make("web-");
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        assert_ne!(name, make("web-"));
    }

    #[test]
    fn one_tree_is_many_objects() {
        let Op::Create(object) = write("", json!({ "generateName": "web-", "labels": {"a": "b"} })).op else {
            unreachable!()
        };
        let posted = |object: &Value, name| serde_json::to_value(Named { object, name }).unwrap();
        let mut named = Value::clone(&object);
        assert_eq!(posted(&object, ""), named);
        named["metadata"]["name"] = json!("web-x");
        assert_eq!(posted(&object, "web-x"), named);
        assert_eq!(posted(&named, "web-y")["metadata"]["name"], "web-y");
    }

    #[test]
    fn a_long_prefix_is_cut() {
        assert_eq!(from(&"p".repeat(70), &[0; 16]), format!("{}bbbbb", "p".repeat(58)));
    }
}
