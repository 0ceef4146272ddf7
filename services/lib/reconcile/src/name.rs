//! Names made from a prefix.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/storage/names/generate.go`, `pkg/registry/generic/registry/store.go` (Create)

use serde_json::json;

use crate::{Op, Write};

const CHARS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const LONGEST_PREFIX: usize = 58;
const RANDOM: usize = 5;
/// How many names are tried.
pub(crate) const ATTEMPTS: usize = 8;

/// Names what a write creates, if it has a prefix only. Gives whether it did.
pub(crate) fn make(write: &mut Write) -> bool {
    let Op::Create(object) = &mut write.op else { return false };
    let Some(prefix) = object["metadata"]["generateName"].as_str().filter(|p| !p.is_empty()) else {
        return false;
    };
    if !write.key.name.is_empty() {
        return false;
    }
    let name = from(prefix, uuid::Uuid::new_v4().as_bytes());
    object["metadata"]["name"] = json!(name);
    write.key.name = name;
    true
}

/// Takes a made name away.
pub(crate) fn forget(write: &mut Write) {
    write.key.name.clear();
}

fn from(prefix: &str, random: &[u8]) -> String {
    let mut name: String = prefix.chars().take(LONGEST_PREFIX).collect();
    name.extend(random.iter().rev().take(RANDOM).map(|b| CHARS[usize::from(*b) % CHARS.len()] as char));
    name
}

#[cfg(test)]
mod tests {
    use client::{Key, Resource};
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn write(key: &str, metadata: serde_json::Value) -> Write {
        Write {
            resource: Resource::of::<Pod>(),
            key: Key::new("ns", key),
            op: Op::Create(json!({ "metadata": metadata })),
            together: false,
            on_ok: None,
            on_err: None,
        }
    }

    #[test]
    fn only_prefixes_are_completed() {
        for (key, metadata, made) in [
            ("", json!({ "generateName": "web-" }), true),
            ("", json!({}), false),
            ("web-0", json!({ "name": "web-0", "generateName": "web-" }), false),
        ] {
            let mut write = write(key, metadata);
            assert_eq!(make(&mut write), made);
            if made {
                assert!(
                    write.key.name.starts_with("web-") && write.key.name.len() == 9,
                    "{}",
                    write.key.name
                );
            }
            let Op::Create(object) = &write.op else { unreachable!() };
            assert_eq!(object["metadata"]["name"].as_str().unwrap_or_default(), write.key.name);
        }
    }

    #[test]
    fn another_name_is_another() {
        let mut write = write("", json!({ "generateName": "web-" }));
        assert!(make(&mut write));
        let first = write.key.name.clone();
        forget(&mut write);
        assert!(make(&mut write));
        assert_ne!(first, write.key.name);
    }

    #[test]
    fn a_long_prefix_is_cut() {
        assert_eq!(from(&"p".repeat(70), &[0; 16]), format!("{}bbbbb", "p".repeat(58)));
    }
}
