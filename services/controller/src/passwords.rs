//! The passwords of nodes go with their nodes, so that a machine of the same name can join again.
//!
//! The supervisor keeps a hash of each node's password in a Secret, before there is a Node. When the Node comes it is
//! made the Secret's owner: the garbage collector takes the Secret when that very Node is gone, at once or, if nobody
//! was there to see it, at the next start. What never got a Node goes when it is ten minutes old: machines that asked
//! for certificates and did not come up. Until then a Secret without a Node is that of a machine about to join.
//!
//! # Upstream
//! k3s `pkg/nodepassword/controller.go` `onChangeNode`, `sync`
//!
//! # Differs
//! A Secret that has the name but another type (k3s made `Opaque` ones up to 1.34.1) stays what it is and is treated
//! alike, where k3s deletes it and creates it anew: a crash between the two would give the node's name away. What has no
//! Node goes when its time is over, not at the next full minute, and after the API server was asked: the caches of
//! Secrets and Nodes are not of one moment.

use std::time::Duration;

use client::Key;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use reconcile::{Ask, Controller, Error, Kind, Need, Permit, Plan, Watch};

use crate::common::created;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "k3s.cattle.io/node-password";
const SUFFIX: &str = ".node-password.k3s";
/// How long a machine has from asking for certificates to its Node: it starts containerd and loads images meanwhile.
const JOIN_SECONDS: i64 = 600;

/// The controller.
#[derive(Debug)]
pub(crate) struct NodePasswords;

fn is_password(secret: &Secret) -> bool {
    let known = secret.type_.as_deref() == Some(TYPE) || secret.name().ends_with(SUFFIX);
    known && secret.namespace() == NAMESPACE
}

/// The key of a node's password.
fn password_of(node: &Node) -> Key {
    Key::new(NAMESPACE, format!("{}{SUFFIX}", node.name()).to_lowercase())
}

/// The key of the node a password is for; `None` when no node can have it by its name.
fn node_of(secret: &Secret) -> Option<Key> {
    secret.name().strip_suffix(SUFFIX).map(|name| Key::new("", name))
}

/// How long there may still come a node.
fn left(secret: &Secret, now: Timestamp) -> Option<Duration> {
    let age = now.as_second() - created(secret).as_second();
    let left = u64::try_from(JOIN_SECONDS - age.max(0)).ok()?; // negative: its time is over
    (left > 0).then(|| Duration::from_secs(left))
}

/// Makes a node the owner, beside owners of before.
fn own(plan: &mut Plan, secret: &Secret, node: &Node) -> Result<(), Error> {
    let owner = OwnerReference { controller: None, block_owner_deletion: None, ..node.owner_reference() };
    let same = |o: &OwnerReference| {
        (&o.api_version, &o.kind, &o.name, &o.uid)
            == (&owner.api_version, &owner.kind, &owner.name, &owner.uid)
    };
    if !secret.metadata.owner_references.iter().flatten().any(same) {
        let mut next = secret.clone();
        next.metadata.owner_references.get_or_insert_default().push(owner);
        plan.update(secret, &next)?;
    }
    Ok(())
}

/// Whether the API server says that there is no such node; `false` while it has yet to be asked.
fn is_absent(plan: &mut Plan, ask: &Ask<'_>, node: &Key) -> Result<bool, Error> {
    match plan.need(ask, Need::read(Node::resource().object(node, ""))) {
        None | Some(Ok(_)) => Ok(false),
        Some(Err(refusal)) if refusal.is_not_found() => Ok(true),
        Some(Err(refusal)) => Err(Error::Invalid(refusal.to_string())),
    }
}

