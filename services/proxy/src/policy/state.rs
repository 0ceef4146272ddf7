//! What the kernel has, and how it changes when the cluster does: pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use client::Key;
use netlink::nft::{Element, Expr, Family, Verdict};

use super::layout::{Direction, Numbered, Set, blocks, group_rules, policy_rules};
use super::model::{Pod, Policy, Rule};
use super::plan::View;
use crate::model::Protocol;
use crate::network::{bytes, family};

const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];
const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// What is to be looked at again.
#[derive(Debug, Default)]
pub struct Dirty {
    /// Policies.
    pub policies: HashSet<Key>,
    /// Namespaces whose labels changed.
    pub namespaces: HashSet<String>,
    /// Addresses of pods, those they had and those they have.
    pub addresses: HashSet<IpAddr>,
}

impl Dirty {
    /// Everything there is.
    pub fn everything(view: View<'_>) -> Self {
        Self {
            policies: view.policies.iter().map(|(key, _)| key.clone()).collect(),
            namespaces: HashSet::new(),
            addresses: view.pods.iter().flat_map(|(_, pod)| pod.addresses.iter().copied()).collect(),
        }
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.namespaces.is_empty() && self.addresses.is_empty()
    }
}

/// A chain and its rules, for each family.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// IPv4's rules and IPv6's.
    pub rules: [Vec<Vec<Expr>>; 2],
}

/// An element and its set.
pub type Placed = (Family, Set, Element);

/// What changes in the kernel.
#[derive(Debug, Default)]
pub struct Delta {
    /// New chains, those that others go to first.
    pub chains: Vec<Chain>,
    /// Elements that go.
    pub remove: Vec<Placed>,
    /// Elements that come.
    pub add: Vec<Placed>,
    /// Chains that go, those that go to others first.
    pub gone: Vec<String>,
}

impl Delta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.gone.is_empty() && self.remove.is_empty() && self.add.is_empty()
    }
}

/// What the kernel has about an address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Entry {
    groups: [Option<u32>; 2],
    rules: BTreeSet<u32>,
    ports: BTreeSet<(u32, Protocol, u16)>,
}

/// A policy that isolates a pod of this node.
#[derive(Debug)]
struct Active {
    number: u32,
    policy: Arc<Policy>,
    /// The rules' numbers: of those for ingress, then of those for egress.
    rules: Vec<u32>,
    blocks: Vec<Placed>,
}

#[derive(Debug, Default)]
struct Group {
    number: u32,
    members: u32,
}

type GroupKey = (Direction, Vec<u32>);

/// What the kernel has.
#[derive(Debug, Default)]
pub struct State {
    numbers: u32,
    active: BTreeMap<Key, Active>,
    entries: HashMap<IpAddr, Entry>,
    /// The policies of each address of this node's pods.
    selected: HashMap<IpAddr, BTreeSet<Key>>,
    /// How many addresses a policy isolates.
    uses: HashMap<Key, u32>,
    groups: HashMap<GroupKey, Group>,
    members: HashMap<(Direction, u32), GroupKey>,
    /// Numbers of ports' names. They are few, and kept.
    names: HashMap<(Protocol, String), u32>,
}

impl Policy {
    fn of(&self, direction: Direction) -> Option<&Vec<Rule>> {
        if direction == Direction::Ingress { self.ingress.as_ref() } else { self.egress.as_ref() }
    }
}

impl Active {
    /// The rules of a direction with their numbers.
    fn numbered(&self, direction: Direction) -> impl Iterator<Item = Numbered<'_>> {
        let before =
            if direction == Direction::Egress { self.policy.ingress.as_ref().map_or(0, Vec::len) } else { 0 };
        let rules = self.policy.of(direction).into_iter().flatten();
        rules.enumerate().map(move |(i, rule)| (self.rules[before + i], rule))
    }

    fn all(&self) -> impl Iterator<Item = Numbered<'_>> {
        DIRECTIONS.into_iter().flat_map(|d| self.numbered(d))
    }
}

