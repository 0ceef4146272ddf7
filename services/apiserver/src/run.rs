//! From settings to a server that serves.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::Context as _;

use crate::admission::Chain;
use crate::audit::Audit;
use crate::auth::certificate::Certificates;
use crate::auth::front_proxy::FrontProxy;
use crate::auth::rbac::{Nodes, Rbac};
use crate::auth::tokens::{TokenAuthenticator, Tokens};
use crate::auth::{Authenticator, Authenticators, Authorizers, PrivilegedGroup};
use crate::endpoints::documents::Documents;
use crate::flow::Flows;
use crate::http::limits::InFlight;
use crate::registry::Registry;
use crate::server::Server;
use crate::settings::Settings;
use crate::store::kv::Kv;
use crate::store::{Store, compact};
use crate::sub::forward::Kubelets;

fn connect(settings: &Settings) -> anyhow::Result<Kv> {
    let identity = match (&settings.datastore_cert_file, &settings.datastore_key_file) {
        (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
        _ => None,
    };
    let endpoints: Vec<&str> = settings.datastore.split(',').map(str::trim).collect();
    let secure = endpoints.iter().any(|e| e.starts_with("https://"));
    let tls = if secure {
        Some(Arc::new(crate::tls::client_config(settings.datastore_ca_file.as_deref(), identity)?))
    } else {
        None
    };
    Ok(Kv::new(etcd::Kv::connect(&endpoints, tls.as_ref()).context("datastore")?))
}

/// Builds the server: store, cache, who may what.
///
/// # Errors
/// A file or an address in the settings is unusable.
pub fn build(settings: Settings) -> anyhow::Result<Arc<Server>> {
    let kv = connect(&settings)?;
    let registry = Registry::built_in(crate::registry::storage_resources(), |gvk| settings.serves(gvk));
    let store = Arc::new(Store::start(kv, registry.resources()));
    let tokens = Tokens::from_settings(&settings).context("service account keys")?;
    let judged = Tokens::from_settings(&settings).context("service account keys")?;
    let token_authenticator = TokenAuthenticator::new(judged, &store, &registry).map(Arc::new);
    let certificates = Certificates::new(&settings.client_ca_file).context("clientCAFile")?;
    let mut authenticators: Vec<Box<dyn Authenticator>> = Vec::new();
    if let Some(file) = &settings.requestheader_client_ca_file {
        let proxy = FrontProxy::new(file, settings.requestheader_allowed_names.clone());
        authenticators.push(Box::new(proxy.context("requestheaderClientCAFile")?));
    }
    authenticators.push(Box::new(certificates));
    if let Some(judge) = &token_authenticator {
        authenticators.push(Box::new(judge.clone()));
    }
    let policy = crate::auth::rbac::policy(&store, &registry);
    let authorizers = Authorizers(vec![
        Box::new(PrivilegedGroup),
        Box::new(Nodes::new(&store, &registry)),
        Box::new(Rbac(policy.clone())),
    ]);
    let audit = match (&settings.audit_policy_file, &settings.audit_log_path) {
        (Some(policy), Some(log)) => Some(Arc::new(Audit::open(policy, log)?)),
        _ => None,
    };
    let aggregator = crate::aggregate::Aggregator::follow(&store, &registry);
    let kubelets = Kubelets::from_settings(&settings).context("kubelet certificates")?;
    let supervisor = settings.supervisor.clone().map(crate::supervisor::Supervisor::new);
    let supervisor = supervisor.transpose().context("supervisor")?.map(Arc::new);
    Ok(Arc::new(Server {
        flows: Flows::new(&store, &registry),
        store,
        authenticator: Box::new(Authenticators(authenticators)),
        authorizer: Box::new(authorizers),
        admission: Chain::of_settings(&settings),
        in_flight: InFlight::new(settings.max_requests_inflight, settings.max_mutating_requests_inflight),
        audit,
        health: Default::default(),
        metrics: Default::default(),
        tokens,
        token_authenticator,
        policy,
        kubelets,
        documents: Documents,
        aggregator,
        supervisor,
        registry: RwLock::new(Arc::new(registry)),
        settings,
    }))
}

/// Serves until the shutdown signal.
///
/// # Errors
/// The settings are unusable, or an address is taken.
pub async fn run(settings: Settings, mut context: daemon::Context) -> anyhow::Result<()> {
    let server = build(settings)?;
    let settings = &server.settings;
    let tls = web::TlsConfig::from_files(&settings.tls_cert_file, &settings.tls_private_key_file)
        .context("tlsCertFile, tlsPrivateKeyFile")?;
    let address = settings.listen;
    let mut listeners = context.listeners("https", async || web::Listener::tcp(address).await).await?;
    if let Some(path) = &settings.local_socket {
        let path = path.clone();
        listeners.extend(context.listeners("local", async || web::Listener::unix(&path)).await?);
    }
    let interval = settings.compaction_interval_seconds;
    if interval > 0 {
        let (kv, cache) = (server.store.kv.clone(), server.store.cache.clone());
        tokio::spawn(compact::run(kv, cache, Duration::from_secs(interval)));
    }
    tokio::spawn(crate::start::run(server.clone()));
    tokio::spawn(crate::aggregate::available::run(server.clone()));
    tokio::spawn(crate::flow::dangling::run(server.clone()));
    if let Some(supervisor) = server.supervisor.clone() {
        tokio::spawn(supervisor.start(server.clone()));
    }
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        let server = server.clone();
        let service = move |request, peer| crate::http::chain::handle(server.clone(), request, peer);
        serving.spawn(web::serve(listener, Some(tls.clone()), service, context.shutdown.clone()));
    }
    let alive = server.clone();
    context.feed_watchdog(move || probe(alive.clone()));
    context.ready("serving");
    let mut stop = context.shutdown.clone();
    stop.wait().await;
    server.health.stop();
    // watches would hold their connections for ever
    server.store.cache.close_watches();
    while serving.join_next().await.is_some() {}
    Ok(())
}

/// A request's way through the process without the store: a stalled disk is no reason to be restarted.
async fn probe(server: Arc<Server>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // on another task: the workers must take new ones
    let read = tokio::spawn(async move { server.peek("", "namespaces", "", "kube-system").map(drop) });
    read.await?.map_err(|error| error.to_string().into())
}
