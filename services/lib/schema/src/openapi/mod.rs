//! OpenAPI documents, derived from the table and the resource facts.
//!
//! # Differs
//! Descriptions are not in the table, so the documents carry none; `kubectl explain` shows fields and types.

mod components;
mod gnostic;
mod paths;
mod v2;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::table::Facts;

pub use components::Dialect;
pub use gnostic::encode as v2_protobuf;

/// The OpenAPI 3 document of one group version, for the resources that are served.
///
/// `version` is the server's own (`v1.36.3`).
pub fn v3(served: &[&Facts], group: &str, version: &str, server_version: &str) -> Value {
    let of = |f: &&&Facts| f.group == group && f.version == version;
    let facts: Vec<&Facts> = served.iter().filter(of).copied().collect();
    let mut names = BTreeSet::new();
    let paths = paths::paths(&facts, Dialect::V3, &mut names);
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "components": {
            "schemas": components::schemas(names, Dialect::V3),
            "securitySchemes": {"BearerToken": {
                "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
            }},
        },
    })
}

/// The OpenAPI 2 document of everything that is served.
pub fn v2(served: &[&Facts], server_version: &str) -> Value {
    let mut names = BTreeSet::new();
    let paths = paths::paths(served, Dialect::V2, &mut names);
    v2::document(paths, components::schemas(names, Dialect::V2), server_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::resources;

    fn served() -> Vec<&'static Facts> {
        resources().iter().filter(|f| f.on_by_default()).collect()
    }

    #[test]
    fn clients_find_what_they_look_for() {
        let doc = v3(&served(), "apps", "v1", "v1.36.3");
        let patch = &doc["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
        let parameters = patch["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"), "{patch}");
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
        assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
        let spec = &doc["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"];
        assert_eq!(spec["required"], json!(["selector", "template"]));
        let containers =
            &doc["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    }

    #[test]
    fn every_reference_resolves() {
        let served = served();
        for (group, versions) in crate::table::groups() {
            for version in versions {
                let doc = v3(&served, group, version, "v1.36.3");
                check(&doc, "#/components/schemas/", &doc["components"]["schemas"]);
            }
        }
        let doc = v2(&served, "v1.36.3");
        check(&doc, "#/definitions/", &doc["definitions"]);
    }

    fn check(value: &Value, prefix: &str, schemas: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                    let name = name.strip_prefix(prefix).unwrap();
                    assert!(schemas.get(name).is_some(), "{name}");
                }
                map.values().for_each(|v| check(v, prefix, schemas));
            }
            Value::Array(list) => list.iter().for_each(|v| check(v, prefix, schemas)),
            _ => {}
        }
    }
}
