//! CustomResourceDefinitions: formats that nothing checks.
//!
//! # Upstream
//! `k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/strategy.go`,
//! `pkg/apiserver/validation/formats.go`

use meta::field::quote;
use schema::{Map, Object, Value};

use super::Warnings;
use crate::tree::{list, map, map_at, maps, text};

/// Formats of strings, without their dashes.
const OF_STRINGS: [&str; 26] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];
/// Where a schema has one schema, more of them in a list, more of them by name.
const ONE: [&str; 4] = ["not", "additionalProperties", "additionalItems", "items"];
const LISTS: [&str; 4] = ["items", "allOf", "anyOf", "oneOf"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "definitions", "dependencies"];

/// A CustomResourceDefinition; a change is told of the formats that were not there before.
pub(crate) fn definition(object: &Object, old: Option<&Object>) -> Warnings {
    let found = unknown(object);
    if found.is_empty() {
        return Warnings::new();
    }
    let before = old.map(unknown).unwrap_or_default();
    let new = found.into_iter().filter(|format| !before.contains(format));
    new.map(|format| format!("unrecognized format {}", quote(format))).collect()
}

fn unknown(object: &Object) -> Vec<&str> {
    let mut found = Vec::new();
    let versions = map(object.root(), "spec").into_iter().flat_map(|spec| maps(spec, "versions"));
    for schema in versions.filter_map(|version| map_at(version, &["schema", "openAPIV3Schema"])) {
        collect(schema, &mut found);
    }
    found
}

fn collect<'a>(schema: &'a Map, found: &mut Vec<&'a str>) {
    let format = text(schema, "format");
    if !format.is_empty() && !is_known(format, text(schema, "type")) {
        found.push(format);
    }
    for inner in LISTS.into_iter().flat_map(|key| list(schema, key)).filter_map(Value::as_map) {
        collect(inner, found);
    }
    for inner in ONE.into_iter().filter_map(|key| map(schema, key)) {
        collect(inner, found);
    }
    for named in NAMED.into_iter().filter_map(|key| map(schema, key)) {
        for inner in named.iter().filter_map(|(_, inner)| inner.as_map()) {
            collect(inner, found);
        }
    }
}

fn is_known(format: &str, of: &str) -> bool {
    match of {
        "" | "string" => OF_STRINGS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}