impl State {
    /// Takes a change of the cluster in, giving what changes in the kernel.
    pub fn take(&mut self, view: View<'_>, dirty: Dirty) -> Delta {
        let mut delta = Delta::default();
        let mut before: HashMap<IpAddr, Entry> = HashMap::new();
        let look = addresses(view, &dirty);
        let mut asked = dirty.policies;
        for address in &look {
            self.select(view, *address, &mut asked);
        }
        let fresh = self.renew(view, asked, &mut before, &mut delta);
        if !fresh.is_empty() {
            self.enlist(view, &fresh, &look, &mut before);
        }
        for address in &look {
            self.keep(*address, &mut before);
            self.refresh(view, *address, &mut delta);
        }
        self.differ(before, &mut delta);
        delta
    }

    /// Notes which policies isolate an address; policies that gain or lose it are to be asked about.
    fn select(&mut self, view: View<'_>, address: IpAddr, asked: &mut HashSet<Key>) {
        let local = view.owner(address).filter(|(_, pod)| pod.node == view.node);
        let now: BTreeSet<Key> =
            local.map(|(key, pod)| view.policies_of(key, pod).cloned().collect()).unwrap_or_default();
        let old = self.selected.remove(&address).unwrap_or_default();
        for key in now.difference(&old) {
            *self.uses.entry(key.clone()).or_insert(0) += 1;
            asked.insert(key.clone());
        }
        for key in old.difference(&now) {
            if let Some(uses) = self.uses.get_mut(key) {
                *uses -= 1;
                if *uses == 0 {
                    self.uses.remove(key);
                }
            }
            asked.insert(key.clone());
        }
        if !now.is_empty() {
            self.selected.insert(address, now);
        }
    }

    /// Drops policies that changed or isolate nobody here any more, and takes up those that now do.
    fn renew(
        &mut self,
        view: View<'_>,
        asked: HashSet<Key>,
        before: &mut HashMap<IpAddr, Entry>,
        delta: &mut Delta,
    ) -> Vec<Key> {
        let mut fresh = Vec::new();
        let mut stale = HashSet::new();
        for key in asked {
            let wanted = view.policies.get(&key).filter(|_| self.uses.contains_key(&key));
            if self.active.get(&key).is_some_and(|a| wanted.is_none_or(|w| *w != a.policy))
                && let Some(old) = self.active.remove(&key)
            {
                stale.extend(old.rules);
                delta.remove.extend(old.blocks);
                let ways = DIRECTIONS.into_iter().filter(|d| old.policy.of(*d).is_some());
                delta.gone.extend(ways.map(|d| d.policy_chain(old.number)));
            }
            if let Some(policy) = wanted.filter(|_| !self.active.contains_key(&key)) {
                self.activate(&key, policy, delta);
                fresh.push(key);
            }
        }
        if !stale.is_empty() {
            let concerned = self.entries.iter().filter(|(_, e)| e.rules.iter().any(|r| stale.contains(r)));
            for address in concerned.map(|(a, _)| *a).collect::<Vec<_>>() {
                self.keep(address, before);
                if let Some(entry) = self.entries.get_mut(&address) {
                    entry.rules.retain(|rule| !stale.contains(rule));
                }
            }
        }
        fresh
    }

    fn next(&mut self) -> u32 {
        self.numbers += 1;
        self.numbers
    }

    fn activate(&mut self, key: &Key, policy: &Arc<Policy>, delta: &mut Delta) {
        let count: usize = DIRECTIONS.iter().filter_map(|d| policy.of(*d)).map(Vec::len).sum();
        let number = self.next();
        let rules = (0..count).map(|_| self.next()).collect();
        let mut active = Active { number, policy: Arc::clone(policy), rules, blocks: Vec::new() };
        let ranges = active.all().flat_map(|(number, rule)| {
            FAMILIES.into_iter().flat_map(move |f| blocks(rule, f).into_iter().map(move |r| (number, f, r)))
        });
        let ranges: Vec<Placed> =
            ranges.map(|(number, family, range)| block(number, family, range)).collect();
        let names = &mut self.names;
        let mut name = |protocol: Protocol, text: &str| {
            let next = names.len() as u32;
            *names.entry((protocol, text.to_owned())).or_insert(next)
        };
        for direction in DIRECTIONS.into_iter().filter(|d| policy.of(*d).is_some()) {
            let rules: Vec<Numbered<'_>> = active.numbered(direction).collect();
            let rules = FAMILIES.map(|family| policy_rules(family, direction, &rules, &mut name));
            delta.chains.push(Chain { name: direction.policy_chain(number), rules });
        }
        delta.add.extend(ranges.iter().cloned());
        active.blocks = ranges;
        self.active.insert(key.clone(), active);
    }

