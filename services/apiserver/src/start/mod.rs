//! What the API server itself puts into a cluster, and keeps there.

mod api_services;
mod authentication;
mod identity;
mod kubernetes_service;
mod namespaces;
mod priority_classes;
mod rbac;
mod service_cidr;

pub(crate) use rbac::reconcile_one as reconcile_role;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use schema::Object;
use serde_json::Value;

use crate::auth::User;
use crate::errors::{self, Result};
use crate::request::RequestInfo;
use crate::request::accept::Media;
use crate::request::options::WriteOptions;
use crate::server::Server;
use crate::verbs::Call;
use crate::verbs::create::{Created, create};
use crate::verbs::patch::Patch;
use crate::verbs::update::change;
use crate::verbs::write::{Computed, Managed, Source};

/// Who owns the fields of what the server puts in place.
const MANAGER: &str = "kube-apiserver";
/// Between attempts, and between rounds of what is kept up.
const RETRY: Duration = Duration::from_millis(500);
const ROUND: Duration = Duration::from_secs(10);

/// A request of the server to itself.
fn call(server: &Arc<Server>, group: &str, plural: &str, namespace: &str, name: &str) -> Result<Call> {
    let endpoint = server.endpoint(group, plural)?;
    let info = RequestInfo {
        is_resource: true,
        verb: "create",
        group: group.into(),
        version: endpoint.face.gvk.version.clone(),
        namespace: namespace.into(),
        resource: plural.into(),
        name: name.into(),
        ..RequestInfo::default()
    };
    Ok(Call {
        server: server.clone(),
        endpoint,
        info,
        user: User::server(),
        query: None,
        headers: HeaderMap::new(),
        body: Bytes::new(),
        now: jiff::Timestamp::now(),
        warnings: Mutex::default(),
    })
}

fn options(manager: &str) -> WriteOptions {
    WriteOptions { field_manager: manager.into(), ..WriteOptions::default() }
}

/// Applies a configuration to an object that is there, by force.
pub(crate) async fn apply(
    server: &Arc<Server>,
    (group, plural): (&str, &str),
    name: &str,
    subresource: &str,
    manager: &str,
    body: schema::Value,
) -> Result<()> {
    let mut call = call(server, group, plural, "", name)?;
    call.info.verb = "patch";
    call.info.subresource = subresource.into();
    let options = WriteOptions { force: Some(true), ..options(manager) };
    change(&call, &options, Patch::to_apply(body, &options)).await.map(drop)
}

/// Stores an object unless it is there; `true` when it was stored.
pub(crate) async fn ensure(server: &Arc<Server>, group: &str, plural: &str, object: &Value) -> Result<bool> {
    ensure_as(server, group, plural, object, MANAGER).await
}

/// Stores an object for a field manager of its own unless it is there; `true` when it was stored.
pub(crate) async fn ensure_as(
    server: &Arc<Server>,
    group: &str,
    plural: &str,
    object: &Value,
    manager: &str,
) -> Result<bool> {
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or("");
    let (namespace, name) = (text("namespace"), text("name"));
    let call = call(server, group, plural, namespace, name)?;
    let cache = call.cache();
    if server.store.get_stored(&cache, &call.key(), 0).await?.is_some() {
        return Ok(false);
    }
    let decoded = call.endpoint.schema.decode(Media::Json, object.to_string().as_bytes());
    let mut tree = decoded.map_err(errors::internal)?.object;
    call.endpoint.stamp(&mut tree);
    call.endpoint.default(&mut tree);
    match create(&call, tree, &options(manager), Managed::Update).await {
        Ok(Created::Stored(_) | Created::Dry(_)) => Ok(true),
        // another server was faster
        Err(error) if error.is(meta::Reason::AlreadyExists) => Ok(false),
        Err(error) => Err(error),
    }
}

struct Edit<F>(F);

impl<F: FnMut(&mut Object) + Send> Source for Edit<F> {
    fn compute(&mut self, _call: &Call, old: &Object) -> Result<Computed> {
        let mut object = old.clone();
        (self.0)(&mut object);
        Ok(Computed { object, managed: Managed::Update, insists_on: String::new() })
    }
}

/// Changes an object that is there; nothing is written when nothing differs.
pub(crate) async fn edit(
    server: &Arc<Server>,
    (group, plural): (&str, &str),
    (namespace, name): (&str, &str),
    subresource: &str,
    edit: impl FnMut(&mut Object) + Send,
) -> Result<()> {
    let mut call = call(server, group, plural, namespace, name)?;
    call.info.verb = "update";
    call.info.subresource = subresource.into();
    change(&call, &options(MANAGER), Edit(edit)).await.map(drop)
}

/// Runs a step until it succeeds, then reports it done.
async fn until_done<F, Fut>(server: &Arc<Server>, check: &'static str, step: F)
where
    F: Fn(Arc<Server>) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    loop {
        match step(server.clone()).await {
            Ok(()) => {
                server.health.done(check);
                return;
            }
            Err(error) => {
                tracing::warn!(check, error = %error, "a step of the start failed, trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Puts everything in place, then keeps it up for ever.
pub async fn run(server: Arc<Server>) {
    server.store.reach(1, Duration::from_secs(3600)).await;
    // one cache holds what upstream's informers and its storages' caches do
    server.health.done("poststarthook/generic-apiserver-start-informers");
    server.health.done("poststarthook/storage-readiness");
    until_done(&server, "poststarthook/start-system-namespaces-controller", namespaces::ensure_all).await;
    until_done(&server, "poststarthook/rbac/bootstrap-roles", rbac::reconcile).await;
    let flows = "poststarthook/priority-and-fairness-config-producer";
    until_done(&server, flows, crate::flow::bootstrap::ensure_all).await;
    let classes = "poststarthook/scheduling/bootstrap-system-priority-classes";
    until_done(&server, classes, priority_classes::ensure_all).await;
    until_done(&server, "poststarthook/start-kubernetes-service-cidr-controller", service_cidr::ensure_all)
        .await;
    until_done(&server, "poststarthook/bootstrap-controller", kubernetes_service::ensure_all).await;
    let authentication = "poststarthook/start-cluster-authentication-info-controller";
    until_done(&server, authentication, authentication::ensure_all).await;
    until_done(&server, "poststarthook/start-kube-apiserver-identity-lease-controller", identity::renew)
        .await;
    until_done(&server, "poststarthook/kube-apiserver-autoregistration", api_services::ensure_all).await;
    server.health.done("autoregister-completion");
    loop {
        for (what, round) in [
            ("namespaces", namespaces::ensure_all(server.clone()).await),
            ("flow control", crate::flow::bootstrap::ensure_all(server.clone()).await),
            ("service range", service_cidr::ensure_all(server.clone()).await),
            ("kubernetes service", kubernetes_service::ensure_all(server.clone()).await),
            ("authentication", authentication::ensure_all(server.clone()).await),
            ("identity", identity::renew(server.clone()).await),
        ] {
            if let Err(error) = round {
                tracing::warn!(what, error = %error, "cannot keep up an object of the server");
            }
        }
        tokio::time::sleep(ROUND).await;
    }
}
