//! What this node must know of its peers: pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::model::{DATA, Node, TYPE, VxlanData, mac_bytes};
use crate::settings::Backend;
use crate::subnet::Subnet;

/// How a peer's pods are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The machine's address.
    pub machine: Ipv4Addr,
    /// The hardware address of its VXLAN device.
    pub mac: Option<Vec<u8>>,
}

/// The peers by their pods' ranges. A node that has not said yet how it is reached is left out.
pub fn peers<'a>(
    own: &str,
    backend: Backend,
    nodes: impl Iterator<Item = (&'a str, &'a Node)>,
) -> BTreeMap<Subnet, Peer> {
    let mut peers = BTreeMap::new();
    for (_, node) in nodes.filter(|(name, _)| *name != own) {
        let (Some(subnet), Some(machine)) = (node.subnet, node.public_ip()) else { continue };
        let kind = node.annotations.get(TYPE).map(String::as_str);
        let mac = match (backend, kind) {
            (Backend::Vxlan, Some("vxlan")) => {
                let data = node.annotations.get(DATA).and_then(|d| serde_json::from_str::<VxlanData>(d).ok());
                let Some(mac) = data.and_then(|d| mac_bytes(&d.mac)) else { continue };
                Some(mac)
            }
            (Backend::HostGw, Some("host-gw")) => None,
            _ => continue,
        };
        peers.insert(subnet, Peer { machine, mac });
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(subnet: &str, annotations: &[(&str, &str)]) -> Node {
        Node {
            subnet: subnet.parse().ok(),
            internal_ip: None,
            annotations: annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        }
    }

    #[test]
    fn only_nodes_that_said_how_they_are_reached() {
        let told = node(
            "10.42.1.0/24",
            &[
                (TYPE, "vxlan"),
                (DATA, r#"{"VNI":1,"VtepMAC":"02:00:00:00:00:0a"}"#),
                (crate::model::PUBLIC_IP, "192.0.2.7"),
            ],
        );
        let silent = node("10.42.2.0/24", &[]);
        let nodes = [("a", &told), ("b", &silent), ("own", &told)];
        let found = peers("own", Backend::Vxlan, nodes.into_iter());
        let peer = Peer { machine: Ipv4Addr::new(192, 0, 2, 7), mac: Some(vec![2, 0, 0, 0, 0, 10]) };
        assert_eq!(found, BTreeMap::from([("10.42.1.0/24".parse().expect("range"), peer)]));
        assert!(peers("own", Backend::HostGw, nodes.into_iter()).is_empty());
    }
}
