//! Containers: annotations that became fields, amounts of bytes, variables that hide others.
//!
//! # Upstream
//! `pkg/api/pod/warnings.go` `warningsForPodSpecAndMeta`

use std::fmt::Arguments;

use meta::field::quote;
use schema::Map;

use super::pod::Template;
use super::{Seen, Warnings, fraction};
use crate::core::apparmor::{self, Profile};
use crate::core::disabled::CONTAINERS;
use crate::tree::{map, map_at, maps, text};

const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// All containers with the names of their lists and their places there.
pub(super) fn all(spec: &Map) -> impl Iterator<Item = (&'static str, usize, &Map)> {
    CONTAINERS
        .into_iter()
        .flat_map(move |key| maps(spec, key).enumerate().map(move |(i, container)| (key, i, container)))
}

/// All of a pod's containers.
pub(super) fn containers(warnings: &mut Warnings, template: Template<'_>) {
    let annotations = template.metadata.and_then(|metadata| map(metadata, "annotations"));
    for (key, i, container) in all(template.spec) {
        if let Some(annotations) = annotations {
            security(warnings, template, annotations, container);
        }
        let at = template.at;
        resources(warnings, format_args!("{at}spec.{key}[{i}].resources"), container);
        variables(warnings, format_args!("{at}spec.{key}[{i}]"), container);
    }
}

/// The value of the annotation about one container; made without writing its key down.
fn about<'a>(annotations: &'a Map, prefix: &str, container: &str) -> Option<&'a str> {
    let mut entries = annotations.iter();
    let (_, value) = entries.find(|(key, _)| key.strip_prefix(prefix) == Some(container))?;
    value.as_str()
}

fn security(warnings: &mut Warnings, template: Template<'_>, annotations: &Map, container: &Map) {
    let (at, name) = (template.at, text(container, "name"));
    let has = |field: &str| map_at(container, &["securityContext", field]).is_some();
    if !has("seccompProfile") && about(annotations, SECCOMP, name).is_some() {
        warnings.push(format!(
            "{at}metadata.annotations[{SECCOMP}{name}]: non-functional in v1.27+; use the \"seccompProfile\" field \
             instead"
        ));
    }
    // a pod's own annotation becomes a field when the pod is made
    if at.is_empty() || has("appArmorProfile") {
        return;
    }
    let Some(annotation) = about(annotations, apparmor::ANNOTATION, name) else { return };
    let of_pod = map_at(template.spec, &["securityContext", "appArmorProfile"]);
    let same =
        of_pod.is_some_and(|field| Profile::parse(annotation).is_some_and(|profile| profile.is(field)));
    if !same {
        warnings.push(format!(
            "{at}metadata.annotations[{}{name}]: {}",
            apparmor::ANNOTATION,
            apparmor::ADVICE
        ));
    }
}

fn resources(warnings: &mut Warnings, at: Arguments<'_>, container: &Map) {
    let Some(resources) = map(container, "resources") else { return };
    for resource in ["memory", "ephemeral-storage"] {
        for side in ["limits", "requests"] {
            if let Some(amounts) = map(resources, side) {
                fraction(warnings, format_args!("{at}.{side}[{resource}]"), text(amounts, resource));
            }
        }
    }
}

/// A variable that is set again, unless the new value is made of the old one.
fn variables(warnings: &mut Warnings, at: Arguments<'_>, container: &Map) {
    let mut seen = Seen::default();
    for (i, variable) in maps(container, "env").enumerate() {
        let name = text(variable, "name");
        if seen.again(name) && hides(variable, name) {
            let name = quote(name);
            warnings.push(format!(
                "{at}.env[{i}]: hides previous definition of {name}, which may be dropped when using apply"
            ));
        }
    }
}

fn hides(variable: &Map, name: &str) -> bool {
    let (value, reference) = (text(variable, "value"), format!("$({name})"));
    map(variable, "valueFrom").is_some() || value == reference || !value.contains(&reference)
}
