//! The tables: a few named maps that hold all Services, and chains whose number does not depend on theirs.
//!
//! ```text
//! services:   address . protocol . port         → number of the chain for so many endpoints and such treatment
//! chains:     number                            → goto that chain
//! endpoints:  address . protocol . port . index → endpoint's address . port
//! ```
//!
//! A packet finds its chain by two lookups; the chain draws an index and finds the endpoint by a third one. A change of
//! a Service changes elements, never rules. Chains are made when the first Service needs one.
//!
//! Why a number stands between: the kernel checks a table's chains again for loops, through every element of every
//! verdict map, whenever one verdict is added. With the verdict in `services` itself a change would cost all Services.

use netlink::nft::{Batch, CtKey, Element, Expr, Family, Hook, HookPoint, MetaKey, Reg, Table, Verdict};

use crate::network::Network;
pub use crate::sets::{SETS, Set};

/// The mark of packets whose source is to be replaced; kubelet's and upstream's.
const MARK: u32 = 0x4000;
/// A chain that says which layout a table has: a table of another one is made anew.
pub const LAYOUT: &str = "layout-2";

/// The table of a family.
pub fn table(family: Family) -> Table {
    Table { family, name: "k3s-rs-services" }
}

/// What the rules need to know of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The pods' ranges.
    pub pods: Vec<Network>,
    /// Ranges whose local addresses answer node ports; empty: all but loopback.
    pub node_ports: Vec<Network>,
}

/// How a chain draws an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pick {
    /// Whether traffic came to a node port.
    pub node_port: bool,
    /// Whether it is the endpoints for pods.
    pub cluster: bool,
    /// Among how many.
    pub count: u32,
    /// Seconds for which a client stays.
    pub affinity: Option<u32>,
}

/// What a chain does before it draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chain {
    /// Nothing.
    Pick(Pick),
    /// Marks what comes from outside the cluster.
    Cluster(Pick),
    /// Marks everything.
    Masquerade(Pick),
    /// Sends pods and this node (marked) to the second, others to the first, if it has any.
    Local(Pick, Pick),
}

/// What is done where there are no endpoints; the number is the key in [`Set::Answers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Answer {
    /// Nothing.
    Drop = 0,
    /// "Port unreachable".
    Reject = 1,
}

impl Pick {
    fn name(self) -> String {
        let port = if self.node_port { "port-" } else { "" };
        let cluster = if self.cluster { "cluster-" } else { "" };
        let affinity = self.affinity.map(|seconds| format!("-for-{seconds}s")).unwrap_or_default();
        format!("{port}{cluster}{}{affinity}", self.count)
    }

    fn endpoints(self) -> Set {
        match (self.node_port, self.cluster) {
            (false, false) => Set::Endpoints,
            (true, false) => Set::PortEndpoints,
            (false, true) => Set::ClusterEndpoints,
            (true, true) => Set::PortClusterEndpoints,
        }
    }
}

impl Chain {
    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Pick(pick) => format!("pick-{}", pick.name()),
            Self::Cluster(pick) => format!("cluster-{}", pick.name()),
            Self::Masquerade(pick) => format!("masquerade-{}", pick.name()),
            Self::Local(local, cluster) => format!("local-{}-{}", local.name(), cluster.count),
        }
    }

    /// The chains it goes to.
    pub fn needs(self) -> Vec<Chain> {
        match self {
            Self::Pick(_) => vec![],
            Self::Cluster(pick) | Self::Masquerade(pick) => vec![Self::Pick(pick)],
            Self::Local(local, cluster) => {
                [local, cluster].into_iter().filter(|p| p.count > 0).map(Self::Pick).collect()
            }
        }
    }

    /// Its rules.
    pub fn rules(self, family: Family, facts: &Facts) -> Vec<Vec<Expr>> {
        let goto = |pick: Pick| Expr::Verdict(Verdict::Goto(Self::Pick(pick).name()));
        let ours = facts.pods.iter().find(|n| n.family() == family);
        match self {
            Self::Pick(pick) => pick_rules(pick, family),
            Self::Masquerade(pick) => vec![set_mark(), vec![goto(pick)]],
            Self::Cluster(pick) => {
                let foreign = ours.map(|pods| [within(family, pods, false), set_mark()].concat());
                foreign.into_iter().chain([vec![goto(pick)]]).collect()
            }
            Self::Local(local, cluster) => {
                let mut rules = Vec::new();
                if cluster.count > 0 {
                    if let Some(pods) = ours {
                        rules.push([within(family, pods, true), vec![goto(cluster)]].concat());
                    }
                    rules.push([from_here(), set_mark()].concat());
                    rules.push([from_here(), vec![goto(cluster)]].concat());
                }
                rules.push(vec![if local.count > 0 { goto(local) } else { Expr::Verdict(Verdict::Drop) }]);
                rules
            }
        }
    }
}

