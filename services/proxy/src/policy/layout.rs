//! The table: chains of policies and of sets of policies, and the sets they share.
//!
//! ```text
//! egress:   pod's address → number of its policies;   egress-policies:  number → goto their chain
//! ingress:  pod's address → number of its policies;   ingress-policies: number → goto their chain
//! peers:    rule . address          blocks: rule . range          named-ports: name . address . protocol . port
//! ```
//!
//! Numbers stand between addresses and chains so that a pod that comes or goes touches no verdict: the kernel checks all
//! chains again for loops whenever one is added.

use netlink::nft::{
    Batch, CtKey, Expr, Family, Field, Hook, HookPoint, MetaKey, Reg, SetKind, SetSpec, Table, Verdict,
};

use super::model::{Peer, Port, Rule};
use crate::model::Protocol;
use crate::ranges::{Range, union};

use Field::{Ipv4, Ipv6, Number, Port as PortField, Protocol as ProtocolField};

const NEIGHBOUR_DISCOVERY: (u8, u8) = (133, 137);
const ICMP6: u8 = 58;

/// The sets and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    /// Isolated pods, for what they send.
    Egress,
    /// Isolated pods, for what is sent to them.
    Ingress,
    /// Chains of policies for what pods send.
    EgressPolicies,
    /// Chains of policies for what is sent to pods.
    IngressPolicies,
    /// Pods that rules mean.
    Peers,
    /// Ranges that rules mean.
    Blocks,
    /// Pods' ports by name.
    NamedPorts,
}

/// All of them.
pub const SETS: [Set; 7] = [
    Set::Egress,
    Set::Ingress,
    Set::EgressPolicies,
    Set::IngressPolicies,
    Set::Peers,
    Set::Blocks,
    Set::NamedPorts,
];

impl Set {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
            Self::EgressPolicies => "egress-policies",
            Self::IngressPolicies => "ingress-policies",
            Self::Peers => "peers",
            Self::Blocks => "blocks",
            Self::NamedPorts => "named-ports",
        }
    }

    fn spec(self, family: Family) -> SetSpec {
        let v4 = family == Family::Ip;
        let (key, kind): (&'static [Field], SetKind) = match self {
            Self::Egress | Self::Ingress => (if v4 { &[Ipv4] } else { &[Ipv6] }, SetKind::Map(&[Number])),
            Self::EgressPolicies | Self::IngressPolicies => (&[Number], SetKind::Verdicts),
            Self::Peers => (if v4 { &[Number, Ipv4] } else { &[Number, Ipv6] }, SetKind::Set),
            Self::Blocks => (if v4 { &[Number, Ipv4] } else { &[Number, Ipv6] }, SetKind::Ranges),
            Self::NamedPorts if v4 => (&[Number, Ipv4, ProtocolField, PortField], SetKind::Set),
            Self::NamedPorts => (&[Number, Ipv6, ProtocolField, PortField], SetKind::Set),
        };
        SetSpec { name: self.name(), key, kind }
    }
}

/// Which way traffic goes, seen from the isolated pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// To it.
    Ingress,
    /// From it.
    Egress,
}

impl Direction {
    /// The map of isolated pods.
    pub fn pods(self) -> Set {
        if self == Self::Ingress { Set::Ingress } else { Set::Egress }
    }

    /// The map of chains.
    pub fn policies(self) -> Set {
        if self == Self::Ingress { Set::IngressPolicies } else { Set::EgressPolicies }
    }

    /// The chain of a policy.
    pub fn policy_chain(self, policy: u32) -> String {
        let way = if self == Self::Ingress { "from" } else { "to" };
        format!("policy-{policy}-{way}")
    }

    /// The chain of a set of policies.
    pub fn group_chain(self, group: u32) -> String {
        format!("{}-{group}", self.pods().name())
    }
}

/// The table of a family.
pub fn table(family: Family) -> Table {
    Table { family, name: "k3s-rs-policies" }
}

