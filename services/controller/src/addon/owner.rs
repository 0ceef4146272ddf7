//! How an object says which Addon it belongs to: the labels and annotations k3s's objects have.
//!
//! # Upstream
//! `github.com/rancher/wrangler/pkg/apply/desiredset_owner.go`, `desiredset_apply.go` `objectSetHash`

use serde_json::{Map, Value, json};

use super::manifest::hex;

const GVK: &str = "k3s.cattle.io/v1, Kind=Addon";
/// Where Addons live.
pub(crate) const NAMESPACE: &str = "kube-system";
/// The label that finds all objects of an Addon.
pub(crate) const HASH: &str = "objectset.rio.cattle.io/hash";

/// The value of the label of an Addon's objects.
pub(crate) fn hash(addon: &str) -> String {
    // the identity of a set, here empty, comes first
    let text = format!("{GVK}{addon}{NAMESPACE}");
    hex(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

/// Marks an object as an Addon's.
pub(crate) fn mark(object: &mut Value, addon: &str) {
    let annotations = [
        ("objectset.rio.cattle.io/id", json!("")),
        ("objectset.rio.cattle.io/owner-gvk", json!(GVK)),
        ("objectset.rio.cattle.io/owner-name", json!(addon)),
        ("objectset.rio.cattle.io/owner-namespace", json!(NAMESPACE)),
    ];
    let metadata = child(object, "metadata");
    let into = child(metadata, "annotations");
    for (name, value) in annotations {
        into[name] = value;
    }
    child(metadata, "labels")[HASH] = json!(hash(addon));
}

/// A member that is an object, made when it is missing or null.
fn child<'a>(of: &'a mut Value, name: &str) -> &'a mut Value {
    if !of.is_object() {
        *of = Value::Object(Map::new());
    }
    let member = &mut of[name];
    if member.is_null() {
        *member = Value::Object(Map::new());
    }
    member
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_k3ss() {
        assert_eq!(hash("coredns"), "bce283298811743a0386ab510f2f67ef74240c57");
    }

    #[test]
    fn marks_join_what_is_there() {
        let mut object =
            json!({"kind": "X", "metadata": {"name": "a", "labels": {"k": "v"}, "annotations": null}});
        mark(&mut object, "coredns");
        let metadata = &object["metadata"];
        assert_eq!(metadata["labels"]["k"], "v");
        assert_eq!(metadata["labels"][HASH], hash("coredns"));
        assert_eq!(metadata["annotations"]["objectset.rio.cattle.io/owner-name"], "coredns");
    }
}
