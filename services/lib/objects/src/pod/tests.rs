//! What is read of a pod, against what `k8s-openapi` reads of the same bytes.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::*;
use crate::Body;

fn pod(value: &Value) -> Pod {
    Pod::project(value.to_string().as_bytes()).unwrap()
}

fn full() -> Value {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]});
    let ended =
        json!({"terminated": {"exitCode": 3, "finishedAt": "2026-01-01T00:00:09Z", "reason": "Error"}});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "42", "generateName": "p-",
            "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z", "deletionGracePeriodSeconds": 30,
            "labels": {"b": "2", "a": "1"}, "annotations": {"note": "a \"quoted\" text"}, "finalizers": ["f"], "managedFields": [{"manager": "m"}],
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "ru", "controller": true}]},
        "spec": {"hostname": "h", "subdomain": "s", "priorityClassName": "high", "activeDeadlineSeconds": 5, "overhead": {"cpu": "1m"},
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}},
            "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "b"}], "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
                "ports": [{"name": "http", "containerPort": 80, "hostPort": 8080, "protocol": "TCP"}]}],
            "initContainers": [{"name": "side", "restartPolicy": "Always"}], "imagePullSecrets": [{"name": "pull"}],
            "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "resources": {"requests": {"cpu": "3"}}, "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}],
            "volumes": [{"name": "none", "emptyDir": {}}, {"name": "claim", "persistentVolumeClaim": {"claimName": "pvc"}},
                {"name": "eph", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "sec", "secret": {"secretName": "one"}},
                {"name": "proj", "projected": {"sources": [{"secret": {"name": "two"}}, {"serviceAccountToken": {"path": "t"}}]}},
                {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
        "status": {"phase": "Failed", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "startTime": "2026-01-01T00:00:01Z",
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:02Z"}, {"type": "Other", "status": "True"}],
            "containerStatuses": [{"name": "c", "restartCount": 2, "resources": {"requests": {"cpu": "1"}}, "state": ended}],
            "initContainerStatuses": [{"name": "side", "restartCount": 1, "state": {"running": {}}}],
            "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "made"}, {"name": "other"}]},
    })
}

#[test]
fn metadata_as_k8s_openapi_reads_it() {
    let (pod, other) = (pod(&full()), core::Pod::from_value(&full()).unwrap());
    let meta = &other.metadata;
    assert_eq!((Some(pod.name()), Some(pod.namespace())), (meta.name.as_deref(), meta.namespace.as_deref()));
    assert_eq!(
        (Some(pod.uid()), Some(&*pod.revision())),
        (meta.uid.as_deref(), meta.resource_version.as_deref())
    );
    assert_eq!(pod.created(), meta.creation_timestamp.as_ref().map(|t| t.0));
    assert!(pod.deleting() && !pod.is_shut_down() && pod.has_finalizer("f") && !pod.has_finalizer("g"));
    assert_eq!((pod.label("a"), pod.label("b"), pod.label("c")), (Some("1"), Some("2"), None));
    assert_eq!(pod.annotation("note"), Some("a \"quoted\" text"));
    assert_eq!(Some(pod.owners()), meta.owner_references.as_deref());
}

#[test]
fn spec_as_k8s_openapi_reads_it() {
    let (pod, other) = (pod(&full()), core::Pod::from_value(&full()).unwrap().spec.unwrap());
    let spec = &pod.spec;
    for (mine, other) in
        [(&spec.containers, &other.containers), (&spec.init_containers, &other.init_containers.unwrap())]
    {
        assert_eq!((&mine[0].name, mine.len()), (&other[0].name, other.len()));
        assert_eq!(
            (&mine[0].resources, &mine[0].restart_policy),
            (&other[0].resources, &other[0].restart_policy)
        );
        assert_eq!(mine[0].ports, other[0].ports.clone().unwrap_or_default());
    }
    assert_eq!(Some(&spec.tolerations), other.tolerations.as_ref());
    assert_eq!(spec.affinity.as_ref().unwrap().node_affinity, other.affinity.unwrap().node_affinity);
    assert_eq!(spec.image_pull_secrets[0].name, "pull");
    assert_eq!(
        (&spec.overhead, spec.active_deadline_seconds),
        (&other.overhead, other.active_deadline_seconds)
    );
    assert_eq!((&spec.priority_class_name, &spec.resources), (&other.priority_class_name, &other.resources));
    assert_eq!(
        (Some(&spec.resource_claims), &spec.subdomain),
        (other.resource_claims.as_ref(), &other.subdomain)
    );
    assert_eq!((&*pod.hostname, &*pod.node_name, pod.indexed()), ("h", "", None));
    let volumes: Vec<_> =
        pod.volumes.iter().map(|v| (&*v.name, v.claim.as_deref(), v.secrets.concat())).collect();
    let text = String::new;
    let (one, two) = ("one".to_owned(), "two".to_owned());
    let expected =
        [("claim", Some("pvc"), text()), ("eph", None, text()), ("sec", None, one), ("proj", None, two)];
    assert_eq!(volumes, expected);
    let ephemeral = other.volumes.unwrap()[2].ephemeral.clone().unwrap().volume_claim_template;
    assert_eq!(pod.volumes[1].ephemeral.as_ref().unwrap().volume_claim_template, ephemeral);
}

