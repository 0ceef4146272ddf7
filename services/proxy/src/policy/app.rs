//! The wiring: caches in, differences out. A loop of its own beside that of Services.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::{Cache, CacheBuilder, Change, Changes, Client, Resource};
use daemon::Context;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use netlink::nft::{Batch, Family, Nft};

use super::layout::{base, table};
use super::model::{Namespace, Pod, Policy};
use super::plan::View;
use super::state::{Delta, Dirty, State};
use crate::metrics::PolicyCounts;

const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];
/// After a refusal the tables are made anew, at first after this long.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// The kernel's tables.
#[derive(Debug)]
pub struct Kernel {
    nft: Nft,
}

impl Kernel {
    /// Opens it; nothing is changed yet.
    ///
    /// # Errors
    /// No such socket, or no right to it.
    pub fn open() -> Result<Self, netlink::Error> {
        Ok(Self { nft: Nft::open()? })
    }

    /// Brings a change into the kernel in one step; `anew`: in place of whatever was there.
    ///
    /// # Errors
    /// The kernel refused; nothing has changed then.
    pub fn write(&mut self, delta: &Delta, anew: bool) -> Result<(), netlink::Error> {
        let mut batch = Batch::default();
        for (slot, family) in FAMILIES.into_iter().enumerate() {
            if anew {
                base(&mut batch, family);
            }
            let table = table(family);
            for chain in &delta.chains {
                batch.chain(table, &chain.name, None);
                chain.rules[slot].iter().for_each(|rule| batch.rule(table, &chain.name, rule));
            }
            let of_set = |list: &[super::state::Placed], set| {
                let concerned = list.iter().filter(|(f, s, _)| *f == family && *s == set);
                concerned.map(|(_, _, e)| e.clone()).collect::<Vec<_>>()
            };
            for set in super::layout::SETS {
                batch.remove(table, set.name(), &of_set(&delta.remove, set));
                batch.add(table, set.name(), &of_set(&delta.add, set));
            }
            delta.gone.iter().for_each(|chain| batch.flush(table, Some(chain)));
            delta.gone.iter().for_each(|chain| batch.delete_chain(table, chain));
        }
        self.nft.commit(batch)
    }

    /// Removes the tables: nothing is isolated any more.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn clear(&mut self) -> Result<(), netlink::Error> {
        let mut batch = Batch::default();
        for family in FAMILIES {
            if self.nft.has_table(table(family))? {
                batch.delete_table(table(family));
            }
        }
        self.nft.commit(batch)
    }
}

/// What the loop is given.
struct Enforcer {
    client: Client,
    node: String,
    kernel: Kernel,
    policies: Cache<Policy>,
    in_step: Arc<AtomicBool>,
    counts: PolicyCounts,
}

/// Enforces policies until told to stop. The kernel keeps what was programmed.
///
/// # Errors
/// The kernel has no nftables.
pub(crate) async fn run(client: Client, node: String, context: &Context) -> anyhow::Result<()> {
    let resource = Resource::of::<networking::NetworkPolicy>();
    let in_step = Arc::new(AtomicBool::new(false));
    let checked = Arc::clone(&in_step);
    context.health.add("network-policies", move || {
        let good = checked.load(Ordering::Relaxed);
        if good { Ok(()) } else { Err("policies are not in the kernel".into()) }
    });
    let mut enforcer = Enforcer {
        policies: CacheBuilder::new(resource, Policy::project).start(client.clone()),
        kernel: Kernel::open()?,
        counts: PolicyCounts::register(&context.metrics),
        client,
        node,
        in_step,
    };
    let mut stop = context.shutdown.clone();
    tokio::select! {
        () = enforcer.run() => Ok(()),
        () = stop.wait() => Ok(()),
    }
}