impl Controller for NodePasswords {
    fn name(&self) -> &'static str {
        "node-password-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let own = |secret: &Secret| is_password(secret).then(|| secret.key());
        let passwords = Watch::map::<Secret>(move |_, secret| own(secret).into_iter().collect());
        vec![passwords, Watch::map::<Node>(|_, node| vec![password_of(node)])]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<Secret>("patch delete")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let secret = ask.view.get::<Secret>(ask.key).filter(|s| is_password(s) && !s.deleting());
        let Some(secret) = secret else { return Ok(plan) };
        let node = node_of(secret);
        if let Some(node) = node.as_ref().and_then(|key| ask.view.get::<Node>(key)) {
            own(&mut plan, secret, node)?;
        } else if let Some(left) = left(secret, ask.now) {
            plan.again(left);
        } else if node.map_or(Ok(true), |key| is_absent(&mut plan, ask, &key))? {
            plan.delete(secret.as_ref());
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use reconcile::Op;
    use reconcile::kit::World;
    use serde_json::{Value, json};

    use super::*;
    use crate::properties::{object, start};

    /// A Secret of this age, with these uids of owners named `n1`.
    fn secret(name: &str, kind: &str, age: i64, owners: &[&str]) -> Secret {
        let owner = |uid: &&str| json!({"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid});
        let owners: Vec<Value> = owners.iter().map(owner).collect();
        let made = Timestamp::from_second(start().as_second() - age).unwrap();
        object(json!({"metadata": {"name": name, "namespace": "kube-system", "uid": "secret",
            "creationTimestamp": meta::time::rfc3339(made), "ownerReferences": owners},
            "type": kind, "immutable": true}))
    }

    fn node(uid: &str) -> Node {
        object(json!({"metadata": {"name": "n1", "uid": uid}}))
    }

    /// A plan in a few words.
    fn told(world: &World, name: &str) -> String {
        let plan = world.plan(&NodePasswords, &Key::new("kube-system", name)).unwrap();
        let again = plan.requeue.map(|after| format!("again {}", after.as_secs()));
        let write = plan.writes.first().map(|write| match &write.op {
            Op::Patch { subresource: "", patch: client::Patch::Merge(patch) } => {
                assert!(patch["metadata"]["resourceVersion"].is_string(), "{patch}");
                let uids = patch["metadata"]["ownerReferences"].as_array().unwrap().iter();
                let uids: Vec<&str> = uids.map(|o| o["uid"].as_str().unwrap()).collect();
                format!("owned by {}", uids.join(" "))
            }
            Op::Delete(options) => {
                let uid = options.preconditions.as_ref().and_then(|p| p.uid.clone());
                format!("delete {}", uid.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        });
        assert!(plan.writes.len() <= 1);
        write.or(again).unwrap_or_default()
    }

    /// Why; the Secret's name, type, age in seconds and uids of owners; the uid of the Node `n1`; the plan.
    type Case = (
        &'static str,
        &'static str,
        &'static str,
        i64,
        &'static [&'static str],
        Option<&'static str>,
        &'static str,
    );

    #[test]
    fn plans() {
        const OURS: &str = "n1.node-password.k3s";
        let cases: &[Case] = &[
            ("about to join", OURS, TYPE, 0, &[], None, "again 600"),
            ("still loads images", OURS, TYPE, 599, &[], None, "again 1"),
            ("made by a clock ahead of ours", OURS, TYPE, -3600, &[], None, "again 600"),
            ("did not come up", OURS, TYPE, 600, &[], None, "delete secret"),
            ("has joined", OURS, TYPE, 20, &[], Some("a"), "owned by a"),
            ("joined long ago", OURS, TYPE, 9999, &[], Some("a"), "owned by a"),
            ("owned", OURS, TYPE, 20, &["a"], Some("a"), ""),
            ("owned long ago", OURS, TYPE, 9999, &["a"], Some("a"), ""),
            ("the Node is another one of that name", OURS, TYPE, 9999, &["a"], Some("b"), "owned by a b"),
            ("the Node is another one, known", OURS, TYPE, 9999, &["a", "b"], Some("b"), ""),
            ("the garbage collector's", OURS, TYPE, 20, &["a"], None, "again 580"),
            ("the garbage collector was off", OURS, TYPE, 9999, &["a"], None, "delete secret"),
            ("of an older type", OURS, "Opaque", 20, &[], Some("a"), "owned by a"),
            ("of an older type, without a Node", OURS, "Opaque", 9999, &[], None, "delete secret"),
            ("of no node's name", "n1", TYPE, 9999, &[], Some("a"), "delete secret"),
            ("of no node's name, young", "n1", TYPE, 0, &[], Some("a"), "again 600"),
            ("somebody's", "n1", "Opaque", 9999, &[], None, ""),
            ("somebody's, alike", "n1.node-password.k3s.old", "Opaque", 9999, &[], None, ""),
        ];
        for (why, name, kind, age, owners, uid, plan) in cases {
            let mut world = World::new(start());
            world.put(&secret(name, kind, *age, owners)).unwrap();
            if let Some(uid) = uid {
                world.put(&node(uid)).unwrap();
            }
            assert_eq!(told(&world, name), *plan, "{why}");
            let key = Key::new("kube-system", *name);
            world.check(&NodePasswords, &key, 3).unwrap_or_else(|error| panic!("{why}: {error}"));
        }
    }

    #[test]
    fn what_stays() {
        const OURS: &str = "n1.node-password.k3s";
        let mut world = World::new(start());
        world.put(&secret(OURS, TYPE, 9999, &["a"])).unwrap();
        // the cache has no such Node, the API server has
        let mut other = world.clone();
        other.answers.insert("/api/v1/nodes/n1".into(), reconcile::Body::encode(&node("b")).unwrap());
        assert_eq!(told(&other, OURS), "");
        // a Node on its way out may yet be held by others
        let mut leaving = node("a");
        leaving.metadata.deletion_timestamp = crate::common::time(start());
        leaving.metadata.finalizers = Some(vec!["example.org/mine".into()]);
        let mut other = world.clone();
        other.put(&leaving).unwrap();
        assert_eq!(told(&other, OURS), "");
        // so may the Secret
        world.each::<Secret>(|s| s.metadata.deletion_timestamp = crate::common::time(start())).unwrap();
        assert_eq!(told(&world, OURS), "");
        // in another namespace the name and the type say nothing
        let mut world = World::new(start());
        let mut foreign = secret(OURS, TYPE, 9999, &[]);
        foreign.metadata.namespace = Some("default".into());
        world.put(&foreign).unwrap();
        assert!(world.keys(&NodePasswords).unwrap().is_empty());
        assert_eq!(told(&world, OURS), "");
    }

    #[test]
    fn names() {
        let mut node = node("a");
        node.metadata.name = Some("Pi.Example.org".into());
        assert_eq!(password_of(&node), Key::new("kube-system", "pi.example.org.node-password.k3s"));
    }
}
