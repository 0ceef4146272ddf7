//! The free properties, for every controller of the table that has a scenario here: it settles, is quiet then, and
//! comes to the same end after a crash at any point of its plan.

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1 as admission;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2 as autoscaling;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::certificates::v1 as certificates;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, Pod, ResourceQuota, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::api::resource::v1 as resource;
use k8s_openapi::api::storage::v1 as storage;
use reconcile::Controller;
use reconcile::kit::World;
use serde_json::{Value, json};

use crate::settings::Settings;
use crate::{
    accounts, cronjob, daemonset, deployment, disruption, endpoints, ipam, job, quota, replicas, servicelb,
    statefulset, table,
};

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn object<B: reconcile::Body>(value: Value) -> B {
    B::from_value(&value).unwrap()
}

fn meta(name: &str) -> Value {
    json!({"name": name, "namespace": "default", "generation": 1})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "a"}}, "spec": {"restartPolicy": "Always",
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}})
}

fn selector() -> Value {
    json!({"matchLabels": {"app": "a"}})
}

fn world<K: reconcile::Kind + reconcile::Body>(root: Value) -> (World, client::Key) {
    let mut world = World::new(start());
    let root: K = object(root);
    world.put(&root).unwrap();
    (world, root.key())
}

fn ready(pod: &mut Pod) {
    pod.status = Some(
        serde_json::from_value(json!({"phase": "Running", "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}], "conditions": [{"type": "Ready", "status": "True"}]}))
        .unwrap(),
    );
}

#[test]
fn replica_sets() {
    let spec = json!({"replicas": 3, "selector": selector(), "template": template()});
    let (world, key) = world::<ReplicaSet>(json!({"metadata": meta("a"), "spec": spec}));
    let mut world = world.check(&replicas::ReplicaSets, &key, 20).unwrap();
    assert_eq!(world.all::<Pod>().len(), 3);
    world.each::<ReplicaSet>(|s| s.spec.as_mut().unwrap().replicas = Some(1)).unwrap();
    let world = world.check(&replicas::ReplicaSets, &key, 20).unwrap();
    assert_eq!(world.all::<Pod>().len(), 1);
}

#[test]
fn deployments_roll() {
    let spec = json!({"replicas": 4, "selector": selector(), "template": template(), "progressDeadlineSeconds": 600});
    let (world, key) = world::<Deployment>(json!({"metadata": meta("a"), "spec": spec}));
    let mut world = world.check(&deployment::Deployments, &key, 20).unwrap();
    let run = |world: &mut World| {
        for _ in 0..40 {
            for set in world.all::<ReplicaSet>() {
                let key = reconcile::Kind::key(&set);
                world.settle(&replicas::ReplicaSets, &key, 20).unwrap();
                world.each::<Pod>(ready).unwrap();
                world.settle(&replicas::ReplicaSets, &key, 20).unwrap();
            }
            world.settle(&deployment::Deployments, &key, 20).unwrap();
        }
    };
    run(&mut world);
    assert_eq!(world.all::<Pod>().len(), 4);
    world
        .each::<Deployment>(|d| {
            let spec = d.spec.as_mut().unwrap();
            spec.template.spec.as_mut().unwrap().containers[0].image = Some("j".into());
        })
        .unwrap();
    run(&mut world);
    let pods = world.all::<Pod>();
    assert_eq!(pods.len(), 4);
    assert!(pods.iter().all(|p| p.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("j")));
    let status = world.all::<Deployment>().remove(0).status.unwrap();
    assert_eq!(
        (status.updated_replicas, status.available_replicas, status.unavailable_replicas),
        (Some(4), Some(4), None)
    );
}

#[test]
fn stateful_sets_in_order() {
    let spec = json!({"replicas": 3, "serviceName": "s", "selector": selector(), "template": template()});
    let (mut world, key) = world::<StatefulSet>(json!({"metadata": meta("a"), "spec": spec}));
    for count in 1..=3 {
        world = world.check(&statefulset::StatefulSets, &key, 20).unwrap();
        assert_eq!(world.all::<Pod>().len(), count);
        world.each::<Pod>(ready).unwrap();
    }
    world = world.check(&statefulset::StatefulSets, &key, 20).unwrap();
    let names: Vec<_> = world.all::<Pod>().into_iter().filter_map(|p| p.metadata.name).collect();
    assert_eq!(names, ["a-0", "a-1", "a-2"]);
}

#[test]
fn daemon_sets_on_each_node() {
    let spec = json!({"selector": selector(), "template": template()});
    let (mut world, key) = world::<DaemonSet>(json!({"metadata": meta("a"), "spec": spec}));
    for name in ["n1", "n2", "n3"] {
        world.put::<Node>(&object(json!({"metadata": {"name": name}}))).unwrap();
    }
    let world = world.check(&daemonset::DaemonSets, &key, 20).unwrap();
    assert_eq!(world.all::<Pod>().len(), 3);
}

#[test]
fn jobs_count_each_pod_once() {
    let spec = json!({"completions": 5, "parallelism": 2, "selector": selector(), "template": template()});
    let (mut world, key) = world::<Job>(json!({"metadata": meta("a"), "spec": spec}));
    for _ in 0..20 {
        world = world.check(&job::Jobs, &key, 30).unwrap();
        world
            .each::<Pod>(|p| p.status = Some(serde_json::from_value(json!({"phase": "Succeeded"})).unwrap()))
            .unwrap();
    }
    let status = world.all::<Job>().remove(0).status.unwrap();
    assert_eq!(status.succeeded, Some(5));
    assert!(status.conditions.unwrap().iter().any(|c| c.type_ == "Complete"));
}

#[test]
fn two_days_of_cron_jobs() {
    let spec = json!({"schedule": "*/10 * * * *", "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
        "jobTemplate": {"spec": {"template": template()}}});
    let mut value = json!({"metadata": meta("c"), "spec": spec});
    value["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (mut world, key) = world::<CronJob>(value);
    let mut made = std::collections::BTreeSet::new();
    for minute in 0..(2 * 24 * 60) {
        world.now = Timestamp::from_second(start().as_second() + minute * 60 + 1).unwrap();
        world.settle(&cronjob::CronJobs, &key, 20).unwrap();
        let now = meta::time::rfc3339(world.now);
        world
            .each::<Job>(|j| {
                j.status = Some(
                    serde_json::from_value(json!({"startTime": now, "completionTime": now,
                    "conditions": [{"type": "Complete", "status": "True"}]}))
                    .unwrap(),
                );
            })
            .unwrap();
        made.extend(world.all::<Job>().into_iter().filter_map(|j| j.metadata.name));
    }
    assert_eq!(made.len(), 2 * 24 * 6 - 1);
    assert!(world.all::<Job>().len() <= 4);
}

#[test]
fn endpoints_of_services() {
    let spec = json!({"selector": {"app": "a"}, "ports": [{"port": 80}], "ipFamilies": ["IPv4"], "clusterIP": "10.43.0.9"});
    let (mut world, key) = world::<Service>(json!({"metadata": meta("s"), "spec": spec}));
    for n in 0..150 {
        let mut pod: Pod = object(json!({"metadata": meta(&format!("p{n}")), "spec": {"containers": []}}));
        pod.metadata.labels = Some([("app".to_owned(), "a".to_owned())].into());
        ready(&mut pod);
        world.put(&pod).unwrap();
    }
    let controllers: [(&dyn Controller, usize); 2] = [(&endpoints::Slices, 2), (&endpoints::Legacy, 0)];
    for (controller, slices) in controllers {
        let world = world.check(controller, &key, 20).unwrap();
        assert_eq!(world.all::<EndpointSlice>().len(), slices);
        assert_eq!(world.all::<Endpoints>().len(), usize::from(slices == 0));
    }
}

#[test]
fn small_ones() {
    let (world, key) = world::<Namespace>(json!({"metadata": {"name": "n"}}));
    let root = accounts::RootCertificates { root: "pem".into() };
    assert_eq!(world.check(&accounts::DefaultAccounts, &key, 5).unwrap().all::<ServiceAccount>().len(), 1);
    assert_eq!(world.check(&root, &key, 5).unwrap().all::<ConfigMap>().len(), 1);
    let (world, key) =
        self::world::<ResourceQuota>(json!({"metadata": meta("q"), "spec": {"hard": {"pods": "3"}}}));
    world.check(&quota::Quotas, &key, 5).unwrap();
    let spec = json!({"minAvailable": 1, "selector": selector()});
    let (world, key) = self::world::<PodDisruptionBudget>(json!({"metadata": meta("b"), "spec": spec}));
    world.check(&disruption::Disruption, &key, 5).unwrap();
    let (world, key) = self::world::<Node>(json!({"metadata": {"name": "n1"}}));
    let ipam = ipam::NodeIpam { ranges: vec![(ipam::Range::parse("10.42.0.0/16").unwrap(), 24)] };
    let world = world.check(&ipam, &key, 5).unwrap();
    assert_eq!(world.all::<Node>()[0].spec.as_ref().unwrap().pod_cidr.as_deref(), Some("10.42.0.0/24"));
}

fn balancer(name: &str, seconds: u32, port: u16) -> Service {
    object(json!({"metadata": {"name": name, "namespace": "default", "uid": name,
        "creationTimestamp": format!("2026-01-01T00:00:{seconds:02}Z")},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.43.0.9", "ipFamilies": ["IPv4"],
            "ports": [{"port": port, "protocol": "TCP"}]}}))
}

fn lb_node(name: &str, address: &str, labels: &Value) -> Node {
    object(json!({"metadata": {"name": name, "labels": labels},
        "status": {"addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}]}}))
}

fn balanced(world: &World, name: &str) -> Vec<String> {
    let service = world.all::<Service>().into_iter().find(|s| reconcile::Kind::name(s) == name).unwrap();
    let status = service.status.and_then(|s| s.load_balancer).unwrap_or_default();
    status.ingress.into_iter().flatten().filter_map(|i| i.ip).collect()
}

#[test]
fn nodes_as_load_balancers() {
    let mut world = World::new(start());
    let key = |name: &str| client::Key::new("default", name);
    world.put(&lb_node("n1", "192.0.2.1", &json!({}))).unwrap();
    world.put(&lb_node("n2", "192.0.2.2", &json!({}))).unwrap();
    world.put(&balancer("younger", 9, 80)).unwrap();
    let mut world = world.check(&servicelb::ServiceLb, &key("younger"), 10).unwrap();
    assert_eq!(balanced(&world, "younger"), ["192.0.2.1", "192.0.2.2"]);
    // who has the port keeps it, even from an older one
    world.put(&balancer("older", 1, 80)).unwrap();
    let mut world = world.check(&servicelb::ServiceLb, &key("older"), 10).unwrap();
    assert!(balanced(&world, "older").is_empty());
    // another port is free
    world.put(&balancer("third", 2, 81)).unwrap();
    let mut world = world.check(&servicelb::ServiceLb, &key("third"), 10).unwrap();
    assert_eq!(balanced(&world, "third"), ["192.0.2.1", "192.0.2.2"]);
    // a pod with the host port, and nodes chosen by label
    let pod: Pod = object(json!({"metadata": meta("p"), "spec": {"nodeName": "n1", "containers": [
        {"name": "c", "ports": [{"containerPort": 81, "hostPort": 81, "protocol": "TCP"}]}]}}));
    world.put(&pod).unwrap();
    let mut world = world.check(&servicelb::ServiceLb, &key("third"), 10).unwrap();
    assert_eq!(balanced(&world, "third"), ["192.0.2.2"]);
    world.put(&lb_node("n1", "192.0.2.1", &json!({"svccontroller.k3s.cattle.io/enablelb": "true"}))).unwrap();
    let mut world = world.check(&servicelb::ServiceLb, &key("third"), 10).unwrap();
    assert!(balanced(&world, "third").is_empty());
    let world_before = world.clone();
    // what k3s left behind goes
    let labels = json!({"svccontroller.k3s.cattle.io/svcname": "younger",
        "svccontroller.k3s.cattle.io/svcnamespace": "default"});
    let set: DaemonSet =
        object(json!({"metadata": {"name": "svclb-younger", "namespace": "kube-system", "labels": labels},
        "spec": {"selector": selector(), "template": template()}}));
    world.put(&set).unwrap();
    let world = world.check(&servicelb::ServiceLb, &key("younger"), 10).unwrap();
    assert_eq!(world.all::<DaemonSet>().len(), world_before.all::<DaemonSet>().len());
    assert_eq!(balanced(&world, "younger"), ["192.0.2.1"]);
}

macro_rules! put {
    ($world:ident; $($kind:ty: $value:tt),* $(,)?) => {
        $($world.put(&object::<$kind>(json!($value))).unwrap();)*
    };
}

/// A world with something for every controller: workloads, nodes, volumes, claims, tokens, requests, policies.
fn everything() -> World {
    let mut world = World::new(start());
    let mut pod: Pod = object(json!({"metadata": meta("p1"), "spec": {"nodeName": "n1",
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}],
        "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"name": "w", "persistentVolumeClaim": {"claimName": "bound"}}],
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}}));
    pod.metadata.labels = Some([("app".to_owned(), "a".to_owned())].into());
    ready(&mut pod);
    world.put(&pod).unwrap();
    pod.metadata.name = Some("p2".into());
    pod.metadata.uid = None;
    world.put(&pod).unwrap();
    let node = |name: &str| {
        json!({"metadata": {"name": name,
        "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}]}})
    };
    world.put(&object::<Node>(node("n1"))).unwrap();
    world.put(&object::<Node>(node("n2"))).unwrap();
    let workload = json!({"replicas": 3, "selector": selector(), "template": template(), "serviceName": "s"});
    let spec = |drop: &[&str]| {
        let mut spec = workload.clone();
        drop.iter().for_each(|name| {
            spec.as_object_mut().unwrap().remove(*name);
        });
        spec
    };
    world.put(&object::<Deployment>(json!({"metadata": meta("a"), "spec": spec(&["serviceName"])}))).unwrap();
    world.put(&object::<ReplicaSet>(json!({"metadata": meta("b"), "spec": spec(&["serviceName"])}))).unwrap();
    world.put(&object::<StatefulSet>(json!({"metadata": meta("c"), "spec": spec(&[])}))).unwrap();
    world
        .put(&object::<DaemonSet>(json!({"metadata": meta("d"), "spec": spec(&["serviceName", "replicas"])})))
        .unwrap();
    put! { world;
        core::ReplicationController: {"metadata": {"name": "e", "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"app": "rc"}, "template": {"metadata": {"labels": {"app": "rc"}}, "spec": {"containers": []}}}},
        Job: {"metadata": {"name": "j", "namespace": "default"}, "spec": {"completions": 2, "parallelism": 2, "ttlSecondsAfterFinished": 5,
            "selector": {"matchLabels": {"job": "j"}}, "template": {"metadata": {"labels": {"job": "j"}}, "spec": {"containers": []}}}},
        CronJob: {"metadata": {"name": "k", "namespace": "default", "creationTimestamp": "2025-12-31T23:00:00Z", "uid": "k"},
            "spec": {"schedule": "*/10 * * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}}},
        Namespace: {"metadata": {"name": "default"}},
        Service: {"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}],
            "ipFamilies": ["IPv4"], "clusterIP": "10.43.0.9"}},
        Service: {"metadata": {"name": "m", "namespace": "default"}, "spec": {"ports": [{"port": 80}], "ipFamilies": ["IPv4"]}},
        Endpoints: {"metadata": {"name": "m", "namespace": "default"}, "subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 80}]}]},
        ResourceQuota: {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": "3", "services": "5"}}},
        PodDisruptionBudget: {"metadata": {"name": "b", "namespace": "default"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}},
    };
    more(&mut world);
    devices(&mut world);
    world
}

/// A tainted device with two users, one of which bears it for a minute.
fn devices(world: &mut World) {
    let allocation = |tolerations: Value| json!({"devices": {"results": [{"request": "r", "driver": "d", "pool": "n1", "device": "gpu", "tolerations": tolerations}]}});
    let minute = json!([{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}]);
    for (name, tolerations) in [("now", json!([])), ("later", minute)] {
        let user = json!([{"resource": "pods", "name": name, "uid": name}]);
        put! { world;
            resource::ResourceClaim: {"metadata": {"name": name, "namespace": "default", "uid": format!("claim-{name}")}, "spec": {},
                "status": {"allocation": allocation(tolerations), "reservedFor": user}},
            Pod: {"metadata": {"name": name, "namespace": "default", "uid": name}, "spec": {"nodeName": "n1", "containers": [],
                "resourceClaims": [{"name": "gpu", "resourceClaimName": name}]}},
        };
    }
    put! { world;
        resource::ResourceSlice: {"metadata": {"name": "n1"}, "spec": {"driver": "d", "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
            "nodeName": "n1", "devices": [{"name": "gpu", "taints": [{"key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}]}]}},
    };
}

/// Volumes, claims, accounts, tokens, requests and policies.
fn more(world: &mut World) {
    put! { world;
        storage::StorageClass: {"metadata": {"name": "late"}, "provisioner": "d.example.org", "volumeBindingMode": "WaitForFirstConsumer"},
        core::PersistentVolume: {"metadata": {"name": "small"}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Available"}},
        core::PersistentVolume: {"metadata": {"name": "large"}, "spec": {"capacity": {"storage": "9Gi"}, "accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Available"}},
        core::PersistentVolume: {"metadata": {"name": "taken"}, "spec": {"capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"],
            "csi": {"driver": "d.example.org", "volumeHandle": "h"}, "claimRef": {"namespace": "default", "name": "bound", "uid": "bound"}}},
        core::PersistentVolumeClaim: {"metadata": {"name": "open", "namespace": "default"}, "spec": {"storageClassName": "", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}},
        core::PersistentVolumeClaim: {"metadata": {"name": "late", "namespace": "default"}, "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}},
        core::PersistentVolumeClaim: {"metadata": {"name": "bound", "namespace": "default", "uid": "bound"}, "spec": {"volumeName": "taken",
            "storageClassName": "", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}},
        storage::VolumeAttributesClass: {"metadata": {"name": "gold"}, "driverName": "d.example.org"},
        networking::ServiceCIDR: {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.43.0.0/16"]}},
        admission::ValidatingAdmissionPolicy: {"metadata": {"name": "v", "generation": 2}, "spec": {}},
        resource::ResourceClaimTemplate: {"metadata": {"name": "t", "namespace": "default"}, "spec": {"spec": {}}},
        rbac::ClusterRole: {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "all"}}]}, "rules": []},
        rbac::ClusterRole: {"metadata": {"name": "part", "labels": {"to": "all"}}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        ServiceAccount: {"metadata": {"name": "default", "namespace": "default"}},
        core::Secret: {"metadata": {"name": "t", "namespace": "default", "annotations": {"kubernetes.io/service-account.name": "default"}},
            "type": "kubernetes.io/service-account-token"},
        core::Secret: {"metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}, "type": "bootstrap.kubernetes.io/token",
            "data": {"token-id": "YWJjZGVm", "token-secret": "c2VjcmV0", "usage-bootstrap-signing": "dHJ1ZQ=="}},
        core::Secret: {"metadata": {"name": "n1.node-password.k3s", "namespace": "kube-system"}, "type": "k3s.cattle.io/node-password"},
        core::Secret: {"metadata": {"name": "n3.node-password.k3s", "namespace": "kube-system", "creationTimestamp": "2025-12-31T23:00:00Z", "uid": "n3"},
            "type": "k3s.cattle.io/node-password"},
        ConfigMap: {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "k"}},
        autoscaling::HorizontalPodAutoscaler: {"metadata": {"name": "h", "namespace": "default"}, "spec": {"maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "100m"}}}]}},
        certificates::CertificateSigningRequest: {"metadata": {"name": "c", "creationTimestamp": "2025-12-01T00:00:00Z", "uid": "c"},
            "spec": {"request": "", "signerName": "example.org/other"}},
    };
}

/// Every controller of the table, for every key that something in the world leads to: idempotent, order-free, quiet,
/// bounded, restart-safe.
#[test]
fn all_of_the_table() {
    let settings = Settings { root_ca_file: Some("/dev/null".into()), ..Settings::default() };
    let (mut keys, mut idle, mut wrong) = (0, Vec::new(), Vec::new());
    for entry in table::TABLE {
        let controller = (entry.make)(&settings).unwrap();
        assert_eq!(controller.name(), entry.name);
        let world = everything();
        let roots = world.keys(controller.as_ref()).unwrap();
        let mut wrote = false;
        for key in &roots {
            let wanted = !world.plan(controller.as_ref(), key).unwrap().is_quiet();
            wrote |= wanted;
            if let Err(error) = world.check(controller.as_ref(), key, 40) {
                wrong.push(format!("{} for {key}: {error}", entry.name));
            }
        }
        keys += roots.len();
        if !wrote {
            idle.push(entry.name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(keys > 60, "only {keys} keys were tried");
    // those with nothing to do in this world; the list may only shrink
    let known = [
        "ttl-after-finished-controller",
        "pod-garbage-collector-controller",
        "taint-eviction-controller",
        "legacy-serviceaccount-token-cleaner-controller",
        "token-cleaner-controller",
        "certificatesigningrequest-approving-controller",
        "certificatesigningrequest-signing-controller",
        "serviceaccount-token-controller",
        "persistentvolume-expander-controller",
        "namespace-controller",
        "serviceaccount-controller",
        "node-lifecycle-controller",
        "node-hosts-controller",
        "service-lb-controller",
    ];
    let new: Vec<_> = idle.iter().filter(|name| !known.contains(name)).collect();
    assert!(new.is_empty(), "nothing to do for {new:?}");
}
