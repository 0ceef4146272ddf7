//! The controllers of the control plane, each a pure plan.
//!
//! [`table`] has one line per controller; `run` gives them to the runtime of `reconcile`.

mod accounts;
mod addon;
mod autoscaler;
mod bootstrap;
mod certificates;
mod claim;
mod common;
mod cronjob;
mod daemonset;
mod deployment;
mod device_taints;
mod discovery;
mod disruption;
mod endpoints;
mod ephemeral;
mod garbage;
mod history;
mod ipam;
mod job;
mod namespaces;
mod nodes;
mod passwords;
mod pods;
mod policies;
#[cfg(test)]
mod properties;
mod protection;
mod quota;
mod replicas;
mod resource_claims;
mod role;
mod roles;
mod service_cidr;
mod servicelb;
mod settings;
mod signer;
#[cfg(test)]
mod simulated;
mod statefulset;
mod table;
mod tokens;
mod volumes;

pub use addon::AddonSettings;
pub use role::{cluster_role, print_role};
pub use settings::Settings;

use std::net::SocketAddr;

use anyhow::Context as _;
use client::Client;
use reconcile::{Controller, Election, Metrics, Runtime};

/// The controllers that shall run.
pub(crate) fn chosen(settings: &Settings) -> anyhow::Result<Vec<Box<dyn Controller>>> {
    let entries = table::TABLE.iter().filter(|e| settings.enabled(e.name, e.on));
    entries.map(|e| (e.make)(settings).with_context(|| format!("controller {}", e.name))).collect()
}

/// Runs until the context says stop.
///
/// # Errors
/// The settings cannot be used, or leadership was lost.
pub async fn run(settings: Settings, mut context: daemon::Context) -> anyhow::Result<()> {
    let client = Client::from_kubeconfig(&settings.kubeconfig, "k3s-rs-controller")?;
    let address: SocketAddr = settings.bind_address.parse().context("bindAddress")?;
    let bind = async || web::Listener::tcp(address).await;
    for listener in context.listeners("k3s-rs-controller", bind).await? {
        let (health, metrics) = (context.health.clone(), context.metrics.clone());
        tokio::spawn(daemon::serve_health(listener, None, health, metrics, context.shutdown.clone()));
    }
    signer::serve(&settings, &mut context).await?;
    context.feed_watchdog_from_port(address);
    context.ready("Waiting for leadership");
    let mut lost = None;
    if settings.leader_elect {
        let host = daemon::host_name().context("asking for the host name")?;
        let identity = format!("{host}_{}", std::process::id());
        let election = Election { name: "kube-controller-manager".into(), identity };
        tokio::select! {
            office = reconcile::lead(client.clone(), election) => lost = Some(Box::pin(office)),
            () = context.shutdown.wait() => return Ok(()),
        }
    }
    let controllers = chosen(&settings)?;
    let metrics = Metrics::of(&controllers);
    context.metrics.register(|registry| metrics.register(registry));
    let runtime = Runtime::new(client.clone(), controllers, metrics);
    let caches = runtime.caches();
    context.health.add("caches", move || {
        let missing = caches.missing();
        if missing.is_empty() { Ok(()) } else { Err(format!("not synced: {}", missing.join(", "))) }
    });
    context.status("Running", "");
    let collector = async {
        if settings.enabled("garbage-collector-controller", true) {
            garbage::run(client.clone()).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let addons = addon::run(addon::client(&client, &settings.addons)?, settings.addons.clone());
    let lost = async {
        match lost {
            Some(office) => office.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = runtime.run() => anyhow::bail!("the runtime ended"),
        () = collector => anyhow::bail!("the garbage collector ended"),
        () = addons => anyhow::bail!("the AddOn controller ended"),
        () = lost => anyhow::bail!("leadership lost"),
        () = context.shutdown.wait() => Ok(()),
    }
}
