//! The sets and maps of the tables.

use netlink::nft::{Family, Field, SetKind, SetSpec};

use Field::{Ipv4, Ipv6, Number, Port, Protocol};

/// The sets and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Set {
    /// Where traffic to an address and port goes.
    Services,
    /// Where traffic to a port of this node goes.
    NodePorts,
    /// Chains by number.
    Chains,
    /// Answers where there are no endpoints, by number.
    Answers,
    /// Endpoints of addresses.
    Endpoints,
    /// Endpoints of node ports.
    PortEndpoints,
    /// Endpoints of addresses for pods, where outside traffic has others.
    ClusterEndpoints,
    /// Endpoints of node ports for pods, where outside traffic has others.
    PortClusterEndpoints,
    /// Clients of addresses and their endpoints.
    Clients,
    /// Clients of node ports and their endpoints.
    PortClients,
    /// Addresses without endpoints.
    Nobody,
    /// Node ports without endpoints.
    PortNobody,
    /// Cluster addresses.
    ClusterIps,
    /// Endpoints of this node, twice: those that may reach themselves.
    Hairpin,
    /// Load balancers' addresses that only some may use.
    Guarded,
    /// Who may use them.
    Allowed,
}

/// All of them, in the order they are made.
pub const SETS: [Set; 16] = [
    Set::Services,
    Set::NodePorts,
    Set::Chains,
    Set::Answers,
    Set::Endpoints,
    Set::PortEndpoints,
    Set::ClusterEndpoints,
    Set::PortClusterEndpoints,
    Set::Clients,
    Set::PortClients,
    Set::Nobody,
    Set::PortNobody,
    Set::ClusterIps,
    Set::Hairpin,
    Set::Guarded,
    Set::Allowed,
];

macro_rules! spec {
    ($name:literal, $family:expr, [$($v4:expr),+], [$($v6:expr),+], $kind:expr) => {
        SetSpec {
            name: $name,
            key: if $family == Family::Ip { &[$($v4),+] } else { &[$($v6),+] },
            kind: $kind,
        }
    };
}

impl Set {
    /// How the kernel is told of it.
    pub fn spec(self, family: Family) -> SetSpec {
        let target: &'static [Field] = if family == Family::Ip { &[Ipv4, Port] } else { &[Ipv6, Port] };
        let (map, memory, number) = (SetKind::Map(target), SetKind::Memory(target), SetKind::Map(&[Number]));
        match self {
            Self::Services => {
                spec!("services", family, [Ipv4, Protocol, Port], [Ipv6, Protocol, Port], number)
            }
            Self::NodePorts => spec!("node-ports", family, [Protocol, Port], [Protocol, Port], number),
            Self::Chains => spec!("chains", family, [Number], [Number], SetKind::Verdicts),
            Self::Answers => spec!("answers", family, [Number], [Number], SetKind::Verdicts),
            Self::Endpoints => {
                spec!(
                    "endpoints",
                    family,
                    [Ipv4, Protocol, Port, Number],
                    [Ipv6, Protocol, Port, Number],
                    map
                )
            }
            Self::PortEndpoints => {
                spec!("port-endpoints", family, [Protocol, Port, Number], [Protocol, Port, Number], map)
            }
            Self::ClusterEndpoints => {
                spec!(
                    "cluster-endpoints",
                    family,
                    [Ipv4, Protocol, Port, Number],
                    [Ipv6, Protocol, Port, Number],
                    map
                )
            }
            Self::PortClusterEndpoints => {
                spec!(
                    "port-cluster-endpoints",
                    family,
                    [Protocol, Port, Number],
                    [Protocol, Port, Number],
                    map
                )
            }
            Self::Clients => {
                spec!("clients", family, [Ipv4, Protocol, Port, Ipv4], [Ipv6, Protocol, Port, Ipv6], memory)
            }
            Self::PortClients => {
                spec!("port-clients", family, [Protocol, Port, Ipv4], [Protocol, Port, Ipv6], memory)
            }
            Self::Nobody => spec!("nobody", family, [Ipv4, Protocol, Port], [Ipv6, Protocol, Port], number),
            Self::PortNobody => spec!("port-nobody", family, [Protocol, Port], [Protocol, Port], number),
            Self::ClusterIps => spec!("cluster-ips", family, [Ipv4], [Ipv6], SetKind::Set),
            Self::Hairpin => spec!("hairpin", family, [Ipv4, Ipv4], [Ipv6, Ipv6], SetKind::Set),
            Self::Guarded => {
                spec!("guarded", family, [Ipv4, Protocol, Port], [Ipv6, Protocol, Port], SetKind::Set)
            }
            Self::Allowed => {
                spec!(
                    "allowed",
                    family,
                    [Ipv4, Protocol, Port, Ipv4],
                    [Ipv6, Protocol, Port, Ipv6],
                    SetKind::Ranges
                )
            }
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.spec(Family::Ip).name
    }
}