fn host(value: u32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn set_mark() -> Vec<Expr> {
    vec![
        Expr::Meta(Reg(0), MetaKey::Mark),
        Expr::Bitwise(Reg(0), host(!MARK), host(MARK)),
        Expr::SetMark(Reg(0)),
    ]
}

/// The source is in a range (`true`) or is not.
fn within(family: Family, network: &Network, inside: bool) -> Vec<Expr> {
    let zero = vec![0; usize::from(family.address_len())];
    vec![
        Expr::source(family, Reg(0)),
        Expr::Bitwise(Reg(0), network.mask(), zero),
        Expr::Compare(Reg(0), inside, network.first()),
    ]
}

fn from_here() -> Vec<Expr> {
    vec![Expr::AddressType(Reg(0), true), Expr::Compare(Reg(0), true, host(2))]
}

/// Loads address (unless it is a node port), protocol and port, giving the next register.
fn load_key(node_port: bool, family: Family, rule: &mut Vec<Expr>) -> u8 {
    let mut next = 0;
    if !node_port {
        rule.push(Expr::destination(family, Reg(0)));
        next += family.address_len() / 4;
    }
    rule.push(Expr::Meta(Reg(next), MetaKey::Protocol));
    rule.push(Expr::port(Reg(next + 1)));
    next + 2
}

fn pick_rules(pick: Pick, family: Family) -> Vec<Vec<Expr>> {
    let words = family.address_len() / 4;
    let dnat = |at: u8| Expr::Dnat { family, address: Reg(at), port: Reg(at + words) };
    let endpoints = pick.endpoints().name();
    let Some(seconds) = pick.affinity else {
        let mut rule = Vec::new();
        let next = load_key(pick.node_port, family, &mut rule);
        rule.push(Expr::Random(Reg(next), pick.count));
        rule.push(Expr::Map(Reg(0), endpoints, Reg(0)));
        rule.push(dnat(0));
        return vec![rule];
    };
    let clients = if pick.node_port { Set::PortClients } else { Set::Clients }.name();
    let mut known = Vec::new();
    let next = load_key(pick.node_port, family, &mut known);
    let value = next + words;
    let remember = Expr::Remember { map: clients, key: Reg(0), value: Reg(value), seconds };
    known.extend([
        Expr::source(family, Reg(next)),
        Expr::Map(Reg(0), clients, Reg(value)),
        remember.clone(),
        dnat(value),
    ]);
    let mut fresh = Vec::new();
    load_key(pick.node_port, family, &mut fresh);
    fresh.extend([
        Expr::Random(Reg(next), pick.count),
        Expr::Map(Reg(0), endpoints, Reg(value)),
        Expr::source(family, Reg(next)),
        remember,
        dnat(value),
    ]);
    vec![known, fresh]
}

fn hook(point: HookPoint, priority: i32, nat: bool) -> Option<Hook> {
    Some(Hook { point, priority, nat })
}

/// The chains that are always there, with their hooks.
pub fn base_chains() -> [(&'static str, Option<Hook>); 13] {
    use HookPoint::{Forward, Input, Output, Postrouting, Prerouting};
    [
        (LAYOUT, None),
        ("dispatch", None),
        ("reject", None),
        ("guard", None),
        ("nobody-here", None),
        ("nat-prerouting", hook(Prerouting, -100, true)),
        ("nat-output", hook(Output, -100, true)),
        ("nat-postrouting", hook(Postrouting, 100, true)),
        ("filter-prerouting", hook(Prerouting, -110, false)),
        ("filter-input", hook(Input, -110, false)),
        ("filter-forward", hook(Forward, -110, false)),
        ("filter-output", hook(Output, -110, false)),
        ("filter-output-after", hook(Output, -90, false)),
    ]
}

/// The rules of those chains.
pub fn base_rules(family: Family, facts: &Facts) -> Vec<(&'static str, Vec<Expr>)> {
    let jump = |chain: &str| Expr::Verdict(Verdict::Jump(chain.into()));
    let lookup = |node_port: bool, set: Set, verdicts: Set| {
        let mut rule = Vec::new();
        load_key(node_port, family, &mut rule);
        rule.push(Expr::Map(Reg(0), set.name(), Reg(0)));
        rule.push(Expr::VerdictMap(Reg(0), verdicts.name()));
        rule
    };
    let mut rules = vec![("reject", vec![Expr::Reject(family)])];
    rules.push(("dispatch", lookup(false, Set::Services, Set::Chains)));
    rules.extend(
        to_this_node(family, facts)
            .into_iter()
            .map(|r| ("dispatch", [r, lookup(true, Set::NodePorts, Set::Chains)].concat())),
    );
    rules.push(("nobody-here", lookup(false, Set::Nobody, Set::Answers)));
    rules.extend(
        to_this_node(family, facts)
            .into_iter()
            .map(|r| ("nobody-here", [r, lookup(true, Set::PortNobody, Set::Answers)].concat())),
    );
    rules.push(("guard", guard(family)));
    rules.extend([("nat-prerouting", vec![jump("dispatch")]), ("nat-output", vec![jump("dispatch")])]);
    rules.extend(postrouting(family, facts).into_iter().map(|rule| ("nat-postrouting", rule)));
    rules.push(("filter-prerouting", [new_connection(), vec![jump("guard")]].concat()));
    for chain in ["filter-input", "filter-forward", "filter-output"] {
        rules.push((chain, [new_connection(), vec![jump("nobody-here")]].concat()));
    }
    rules.push(("filter-output", [new_connection(), vec![jump("guard")]].concat()));
    for chain in ["filter-forward", "filter-output-after"] {
        let unknown_port = vec![
            Expr::destination(family, Reg(0)),
            Expr::InSet(Reg(0), Set::ClusterIps.name(), true),
            Expr::Reject(family),
        ];
        rules.push((chain, [new_connection(), unknown_port].concat()));
    }
    rules
}

/// Conditions, any of which says that a packet is for an address of this node that answers node ports.
fn to_this_node(family: Family, facts: &Facts) -> Vec<Vec<Expr>> {
    let local = vec![Expr::AddressType(Reg(0), false), Expr::Compare(Reg(0), true, host(2))];
    let zero = vec![0; usize::from(family.address_len())];
    let destination = |mask: Vec<u8>, equal, value: Vec<u8>| {
        vec![
            Expr::destination(family, Reg(0)),
            Expr::Bitwise(Reg(0), mask, zero.clone()),
            Expr::Compare(Reg(0), equal, value),
        ]
    };
    if facts.node_ports.is_empty() {
        let not_loopback = match family {
            Family::Ip => destination(vec![255, 0, 0, 0], false, vec![127, 0, 0, 0]),
            Family::Ip6 => {
                let one = std::net::Ipv6Addr::LOCALHOST.octets().to_vec();
                vec![Expr::destination(family, Reg(0)), Expr::Compare(Reg(0), false, one)]
            }
        };
        return vec![[local, not_loopback].concat()];
    }
    let of_family = facts.node_ports.iter().filter(|n| n.family() == family);
    of_family.map(|n| [local.clone(), destination(n.mask(), true, n.first())].concat()).collect()
}

fn new_connection() -> Vec<Expr> {
    vec![
        Expr::Ct(Reg(0), CtKey::State),
        Expr::Bitwise(Reg(0), host(8), host(0)),
        Expr::Compare(Reg(0), false, host(0)),
    ]
}

fn guard(family: Family) -> Vec<Expr> {
    let mut rule = Vec::new();
    let next = load_key(false, family, &mut rule);
    rule.push(Expr::InSet(Reg(0), Set::Guarded.name(), true));
    load_key(false, family, &mut rule);
    rule.push(Expr::source(family, Reg(next)));
    rule.push(Expr::InSet(Reg(0), Set::Allowed.name(), false));
    rule.push(Expr::Verdict(Verdict::Drop));
    rule
}

/// # Differs
/// Upstream replaces the source of all outside traffic under the cluster policy. Where the endpoint drawn is on this
/// node its answers come by here anyway, so the client's address is kept: pods see who calls.
fn postrouting(family: Family, facts: &Facts) -> Vec<Vec<Expr>> {
    let words = family.address_len() / 4;
    let mark = [
        Expr::Meta(Reg(0), MetaKey::Mark),
        Expr::Bitwise(Reg(0), host(MARK), host(0)),
        Expr::Compare(Reg(0), false, host(0)),
    ];
    // to an endpoint of this node, neither from this node itself nor from a pod (which may be that endpoint)
    let mut near = mark.to_vec();
    near.extend([Expr::AddressType(Reg(0), true), Expr::Compare(Reg(0), false, host(2))]);
    if let Some(pods) = facts.pods.iter().find(|n| n.family() == family) {
        near.extend(within(family, pods, false));
    }
    near.extend([
        Expr::destination(family, Reg(0)),
        Expr::destination(family, Reg(words)),
        Expr::InSet(Reg(0), Set::Hairpin.name(), true),
        Expr::Verdict(Verdict::Return),
    ]);
    let mut marked = mark.to_vec();
    marked.extend([
        Expr::Meta(Reg(0), MetaKey::Mark),
        Expr::Bitwise(Reg(0), host(!0), host(MARK)),
        Expr::SetMark(Reg(0)),
        Expr::Masquerade,
    ]);
    let hairpin = vec![
        Expr::Ct(Reg(0), CtKey::Status),
        Expr::Bitwise(Reg(0), host(0x20), host(0)),
        Expr::Compare(Reg(0), false, host(0)),
        Expr::source(family, Reg(0)),
        Expr::destination(family, Reg(words)),
        Expr::InSet(Reg(0), Set::Hairpin.name(), true),
        Expr::Masquerade,
    ];
    // without a pods' range nobody knows who is a pod
    let near = (!facts.pods.is_empty()).then_some(near);
    near.into_iter().chain([marked, hairpin]).collect()
}

/// Puts the table, its sets, its always-there chains and their rules into a batch. Rules are replaced, elements stay:
/// packets see the old rules or the new ones, and the same elements.
pub fn base(batch: &mut Batch, family: Family, facts: &Facts) {
    let table = table(family);
    batch.table(table);
    for set in SETS {
        batch.set(table, &set.spec(family));
    }
    for (name, hook) in base_chains() {
        batch.chain(table, name, hook);
    }
    batch.flush(table, None);
    for (chain, rule) in base_rules(family, facts) {
        batch.rule(table, chain, &rule);
    }
    let answer = |answer: Answer, verdict| Element::verdict(host(answer as u32), verdict);
    let answers =
        [answer(Answer::Drop, Verdict::Drop), answer(Answer::Reject, Verdict::Goto("reject".into()))];
    batch.add(table, Set::Answers.name(), &answers);
}
