//! What OpenAPI 2 has around paths and definitions.

use serde_json::{Map, Value, json};

pub(super) fn document(paths: Value, definitions: Map<String, Value>, server_version: &str) -> Value {
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": server_version},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header",
        }},
        "security": [{"BearerToken": []}],
    })
}
