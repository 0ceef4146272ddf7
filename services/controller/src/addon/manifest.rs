//! A manifest's text: its objects, their kinds, its checksum.

use std::collections::BTreeSet;

use serde_json::Value;

/// Why a text is no manifest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error(transparent)]
    Yaml(#[from] yaml::Error),
    #[error("Object 'Kind' is missing in '{0}'")]
    NoKind(String),
    #[error("Object 'apiVersion' is missing in '{0}'")]
    NoVersion(String),
}

/// A group, version and kind, written as upstream writes them: `apps/v1, Kind=Deployment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Gvk {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl Gvk {
    /// Of an object.
    pub(crate) fn of(object: &Value) -> Self {
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
        Self { group: group.into(), version: version.into(), kind: text("kind").into() }
    }

    fn parse(text: &str) -> Option<Self> {
        let (version, kind) = text.split_once(", Kind=")?;
        let (group, version) = version.split_once('/')?;
        Some(Self { group: group.into(), version: version.into(), kind: kind.into() })
    }
}

impl std::fmt::Display for Gvk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}, Kind={}", self.group, self.version, self.kind)
    }
}

/// The objects of every document, those of lists one by one; namespaces and definitions of kinds first.
pub(crate) fn objects(text: &str) -> Result<Vec<Value>, ManifestError> {
    let mut objects = Vec::new();
    for document in yaml::documents(text)? {
        if document.is_null() {
            continue;
        }
        let items = document.get("items").and_then(Value::as_array).cloned();
        for object in items.unwrap_or_else(|| vec![document]) {
            let missing = |name: &str| object[name].as_str().is_none_or(str::is_empty);
            if missing("kind") {
                return Err(ManifestError::NoKind(object.to_string()));
            }
            if missing("apiVersion") {
                return Err(ManifestError::NoVersion(object.to_string()));
            }
            objects.push(object);
        }
    }
    let rank = |object: &Value| match object["kind"].as_str() {
        Some("Namespace") => 0,
        Some("CustomResourceDefinition") => 1,
        _ => 2,
    };
    objects.sort_by_key(rank);
    Ok(objects)
}

/// The kinds of objects.
pub(crate) fn kinds(objects: &[Value]) -> BTreeSet<Gvk> {
    objects.iter().map(Gvk::of).collect()
}

/// Kinds in the annotation's form.
pub(crate) fn to_annotation(kinds: &BTreeSet<Gvk>) -> String {
    kinds.iter().map(Gvk::to_string).collect::<Vec<_>>().join(";")
}

/// Kinds from the annotation; what is malformed is left out, as upstream does.
pub(crate) fn from_annotation(text: &str) -> BTreeSet<Gvk> {
    text.split(';').filter_map(Gvk::parse).collect()
}

/// SHA-256 in hexadecimal.
pub(crate) fn checksum(content: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, content).as_ref())
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_become_objects() {
        let text = "# only a comment\n---\napiVersion: apps/v1\nkind: Deployment\n---\n---\napiVersion: v1\nkind: List\n\
                    items:\n- {apiVersion: v1, kind: ConfigMap}\n- {apiVersion: v1, kind: Namespace}\n";
        let objects = objects(text).unwrap();
        let all: Vec<String> = objects.iter().map(|o| Gvk::of(o).to_string()).collect();
        assert_eq!(all, ["/v1, Kind=Namespace", "apps/v1, Kind=Deployment", "/v1, Kind=ConfigMap"]);
        let annotation = to_annotation(&kinds(&objects));
        assert_eq!(annotation, "/v1, Kind=ConfigMap;/v1, Kind=Namespace;apps/v1, Kind=Deployment");
        assert_eq!(from_annotation(&annotation), kinds(&objects));
        assert_eq!(from_annotation("nonsense;").len(), 0);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for (text, message) in [
            ("a: 1", r#"Object 'Kind' is missing in '{"a":1}'"#),
            ("kind: X", r#"Object 'apiVersion' is missing in '{"kind":"X"}'"#),
        ] {
            assert_eq!(objects(text).unwrap_err().to_string(), message);
        }
        assert!(objects("a: [").is_err());
    }

    #[test]
    fn checksums_are_sha256() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checksum(b"abc"), known);
    }
}
