//! Two days in seconds: the clock is an argument of every plan.

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use reconcile::Kind;
use reconcile::kit::World;
use serde_json::json;

use crate::properties::{object, start};
use crate::{bootstrap, certificates, nodes};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(start().as_second() + seconds).unwrap()
}

fn taints(world: &World) -> Vec<String> {
    let node = world.all::<Node>().remove(0);
    node.spec.into_iter().flat_map(|s| s.taints.into_iter().flatten()).map(|t| t.key).collect()
}

fn renew(world: &mut World, name: &str) {
    let lease = json!({"metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "renewTime": meta::time::rfc3339_micro(world.now)}});
    world.put::<Lease>(&object(lease)).unwrap();
}

/// Two nodes report every ten seconds for two days, but for one hour of one of them.
#[test]
fn leases_expire() {
    let mut world = World::new(start());
    let condition =
        json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": meta::time::rfc3339(start())}]);
    for name in ["n", "other"] {
        world
            .put::<Node>(&object(json!({"metadata": {"name": name}, "status": {"conditions": condition}})))
            .unwrap();
    }
    let pod = json!({"metadata": {"name": "p", "namespace": "default"}, "spec": {"nodeName": "n", "containers": [],
        "tolerations": [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]}});
    world.put::<Pod>(&object(pod)).unwrap();
    let (node, pod) = (client::Key::new("", "n"), client::Key::new("default", "p"));
    let away = (86_400, 90_000);
    let (mut tainted, mut evicted, mut cleared) = (None, None, None);
    for second in (0..2 * 86_400).step_by(10) {
        world.now = at(second);
        let silent = (away.0..away.1).contains(&second);
        renew(&mut world, "other");
        world.settle(&nodes::Lifecycle, &client::Key::new("", "other"), 10).unwrap();
        if !silent {
            renew(&mut world, "n");
            if second == away.1 {
                // back: the kubelet posts its status first
                world
                    .each::<Node>(|n| {
                        for condition in n.status.iter_mut().flat_map(|s| s.conditions.iter_mut().flatten()) {
                            condition.status = "True".into();
                        }
                    })
                    .unwrap();
            }
        }
        world.settle(&nodes::Lifecycle, &node, 10).unwrap();
        world.settle(&nodes::TaintEviction, &pod, 10).unwrap();
        let unreachable = taints(&world).iter().any(|t| t == "node.kubernetes.io/unreachable");
        if unreachable && tainted.is_none() {
            tainted = Some(second);
        }
        if world.all::<Pod>().is_empty() && evicted.is_none() {
            evicted = Some(second);
        }
        if tainted.is_some() && !unreachable && cleared.is_none() {
            cleared = Some(second);
        }
    }
    // the last sign of life was ten seconds before; the grace is fifty, one more look ten here, the pod's own five minutes
    assert_eq!((tainted, cleared), (Some(away.0 + 50), Some(away.1)));
    assert_eq!(evicted, Some(away.0 + 360));
}

/// Join tokens are made for a day each, every hour; requests for certificates are decided or forgotten.
#[test]
fn tokens_and_requests_end() {
    let mut world = World::new(start());
    let mut most = 0;
    for minute in 0..(2 * 24 * 60) {
        world.now = at(minute * 60);
        if minute % 60 == 0 {
            let name = format!("bootstrap-token-{minute:06}");
            let ends = meta::time::rfc3339(at(minute * 60 + 86_400));
            let data = json!({"expiration": k8s_openapi::ByteString(ends.into_bytes())});
            let secret = json!({"metadata": {"name": name, "namespace": "kube-system"}, "type": "bootstrap.kubernetes.io/token", "data": data});
            world.put::<Secret>(&object(secret)).unwrap();
            let denied = json!([{"type": "Denied", "status": "True", "lastUpdateTime": meta::time::rfc3339(world.now)}]);
            let conditions = if minute % 120 == 0 { denied } else { json!([]) };
            let request = json!({"metadata": {"name": format!("r{minute}"), "uid": format!("r{minute}"),
                "creationTimestamp": meta::time::rfc3339(world.now)},
                "spec": {"request": "", "signerName": "example.org/s"}, "status": {"conditions": conditions}});
            world.put::<CertificateSigningRequest>(&object(request)).unwrap();
        }
        for secret in world.all::<Secret>() {
            world.settle(&bootstrap::Cleaner, &secret.key(), 3).unwrap();
        }
        for request in world.all::<CertificateSigningRequest>() {
            world.settle(&certificates::Cleaning, &request.key(), 3).unwrap();
        }
        most = most.max(world.all::<Secret>().len());
    }
    assert_eq!((most, world.all::<Secret>().len()), (24, 24));
    // denied ones go after an hour, open ones after a day
    let (denied, open): (Vec<_>, Vec<_>) = world
        .all::<CertificateSigningRequest>()
        .into_iter()
        .partition(|r| r.status.as_ref().is_some_and(|s| s.conditions.iter().flatten().next().is_some()));
    assert!(denied.len() <= 1, "{} denied requests are left", denied.len());
    assert_eq!(open.len(), 12);
}