    /// Finds the peers of new policies among all pods, and the ports they name. What is in `look` is refreshed anyway.
    fn enlist(
        &mut self,
        view: View<'_>,
        fresh: &[Key],
        look: &BTreeSet<IpAddr>,
        before: &mut HashMap<IpAddr, Entry>,
    ) {
        for (key, pod) in view.pods.iter() {
            let found: Vec<u32> = fresh
                .iter()
                .filter_map(|policy| Some((policy, self.active.get(policy)?)))
                .flat_map(|(policy, active)| meant(view, policy, active, key, pod))
                .collect();
            let ports = self.ports(pod);
            if found.is_empty() && ports.is_empty() {
                continue;
            }
            let own = |a: &&IpAddr| !look.contains(a) && view.owner(**a).is_some_and(|(k, _)| k == key);
            for address in pod.addresses.iter().filter(own) {
                self.keep(*address, before);
                let entry = self.entries.entry(*address).or_default();
                entry.rules.extend(&found);
                entry.ports.clone_from(&ports);
            }
        }
    }

    fn ports(&self, pod: &Pod) -> BTreeSet<(u32, Protocol, u16)> {
        let number = |(name, protocol, port): &(String, Protocol, u16)| {
            Some((*self.names.get(&(*protocol, name.clone()))?, *protocol, *port))
        };
        pod.ports.iter().filter_map(number).collect()
    }

    /// Remembers what the kernel had about an address.
    fn keep(&self, address: IpAddr, before: &mut HashMap<IpAddr, Entry>) {
        before.entry(address).or_insert_with(|| self.entries.get(&address).cloned().unwrap_or_default());
    }

    /// Makes an address's entry what the cluster says.
    fn refresh(&mut self, view: View<'_>, address: IpAddr, delta: &mut Delta) {
        let old = self.entries.remove(&address).unwrap_or_default();
        let mut entry = Entry::default();
        if let Some((key, pod)) = view.owner(address) {
            let rules = self.active.iter().flat_map(|(policy, active)| meant(view, policy, active, key, pod));
            entry.rules = rules.collect();
            entry.ports = self.ports(pod);
        }
        for (slot, direction) in DIRECTIONS.into_iter().enumerate() {
            let policies = self.selected.get(&address).into_iter().flatten();
            let active = policies.filter_map(|key| self.active.get(key));
            let of_direction = active.filter(|a| a.policy.of(direction).is_some());
            let numbers: Vec<u32> = of_direction.map(|a| a.number).collect();
            entry.groups[slot] = (!numbers.is_empty()).then(|| self.join((direction, numbers), delta));
            if let Some(group) = old.groups[slot] {
                self.leave(direction, group, delta);
            }
        }
        if entry != Entry::default() {
            self.entries.insert(address, entry);
        }
    }

    /// Enters a set of policies, making its chain for the first member.
    fn join(&mut self, key: GroupKey, delta: &mut Delta) -> u32 {
        if let Some(group) = self.groups.get_mut(&key) {
            group.members += 1;
            return group.number;
        }
        let (number, direction) = (self.next(), key.0);
        let rules = group_rules(direction, &key.1);
        delta.chains.push(Chain { name: direction.group_chain(number), rules: [rules.clone(), rules] });
        delta.add.extend(FAMILIES.map(|f| group_element(f, direction, number)));
        self.members.insert((direction, number), key.clone());
        self.groups.insert(key, Group { number, members: 1 });
        number
    }

