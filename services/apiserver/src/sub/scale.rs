//! The `scale` of workloads.
//!
//! # Upstream
//! `pkg/registry/apps/deployment/storage/storage.go` `ScaleREST`

use meta::{GroupVersionKind, field};
use schema::{Map, Object, Value};

use super::decode_as;
use crate::codec::{self, Type};
use crate::encode::Answer;
use crate::errors::{self, Result};
use crate::request::accept::Offer;
use crate::request::options::WriteOptions;
use crate::verbs::Call;
use crate::verbs::patch::{apply_error, json_patch_error};
use crate::verbs::update::{Changed, change};
use crate::verbs::write::{Computed, Managed, Source};

fn gvk() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

fn scale_type() -> Result<Type> {
    Type::of(&gvk()).ok_or_else(|| errors::internal("no schema for Scale"))
}

/// The selector of a workload as text.
fn selector_text(object: &Object) -> String {
    let selector = object.map_at(&["spec", "selector"]);
    let empty = Map::new();
    let selector = selector.unwrap_or(&empty);
    let labels = match selector.get("matchLabels") {
        Some(labels) => labels.as_map().unwrap_or(&empty),
        None if selector.contains_key("matchExpressions") => &empty,
        // a replication controller's selector is the map itself
        None => selector,
    };
    let mut terms: Vec<(String, String)> =
        labels.iter().map(|(k, v)| (k.to_string(), format!("{k}={}", v.as_str().unwrap_or("")))).collect();
    for e in selector.get("matchExpressions").and_then(Value::as_list).unwrap_or(&[]) {
        let text = |key: &str| e.at(&[key]).and_then(Value::as_str).unwrap_or("").to_owned();
        let mut values: Vec<&str> = e
            .at(&["values"])
            .and_then(Value::as_list)
            .unwrap_or(&[])
            .iter()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let (key, values) = (text("key"), values.join(","));
        let term = match text("operator").as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        };
        terms.push((key, term));
    }
    terms.sort();
    terms.into_iter().map(|(_, t)| t).collect::<Vec<_>>().join(",")
}

/// The scale of a workload.
fn scale_of(object: &Object) -> Object {
    let mut scale = Object::default();
    scale.set(&["kind"], "Scale");
    scale.set(&["apiVersion"], "autoscaling/v1");
    let mut metadata = Map::new();
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.metadata().get(key) {
            metadata.insert(key, value.clone());
        }
    }
    scale.set(&["metadata"], metadata);
    scale.set(&["spec", "replicas"], object.int_at(&["spec", "replicas"]).unwrap_or(0));
    scale.set(&["status", "replicas"], object.int_at(&["status", "replicas"]).unwrap_or(0));
    let selector = selector_text(object);
    if !selector.is_empty() {
        scale.set(&["status", "selector"], selector);
    }
    scale
}

/// A change through the scale.
enum Scaling {
    Put(Object),
    Patch { json: bool, body: Value },
    Apply { body: Value, options: WriteOptions },
}

/// Applies a scale: who applies owns the workload's `replicas`, through this subresource.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/util/managedfields/scalehandler.go`: there ownership is mapped to the scale and back
fn apply(call: &Call, old: &Object, body: &Value, options: &WriteOptions) -> Result<Computed> {
    let text = |path: &[&str]| body.at(path).and_then(Value::as_str).unwrap_or("").to_owned();
    if (text(&["apiVersion"]).as_str(), text(&["kind"]).as_str()) != ("autoscaling/v1", "Scale") {
        return Err(errors::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {}, expected: autoscaling/v1",
            text(&["apiVersion"])
        )));
    }
    check_name(call, &text(&["metadata", "name"]))?;
    let mut applied = Object::default();
    call.endpoint.stamp(&mut applied);
    applied.set(&["metadata", "name"], old.name());
    applied.set(&["metadata", "namespace"], old.namespace());
    if let Some(replicas) = body.at(&["spec", "replicas"]).and_then(Value::as_int) {
        check_replicas(call, replicas)?;
        applied.set(&["spec", "replicas"], replicas);
    }
    let manager = options.field_manager.as_str();
    let writer = codec::Writer { manager, subresource: "scale", resets: &[], now: call.now };
    let tree = Value::Map(applied.into_root());
    let object = call.endpoint.schema.apply(Some(old), &tree, options.force.unwrap_or(false), writer);
    let insists_on = text(&["metadata", "resourceVersion"]);
    let mut object = object.map_err(apply_error)?;
    forget_time(&mut object, manager);
    Ok(Computed { object, managed: Managed::Done, insists_on })
}

