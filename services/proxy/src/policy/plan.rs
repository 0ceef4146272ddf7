//! Who a policy is about: pure.

use std::net::IpAddr;

use client::{Key, Snapshot};
use meta::LabelSelector;

use super::model::{Labels, Namespace, Peer, Pod, Policy, Rule};

/// What is known of the cluster.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// All policies.
    pub policies: &'a Snapshot<Policy>,
    /// All pods, indexed by `address`.
    pub pods: &'a Snapshot<Pod>,
    /// All namespaces.
    pub namespaces: &'a Snapshot<Namespace>,
    /// This node.
    pub node: &'a str,
}

impl<'a> View<'a> {
    /// The pod that has an address. An address may be given to a new pod before the old one's object is gone: the
    /// younger one that is not ending has it.
    pub fn owner(self, address: IpAddr) -> Option<(&'a Key, &'a Pod)> {
        let address = address.to_string();
        let pods = self.pods.by("address", &address);
        let rank = |(key, pod): &(&'a Key, &'a Pod)| (!pod.ending, pod.created.as_str(), *key);
        pods.map(|(key, pod)| (key, pod.as_ref()))
            .reduce(|best, pod| if rank(&pod) > rank(&best) { pod } else { best })
    }

    /// The policies that isolate a pod.
    pub fn policies_of(self, key: &'a Key, pod: &'a Pod) -> impl Iterator<Item = &'a Key> {
        let own = self.policies.namespace(&key.namespace);
        own.filter(|(_, policy)| matches(&policy.pods, &pod.labels)).map(|(key, _)| key)
    }

    /// Whether a rule of a policy in `namespace` means a pod among its peers.
    pub fn means(self, namespace: &str, rule: &Rule, key: &Key, pod: &Pod) -> bool {
        let of_namespace = |selector: &LabelSelector| {
            let namespace = self.namespaces.get(&Key::new("", key.namespace.as_str()));
            namespace.is_some_and(|n| matches(selector, &n.labels))
        };
        rule.peers.iter().flatten().any(|peer| match peer {
            Peer::Block(..) => false,
            Peer::Pods { namespaces: None, pods } => namespace == key.namespace && matches(pods, &pod.labels),
            Peer::Pods { namespaces: Some(selector), pods } => {
                matches(pods, &pod.labels) && of_namespace(selector)
            }
        })
    }
}

fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    selector.matches(|key| labels.get(key).map(String::as_str))
}
