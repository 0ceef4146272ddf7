//! Paths and their operations, from the resource facts.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/installer.go`

use std::collections::BTreeSet;

use meta::GroupVersionKind;
use serde_json::{Map, Value, json};

use super::Dialect;
use crate::Schema;
use crate::table::Facts;

const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const MEDIA: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// Query parameters: name, type, operations (`l`ist and watch, `c`reate, `u`pdate, `p`atch, `d`elete).
const PARAMETERS: [(&str, &str, &str); 19] = [
    ("allowWatchBookmarks", "boolean", "l"),
    ("continue", "string", "lx"),
    ("fieldSelector", "string", "lx"),
    ("labelSelector", "string", "lx"),
    ("limit", "integer", "lx"),
    ("resourceVersion", "string", "lx"),
    ("resourceVersionMatch", "string", "lx"),
    ("sendInitialEvents", "boolean", "lx"),
    ("timeoutSeconds", "integer", "lx"),
    ("watch", "boolean", "l"),
    ("dryRun", "string", "cupdx"),
    ("fieldManager", "string", "cup"),
    ("fieldValidation", "string", "cup"),
    ("force", "boolean", "p"),
    ("gracePeriodSeconds", "integer", "dx"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "dx"),
    ("orphanDependents", "boolean", "dx"),
    ("propagationPolicy", "string", "dx"),
    ("pretty", "string", "glcupdx"),
];

struct Operation<'a> {
    facts: &'a Facts,
    /// `get`, `list`, `post`, `put`, `patch`, `delete`, `deletecollection`.
    action: &'static str,
    /// The letter in `PARAMETERS`.
    letter: char,
    subresource: &'a str,
    kind: &'a GroupVersionKind,
    namespaced: bool,
}

pub(super) fn paths(served: &[&Facts], dialect: Dialect, names: &mut BTreeSet<String>) -> Value {
    let mut paths = Map::new();
    for facts in served {
        resource(facts, dialect, names, &mut paths);
        for sub in &facts.subresources {
            let path = format!("{}/{{name}}/{}", collection(facts, facts.namespaced), sub.name);
            let item = operations(facts, sub.name, &sub.kind, &sub.verbs, facts.namespaced, false);
            add(&mut paths, path, item, facts.namespaced, true, dialect, names);
        }
    }
    Value::Object(paths)
}

fn resource(facts: &Facts, dialect: Dialect, names: &mut BTreeSet<String>, paths: &mut Map<String, Value>) {
    let spaces: &[bool] = if facts.namespaced { &[true, false] } else { &[false] };
    for &namespaced in spaces {
        let everywhere = facts.namespaced && !namespaced;
        let verbs: Vec<&str> = facts.verbs.iter().copied().filter(|v| !everywhere || *v == "list").collect();
        let many = operations(facts, "", &facts.kind, &verbs, namespaced, true);
        add(paths, collection(facts, namespaced), many, namespaced, false, dialect, names);
        if !everywhere {
            let one = operations(facts, "", &facts.kind, &verbs, namespaced, false);
            add(
                paths,
                format!("{}/{{name}}", collection(facts, namespaced)),
                one,
                namespaced,
                true,
                dialect,
                names,
            );
        }
    }
}

fn collection(facts: &Facts, namespaced: bool) -> String {
    let root = match facts.group {
        "" => format!("/api/{}", facts.version),
        group => format!("/apis/{group}/{}", facts.version),
    };
    if namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", facts.plural)
    } else {
        format!("{root}/{}", facts.plural)
    }
}

fn operations<'a>(
    facts: &'a Facts,
    subresource: &'a str,
    kind: &'a GroupVersionKind,
    verbs: &[&str],
    namespaced: bool,
    collection: bool,
) -> Vec<(&'static str, Operation<'a>)> {
    // verb, on collections, method, action, parameters
    let table = [
        ("list", true, "get", "list", 'l'),
        ("create", true, "post", "post", 'c'),
        ("deletecollection", true, "delete", "deletecollection", 'x'),
        ("get", false, "get", "get", 'g'),
        ("update", false, "put", "put", 'u'),
        ("patch", false, "patch", "patch", 'p'),
        ("delete", false, "delete", "delete", 'd'),
    ];
    let fits = |(verb, many, ..): &&(&str, bool, &str, &str, char)| {
        let here = *many == collection || (*verb == "create" && !subresource.is_empty());
        here && verbs.contains(verb)
    };
    let make = |(_, _, method, action, letter): &(&str, bool, &'static str, &'static str, char)| {
        (*method, Operation { facts, action, letter: *letter, subresource, kind, namespaced })
    };
    table.iter().filter(fits).map(make).collect()
}

fn add(
    paths: &mut Map<String, Value>,
    path: String,
    operations: Vec<(&'static str, Operation<'_>)>,
    namespaced: bool,
    named: bool,
    dialect: Dialect,
    names: &mut BTreeSet<String>,
) {
    if operations.is_empty() {
        return;
    }
    let mut item = Map::new();
    let mut parameters = Vec::new();
    for (name, there) in [("name", named), ("namespace", namespaced)] {
        if there {
            parameters.push(parameter(name, "path", "string", dialect));
        }
    }
    for (method, operation) in operations {
        item.insert(method.into(), operation.document(dialect, names));
    }
    if !parameters.is_empty() {
        item.insert("parameters".into(), parameters.into());
    }
    paths.insert(path, item.into());
}