fn host(value: u32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

/// Makes the table anew in one step with what is always in it: packets see the old one or the new one.
pub fn base(batch: &mut Batch, family: Family) {
    let table = table(family);
    batch.table(table);
    batch.delete_table(table);
    batch.table(table);
    for set in SETS {
        batch.set(table, &set.spec(family));
    }
    // behind Services (which reject what has no endpoint) and at the place of other firewalls
    let hook = Hook { point: HookPoint::Forward, priority: 0, nat: false };
    for (name, hook) in [("deny", None), ("admit", None), ("forward", Some(hook))] {
        batch.chain(table, name, hook);
    }
    batch.rule(table, "deny", &[Expr::Reject(family)]);
    let isolated = |direction: Direction| {
        let address = Expr::address(family, direction == Direction::Egress, Reg(0));
        let policies = Expr::VerdictMap(Reg(0), direction.policies().name());
        vec![address, Expr::Map(Reg(0), direction.pods().name(), Reg(0)), policies]
    };
    batch.rule(table, "admit", &isolated(Direction::Ingress));
    batch.rule(table, "admit", &[Expr::Verdict(Verdict::Accept)]);
    let answers = [
        Expr::Ct(Reg(0), CtKey::State),
        Expr::Bitwise(Reg(0), host(2 | 4), host(0)),
        Expr::Compare(Reg(0), false, host(0)),
        Expr::Verdict(Verdict::Accept),
    ];
    batch.rule(table, "forward", &answers);
    if family == Family::Ip6 {
        // the bridge shows us these, and without them no pod finds another
        let (first, last) = NEIGHBOUR_DISCOVERY;
        let kind = netlink::nft::Base::Transport;
        let discovery = [
            Expr::Meta(Reg(0), MetaKey::Protocol),
            Expr::Compare(Reg(0), true, vec![ICMP6]),
            Expr::Payload { to: Reg(0), base: kind, offset: 0, len: 1 },
            Expr::Within(Reg(0), vec![first], vec![last]),
            Expr::Verdict(Verdict::Accept),
        ];
        batch.rule(table, "forward", &discovery);
    }
    batch.rule(table, "forward", &isolated(Direction::Egress));
    batch.rule(table, "forward", &[Expr::Verdict(Verdict::Goto("admit".into()))]);
}

/// The chain of a set of policies: through each of them, and refused at the end.
pub fn group_rules(direction: Direction, policies: &[u32]) -> Vec<Vec<Expr>> {
    let jumps = policies.iter().map(|id| vec![Expr::Verdict(Verdict::Jump(direction.policy_chain(*id)))]);
    jumps.chain([vec![Expr::Verdict(Verdict::Goto("deny".into()))]]).collect()
}

/// A rule of a policy with its number.
pub type Numbered<'a> = (u32, &'a Rule);

/// The chain of a policy: what its rules let through. `name` numbers a port's name.
pub fn policy_rules(
    family: Family,
    direction: Direction,
    rules: &[Numbered<'_>],
    name: &mut dyn FnMut(Protocol, &str) -> u32,
) -> Vec<Vec<Expr>> {
    let through = match direction {
        Direction::Ingress => Expr::Verdict(Verdict::Accept),
        Direction::Egress => Expr::Verdict(Verdict::Goto("admit".into())),
    };
    let mut all = Vec::new();
    for (number, rule) in rules {
        let mut ports: Vec<Vec<Expr>> = rule.ports.iter().map(|p| port(family, p, name)).collect();
        if ports.is_empty() {
            ports.push(Vec::new());
        }
        for port in ports {
            for peers in peers(family, direction, *number, rule) {
                all.push([port.clone(), peers, vec![through.clone()]].concat());
            }
        }
    }
    all
}

fn protocol_is(protocol: Protocol) -> Vec<Expr> {
    vec![Expr::Meta(Reg(0), MetaKey::Protocol), Expr::Compare(Reg(0), true, vec![protocol.number()])]
}

fn port(family: Family, port: &Port, name: &mut dyn FnMut(Protocol, &str) -> u32) -> Vec<Expr> {
    match port {
        Port::All(protocol) => protocol_is(*protocol),
        Port::Range(protocol, first, last) => {
            let ends = (first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec());
            let test = if first == last {
                Expr::Compare(Reg(0), true, ends.0)
            } else {
                Expr::Within(Reg(0), ends.0, ends.1)
            };
            [protocol_is(*protocol), vec![Expr::port(Reg(0)), test]].concat()
        }
        Port::Named(protocol, text) => {
            let words = family.address_len() / 4;
            vec![
                Expr::Constant(Reg(0), host(name(*protocol, text))),
                Expr::destination(family, Reg(1)),
                Expr::Meta(Reg(1 + words), MetaKey::Protocol),
                Expr::port(Reg(2 + words)),
                Expr::InSet(Reg(0), Set::NamedPorts.name(), true),
            ]
        }
    }
}

/// Tests for a rule's peers, any of which is enough.
fn peers(family: Family, direction: Direction, number: u32, rule: &Rule) -> Vec<Vec<Expr>> {
    let Some(peers) = &rule.peers else { return vec![vec![]] };
    let in_set = |set: Set| {
        let address = Expr::address(family, direction == Direction::Ingress, Reg(1));
        vec![Expr::Constant(Reg(0), host(number)), address, Expr::InSet(Reg(0), set.name(), true)]
    };
    let mut tests = Vec::new();
    if peers.iter().any(|p| matches!(p, Peer::Pods { .. })) {
        tests.push(in_set(Set::Peers));
    }
    if !blocks(rule, family).is_empty() {
        tests.push(in_set(Set::Blocks));
    }
    tests
}

/// The ranges of addresses a rule means.
pub fn blocks(rule: &Rule, family: Family) -> Vec<Range> {
    let blocks = rule.peers.iter().flatten().filter_map(|peer| match peer {
        Peer::Block(network, except) => Some((network, except.as_slice())),
        Peer::Pods { .. } => None,
    });
    union(blocks, family)
}
