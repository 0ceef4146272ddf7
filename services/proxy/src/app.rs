//! The wiring: caches in, plans made, differences out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use client::{Cache, CacheBuilder, Change, Client, Key, Resource};
use daemon::Context;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use netlink::conntrack::Conntrack;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::health::{self, Condition, ServiceChecks};
use crate::layout::Facts;
use crate::metrics::Counts;
use crate::model::{Node, Service, Slice};
use crate::plan::{Plan, plan};
use crate::program::{Changed, Program};
use crate::settings::Settings;

/// After a refusal the tables are read and made right again, at first after this long.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MOST: Duration = Duration::from_secs(30);

/// Runs the proxy until it is told to stop. The kernel keeps what was programmed.
pub async fn run(settings: Settings, mut context: Context) -> anyhow::Result<()> {
    let facts =
        Facts { pods: pods(&settings.cluster_cidr)?, node_ports: settings.node_port_addresses.clone() };
    let client =
        Client::from_kubeconfig(&settings.kubeconfig, "k3s-rs-proxy").context("reading the kubeconfig")?;
    let condition = Condition::default();
    let healthz =
        context.listeners("healthz", async || health::bind(&settings.healthz_bind_address).await).await;
    for listener in healthz.with_context(|| format!("listening on {}", settings.healthz_bind_address))? {
        tokio::spawn(health::serve(listener, condition.clone(), context.shutdown.clone()));
    }
    let metrics =
        context.listeners("metrics", async || health::bind(&settings.metrics_bind_address).await).await;
    for listener in metrics.with_context(|| format!("listening on {}", settings.metrics_bind_address))? {
        let (health, metrics) = (context.health.clone(), context.metrics.clone());
        tokio::spawn(daemon::serve_health(listener, None, health, metrics, context.shutdown.clone()));
    }
    let enforced = async {
        if settings.network_policy {
            crate::policy::run(client.clone(), settings.hostname_override.clone(), &context).await
        } else {
            std::future::pending().await
        }
    };
    let program = Program::open(facts).context("opening nftables")?;
    let proxy = Proxy {
        services: CacheBuilder::new(Resource::of::<core::Service>(), Service::project).start(client.clone()),
        slices: CacheBuilder::new(Resource::of::<discovery::EndpointSlice>(), Slice::project)
            .label_selector("!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name")
            .index("service", Slice::index)
            .start(client.clone()),
        nodes: CacheBuilder::new(Resource::of::<core::Node>(), Node::project)
            .field_selector(format!("metadata.name={}", settings.hostname_override))
            .start(client.clone()),
        node: Node { name: settings.hostname_override.clone(), ..Node::default() },
        program,
        conntrack: Conntrack::open().context("opening connection tracking")?,
        checks: ServiceChecks::new(&settings.health_check_bind_address, condition.clone()),
        counts: Counts::register(&context.metrics),
        condition,
    };
    // two loops: trouble with one does not hold up the other
    tokio::try_join!(proxy.run(&context), enforced).map(drop)
}

fn pods(text: &str) -> anyhow::Result<Vec<crate::network::Network>> {
    let ranges = text.split(',').map(str::trim).filter(|t| !t.is_empty());
    ranges.map(|t| t.parse().with_context(|| format!("clusterCIDR {t:?}"))).collect()
}

struct Proxy {
    services: Cache<Service>,
    slices: Cache<Slice>,
    nodes: Cache<Node>,
    node: Node,
    program: Program,
    conntrack: Conntrack,
    checks: ServiceChecks,
    counts: Counts,
    condition: Condition,
}

/// What is to be planned again.
#[derive(Debug, Default)]
struct Dirty {
    services: HashSet<Key>,
    all: bool,
}

impl Proxy {
    async fn run(mut self, context: &Context) -> anyhow::Result<()> {
        let mut shutdown = context.shutdown.clone();
        tokio::select! {
            () = async { tokio::join!(self.services.synced(), self.slices.synced(), self.nodes.synced()); } => {}
            () = shutdown.wait() => return Ok(()),
        }
        let (mut services, mut slices, mut nodes) =
            (self.services.subscribe(), self.slices.subscribe(), self.nodes.subscribe());
        let mut dirty = Dirty { all: true, ..Dirty::default() };
        let mut retry: Option<Duration> = None;
        let mut is_ready = false;
        loop {
            drain(&mut services, |c| self.note_service(&c, &mut dirty));
            drain(&mut slices, |c| note_slice(&c, &mut dirty));
            drain(&mut nodes, |c| self.note_node(&c, &mut dirty));
            match self.sync(std::mem::take(&mut dirty), retry.is_some()) {
                Ok(()) => {
                    retry = None;
                    self.condition.set_in_step(true);
                    if !is_ready {
                        context.ready("programming Services");
                        is_ready = true;
                    }
                }
                Err(error) => {
                    self.counts.failures.inc();
                    self.condition.set_in_step(false);
                    let wait = retry.map_or(RETRY, |w| (w * 2).min(RETRY_MOST));
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        ?wait,
                        "The kernel refused a change"
                    );
                    retry = Some(wait);
                }
            }
            let again = async {
                match retry {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(change) = services.recv() => self.note_service(&change, &mut dirty),
                Some(change) = slices.recv() => note_slice(&change, &mut dirty),
                Some(change) = nodes.recv() => self.note_node(&change, &mut dirty),
                () = again => {}
                () = shutdown.wait() => return Ok(()),
            }
        }
    }

