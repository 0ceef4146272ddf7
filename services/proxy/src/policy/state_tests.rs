//! However the cluster came to be what it is, the kernel has the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use client::{Key, Snapshot};
use serde_json::{Value, json};

use super::super::model::{Namespace, Pod, Policy};
use super::super::plan::View;
use super::{DIRECTIONS, Dirty, State};

#[derive(Clone)]
struct Cluster {
    policies: Snapshot<Policy>,
    pods: Snapshot<Pod>,
    namespaces: Snapshot<Namespace>,
}

impl Cluster {
    fn new() -> Self {
        let (policies, namespaces) = (Snapshot::empty([]), Snapshot::empty([]));
        Self { policies, pods: Snapshot::empty(["address"]), namespaces }
    }

    fn view(&self) -> View<'_> {
        View { policies: &self.policies, pods: &self.pods, namespaces: &self.namespaces, node: "n1" }
    }

    fn policy(&mut self, key: &Key, spec: Option<&Value>) -> Dirty {
        let policy =
            spec.map(|s| Policy::project(json!({"spec": s}).to_string().as_bytes()).expect("policy"));
        self.policies.replace(key, policy.map(Arc::new), &|_, _| vec![]);
        Dirty { policies: [key.clone()].into(), ..Dirty::default() }
    }

    fn pod(&mut self, key: &Key, pod: Option<Pod>) -> Dirty {
        let new = pod.map(Arc::new);
        let mut addresses: BTreeSet<IpAddr> = new.iter().flat_map(|p| p.addresses.clone()).collect();
        let old = self.pods.replace(key, new, &|_, p: &Pod| p.index());
        addresses.extend(old.iter().flat_map(|p| p.addresses.clone()));
        Dirty { addresses: addresses.into_iter().collect(), ..Dirty::default() }
    }

    fn namespace(&mut self, name: &str, labels: &[(&str, &str)]) -> Dirty {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.namespaces.replace(&Key::new("", name), Some(Arc::new(Namespace { labels })), &|_, _| vec![]);
        Dirty { namespaces: [name.to_owned()].into(), ..Dirty::default() }
    }
}

fn pod(last: u8, app: &str, node: &str) -> Pod {
    Pod {
        labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
        addresses: vec![IpAddr::from([10, 42, 0, last])],
        node: node.into(),
        ports: vec![("web".into(), crate::model::Protocol::Tcp, 80)],
        ..Pod::default()
    }
}

type Means = BTreeMap<IpAddr, (Vec<Vec<Key>>, BTreeSet<(Key, usize)>, usize)>;

/// A state without its numbers.
fn meaning(state: &State) -> Means {
    let policy_of = |number: u32| {
        let found = state.active.iter().find(|(_, a)| a.number == number);
        found.map(|(key, _)| key.clone()).expect("group of an active policy")
    };
    let rule_of = |number: &u32| {
        let place = |(key, a): (&Key, &super::Active)| {
            a.rules.iter().position(|r| r == number).map(|i| (key.clone(), i))
        };
        state.active.iter().find_map(place).expect("rule of an active policy")
    };
    let mut all = Means::new();
    for (address, entry) in &state.entries {
        let groups = DIRECTIONS.into_iter().zip(entry.groups).map(|(direction, group)| {
            let key = group.map(|g| &state.members[&(direction, g)]);
            key.into_iter().flat_map(|(_, policies)| policies.iter().map(|p| policy_of(*p))).collect()
        });
        let rules = entry.rules.iter().map(rule_of).collect();
        all.insert(*address, (groups.collect(), rules, entry.ports.len()));
    }
    all
}

#[test]
fn every_way_leads_to_the_same() {
    let web = json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": "web"}]},
            {"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {}}]},
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]});
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    let out = json!({"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {}}], "ports": [{"port": 80, "endPort": 90, "protocol": "UDP"}]}]});
    let key = |name: &str| Key::new("x", name);
    let mut cluster = Cluster::new();
    let mut state = State::default();
    let mut step = |change: &mut dyn FnMut(&mut Cluster) -> Dirty| {
        let dirty = change(&mut cluster);
        let delta = state.take(cluster.view(), dirty);
        let mut fresh = State::default();
        fresh.take(cluster.view(), Dirty::everything(cluster.view()));
        assert_eq!(meaning(&state), meaning(&fresh));
        assert_eq!(state.groups.len(), state.members.len());
        let again = Dirty::everything(cluster.view());
        assert!(state.take(cluster.view(), again).is_empty(), "quiet when nothing differs");
        delta
    };
    step(&mut |c| c.namespace("x", &[]));
    step(&mut |c| c.namespace("y", &[("team", "a")]));
    step(&mut |c| c.policy(&key("web"), Some(&web)));
    let first = step(&mut |c| c.pod(&key("w1"), Some(pod(1, "web", "n1"))));
    assert_eq!(first.chains.len(), 2, "the policy's chain and that of the pods with just it");
    let second = step(&mut |c| c.pod(&key("w2"), Some(pod(2, "web", "n1"))));
    assert!(second.chains.is_empty() && second.gone.is_empty(), "one more pod is elements only");
    step(&mut |c| c.pod(&key("c1"), Some(pod(3, "client", "n2"))));
    step(&mut |c| c.pod(&Key::new("y", "p"), Some(pod(4, "other", "n2"))));
    step(&mut |c| c.policy(&key("deny"), Some(&deny)));
    step(&mut |c| c.policy(&key("out"), Some(&out)));
    step(&mut |c| c.pod(&key("c1"), Some(pod(3, "client", "n1"))));
    step(&mut |c| c.namespace("y", &[]));
    step(&mut |c| c.policy(&key("web"), Some(&deny)));
    step(&mut |c| c.policy(&key("web"), Some(&web)));
    // the address goes to another pod before the old one is gone
    let ending = Pod { ending: true, ..pod(1, "web", "n1") };
    step(&mut |c| c.pod(&key("w1"), Some(ending.clone())));
    step(&mut |c| c.pod(&Key::new("y", "q"), Some(pod(1, "q", "n1"))));
    step(&mut |c| c.pod(&key("w1"), None));
    step(&mut |c| c.policy(&key("deny"), None));
    step(&mut |c| c.pod(&key("w2"), None));
    step(&mut |c| c.pod(&key("c1"), None));
    let last = step(&mut |c| c.policy(&key("web"), None));
    assert!(last.is_empty(), "a policy that isolates nobody here is not in the kernel");
    assert!(state.active.is_empty() && state.groups.is_empty());
}
