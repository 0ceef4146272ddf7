//! A namespace's quotas: what an object would use is charged before it is stored.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go`
//!
//! # Differs
//! Requests are charged one by one against the stored quota, not in batches of a namespace.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota as Quota, Service};
use quota::Charged;
use quota::amounts::{Usage, add, exceeds, print, sum};
use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Error, Result};
use crate::store::entry::Entry;
use crate::store::write::{Attempt, Next};

/// The plugin; it is the last of all.
pub struct ResourceQuota;

impl Admission for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        if request.namespace.is_empty() || request.endpoint.is("", "namespaces") || is_event(request) {
            return false;
        }
        let grows = request.is("", "services") || request.is("", "persistentvolumeclaims");
        match request.operation {
            Operation::Create => request.subresource.is_empty(),
            Operation::Update => {
                let resize = request.subresource == "resize" && request.endpoint.is("", "pods");
                resize || grows
            }
            _ => false,
        }
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(object) = object else { return Ok(()) };
            let quotas = request.server.peek_objects("", "resourcequotas", request.namespace)?;
            if quotas.is_empty() {
                return Ok(());
            }
            let new = Thing::read(request, object)?;
            let old = request.old.map(|old| Thing::read(request, old)).transpose()?;
            charge(request, object.name(), &quotas, &new, old.as_ref()).await
        })
    }
}

fn is_event(request: &Request<'_>) -> bool {
    request.endpoint.is("", "events") || request.endpoint.is("events.k8s.io", "events")
}

/// An object as its type, to be charged.
enum Thing {
    Pod(Box<Pod>),
    Service(Box<Service>),
    Claim(Box<PersistentVolumeClaim>),
    Other { group: String, resource: String },
}

impl Thing {
    fn read(request: &Request<'_>, object: &Object) -> Result<Self> {
        let endpoint = request.endpoint;
        let broken = |error: schema::ViewError| errors::internal(error);
        if endpoint.is("", "pods") {
            return Ok(Self::Pod(object.view().map_err(broken)?));
        }
        if endpoint.is("", "services") {
            return Ok(Self::Service(object.view().map_err(broken)?));
        }
        if endpoint.is("", "persistentvolumeclaims") {
            return Ok(Self::Claim(object.view().map_err(broken)?));
        }
        let resource = request.resource();
        Ok(Self::Other { group: resource.group, resource: resource.resource })
    }

    fn charged(&self) -> Charged<'_> {
        match self {
            Self::Pod(pod) => Charged::Pod(pod),
            Self::Service(service) => Charged::Service(service),
            Self::Claim(claim) => Charged::Claim(claim),
            Self::Other { group, resource } => Charged::Other { group, resource },
        }
    }
}

/// What a quota has to say about an object: what of its resources the object may use, and by how much more.
fn delta(quota: &Quota, new: &Thing, old: Option<&Thing>) -> Option<std::result::Result<Usage, String>> {
    let (spec, status) = (quota.spec.clone().unwrap_or_default(), quota.status.clone().unwrap_or_default());
    let (hard, used) = (status.hard.unwrap_or_default(), status.used.unwrap_or_default());
    let charged = new.charged();
    let names: Vec<&str> = hard.keys().map(String::as_str).filter(|name| charged.has(name)).collect();
    if names.is_empty() || !charged.in_scope_of(&spec) {
        return None;
    }
    let name = quota.metadata.name.as_deref().unwrap_or("");
    if let Some(why) = charged.unnamed(&names) {
        return Some(Err(format!("failed quota: {name}: {why}")));
    }
    if names.iter().any(|resource| !used.contains_key(*resource)) {
        return Some(Err(format!("status unknown for quota: {name}, resources: {}", names.join(","))));
    }
    let mut usage = charged.usage();
    if let Some(old) = old.filter(|old| old.charged().in_scope_of(&spec)) {
        for (resource, before) in old.charged().usage() {
            if let Some(now) = usage.get_mut(&resource) {
                now.sub(&before);
            }
        }
    }
    usage.retain(|resource, amount| amount.sign() > 0 && hard.contains_key(resource));
    (!usage.is_empty()).then_some(Ok(usage))
}

async fn charge(
    request: &Request<'_>,
    name: &str,
    quotas: &[Arc<Object>],
    new: &Thing,
    old: Option<&Thing>,
) -> Result<()> {
    let refuse = |why: String| errors::forbidden(&request.resource(), name, &why);
    let mut charges = Vec::new();
    for object in quotas {
        let quota: Quota = object.view().map_err(errors::internal)?;
        let Some(found) = delta(&quota, new, old) else { continue };
        let usage = found.map_err(refuse)?;
        charged(&quota, &usage).map_err(refuse)?;
        charges.push((object.name().to_owned(), usage));
    }
    if request.dry_run {
        return Ok(());
    }
    // only when all have room is any of them charged
    let cache = request.server.cache_of("", "resourcequotas")?;
    for (quota, usage) in charges {
        let key = cache.resource.key(request.namespace, &quota);
        let mut spend = Spend { cache: &cache, usage, refused: None };
        let done = request.server.store.update(&cache, &key, &mut spend).await;
        if let Some(why) = spend.refused {
            return Err(refuse(why));
        }
        match done {
            // a quota that went away meanwhile limits nothing
            Err(error) if error.is(meta::Reason::NotFound) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// The quota's usage after a charge; or upstream's sentence.
fn charged(quota: &Quota, usage: &Usage) -> std::result::Result<Usage, String> {
    let status = quota.status.clone().unwrap_or_default();
    let read = |list: Option<std::collections::BTreeMap<String, _>>| {
        let mut amounts = Usage::new();
        for (name, amount) in list.unwrap_or_default() {
            let amount: k8s_openapi::apimachinery::pkg::api::resource::Quantity = amount;
            add(&mut amounts, &name, &amount.0);
        }
        amounts
    };
    let (hard, mut used) = (read(status.hard), read(status.used));
    let before = used.clone();
    usage.iter().for_each(|(name, amount)| sum(&mut used, name, amount));
    let over: Vec<&String> = usage
        .keys()
        .filter(|name| hard.get(*name).is_some_and(|limit| exceeds(&used[*name], limit)))
        .collect();
    if over.is_empty() {
        return Ok(used);
    }
    let only = |from: &Usage| -> String {
        let kept = over.iter().filter_map(|name| Some(((*name).clone(), from.get(*name)?.clone())));
        print(&kept.collect())
    };
    Err(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        quota.metadata.name.as_deref().unwrap_or(""),
        only(usage),
        only(&before),
        only(&hard)
    ))
}

/// Adds to the usage a stored quota shows.
struct Spend<'a> {
    cache: &'a crate::store::cache::ResourceCache,
    usage: Usage,
    refused: Option<String>,
}

impl Attempt for Spend<'_> {
    async fn run(&mut self, current: Option<&Arc<Entry>>) -> Result<Next> {
        let gone = || errors::not_found(&self.cache.resource.kind.resource, "");
        let mut object = self.cache.resource.decode(current.ok_or_else(gone)?).map_err(errors::internal)?;
        let quota: Quota = object.view().map_err(errors::internal)?;
        self.refused = None;
        let used = charged(&quota, &self.usage).map_err(|why| {
            self.refused = Some(why.clone());
            Error::from(meta::Status::failure(meta::Reason::Forbidden, why))
        })?;
        let list = object.root_mut().map_mut("status").map_mut("used");
        for (name, amount) in used {
            list.insert(name, Value::from(amount.to_string().as_str()));
        }
        list.sort_keys();
        Ok(Next::Put(object))
    }
}
