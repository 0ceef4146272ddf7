//! The operations on deployments, as `kubectl` uses them.

use meta::GroupVersionKind;

use super::{ApplyError, Request, Set, apply, update};
use crate::{Object, Schema, json};

fn schema() -> Schema {
    Schema::builtin(&GroupVersionKind::new("apps", "v1", "Deployment")).unwrap()
}

fn object(text: &str) -> Object {
    Object::new(json::decode(&schema(), text.as_bytes()).unwrap().root)
}

fn request<'a>(schema: &'a Schema, manager: &'a str) -> Request<'a> {
    Request {
        schema,
        api_version: "apps/v1",
        manager,
        subresource: "",
        resets: &[&["status"]],
        now: "2026-01-01T00:00:00Z",
    }
}

fn fields(object: &Object, manager: &str) -> String {
    let list = object.list_at(&["metadata", "managedFields"]);
    let of = list.iter().find(|e| e.at(&["manager"]).and_then(crate::Value::as_str) == Some(manager));
    let mut out = Vec::new();
    json::encode_generic(of.and_then(|e| e.at(&["fieldsV1"])).unwrap_or(&crate::Value::Null), &mut out);
    String::from_utf8(out).unwrap()
}

const WEB: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"app":"web"}},"spec":{
    "replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{
    "containers":[{"name":"c","image":"a:1","ports":[{"containerPort":80}]}]}}}}"#;

#[test]
fn create_owns_what_it_says() {
    let (schema, mut web) = (schema(), object(WEB));
    update(&request(&schema, "kubectl-create"), None, &mut web);
    assert_eq!(
        fields(&web, "kubectl-create"),
        r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{},"f:selector":{},"f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"f:resources":{}}}}}}}"#
    );
}

#[test]
fn applies_merge_conflict_force_and_prune() {
    let schema = schema();
    let first = apply(&request(&schema, "a"), None, object(WEB).root(), false).unwrap();
    let more = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":3,"template":{"spec":{"containers":[{"name":"d","image":"b:1"}]}}}}"#;
    let conflict = apply(&request(&schema, "b"), Some(&first), object(more).root(), false).unwrap_err();
    let ApplyError::Conflicts(conflicts) = conflict else { panic!("{conflict:?}") };
    assert_eq!((conflicts.len(), conflicts[0].field.as_str()), (1, ".spec.replicas"));
    assert_eq!(conflicts[0].message, "conflict with \"a\"");
    let forced = apply(&request(&schema, "b"), Some(&first), object(more).root(), true).unwrap();
    assert_eq!(forced.int_at(&["spec", "replicas"]), Some(3));
    let names = |o: &Object| {
        let list = o.list_at(&["spec", "template", "spec", "containers"]);
        list.iter().map(|c| c.at(&["name"]).unwrap().as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&forced), ["c", "d"]);
    let less = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"}}"#;
    let pruned = apply(&request(&schema, "b"), Some(&forced), object(less).root(), false).unwrap();
    assert_eq!(names(&pruned), ["c"]);
    assert_eq!(pruned.int_at(&["spec", "replicas"]), None);
    let again = apply(&request(&schema, "a"), Some(&pruned), object(WEB).root(), false).unwrap();
    assert_eq!(again.int_at(&["spec", "replicas"]), Some(2));
    let same = apply(&request(&schema, "a"), Some(&again), object(WEB).root(), false).unwrap();
    assert_eq!(same, again);
}

#[test]
fn updates_take_what_they_change() {
    let schema = schema();
    let first = apply(&request(&schema, "a"), None, object(WEB).root(), false).unwrap();
    let mut scaled = first.clone();
    scaled.set(&["spec", "replicas"], 5);
    update(&request(&schema, "hpa"), Some(&first), &mut scaled);
    assert_eq!(fields(&scaled, "hpa"), r#"{"f:spec":{"f:replicas":{}}}"#);
    assert!(!fields(&scaled, "a").contains("f:replicas"));
    let mut same = scaled.clone();
    update(&request(&schema, "other"), Some(&scaled), &mut same);
    assert_eq!(same, scaled);
}

#[test]
fn sets_read_what_they_write() {
    let text = r#"{"f:a":{".":{},"f:b":{}},"k:{\"name\":\"x\"}":{}}"#;
    let (value, _) = json::generic(text.as_bytes()).unwrap();
    assert_eq!(Set::from_value(&value).into_value(), value);
}
