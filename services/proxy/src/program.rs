//! Keeps the kernel's tables as planned: differences only, in atomic batches.

use std::collections::{BTreeMap, HashMap, HashSet};

use client::Key;
use netlink::nft::{Batch, Element, Family, Nft, Verdict};

use crate::elements::{Placed, chain, elements, hairpin};
use crate::layout::{self, Chain, Facts, LAYOUT, SETS, Set, table};
use crate::plan::{At, Front, Plan, keep_places};

const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];

type Address = (Family, Set, Vec<u8>);

/// Where the answer to "does the kernel have the tables?" goes.
pub(crate) type Answer = tokio::sync::oneshot::Sender<Result<(), Lost>>;

/// Why a proxy is not well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// The kernel does not answer as it should.
    #[error("asking the kernel")]
    Kernel(#[from] netlink::Error),
    /// Somebody has taken the table away.
    #[error("the table of Services is gone")]
    Table,
}

/// What a commit changed.
#[derive(Debug, Default)]
pub struct Changed {
    /// Elements added or removed.
    pub elements: usize,
    /// Fronts whose endpoints changed, with what they are now (`None`: gone).
    pub fronts: Vec<(At, Option<Front>)>,
}

/// The kernel's tables and what is known of them.
#[derive(Debug)]
pub struct Program {
    nft: Nft,
    facts: Facts,
    plans: HashMap<Key, Plan>,
    owners: HashMap<At, Key>,
    losers: HashSet<Key>,
    chains: HashSet<(Family, Chain)>,
    numbers: Numbers,
    /// How many plans want an element that several may share.
    shared: HashMap<Address, u32>,
}

/// Numbers of chains, as [`Set::Services`] and its like name them: given once, kept, taken over from an earlier run.
#[derive(Debug, Default)]
struct Numbers {
    of: HashMap<String, u32>,
    last: u32,
}

impl Numbers {
    fn of(&mut self, chain: Chain) -> u32 {
        *self.of.entry(chain.name()).or_insert_with(|| {
            self.last += 1;
            self.last
        })
    }

    /// Takes over what the kernel has.
    fn found(&mut self, element: &Element) {
        let number = <[u8; 4]>::try_from(element.key.as_slice()).map(u32::from_ne_bytes);
        if let (Ok(number), Some(Verdict::Goto(chain))) = (number, &element.verdict) {
            self.of.entry(chain.clone()).or_insert(number);
            self.last = self.last.max(number);
        }
    }
}

/// Changes collected for one batch, by element.
#[derive(Debug, Default)]
struct Difference {
    remove: BTreeMap<(u8, Set), Vec<Element>>,
    add: BTreeMap<(u8, Set), Vec<Element>>,
}

impl Difference {
    fn count(&self) -> usize {
        self.remove.values().chain(self.add.values()).map(Vec::len).sum()
    }
}

fn index(family: Family) -> u8 {
    u8::from(family == Family::Ip6)
}

impl Program {
    /// Opens the kernel's nftables; nothing is changed yet.
    ///
    /// # Errors
    /// No such socket, or no right to it.
    pub fn open(facts: Facts) -> Result<Self, netlink::Error> {
        Ok(Self {
            nft: Nft::open()?,
            facts,
            plans: HashMap::new(),
            owners: HashMap::new(),
            losers: HashSet::new(),
            chains: HashSet::new(),
            numbers: Numbers::default(),
            shared: HashMap::new(),
        })
    }

