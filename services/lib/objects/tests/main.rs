//! What a pod costs in a cache with its indexes, measured. Upstream's controllers take near nine thousand bytes for one.
//!
//! One binary with one test that measures, so that nothing else grows the process meanwhile.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use client::Snapshot;
use k3s_rs_objects::{Kind, Pod};
use serde_json::{Value, json};

const PODS: usize = 20_000;

/// The pods the bench of the controllers makes: no owner, no node.
fn benched(n: usize) -> Value {
    json!({
        "metadata": {"name": format!("p{n}"), "namespace": "many", "uid": uid(n), "resourceVersion": (1000 + n).to_string(),
            "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "many", "tier": "bench"},
            "managedFields": [{"manager": "bench", "operation": "Update", "fieldsV1": {"f:spec": {"f:containers": {}}}}]},
        "spec": {"nodeSelector": {"none": "none"}, "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "schedulerName": "default-scheduler", "priority": 0,
            "containers": [{"name": "c", "image": "registry.example.org/some/image:v1.2.3",
                "args": ["--some-flag=value", "--other=value"], "env": [{"name": "SOME_VARIABLE", "value": "some value"}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}, "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                "volumeMounts": [{"name": token(n), "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]}],
            "tolerations": tolerations(), "volumes": [token_volume(n)]},
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    })
}

/// Pods as a running cluster has them: three of a set, some of them with claims and names of their own.
fn running(n: usize) -> Value {
    let (set, node) = (n / 3, n % 500);
    let mut pod = benched(n);
    let meta = &mut pod["metadata"];
    meta["name"] = json!(format!("service-{set}-7d4b9c6f5d-x{n:05}"));
    meta["namespace"] = json!(format!("team-{}", n % 50));
    meta["labels"] = json!({"app.kubernetes.io/name": format!("service-{set}"), "app.kubernetes.io/part-of": "shop",
        "pod-template-hash": "7d4b9c6f5d"});
    meta["annotations"] = json!({"prometheus.io/scrape": "true", "prometheus.io/port": "8080"});
    meta["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("service-{set}-7d4b9c6f5d"),
        "uid": uid(1_000_000 + set), "controller": true, "blockOwnerDeletion": true}]);
    pod["spec"]["nodeName"] = json!(format!("node-{node}"));
    if n.is_multiple_of(10) {
        pod["spec"]["hostname"] = json!(format!("data-{n}"));
        let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": format!("data-{n}")}});
        pod["spec"]["volumes"] = json!([token_volume(n), volume]);
        pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(n.to_string());
    }
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "lastProbeTime": null,
        "lastTransitionTime": format!("2026-01-01T00:{:02}:{:02}Z", n / 60 % 60, n % 60)})
    };
    let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
        .map(condition);
    let container = |name: &str| {
        json!({"name": name, "ready": true, "started": true, "restartCount": 0,
        "image": "registry.example.org/some/image:v1.2.3", "imageID": format!("registry.example.org/some/image@sha256:{:064}", set),
        "containerID": format!("containerd://{n:064}"), "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}}, "lastState": {}})
    };
    let ip = format!("10.42.{}.{}", n / 250, n % 250);
    pod["status"] = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.0.2.1",
        "startTime": "2026-01-01T00:00:05Z", "qosClass": "Burstable",
        "conditions": conditions,
        "containerStatuses": [container("c"), container("sidecar")]});
    pod
}

fn uid(n: usize) -> String {
    format!("{n:08x}-1d2c-4a5b-8c9d-{n:012x}")
}

fn token(n: usize) -> String {
    format!("kube-api-access-{n:05}")
}

fn token_volume(n: usize) -> Value {
    json!({"name": token(n), "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}})
}

fn tolerations() -> Value {
    let one = |key: &str| json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    json!([one("not-ready"), one("unreachable")])
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// A cache of many pods, and what one of them costs in it.
fn cost(pod: fn(usize) -> Value) -> (Snapshot<Pod>, usize) {
    let values = |index: usize, pod: &Pod| match index {
        0 => vec![pod.controller().map_or_else(|| format!("orphans/{}", pod.namespace()), |o| o.uid.clone())],
        _ => pod.indexed().map(str::to_owned).into_iter().collect(),
    };
    let sent: Vec<String> = (0..PODS).map(|n| pod(n).to_string()).collect();
    let before = resident();
    let mut cache = Snapshot::empty(["owner", "own"]);
    for bytes in &sent {
        let pod = Pod::project(bytes.as_bytes()).unwrap();
        cache.replace(&pod.key(), Some(Arc::new(pod)), &values);
    }
    let cost = resident().saturating_sub(before) / PODS;
    (cache, cost)
}

#[test]
fn a_pod_is_small() {
    let (first, bench) = cost(benched);
    let (second, real) = cost(running);
    println!(
        "bytes a pod: {bench} of the bench, {real} of a running cluster; {} the struct",
        size_of::<Pod>()
    );
    // memory of before that was used again would show as no cost at all
    assert!(bench > size_of::<Pod>() && real > bench, "the measurement is wrong: {bench} and {real} bytes");
    assert!(bench < 800, "a pod of the bench costs {bench} bytes");
    assert!(real < 1400, "a pod of a running cluster costs {real} bytes");
    drop((first, second));
}
