//! The kernel takes every form of policy, and every change of them.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use client::{Key, Snapshot};
use k3s_rs_proxy::policy::Kernel;
use k3s_rs_proxy::policy::model::{Namespace, Pod, Policy};
use k3s_rs_proxy::policy::plan::View;
use k3s_rs_proxy::policy::state::{Dirty, State};
use serde_json::json;

fn pod(name: u8) -> Pod {
    let object = json!({"metadata": {"labels": {"app": "a"}},
        "spec": {"nodeName": "n1", "containers": [{"ports": [{"name": "web", "containerPort": 80, "protocol": "TCP"}]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": format!("10.42.0.{name}")}, {"ip": format!("fd00::{name}")}]}});
    Pod::project(object.to_string().as_bytes()).unwrap()
}

#[test]
fn the_kernel_takes_them() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root for a network namespace");
        return;
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    let spec = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"from": [{"podSelector": {}}], "ports": [{"port": "web"}, {"port": 80, "endPort": 90, "protocol": "UDP"}]},
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
                      {"ipBlock": {"cidr": "10.1.2.0/24"}}, {"ipBlock": {"cidr": "fd00::/8"}}]},
            {"ports": [{"protocol": "SCTP"}]}],
        "egress": [{"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}]}, {}]});
    let policy = Policy::project(json!({"spec": spec}).to_string().as_bytes()).unwrap();
    let (mut policies, mut pods) = (Snapshot::empty([]), Snapshot::empty(["address"]));
    let mut namespaces = Snapshot::empty([]);
    let put = |pods: &mut Snapshot<Pod>, i: u8| {
        pods.replace(&Key::new("x", i.to_string()), Some(Arc::new(pod(i))), &|_, p: &Pod| p.index());
    };
    namespaces.replace(&Key::new("", "x"), Some(Arc::new(Namespace::default())), &|_, _| vec![]);
    let key = Key::new("x", "all");
    policies.replace(&key, Some(Arc::new(policy)), &|_, _| vec![]);
    put(&mut pods, 1);
    put(&mut pods, 2);
    let (mut kernel, mut state) = (Kernel::open().unwrap(), State::default());
    let view = View { policies: &policies, pods: &pods, namespaces: &namespaces, node: "n1" };
    kernel.write(&state.take(view, Dirty::everything(view)), true).unwrap();
    // one more pod
    put(&mut pods, 3);
    let view = View { policies: &policies, pods: &pods, namespaces: &namespaces, node: "n1" };
    let addresses = pod(3).addresses.into_iter().collect();
    let delta = state.take(view, Dirty { addresses, ..Dirty::default() });
    assert!(!delta.is_empty() && delta.chains.is_empty());
    kernel.write(&delta, false).unwrap();
    // another policy in its place, then none
    for spec in [Some(json!({"podSelector": {}, "policyTypes": ["Egress"]})), None] {
        let policy = spec.map(|s| Policy::project(json!({"spec": s}).to_string().as_bytes()).unwrap());
        policies.replace(&key, policy.map(Arc::new), &|_, _| vec![]);
        let view = View { policies: &policies, pods: &pods, namespaces: &namespaces, node: "n1" };
        let dirty = Dirty { policies: [key.clone()].into(), ..Dirty::default() };
        kernel.write(&state.take(view, dirty), false).unwrap();
    }
    // a start finds the table of an earlier run
    let view = View { policies: &policies, pods: &pods, namespaces: &namespaces, node: "n1" };
    kernel.write(&State::default().take(view, Dirty::everything(view)), true).unwrap();
    kernel.clear().unwrap();
}