    /// Makes the kernel's tables exactly what the plans say, whatever they were: elements that are right are not touched,
    /// rules are replaced in the same instant. For the start and after a refusal.
    ///
    /// # Errors
    /// The kernel refused; nothing has changed then.
    pub fn reconcile(&mut self, plans: HashMap<Key, Plan>) -> Result<Changed, netlink::Error> {
        let mut batch = Batch::default();
        let mut found: HashMap<Address, Element> = HashMap::new();
        let mut strays = Vec::new();
        for family in FAMILIES {
            let chains =
                if self.nft.has_table(table(family))? { self.nft.chains(table(family))? } else { vec![] };
            if chains.iter().any(|c| c == LAYOUT) {
                self.read(family, &mut found)?;
            } else if !chains.is_empty() {
                batch.table(table(family));
                batch.delete_table(table(family));
            }
            strays.extend(chains.into_iter().map(|name| (family, name)));
            layout::base(&mut batch, family, &self.facts);
        }
        (self.chains, self.owners, self.losers, self.shared, self.numbers) = Default::default();
        let chains = found.iter().filter(|((_, set, _), _)| *set == Set::Chains);
        chains.for_each(|(_, element)| self.numbers.found(element));
        self.plans.clear();
        let mut wanted: Vec<Placed> = Vec::new();
        let mut changed = Changed::default();
        for (key, plan) in plans {
            let plan = self.claim(&key, &Plan::default(), plan);
            wanted.extend(self.ensure_all(&plan, &mut batch));
            let placed = placed(&plan, &mut self.numbers);
            wanted.extend(self.share(placed));
            changed.fronts.extend(plan.fronts.iter().map(|f| (f.at, Some(f.clone()))));
            self.plans.insert(key, plan);
        }
        let mut difference = Difference::default();
        for place in wanted {
            let at = (index(place.family), place.set);
            match found.remove(&(place.family, place.set, full_key(&place.element))) {
                Some(there) if there == place.element => continue,
                Some(there) => difference.remove.entry(at).or_default().push(there),
                None => {}
            }
            difference.add.entry(at).or_default().push(place.element);
        }
        for ((family, set, _), element) in found {
            difference.remove.entry((index(family), set)).or_default().push(element);
        }
        changed.elements = difference.count();
        write(&mut batch, &difference);
        self.drop_strays(&mut batch, strays);
        self.nft.commit(batch)?;
        Ok(changed)
    }

    fn read(&mut self, family: Family, found: &mut HashMap<Address, Element>) -> Result<(), netlink::Error> {
        for set in SETS.into_iter().filter(|s| !matches!(s, Set::Clients | Set::PortClients | Set::Answers)) {
            for element in self.nft.elements(table(family), set.spec(family).name)? {
                found.insert((family, set, full_key(&element)), element);
            }
        }
        Ok(())
    }

    /// Chains of an earlier run that nothing goes to any more.
    fn drop_strays(&self, batch: &mut Batch, strays: Vec<(Family, String)>) {
        let known: HashSet<(Family, String)> = self.chains.iter().map(|(f, c)| (*f, c.name())).collect();
        let always: HashSet<&str> = layout::base_chains().iter().map(|(name, _)| *name).collect();
        let ours = strays.iter().filter(|(_, name)| name == LAYOUT).map(|(f, _)| *f).collect::<HashSet<_>>();
        for (family, name) in &strays {
            let stray = !always.contains(name.as_str()) && !known.contains(&(*family, name.clone()));
            if stray && ours.contains(family) {
                batch.delete_chain(table(*family), name);
            }
        }
    }

    /// Changes the plans of some Services.
    ///
    /// # Errors
    /// The kernel refused: nothing has changed there, and a [`Program::reconcile`] is due.
    pub fn change(&mut self, changes: Vec<(Key, Option<Plan>)>) -> Result<Changed, netlink::Error> {
        let (mut batch, mut difference, mut changed) =
            (Batch::default(), Difference::default(), Changed::default());
        for (key, plan) in changes {
            let mut old = self.plans.remove(&key).unwrap_or_default();
            let new = self.claim(&key, &old, plan.unwrap_or_default());
            let new = in_place(&old, new);
            self.differ(&old, &new, &mut batch, &mut difference);
            note(&mut old, &new, &mut changed);
            if new != Plan::default() {
                self.plans.insert(key, new);
            }
        }
        changed.elements = difference.count();
        write(&mut batch, &difference);
        self.nft.commit(batch)?;
        Ok(changed)
    }

    /// Takes a plan's places into possession; places another Service has are left out.
    fn claim(&mut self, key: &Key, old: &Plan, mut plan: Plan) -> Plan {
        let wanted: HashSet<At> = plan.fronts.iter().map(|f| f.at).collect();
        for front in old.fronts.iter().filter(|f| !wanted.contains(&f.at)) {
            self.owners.remove(&front.at);
        }
        self.losers.remove(key);
        let (owners, losers) = (&mut self.owners, &mut self.losers);
        plan.fronts.retain(|front| {
            let owner = owners.entry(front.at).or_insert_with(|| key.clone());
            if owner != key {
                tracing::warn!(service = %key, %owner, at = ?front.at, "Address and port belong to another Service");
                losers.insert(key.clone());
            }
            owner == key
        });
        plan
    }

