//! Storage resources of kinds that have no behaviour of their own: made from the schema's facts.
//!
//! # Upstream
//! `pkg/kubeapiserver/default_storage_factory_builder.go` (key prefixes and storage versions)

use std::sync::Arc;

use kinds::{Face, Hooks, StorageResource};
use meta::{GroupResource, GroupVersionKind};
use schema::table::{Facts, resources};

struct Plain;

impl Hooks for Plain {}

fn key_prefix(group: &str, plural: &str) -> String {
    match (group, plural) {
        ("", "nodes") => "minions".into(),
        ("", "replicationcontrollers") => "controllers".into(),
        ("", "services") => "services/specs".into(),
        ("", "endpoints") => "services/endpoints".into(),
        ("networking.k8s.io", "ingresses") => "ingress".into(),
        ("apiextensions.k8s.io" | "apiregistration.k8s.io", _) => format!("{group}/{plural}"),
        _ => plural.to_owned(),
    }
}

/// The storage resources that `known` does not have yet.
pub(super) fn missing(known: &[StorageResource]) -> Vec<StorageResource> {
    let mut made: Vec<StorageResource> = Vec::new();
    let has = |all: &[StorageResource], f: &Facts| {
        let face = |x: &Face| x.gvk.group == f.group && x.plural == f.plural;
        all.iter().any(|r| r.faces.iter().any(face))
    };
    for facts in resources().iter().filter(|f| !f.storage_hash.is_empty() && f.on_by_default()) {
        if has(known, facts) || has(&made, facts) {
            continue;
        }
        let gvk = GroupVersionKind::new(facts.group, facts.version, &facts.kind.kind);
        made.push(StorageResource {
            key_prefix: key_prefix(facts.group, facts.plural),
            resource: GroupResource { group: facts.group.into(), resource: facts.plural.into() },
            namespaced: facts.namespaced,
            faces: vec![Face {
                plural: facts.plural.into(),
                subresources: facts.subresources.iter().map(|s| s.name.to_owned()).collect(),
                gvk: gvk.clone(),
            }],
            storage: gvk,
            create_on_update: false,
            unconditional_update: true,
            delete_returns_object: false,
            hooks: Arc::new(Plain),
        });
    }
    made
}