#[test]
fn status_as_k8s_openapi_reads_it() {
    let (pod, other) = (pod(&full()), core::Pod::from_value(&full()).unwrap().status.unwrap());
    assert_eq!(Some(&*pod.phase), other.phase.as_deref());
    assert_eq!(pod.ips.concat(), "10.0.0.1fd00::1");
    assert_eq!(pod.start_time.get(), other.start_time.map(|t| t.0));
    let mine: Vec<_> =
        pod.conditions.iter().map(|c| (c.kind.to_owned(), c.status.to_owned(), c.since.get())).collect();
    let theirs = other.conditions.unwrap().into_iter();
    let theirs: Vec<_> = theirs.map(|c| (c.type_, c.status, c.last_transition_time.map(|t| t.0))).collect();
    assert_eq!(mine, theirs);
    assert_eq!(pod.conditions.get("Other").unwrap().since.get(), None);
    let (mine, theirs) = (&pod.container_statuses[0], &other.container_statuses.unwrap()[0]);
    assert_eq!((mine.restart_count, &mine.resources), (theirs.restart_count, &theirs.resources));
    let (mine, theirs) = (mine.terminated.unwrap(), theirs.state.clone().unwrap().terminated.unwrap());
    assert_eq!((mine.exit_code, mine.finished_at.get()), (theirs.exit_code, theirs.finished_at.map(|t| t.0)));
    let side = &pod.init_container_statuses[0];
    assert_eq!((&*side.name, side.restart_count, side.terminated), ("side", 1, None));
    let claims: Vec<_> = pod.resource_claim_statuses.iter().map(|(e, c)| (&**e, c.as_deref())).collect();
    assert_eq!(claims, [("gpu", Some("made")), ("other", None)]);
}

#[test]
fn nothing_and_null_are_empty() {
    let empty = pod(&json!({}));
    for value in [
        json!({"metadata": null, "spec": null, "status": null}),
        json!({"metadata": {"creationTimestamp": null, "labels": null, "ownerReferences": null, "finalizers": null},
            "spec": {"containers": null, "volumes": null, "nodeName": null},
            "status": {"conditions": null, "podIPs": null, "podIP": "", "containerStatuses": null}}),
    ] {
        assert_eq!(pod(&value), empty);
    }
    assert_eq!((empty.created(), empty.deleting(), &*empty.revision(), &*empty.phase), (None, false, "", ""));
    let nulls = pod(&json!({"spec": {"containers": [{"name": "c", "ports": null, "resources": null}]}}));
    assert!(nulls.spec.containers[0].ports.is_empty());
    assert!(Pod::project(b"[]").is_err() && Pod::project(b"{\"spec\": 1}").is_err());
}

#[test]
fn deletion_and_node() {
    let at = "2026-01-01T00:00:00Z";
    for (grace, shut) in [(json!(null), false), (json!(0), true), (json!(1), false)] {
        let meta = json!({"deletionTimestamp": at, "deletionGracePeriodSeconds": grace});
        let pod = pod(&json!({ "metadata": meta }));
        assert_eq!((pod.deleting(), pod.is_shut_down()), (true, shut));
    }
    assert!(!pod(&json!({"metadata": {"deletionGracePeriodSeconds": 0}})).is_shut_down());
    let mut bound = full();
    bound["spec"]["nodeName"] = json!("n");
    let bound = pod(&bound);
    assert_eq!((bound.indexed(), &bound.spec.affinity), (Some("n"), &None));
}

#[test]
fn addresses_without_a_list() {
    for (status, expected) in [
        (json!({"podIP": "10.0.0.1"}), "10.0.0.1"),
        (json!({"podIPs": [{"ip": "10.0.0.2"}], "podIP": "10.0.0.1"}), "10.0.0.2 10.0.0.1"),
        (json!({"podIPs": [{"ip": ""}]}), ""),
    ] {
        assert_eq!(pod(&json!({ "status": status })).ips.join(" "), expected);
    }
}

#[test]
fn equal_parts_are_shared() {
    let one = |n: usize, node: &str| {
        let mut value = full();
        value["metadata"]["name"] = json!(format!("p{n}"));
        value["spec"]["nodeName"] = json!(node);
        pod(&value)
    };
    let (a, b) = (one(1, "n1"), one(2, "n2"));
    assert!(Arc::ptr_eq(&a.spec, &b.spec) && Arc::ptr_eq(&a.owners, &b.owners));
    assert!(Arc::ptr_eq(&a.labels, &b.labels) && Arc::ptr_eq(&a.namespace, &b.namespace));
    assert!(Arc::ptr_eq(&a.conditions.states, &b.conditions.states));
    assert_ne!(a, b);
}