    /// Leaves a set of policies, dropping its chain after the last member.
    fn leave(&mut self, direction: Direction, number: u32, delta: &mut Delta) {
        let Some(key) = self.members.get(&(direction, number)) else { return };
        let Some(group) = self.groups.get_mut(key) else { return };
        group.members -= 1;
        if group.members > 0 {
            return;
        }
        self.groups.remove(key);
        self.members.remove(&(direction, number));
        let chain = direction.group_chain(number);
        if let Some(made) = delta.chains.iter().position(|c| c.name == chain) {
            // made and dropped at once: the kernel need not hear of it
            delta.chains.remove(made);
            delta.add.retain(|p| !FAMILIES.iter().any(|f| *p == group_element(*f, direction, number)));
            return;
        }
        delta.remove.extend(FAMILIES.map(|f| group_element(f, direction, number)));
        // before the policies' chains, which it goes to
        delta.gone.insert(0, chain);
    }

    fn differ(&self, before: HashMap<IpAddr, Entry>, delta: &mut Delta) {
        for (address, old) in before {
            let now = self.entries.get(&address).map_or_else(Vec::new, |e| elements(address, e));
            let was = elements(address, &old);
            delta.remove.extend(was.iter().filter(|p| !now.contains(p)).cloned());
            delta.add.extend(now.into_iter().filter(|p| !was.contains(p)));
        }
    }
}

/// Every address that is concerned.
fn addresses(view: View<'_>, dirty: &Dirty) -> BTreeSet<IpAddr> {
    let mut look: BTreeSet<IpAddr> = dirty.addresses.iter().copied().collect();
    for namespace in &dirty.namespaces {
        look.extend(view.pods.namespace(namespace).flat_map(|(_, pod)| pod.addresses.iter().copied()));
    }
    let namespaces: BTreeSet<&str> = dirty.policies.iter().map(|key| key.namespace.as_str()).collect();
    for namespace in namespaces {
        let local = view.pods.namespace(namespace).filter(|(_, pod)| pod.node == view.node);
        look.extend(local.flat_map(|(_, pod)| pod.addresses.iter().copied()));
    }
    look
}

/// The rules of a policy that mean a pod.
fn meant<'a>(
    view: View<'a>,
    policy: &'a Key,
    active: &'a Active,
    key: &'a Key,
    pod: &'a Pod,
) -> impl Iterator<Item = u32> + 'a {
    active.all().filter(move |(_, rule)| view.means(&policy.namespace, rule, key, pod)).map(|(n, _)| n)
}

fn host(number: u32) -> [u8; 4] {
    number.to_ne_bytes()
}

fn block(number: u32, family: Family, (first, last): crate::ranges::Range) -> Placed {
    let key_end = Some([&host(number)[..], &last].concat());
    (family, Set::Blocks, Element { key_end, ..Element::key([&host(number)[..], &first].concat()) })
}

fn group_element(family: Family, direction: Direction, number: u32) -> Placed {
    let chain = Verdict::Goto(direction.group_chain(number));
    (family, direction.policies(), Element::verdict(host(number).to_vec(), chain))
}

/// An address's elements.
fn elements(address: IpAddr, entry: &Entry) -> Vec<Placed> {
    let family = family(address);
    let mut all = Vec::new();
    for (direction, group) in DIRECTIONS.into_iter().zip(entry.groups) {
        let element = |number: u32| Element::value(bytes(address), host(number).to_vec());
        all.extend(group.map(|number| (family, direction.pods(), element(number))));
    }
    for rule in &entry.rules {
        all.push((family, Set::Peers, Element::key([&host(*rule)[..], &bytes(address)].concat())));
    }
    for (name, protocol, port) in &entry.ports {
        let mut key = [&host(*name)[..], &bytes(address)].concat();
        key.extend([protocol.number(), 0, 0, 0]);
        key.extend(port.to_be_bytes());
        key.extend([0, 0]);
        all.push((family, Set::NamedPorts, Element::key(key)));
    }
    all
}
