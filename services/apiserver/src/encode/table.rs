//! Tables: what `kubectl get` prints.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/handlers/response.go` `asTable`

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use kinds::{Cell, Column, Description};
use schema::Object;
use serde_json::{Value, json};

use super::object;
use crate::errors::{self, Result};
use crate::registry::Endpoint;
use crate::request::accept::{Form, Media};
use crate::request::info::query_pairs;
use crate::store::entry::Entry;
use crate::store::read::Listing;
use crate::verbs::Call;

const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const DEFAULT: &[Column] = &[
    Column {
        name: "Name",
        kind: "string",
        format: "name",
        priority: 0,
        description: Description::Field(METADATA, "name"),
    },
    Column {
        name: "Created At",
        kind: "date",
        format: "",
        priority: 0,
        description: Description::Field(METADATA, "creationTimestamp"),
    },
];

/// How much of the object goes into a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Include {
    None,
    Metadata,
    Object,
}

fn include(call: &Call) -> Result<Include> {
    let query = query_pairs(call.query.as_deref());
    match query.iter().find(|(k, _)| k == "includeObject").map_or("", |(_, v)| v.as_str()) {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::None),
        "Object" => Ok(Include::Object),
        other => Err(errors::bad_request(format!("unrecognized includeObject value: {other:?}"))),
    }
}

fn columns(endpoint: &Endpoint) -> &'static [Column] {
    match endpoint.resource.kind.hooks.columns() {
        [] => DEFAULT,
        own => own,
    }
}

fn definitions(endpoint: &Endpoint) -> Value {
    let one = |c: &Column| {
        let description = match c.description {
            Description::Text(text) => text.into(),
            Description::Field(kind, field) => schema::describe::field(kind, field),
        };
        json!({"name": c.name, "type": c.kind, "format": c.format, "description": description, "priority": c.priority})
    };
    columns(endpoint).iter().map(one).collect()
}

/// A duration as kubectl shows ages.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/util/duration/duration.go` `HumanDuration`
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let pair = |big: i64, b: &str, small: i64, s: &str| {
        if small == 0 { format!("{big}{b}") } else { format!("{big}{b}{small}{s}") }
    };
    match seconds {
        s if s < -1 => "<invalid>".into(),
        s if s < 0 => "0s".into(),
        s if s < 60 * 2 => format!("{s}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 60 * 3 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 24 * 8 => pair(hours / 24, "d", hours % 24, "h"),
        _ if hours < 24 * 365 * 2 => format!("{}d", hours / 24),
        _ if hours < 24 * 365 * 8 => pair(hours / 24 / 365, "y", (hours / 24) % 365, "d"),
        _ => format!("{}y", hours / 24 / 365),
    }
}

fn cell(cell: Cell, now: Timestamp) -> Value {
    match cell {
        Cell::Text(text) => text.into(),
        Cell::Int(n) => n.into(),
        Cell::Bool(b) => b.into(),
        Cell::Since { text, since } => {
            format!("{text} ({} ago)", human_duration(now.duration_since(since).as_secs())).into()
        }
        Cell::Age(None) => "<unknown>".into(),
        Cell::Age(Some(time)) => human_duration(now.duration_since(time).as_secs()).into(),
    }
}

fn row(call: &Call, tree: &Object, wanted: Include) -> Result<Value> {
    let hooks = &call.endpoint.resource.kind.hooks;
    let (cells, condition) = if hooks.columns().is_empty() {
        let created = tree.str_at(&["metadata", "creationTimestamp"]).to_owned();
        (vec![Value::from(tree.name()), Value::from(created)], None)
    } else {
        let (cells, condition) = hooks.row(tree);
        (cells.into_iter().map(|c| cell(c, call.now)).collect(), condition)
    };
    let mut row = serde_json::Map::new();
    row.insert("cells".into(), cells.into());
    if let Some(c) = condition {
        let condition =
            json!({"type": "Completed", "status": "True", "reason": c.reason, "message": c.message});
        row.insert("conditions".into(), json!([condition]));
    }
    if wanted != Include::None {
        let mut served = tree.clone();
        call.endpoint.to_served(&mut served)?;
        let json = call.endpoint.schema.encode_json(&served);
        let mut value: Value = serde_json::from_slice(&json).map_err(errors::internal)?;
        if wanted == Include::Metadata {
            value = json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": value["metadata"].take(),
            });
        }
        row.insert("object".into(), value);
    } else {
        row.insert("object".into(), Value::Null);
    }
    Ok(Value::Object(row))
}

fn table(form: Form, metadata: Value, definitions: Value, rows: Vec<Value>) -> Bytes {
    let version = if form.beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" };
    let table = json!({
        "kind": "Table",
        "apiVersion": version,
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    });
    let bytes = Bytes::from(serde_json::to_vec(&table).unwrap_or_default());
    if form.media == Media::Yaml { object::yaml_of(&bytes).unwrap_or(bytes) } else { bytes }
}

/// A table of stored objects; with the listing's metadata when they are a list.
pub fn of_entries(call: &Call, form: Form, entries: &[Arc<Entry>], list: Option<&Listing>) -> Result<Bytes> {
    let wanted = include(call)?;
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        rows.push(row(call, &call.decode(entry)?, wanted)?);
    }
    let mut metadata = serde_json::Map::new();
    match (list, entries) {
        (Some(list), _) => {
            metadata.insert("resourceVersion".into(), list.revision.to_string().into());
            if !list.next.is_empty() {
                metadata.insert("continue".into(), list.next.as_str().into());
            }
            if let Some(n) = list.remaining {
                metadata.insert("remainingItemCount".into(), n.into());
            }
        }
        (None, [one]) if one.revision > 0 => {
            metadata.insert("resourceVersion".into(), one.revision.to_string().into());
        }
        _ => {}
    }
    Ok(table(form, metadata.into(), definitions(&call.endpoint), rows))
}

/// A table of one row: a watch event's object.
pub fn one(call: &Call, form: Form, entry: &Arc<Entry>, with_columns: bool) -> Result<Bytes> {
    let row = row(call, &call.decode(entry)?, include(call)?)?;
    let columns = if with_columns { definitions(&call.endpoint) } else { Value::Null };
    let metadata = json!({"resourceVersion": entry.revision.to_string()});
    Ok(table(form, metadata, columns, vec![row]))
}

/// A bookmark as a table: its row carries the annotations.
pub fn bookmark(call: &Call, form: Form, object: &Object, with_columns: bool) -> Result<Bytes> {
    let columns = if with_columns { definitions(&call.endpoint) } else { Value::Null };
    let metadata = json!({"resourceVersion": object.resource_version()});
    let mut partial = json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": object.resource_version()},
    });
    if object.annotation("k8s.io/initial-events-end").is_some() {
        partial["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let cells: Vec<Value> = columns_blank(&call.endpoint);
    let row = json!({"cells": cells, "object": partial});
    Ok(table(form, metadata, columns, vec![row]))
}

fn columns_blank(endpoint: &Endpoint) -> Vec<Value> {
    columns(endpoint).iter().map(|_| Value::from("")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let table =
            [(5, "5s"), (119, "119s"), (121, "2m1s"), (600, "10m"), (3 * 3600, "3h"), (9 * 3600, "9h")];
        for (seconds, text) in table {
            assert_eq!(human_duration(seconds), text);
        }
        assert_eq!(human_duration(50 * 3600), "2d2h");
    }
}
