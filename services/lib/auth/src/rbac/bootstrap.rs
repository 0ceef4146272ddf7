//! The roles and bindings every cluster starts with.
//!
//! `policy.json` holds upstream's facts, written by `gen/policy.py`; this file reads them.
//!
//! # Upstream
//! `plugin/pkg/auth/authorizer/rbac/bootstrappolicy`

use serde::Deserialize;
use serde_json::Value;

use super::{Binding, Policy, Role};

static OBJECTS: &str = include_str!("policy.json");

#[derive(Deserialize)]
struct Named {
    kind: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
}

/// The objects as they are to be in a new cluster, in the order upstream creates them.
pub fn objects() -> Vec<Value> {
    serde_json::from_str(OBJECTS).expect("policy.json is checked in and covered by a test")
}

/// A policy of the bootstrap objects alone; aggregated cluster roles hold the rules of what they select.
pub fn policy() -> Policy {
    let mut policy = Policy::default();
    for object in objects() {
        let named = Named::deserialize(&object).expect("policy.json is checked in and covered by a test");
        let (namespace, name) = (&named.metadata.namespace, &named.metadata.name);
        if named.kind.ends_with("Binding") {
            policy.set_binding(namespace, name, Binding::deserialize(&object).ok()); // covered by a test
        } else {
            policy.set_role(namespace, name, Role::deserialize(&object).ok()); // covered by a test
        }
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_reads_and_every_reference_resolves() {
        let policy = policy();
        for object in objects() {
            let named = Named::deserialize(&object).unwrap();
            if named.kind.ends_with("Binding") {
                let binding = Binding::deserialize(&object).unwrap();
                assert!(policy.referenced(&binding.role_ref, &named.metadata.namespace).is_ok(), "{object}");
            } else {
                Role::deserialize(&object).unwrap();
            }
        }
    }
}
