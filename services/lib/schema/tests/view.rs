//! Objects of upstream's kinds read as k8s-openapi's types.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a failing test may panic"
)]

use k3s_rs_schema::{Object, Schema, json};
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use meta::GroupVersionKind;

fn object(kind: &str, text: &str) -> Object {
    let schema = Schema::builtin(&GroupVersionKind::new("", "v1", kind)).unwrap();
    Object::new(json::decode(&schema, text.as_bytes()).unwrap().root)
}

#[test]
fn typed() {
    let text = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","creationTimestamp":"2026-01-02T03:04:05Z"},
        "spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"1000m"}},
        "livenessProbe":{"httpGet":{"port":"web"}},"readinessProbe":{"httpGet":{"port":80}}}]}}"#;
    let pod: Pod = object("Pod", text).view().unwrap();
    let container = &pod.spec.as_ref().unwrap().containers[0];
    assert_eq!(container.resources.as_ref().unwrap().limits.as_ref().unwrap()["cpu"].0, "1");
    let port = |p: &Option<k8s_openapi::api::core::v1::Probe>| {
        p.as_ref().unwrap().http_get.as_ref().unwrap().port.clone()
    };
    assert_eq!(port(&container.liveness_probe), IntOrString::String("web".into()));
    assert_eq!(port(&container.readiness_probe), IntOrString::Int(80));
    assert!(pod.metadata.creation_timestamp.is_some());

    let text = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"k":"aGk="}}"#;
    let secret: Secret = object("Secret", text).view().unwrap();
    assert_eq!(secret.data.unwrap()["k"].0, b"hi");
    assert!(object("Secret", text).view::<Pod>().is_err());
}