fn parameter(name: &str, place: &str, kind: &str, dialect: Dialect) -> Value {
    let mut value = json!({"name": name, "in": place, "uniqueItems": true});
    if place == "path" {
        value["required"] = json!(true);
    }
    match dialect {
        Dialect::V2 => value["type"] = json!(kind),
        Dialect::V3 => {
            value["schema"] = json!({"type": kind, "uniqueItems": true});
            if let Some(map) = value.as_object_mut() {
                map.remove("uniqueItems");
            }
        }
    }
    value
}

impl Operation<'_> {
    fn document(&self, dialect: Dialect, names: &mut BTreeSet<String>) -> Value {
        let mut parameters: Vec<Value> = PARAMETERS
            .iter()
            .filter(|(_, _, letters)| letters.contains(self.letter))
            .map(|(name, kind, _)| parameter(name, "query", kind, dialect))
            .collect();
        let answer = self.answer(names);
        let body = self.body(names);
        let mut document = json!({
            "operationId": self.id(),
            "tags": [format!("{}_{}", self.group_word(), self.facts.version)],
            "x-kubernetes-action": self.action,
            "x-kubernetes-group-version-kind":
                {"group": self.kind.group, "version": self.kind.version, "kind": self.kind.kind},
        });
        match dialect {
            Dialect::V3 => {
                if let Some((media, name)) = body {
                    let schema = dialect.reference(&name);
                    let content: Map<String, Value> =
                        media.iter().map(|m| ((*m).to_owned(), json!({"schema": schema}))).collect();
                    document["requestBody"] = json!({"content": content, "required": true});
                }
                let schema = dialect.reference(&answer);
                let content: Map<String, Value> =
                    MEDIA.iter().map(|m| ((*m).to_owned(), json!({"schema": schema}))).collect();
                document["responses"] = json!({"200": {"description": "OK", "content": content}});
            }
            Dialect::V2 => {
                if let Some((media, name)) = body {
                    let schema = dialect.reference(&name);
                    parameters
                        .push(json!({"name": "body", "in": "body", "required": true, "schema": schema}));
                    document["consumes"] = json!(media);
                }
                document["produces"] = json!(MEDIA);
                document["responses"] =
                    json!({"200": {"description": "OK", "schema": dialect.reference(&answer)}});
            }
        }
        document["parameters"] = parameters.into();
        document
    }

    /// The OpenAPI name of a type, noted as needed.
    fn name(&self, gvk: &GroupVersionKind, names: &mut BTreeSet<String>) -> String {
        let name = Schema::builtin(gvk).map_or(format!("{META}Status"), |s| s.kind().name.to_string());
        names.insert(name.clone());
        name
    }

    fn answer(&self, names: &mut BTreeSet<String>) -> String {
        match self.action {
            "list" => {
                let list = GroupVersionKind { kind: format!("{}List", self.kind.kind), ..self.kind.clone() };
                self.name(&list, names)
            }
            "delete" | "deletecollection" => {
                let status = format!("{META}Status");
                names.insert(status.clone());
                status
            }
            _ => self.name(self.kind, names),
        }
    }

    fn body(&self, names: &mut BTreeSet<String>) -> Option<(Vec<&'static str>, String)> {
        match self.action {
            "post" | "put" => Some((MEDIA.to_vec(), self.name(self.kind, names))),
            "patch" => {
                names.insert(format!("{META}Patch"));
                names.insert(format!("{META}DeleteOptions"));
                // any JSON: the type has no fields of its own
                Some((PATCHES.to_vec(), self.name(self.kind, names)))
            }
            "delete" | "deletecollection" => {
                let options = format!("{META}DeleteOptions");
                names.insert(options.clone());
                Some((MEDIA.to_vec(), options))
            }
            _ => None,
        }
    }

    /// `core`, `apps`, `rbacAuthorization`.
    fn group_word(&self) -> String {
        let stem = self.facts.group.trim_end_matches(".k8s.io");
        if stem.is_empty() {
            return "core".into();
        }
        let mut words = stem.split('.');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |word, next| word + &upper(next))
    }

    fn id(&self) -> String {
        let verb = match self.action {
            "get" => "read",
            "post" => "create",
            "put" => "replace",
            "deletecollection" => "deleteCollection",
            other => other,
        };
        let scope = match (self.namespaced, self.facts.namespaced) {
            (true, _) => "Namespaced",
            _ => "",
        };
        let everywhere = if self.facts.namespaced && !self.namespaced { "ForAllNamespaces" } else { "" };
        let sub: String = self.subresource.split('/').map(upper).collect();
        let (group, version) = (upper(&self.group_word()), upper(self.facts.version));
        format!("{verb}{group}{version}{scope}{}{sub}{everywhere}", self.facts.kind.kind)
    }
}

fn upper(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
