//! Types as JSON schemas.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{Field, Table, Topology, Ty, TypeId};

/// Which document a schema stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAPI 2.
    V2,
    /// OpenAPI 3.
    V3,
}

impl Dialect {
    pub(super) fn reference(self, name: &str) -> Value {
        match self {
            Self::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Self::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }
}

/// The special types by their OpenAPI names.
fn special(ty: &Ty) -> Option<(&'static str, Value)> {
    Some(match ty {
        Ty::Time => {
            ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", json!({"type": "string", "format": "date-time"}))
        }
        Ty::MicroTime => (
            "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
            json!({"type": "string", "format": "date-time"}),
        ),
        Ty::Duration => ("io.k8s.apimachinery.pkg.apis.meta.v1.Duration", json!({"type": "string"})),
        Ty::Quantity => ("io.k8s.apimachinery.pkg.api.resource.Quantity", json!({"type": "string"})),
        Ty::IntOrString => (
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
            json!({"type": "string", "format": "int-or-string"}),
        ),
        Ty::Raw => ("io.k8s.apimachinery.pkg.runtime.RawExtension", json!({"type": "object"})),
        Ty::FieldsV1 => ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", json!({"type": "object"})),
        Ty::Json => ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", json!({})),
        Ty::SchemaOrList => {
            ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray", json!({}))
        }
        Ty::SchemaOrBool => {
            ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool", json!({}))
        }
        Ty::SchemaOrStrings => (
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
            json!({}),
        ),
        _ => return None,
    })
}

/// The schemas of the named types and of everything they refer to.
pub(super) fn schemas(mut wanted: BTreeSet<String>, dialect: Dialect) -> Map<String, Value> {
    let table = Table::builtin();
    let mut done: Map<String, Value> = Map::new();
    while let Some(name) = wanted.pop_first() {
        if done.contains_key(&name) {
            continue;
        }
        let Some(id) = table.find(&name) else { continue };
        let schema = structure(table, id, dialect, &mut wanted, &mut done);
        done.insert(name, schema);
    }
    done
}

fn structure(
    table: &Table,
    id: TypeId,
    dialect: Dialect,
    wanted: &mut BTreeSet<String>,
    done: &mut Map<String, Value>,
) -> Value {
    let kind = table.get(id);
    let mut schema = json!({"type": "object"});
    let mut properties = Map::new();
    let mut required: Vec<&str> = Vec::new();
    for field in table.fields(id) {
        if field.required {
            required.push(&field.json);
        }
        let mut property = property(table, field, dialect, wanted, done);
        describe(&mut property, crate::describe::field(&kind.name, &field.json));
        properties.insert(field.json.to_string(), property);
    }
    describe(&mut schema, crate::describe::kind(&kind.name));
    required.sort_unstable();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !properties.is_empty() {
        schema["properties"] = Value::Object(properties);
    }
    if kind.topology == Topology::Atomic {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    // unions are carried over as they stand in the table
    if let Ok(unions) = serde_json::from_str::<Value>(&kind.unions) {
        schema["x-kubernetes-unions"] = unions;
    }
    if let Some(gvk) = gvk(&kind.name).filter(|_| table.field(id, "apiVersion").is_some()) {
        schema["x-kubernetes-group-version-kind"] = json!([gvk]);
    }
    schema
}

/// Says what something is for, where that is known.
fn describe(schema: &mut Value, text: String) {
    if !text.is_empty() {
        schema["description"] = Value::String(text);
    }
}

/// The kind a type's name stands for, if it is one that is served or listed.
fn gvk(name: &str) -> Option<Value> {
    let mut parts = name.rsplitn(3, '.');
    let (kind, version, package) = (parts.next()?, parts.next()?, parts.next()?);
    let short = package.rsplit('.').next()?;
    let group = crate::table::groups().into_iter().map(|(group, _)| group).find(|group| match *group {
        "" => short == "core",
        "internal.apiserver.k8s.io" => short == "apiserverinternal",
        other => other.split('.').next() == Some(short),
    })?;
    Some(json!({"group": group, "kind": kind, "version": version}))
}

fn property(
    table: &Table,
    field: &Field,
    dialect: Dialect,
    wanted: &mut BTreeSet<String>,
    done: &mut Map<String, Value>,
) -> Value {
    let mut schema = content(table, field.ty(), dialect, wanted, done);
    if dialect == Dialect::V3 && schema.get("$ref").is_some() {
        // OpenAPI 3.0 ignores what stands beside a reference
        schema = json!({"allOf": [schema]});
    }
    if let Some(Ok(default)) = field.default.as_ref().map(|d| serde_json::from_str::<Value>(d)) {
        schema["default"] = default;
    }
    if !field.format.is_empty() && schema.get("format").is_none() && schema.get("type").is_some() {
        schema["format"] = json!(field.format);
    }
    if !field.values.is_empty() {
        schema["enum"] = json!(field.values);
    }
    let topology = match field.topology {
        Topology::Default => None,
        Topology::Atomic => Some("atomic"),
        Topology::Set => Some("set"),
        Topology::Map => Some("map"),
        Topology::Granular => Some("granular"),
    };
    if let Some(name) = topology {
        let key = if matches!(field.ty(), Ty::List(_)) {
            "x-kubernetes-list-type"
        } else {
            "x-kubernetes-map-type"
        };
        schema[key] = json!(name);
    }
    if !field.keys.is_empty() {
        schema["x-kubernetes-list-map-keys"] = json!(field.keys);
    }
    if !field.patch_strategy.is_empty() {
        schema["x-kubernetes-patch-strategy"] = json!(field.patch_strategy.join(","));
    }
    if !field.merge_key.is_empty() {
        schema["x-kubernetes-patch-merge-key"] = json!(field.merge_key);
    }
    schema
}

fn content(
    table: &Table,
    ty: &Ty,
    dialect: Dialect,
    wanted: &mut BTreeSet<String>,
    done: &mut Map<String, Value>,
) -> Value {
    match ty {
        Ty::Str => json!({"type": "string"}),
        Ty::Bool => json!({"type": "boolean"}),
        Ty::Int32 => json!({"type": "integer", "format": "int32"}),
        Ty::Int64 => json!({"type": "integer", "format": "int64"}),
        Ty::Float => json!({"type": "number", "format": "double"}),
        Ty::Bytes => json!({"type": "string", "format": "byte"}),
        Ty::Strings => json!({"type": "array", "items": {"type": "string"}}),
        Ty::List(inner) => json!({"type": "array", "items": content(table, inner, dialect, wanted, done)}),
        Ty::Map(inner) => {
            json!({"type": "object", "additionalProperties": content(table, inner, dialect, wanted, done)})
        }
        Ty::Struct(id) => {
            let name = &table.get(*id).name;
            wanted.insert(name.to_string());
            dialect.reference(name)
        }
        other => match special(other) {
            Some((name, schema)) => {
                done.entry(name).or_insert(schema);
                dialect.reference(name)
            }
            None => json!({}),
        },
    }
}
