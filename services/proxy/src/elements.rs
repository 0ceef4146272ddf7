//! Elements of maps from what is planned: pure.

use netlink::nft::{Element, Family};

use crate::layout::{Answer, Chain, Pick, Set};
use crate::network::bytes;
use crate::plan::{At, Front, Target, Treatment};

/// An element and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The family of the table.
    pub family: Family,
    /// The set or map.
    pub set: Set,
    /// The element.
    pub element: Element,
}

/// The chain a front's traffic goes to, `None` when it needs none in the NAT chains.
pub fn chain(front: &Front) -> Option<Chain> {
    let pick = |cluster, targets: &[Target]| Pick {
        node_port: matches!(front.at, At::NodePort(..)),
        cluster,
        count: targets.len() as u32,
        affinity: front.affinity,
    };
    match front.treatment {
        Treatment::Reject | Treatment::Drop => None,
        Treatment::Cluster => Some(Chain::Cluster(pick(false, &front.targets))),
        Treatment::Masquerade => Some(Chain::Masquerade(pick(false, &front.targets))),
        Treatment::Local => {
            Some(Chain::Local(pick(false, &front.targets), pick(true, &front.cluster_targets)))
        }
    }
}

/// The key of a front: address (unless it is a node port), protocol, port, each padded.
pub fn key(at: At) -> Vec<u8> {
    let mut key = match at {
        At::Address(address, ..) => bytes(address),
        At::NodePort(..) => Vec::new(),
    };
    key.extend([at.protocol().number(), 0, 0, 0]);
    key.extend(at.port().to_be_bytes());
    key.extend([0, 0]);
    key
}

/// A target as a map's value.
pub fn value((address, port): Target) -> Vec<u8> {
    let mut value = bytes(address);
    value.extend(port.to_be_bytes());
    value.extend([0, 0]);
    value
}

/// The elements a front stands for; `number` gives a chain's.
pub fn elements(front: &Front, number: &mut dyn FnMut(Chain) -> u32, out: &mut Vec<Placed>) {
    let family = front.at.family();
    let key = key(front.at);
    let node_port = matches!(front.at, At::NodePort(..));
    let mut put = |set, element| out.push(Placed { family, set, element });
    let nobody = if node_port { Set::PortNobody } else { Set::Nobody };
    let (set, number) = match (front.treatment, chain(front)) {
        (Treatment::Drop, _) => (nobody, Answer::Drop as u32),
        (_, None) => (nobody, Answer::Reject as u32),
        (_, Some(chain)) => (if node_port { Set::NodePorts } else { Set::Services }, number(chain)),
    };
    put(set, Element::value(key.clone(), number.to_ne_bytes().to_vec()));
    let lists = if node_port {
        [(Set::PortEndpoints, &front.targets), (Set::PortClusterEndpoints, &front.cluster_targets)]
    } else {
        [(Set::Endpoints, &front.targets), (Set::ClusterEndpoints, &front.cluster_targets)]
    };
    for (set, targets) in lists {
        for (index, target) in targets.iter().enumerate() {
            let mut key = key.clone();
            key.extend((index as u32).to_ne_bytes());
            put(set, Element::value(key, value(*target)));
        }
    }
    if let (true, At::Address(address, ..)) = (front.cluster_ip, front.at) {
        put(Set::ClusterIps, Element::key(bytes(address)));
    }
    if front.guarded {
        put(Set::Guarded, Element::key(key.clone()));
    }
    let allowed = front.allowed.iter().map(|network| (network, &[][..]));
    for (first_address, last_address) in crate::ranges::union(allowed, family) {
        let (mut first, mut last) = (key.clone(), key.clone());
        first.extend(first_address);
        last.extend(last_address);
        put(Set::Allowed, Element { key_end: Some(last), ..Element::key(first) });
    }
}

/// The element that lets an endpoint reach itself through its Service.
pub fn hairpin(address: std::net::IpAddr) -> Placed {
    let key = [bytes(address), bytes(address)].concat();
    Placed { family: crate::network::family(address), set: Set::Hairpin, element: Element::key(key) }
}
