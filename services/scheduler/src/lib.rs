//! Pods to nodes.
//!
//! Goals: upstream's decisions, words and queueing, at a fiftieth of its processor time.
//!
//! `feed` turns watch events into changes of the `state` (columns by node) and of the `queue`. For each pod that is ready,
//! `decide` asks the class's `terms` (what every plugin compiled) and gives a decision; `app` carries it out in tasks of
//! their own: `bind`, `status`, `record`. Everything up to the decision is one thread without I/O: no locks, no snapshots.
//!
//! Most of the time of a pod goes into its two requests and two events. While pods come one after another, `app` lets all
//! that comes in within some milliseconds gather, so that many share a wake-up, a read, a write and warm caches.
//!
//! Upstream computes each plugin anew for every pod and node and copies what changed into a snapshot. Here pods made from one
//! template share compiled terms, which follow the changes of nodes (by version) and pods (by log): the cost of a pod is
//! that of looking at as many nodes as are wanted, a few nanoseconds each.
//!
//! Not there: DynamicResources (pods with claims are refused with a message), extenders, gang scheduling, translation of
//! in-tree volumes to CSI, NodeDeclaredFeatures.

mod app;
mod bind;
mod config;
mod core;
mod decide;
mod feed;
mod metrics;
mod model;
mod plugins;
mod queue;
mod record;
mod settings;
mod state;
mod status;
mod terms;

pub use config::Configuration;
pub use settings::Settings;

use std::net::SocketAddr;

use anyhow::Context as _;
use client::Client;
use reconcile::Election;

/// Runs until the context says stop.
///
/// # Errors
/// The settings cannot be used, or leadership was lost.
pub async fn run(settings: Settings, mut context: daemon::Context) -> anyhow::Result<()> {
    let rules = settings.configuration.clone().rules().context("configuration")?;
    let client = Client::from_kubeconfig(&settings.kubeconfig, "k3s-rs-scheduler")?;
    let address: SocketAddr = settings.bind_address.parse().context("bindAddress")?;
    let bind = async || web::Listener::tcp(address).await;
    for listener in context.listeners("k3s-rs-scheduler", bind).await? {
        let (health, metrics) = (context.health.clone(), context.metrics.clone());
        tokio::spawn(daemon::serve_health(listener, None, health, metrics, context.shutdown.clone()));
    }
    context.feed_watchdog_from_port(address);
    context.ready("Waiting for leadership");
    let host = daemon::host_name().context("asking for the host name")?;
    let identity = format!("{host}_{}", std::process::id());
    let mut lost = None;
    if settings.leader_elect {
        let election = Election { name: "kube-scheduler".into(), identity: identity.clone() };
        tokio::select! {
            office = reconcile::lead(client.clone(), election) => lost = Some(Box::pin(office)),
            () = context.shutdown.wait() => return Ok(()),
        }
    }
    let metrics = metrics::Metrics::register(&context.metrics);
    let app = app::App::start(client, rules, metrics, &identity);
    let caches = app.synced();
    context.health.add("caches", move || if caches() { Ok(()) } else { Err("not synced".into()) });
    context.status("Running", "");
    let lost = async {
        match lost {
            Some(office) => office.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = app.run() => anyhow::bail!("the scheduling loop ended"),
        () = lost => anyhow::bail!("leadership lost"),
        () = context.shutdown.wait() => Ok(()),
    }
}