    fn note_service(&self, change: &Change<Service>, dirty: &mut Dirty) {
        if change.old != change.new {
            dirty.services.insert(change.key.clone());
        }
    }

    fn note_node(&mut self, change: &Change<Node>, dirty: &mut Dirty) {
        let Some(node) = change.new.as_deref().filter(|n| n.name == self.node.name) else { return };
        self.condition.set_leaving(node.leaving);
        dirty.all |= node.zone != self.node.zone;
        self.node = node.clone();
    }

    fn sync(&mut self, mut dirty: Dirty, after_refusal: bool) -> Result<(), netlink::Error> {
        let begun = Instant::now();
        let changed = if dirty.all || after_refusal {
            let services = self.services.snapshot();
            let plans: HashMap<Key, Plan> =
                services.iter().map(|(key, service)| (key.clone(), self.plan(key, Some(service)))).collect();
            dirty.services.extend(plans.keys().chain(self.program.plans().keys()).cloned());
            let plans = plans.into_iter().filter(|(_, plan)| *plan != Plan::default());
            self.program.reconcile(plans.collect())?
        } else if dirty.services.is_empty() {
            return Ok(());
        } else {
            self.change(&mut dirty.services)?
        };
        for key in &dirty.services {
            self.checks.set(key, self.program.plans().get(key).and_then(|plan| plan.health_check));
        }
        let (elements, fronts) = (changed.elements, changed.fronts.len());
        self.clean(changed)?;
        let seconds = begun.elapsed().as_secs_f64();
        self.counts.sync.observe(seconds);
        self.counts.elements.inc_by(elements as u64);
        self.counts.last.set(jiff::Timestamp::now().as_second());
        tracing::debug!(services = dirty.services.len(), elements, fronts, seconds, "Synced");
        Ok(())
    }

    fn change(&mut self, keys: &mut HashSet<Key>) -> Result<Changed, netlink::Error> {
        let mut changed = self.program.change(self.plans(keys))?;
        let given_up = changed.fronts.iter().any(|(_, front)| front.is_none());
        if given_up && !self.program.losers().is_empty() {
            let losers = self.program.losers().clone();
            let more = self.program.change(self.plans(&losers))?;
            changed.elements += more.elements;
            changed.fronts.extend(more.fronts);
            keys.extend(losers);
        }
        Ok(changed)
    }

    fn plans(&self, keys: &HashSet<Key>) -> Vec<(Key, Option<Plan>)> {
        let services = self.services.snapshot();
        keys.iter().map(|key| (key.clone(), services.get(key).map(|s| self.plan(key, Some(s))))).collect()
    }

    fn plan(&self, key: &Key, service: Option<&Arc<Service>>) -> Plan {
        let Some(service) = service.filter(|s| !s.cluster_ips.is_empty()) else { return Plan::default() };
        let slices = self.slices.snapshot();
        let slices: Vec<&Slice> = slices.by("service", &key.to_string()).map(|(_, s)| s.as_ref()).collect();
        plan(service, &slices, &self.node)
    }

    /// Ends what still goes to endpoints that are gone.
    fn clean(&mut self, changed: Changed) -> Result<(), netlink::Error> {
        let flows = crate::stale::delete(&mut self.conntrack, &changed.fronts)?;
        let is_sticky =
            |front: &Option<crate::plan::Front>| front.as_ref().is_none_or(|f| f.affinity.is_some());
        let sticky: Vec<_> = changed.fronts.into_iter().filter(|(_, front)| is_sticky(front)).collect();
        let clients = if sticky.is_empty() { 0 } else { self.program.forget_clients(&sticky)? };
        if flows + clients > 0 {
            tracing::debug!(flows, clients, "Forgot clients of endpoints that are gone");
        }
        Ok(())
    }
}

fn note_slice(change: &Change<Slice>, dirty: &mut Dirty) {
    if change.old != change.new {
        let both = change.old.iter().chain(&change.new);
        dirty.services.extend(both.map(|slice| slice.service.clone()));
    }
}

fn drain<P>(changes: &mut UnboundedReceiver<Arc<Change<P>>>, mut take: impl FnMut(Arc<Change<P>>)) {
    while let Ok(change) = changes.try_recv() {
        take(change);
    }
}