    /// Looks whether the kernel still has the table. An answer nobody waits for any more came too late, and that is
    /// told by the one who waited.
    ///
    /// Gives whether the table is gone and is to be made anew.
    pub(crate) fn alive(&mut self, answer: Answer) -> bool {
        let found = self.nft.has_table(table(Family::Ip)).map_err(Lost::from);
        let found = found.and_then(|there| if there { Ok(()) } else { Err(Lost::Table) });
        let is_gone = matches!(found, Err(Lost::Table));
        drop(answer.send(found));
        is_gone
    }

    /// Services that did not get all their places: to be planned again when another one gives some up.
    pub fn losers(&self) -> &HashSet<Key> {
        &self.losers
    }

    /// Counts shared elements, giving those that are wanted for the first time and all others.
    fn share(&mut self, elements: Vec<Placed>) -> Vec<Placed> {
        let mut first = |p: &Placed| {
            let count = self.shared.entry((p.family, p.set, p.element.key.clone())).or_insert(0);
            *count += 1;
            *count == 1
        };
        elements.into_iter().filter(|p| !may_share(p.set) || first(p)).collect()
    }

    /// The reverse of [`Program::share`].
    fn unshare(&mut self, elements: Vec<Placed>) -> Vec<Placed> {
        let mut last = |p: &Placed| {
            let address = (p.family, p.set, p.element.key.clone());
            let Some(count) = self.shared.get_mut(&address) else { return true };
            *count -= 1;
            *count == 0 && self.shared.remove(&address).is_some()
        };
        elements.into_iter().filter(|p| !may_share(p.set) || last(p)).collect()
    }

    fn differ(&mut self, old: &Plan, new: &Plan, batch: &mut Batch, difference: &mut Difference) {
        for place in self.ensure_all(new, batch) {
            difference.add.entry((index(place.family), place.set)).or_default().push(place.element);
        }
        let (before, after) = (placed(old, &mut self.numbers), placed(new, &mut self.numbers));
        let before: HashMap<Address, Placed> = by_address(before);
        let mut added = Vec::new();
        let mut kept = HashSet::new();
        for place in after {
            let address = (place.family, place.set, full_key(&place.element));
            match before.get(&address) {
                Some(there) if there.element == place.element => drop(kept.insert(address)),
                _ => added.push(place),
            }
        }
        let removed = before.into_iter().filter(|(address, _)| !kept.contains(address)).map(|(_, p)| p);
        // counts go up before they go down, so that what moves between Services of one batch stays
        for place in self.share(added) {
            difference.add.entry((index(place.family), place.set)).or_default().push(place.element);
        }
        for place in self.unshare(removed.collect()) {
            let at = (index(place.family), place.set);
            let pending = difference.add.get_mut(&at).filter(|_| may_share(place.set));
            let added = pending
                .and_then(|list| list.iter().position(|e| *e == place.element).map(|i| list.swap_remove(i)));
            if added.is_none() {
                difference.remove.entry(at).or_default().push(place.element);
            }
        }
    }

    /// Puts the chains a plan needs into the batch, unless they are there; gives their elements.
    fn ensure_all(&mut self, plan: &Plan, batch: &mut Batch) -> Vec<Placed> {
        let mut made = Vec::new();
        for (family, chain) in plan.fronts.iter().filter_map(|f| Some((f.at.family(), chain(f)?))) {
            if !self.chains.contains(&(family, chain)) {
                ensure(&mut self.chains, &self.facts, batch, family, chain);
                let number = self.numbers.of(chain).to_ne_bytes().to_vec();
                let element = Element::verdict(number, Verdict::Goto(chain.name()));
                made.push(Placed { family, set: Set::Chains, element });
            }
        }
        made
    }