impl Enforcer {
    async fn run(&mut self) {
        self.policies.synced().await;
        let mut wait = RETRY;
        loop {
            let mut changes = self.policies.subscribe();
            if !self.policies.snapshot().is_empty() {
                self.enforce().await;
                continue;
            }
            match self.kernel.clear() {
                Ok(()) => {
                    self.in_step.store(true, Ordering::Relaxed);
                    wait = RETRY;
                    changes.recv().await;
                }
                Err(error) => {
                    self.refused(&error, wait);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MOST);
                }
            }
        }
    }

    fn refused(&self, error: &netlink::Error, wait: Duration) {
        self.in_step.store(false, Ordering::Relaxed);
        self.counts.failures.inc();
        tracing::error!(error = error as &dyn std::error::Error, ?wait, "The kernel refused policies");
    }

    /// Keeps the kernel in step until there is no policy any more.
    async fn enforce(&mut self) {
        let pods = CacheBuilder::new(Resource::of::<core::Pod>(), Pod::project)
            .index("address", Pod::index)
            .start(self.client.clone());
        let namespaces = CacheBuilder::new(Resource::of::<core::Namespace>(), Namespace::project)
            .start(self.client.clone());
        tokio::join!(pods.synced(), namespaces.synced());
        let mut changes = (self.policies.subscribe(), pods.subscribe(), namespaces.subscribe());
        let mut state: Option<State> = None;
        let mut wait = RETRY;
        let mut dirty = Dirty::default();
        loop {
            note(&mut changes, &mut dirty);
            let policies = self.policies.snapshot();
            if policies.is_empty() {
                return;
            }
            let (pods, namespaces) = (pods.snapshot(), namespaces.snapshot());
            let node = self.node.clone();
            let view = View { policies: &policies, pods: &pods, namespaces: &namespaces, node: &node };
            match self.sync(view, state.take(), std::mem::take(&mut dirty)) {
                Ok(synced) => {
                    state = Some(synced);
                    wait = RETRY;
                    self.in_step.store(true, Ordering::Relaxed);
                }
                Err(error) => {
                    self.refused(&error, wait);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MOST);
                    continue;
                }
            }
            drop((policies, pods, namespaces));
            tokio::select! {
                Some(change) = changes.0.recv() => note_policy(&change, &mut dirty),
                Some(change) = changes.1.recv() => note_pod(&change, &mut dirty),
                Some(change) = changes.2.recv() => note_namespace(&change, &mut dirty),
            }
        }
    }

    /// Without a state: everything anew.
    fn sync(&mut self, view: View<'_>, state: Option<State>, dirty: Dirty) -> Result<State, netlink::Error> {
        let begun = Instant::now();
        let anew = state.is_none();
        let dirty = if anew { Dirty::everything(view) } else { dirty };
        let mut state = state.unwrap_or_default();
        let delta = state.take(view, dirty);
        if anew || !delta.is_empty() {
            self.kernel.write(&delta, anew)?;
            let seconds = begun.elapsed().as_secs_f64();
            self.counts.sync.observe(seconds);
            let (chains, elements) = (delta.chains.len(), delta.add.len() + delta.remove.len());
            tracing::debug!(anew, chains, elements, seconds, "Enforced policies");
        }
        Ok(state)
    }
}

type AllChanges = (Changes<Policy>, Changes<Pod>, Changes<Namespace>);

/// Notes what waits already.
fn note(changes: &mut AllChanges, dirty: &mut Dirty) {
    while let Ok(change) = changes.0.try_recv() {
        note_policy(&change, dirty);
    }
    while let Ok(change) = changes.1.try_recv() {
        note_pod(&change, dirty);
    }
    while let Ok(change) = changes.2.try_recv() {
        note_namespace(&change, dirty);
    }
}

fn note_policy(change: &Change<Policy>, dirty: &mut Dirty) {
    if change.old != change.new {
        dirty.policies.insert(change.key.clone());
    }
}

fn note_pod(change: &Change<Pod>, dirty: &mut Dirty) {
    if change.old != change.new {
        dirty.addresses.extend(change.old.iter().chain(&change.new).flat_map(|pod| pod.addresses.iter()));
    }
}

fn note_namespace(change: &Change<Namespace>, dirty: &mut Dirty) {
    if change.old != change.new {
        dirty.namespaces.insert(change.key.name.clone());
    }
}