/// On its way through the scale, an applied entry loses its time.
fn forget_time(object: &mut Object, manager: &str) {
    let entries = object.at_mut(&["metadata", "managedFields"]).and_then(Value::as_list_mut);
    for entry in entries.into_iter().flatten().filter_map(Value::as_map_mut) {
        let is = |key: &str, text: &str| entry.get(key).and_then(Value::as_str) == Some(text);
        if is("manager", manager) && is("operation", "Apply") && is("subresource", "scale") {
            entry.remove("time");
        }
    }
}

fn check_name(call: &Call, name: &str) -> Result<()> {
    if name == call.info.name {
        return Ok(());
    }
    Err(errors::bad_request(format!(
        "the name of the object ({name}) does not match the name on the URL ({})",
        call.info.name
    )))
}

fn check_replicas(call: &Call, replicas: i64) -> Result<()> {
    if replicas >= 0 {
        return Ok(());
    }
    let problem = field::Error::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
    Err(errors::invalid("autoscaling", "Scale", &call.info.name, &[problem]))
}

impl Source for Scaling {
    fn compute(&mut self, call: &Call, old: &Object) -> Result<Computed> {
        let scale = match self {
            Scaling::Apply { body, options } => return apply(call, old, body, options),
            Scaling::Put(scale) => scale.clone(),
            Scaling::Patch { json, body } => {
                let mut scale = scale_of(old).into_root();
                let tree = if *json {
                    let mut tree = Value::Map(scale);
                    schema::patch::json_patch(&mut tree, body).map_err(json_patch_error)?;
                    tree
                } else {
                    let merged = schema::patch::merge_patch(&mut scale, body);
                    merged.map_err(|e| errors::bad_request(e.to_string()))?;
                    Value::Map(scale)
                };
                let decoded =
                    scale_type()?.decode_tree(&tree).map_err(|e| errors::bad_request(e.to_string()))?;
                decoded.object
            }
        };
        check_name(call, scale.name())?;
        let replicas = scale.int_at(&["spec", "replicas"]).unwrap_or(0);
        check_replicas(call, replicas)?;
        let mut object = old.clone();
        object.set(&["spec", "replicas"], replicas);
        let insists_on = scale.resource_version().to_owned();
        if !scale.uid().is_empty() {
            object.set(&["metadata", "uid"], scale.uid());
        }
        Ok(Computed { object, managed: Managed::Update, insists_on })
    }
}

/// Runs a verb on the scale.
pub async fn run(call: &Call) -> Result<Answer> {
    let form = call.form_of(Offer { protobuf: true, table: true, partial: true, list: false })?;
    let schema = scale_type()?;
    let ok = http::StatusCode::OK;
    let source = match call.info.verb {
        "get" => {
            let entry = call.server.store.get(&call.cache(), &call.key(), "").await?;
            let object = call.decode(&*entry.ok_or_else(|| call.missing())?)?;
            return Ok(Answer::Typed(form, ok, scale_of(&object), schema));
        }
        "update" => Scaling::Put(decode_as(&call.headers, &call.body, &gvk())?.0),
        "patch" => {
            let media = call.header("content-type").split(';').next().unwrap_or("").trim().to_owned();
            let body =
                codec::parse_yaml_or_json(&call.body).map_err(|e| errors::bad_request(e.to_string()))?;
            match media.as_str() {
                "application/json-patch+json" => Scaling::Patch { json: true, body },
                "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                    Scaling::Patch { json: false, body }
                }
                "application/apply-patch+yaml" => {
                    let query = call.query.as_deref();
                    let options = WriteOptions::read(query, "PatchOptions", call.agent(), Some(true))?;
                    Scaling::Apply { body, options }
                }
                _ => {
                    return Err(errors::unsupported_media(&[
                        "application/json-patch+json",
                        "application/merge-patch+json",
                        "application/apply-patch+yaml",
                    ]));
                }
            }
        }
        _ => return Err(errors::method_not_allowed()),
    };
    let options = match &source {
        Scaling::Apply { options, .. } => options.clone(),
        _ => {
            let kind = if call.info.verb == "patch" { "PatchOptions" } else { "UpdateOptions" };
            WriteOptions::read(call.query.as_deref(), kind, call.agent(), None)?
        }
    };
    let object = match change(call, &options, source).await? {
        Changed::Done(done) => call.decode(done.entry())?,
        Changed::Dry(object) => object,
    };
    Ok(Answer::Typed(form, ok, scale_of(&object), schema))
}