    /// Forgets clients that stay at endpoints their front no longer has.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn forget_clients(&mut self, fronts: &[(At, Option<Front>)]) -> Result<usize, netlink::Error> {
        let mut forgotten = 0;
        for (family, set) in FAMILIES.into_iter().flat_map(|f| [(f, Set::Clients), (f, Set::PortClients)]) {
            let node_port = set == Set::PortClients;
            let concerned = |at: &At| at.family() == family && matches!(at, At::NodePort(..)) == node_port;
            let fronts: HashMap<Vec<u8>, &Option<Front>> = fronts
                .iter()
                .filter(|(at, _)| concerned(at))
                .map(|(at, f)| (crate::elements::key(*at), f))
                .collect();
            if fronts.is_empty() {
                continue;
            }
            let source = usize::from(family.address_len());
            let stale = |element: &Element| {
                let front = fronts.get(&element.key[..element.key.len() - source])?;
                let lists = front.iter().flat_map(|f| f.targets.iter().chain(&f.cluster_targets));
                let right = lists.clone().any(|t| crate::elements::value(*t) == element.value);
                (!right).then_some(())
            };
            let name = set.spec(family).name;
            let elements = self.nft.elements(table(family), name)?;
            let stale: Vec<&Element> = elements.iter().filter(|e| stale(e).is_some()).collect();
            // one by one: an element may time out meanwhile
            for element in &stale {
                let mut batch = Batch::default();
                batch.remove(table(family), name, [*element]);
                match self.nft.commit(batch) {
                    Err(error) if !error.is_absent() => return Err(error),
                    _ => forgotten += 1,
                }
            }
        }
        Ok(forgotten)
    }

    /// The plans in force.
    pub fn plans(&self) -> &HashMap<Key, Plan> {
        &self.plans
    }
}

/// Elements several plans may want.
fn may_share(set: Set) -> bool {
    matches!(set, Set::ClusterIps | Set::Hairpin)
}

/// What tells elements of a set apart: of ranges, both ends.
fn full_key(element: &Element) -> Vec<u8> {
    [element.key.as_slice(), element.key_end.as_deref().unwrap_or_default()].concat()
}

fn by_address(elements: Vec<Placed>) -> HashMap<Address, Placed> {
    elements.into_iter().map(|p| ((p.family, p.set, full_key(&p.element)), p)).collect()
}

/// A plan's elements, each once.
fn placed(plan: &Plan, numbers: &mut Numbers) -> Vec<Placed> {
    let mut all = Vec::new();
    plan.fronts.iter().for_each(|front| elements(front, &mut |chain| numbers.of(chain), &mut all));
    all.extend(plan.local.iter().map(|address| hairpin(*address)));
    let mut seen = HashSet::new();
    all.retain(|p| seen.insert((p.family, p.set, full_key(&p.element))));
    all
}

/// Endpoints keep the places they had.
fn in_place(old: &Plan, mut new: Plan) -> Plan {
    for front in &mut new.fronts {
        if let Some(before) = old.fronts.iter().find(|f| f.at == front.at) {
            front.targets = keep_places(&before.targets, &front.targets);
            front.cluster_targets = keep_places(&before.cluster_targets, &front.cluster_targets);
        }
    }
    new
}

/// Notes the fronts that changed.
fn note(old: &mut Plan, new: &Plan, changed: &mut Changed) {
    for front in &new.fronts {
        let before = old.fronts.iter().position(|f| f.at == front.at).map(|i| old.fronts.swap_remove(i));
        if before.as_ref() != Some(front) {
            changed.fronts.push((front.at, Some(front.clone())));
        }
    }
    changed.fronts.extend(old.fronts.iter().map(|f| (f.at, None)));
}

/// Puts a chain and those it needs into the batch, unless they are there.
fn ensure(
    known: &mut HashSet<(Family, Chain)>,
    facts: &Facts,
    batch: &mut Batch,
    family: Family,
    wanted: Chain,
) {
    if !known.insert((family, wanted)) {
        return;
    }
    for needed in wanted.needs() {
        ensure(known, facts, batch, family, needed);
    }
    let name = wanted.name();
    batch.chain(table(family), &name, None);
    for rule in wanted.rules(family, facts) {
        batch.rule(table(family), &name, &rule);
    }
}

fn write(batch: &mut Batch, difference: &Difference) {
    for ((family, set), elements) in &difference.remove {
        let family = FAMILIES[usize::from(*family)];
        batch.remove(table(family), set.spec(family).name, elements);
    }
    for ((family, set), elements) in &difference.add {
        let family = FAMILIES[usize::from(*family)];
        batch.add(table(family), set.spec(family).name, elements);
    }
}
