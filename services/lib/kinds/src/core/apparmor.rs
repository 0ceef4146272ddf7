//! AppArmor profiles of containers: once annotations of their pod, fields since 1.30.
//!
//! # Upstream
//! `pkg/registry/core/pod/strategy.go` `applyAppArmorVersionSkew`, `pkg/api/pod/util.go` `ApparmorFieldForAnnotation`

use schema::{Map, Object, Value};

use crate::Context;
use crate::core::disabled::CONTAINERS;
use crate::tree::{map, map_at, maps_mut, text};

/// What stands before the container's name in an annotation's key.
pub(crate) const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
/// What is said of an annotation that stands for the field.
pub(crate) const ADVICE: &str = r#"deprecated since v1.30; use the "appArmorProfile" field instead"#;
/// The longest path.
const LONGEST: usize = 4095;

/// A profile an annotation asks for.
pub(crate) struct Profile<'a> {
    kind: &'static str,
    /// That of a profile the node has.
    file: Option<&'a str>,
}

impl<'a> Profile<'a> {
    /// Reads an annotation's value.
    pub(crate) fn parse(annotation: &'a str) -> Option<Self> {
        match annotation {
            "unconfined" => Some(Self { kind: "Unconfined", file: None }),
            "runtime/default" => Some(Self { kind: "RuntimeDefault", file: None }),
            other => {
                let file = other.strip_prefix("localhost/").filter(|file| !file.is_empty())?;
                Some(Self { kind: "Localhost", file: Some(file) })
            }
        }
    }

    /// Whether a field says the same.
    pub(crate) fn is(&self, field: &Map) -> bool {
        text(field, "type") == self.kind && text(field, "localhostProfile") == self.file.unwrap_or("")
    }

    fn is_valid(&self) -> bool {
        self.file.is_none_or(|file| file.trim() == file && file.len() <= LONGEST)
    }

    fn field(&self) -> Map {
        let mut field = Map::new();
        field.insert("type", self.kind);
        if let Some(file) = self.file {
            field.insert("localhostProfile", file);
        }
        field
    }
}

/// Makes fields of a new pod's annotations, where its containers have none, and tells the client.
pub(super) fn annotations_to_fields(cx: &Context<'_>, object: &mut Object) {
    let asked = asked(object);
    if asked.is_empty() || object.str_at(&["spec", "os", "name"]) == "windows" {
        return;
    }
    let of_pod = object.map_at(&["spec", "securityContext", "appArmorProfile"]).cloned();
    let spec = object.root_mut().map_mut("spec");
    for list in CONTAINERS {
        for container in maps_mut(spec, list) {
            let Some((name, value)) = asked.iter().find(|(name, _)| name == text(container, "name")) else {
                continue;
            };
            if take_over(container, value, of_pod.as_ref()) {
                cx.warn(format!("metadata.annotations[{ANNOTATION}{name}]: {ADVICE}"));
            }
        }
    }
}

/// The names of containers and what is asked for them.
fn asked(object: &Object) -> Vec<(String, String)> {
    let annotations = map(object.metadata(), "annotations").into_iter().flat_map(|m| m.iter());
    let about = |(key, value): (&schema::Key, &Value)| {
        Some((key.strip_prefix(ANNOTATION)?.to_owned(), value.as_str()?.to_owned()))
    };
    annotations.filter_map(about).collect()
}

/// Sets the field unless it is there or the pod's own says the same; says whether the annotation should go.
fn take_over(container: &mut Map, annotation: &str, of_pod: Option<&Map>) -> bool {
    if map_at(container, &["securityContext", "appArmorProfile"]).is_some() {
        return false;
    }
    let Some(profile) = Profile::parse(annotation).filter(Profile::is_valid) else { return true };
    if of_pod.is_some_and(|field| profile.is(field)) {
        return false;
    }
    container.map_mut("securityContext").insert("appArmorProfile", profile.field());
    true
}
