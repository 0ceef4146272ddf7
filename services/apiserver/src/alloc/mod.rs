//! What Services are given: ClusterIPs, NodePorts, health check ports. It lives in the store alone, under
//! upstream's keys, so that several API servers may share it.

pub mod address;
mod families;
pub mod ports;
pub mod range;
pub mod service;

use std::sync::Arc;

use schema::Object;

use crate::errors::Result;
use crate::registry::Endpoint;
use crate::server::Server;
use crate::store::entry::Entry;
use crate::verbs::Call;

/// What a write has taken and gives back when it fails.
#[derive(Debug, Default)]
pub struct Allocated {
    addresses: Vec<std::net::IpAddr>,
    ports: Vec<u16>,
    /// What the old object held and the new one does not: given back once the write is confirmed.
    freed: Freed,
}

#[derive(Debug, Default)]
struct Freed {
    addresses: Vec<std::net::IpAddr>,
    ports: Vec<u16>,
    namespace: String,
    name: String,
}

impl Allocated {
    /// The write went through: what it took is kept, what it let go is given back.
    pub async fn keep(self, server: &Arc<Server>) {
        let freed = self.freed;
        let owner = address::Owner { namespace: &freed.namespace, name: &freed.name };
        for address in freed.addresses {
            address::release(server, address, Some(owner)).await;
        }
        ports::release(server, &freed.ports).await;
    }

    /// The write failed.
    pub async fn give_back(self, server: &Arc<Server>) {
        for address in self.addresses {
            address::release(server, address, None).await;
        }
        ports::release(server, &self.ports).await;
    }
}

/// Before a new object is checked.
pub async fn on_create(call: &Call, object: &mut Object, dry_run: bool) -> Result<Allocated> {
    if call.endpoint.is("", "services") {
        service::create(call, object, dry_run).await
    } else {
        Ok(Allocated::default())
    }
}

/// Before a changed object is checked.
pub async fn on_update(call: &Call, object: &mut Object, old: &Object, dry_run: bool) -> Result<Allocated> {
    if call.endpoint.is("", "services") && call.info.subresource.is_empty() {
        return service::update(call, object, old, dry_run).await;
    }
    Ok(Allocated::default())
}

/// After an object is gone.
pub async fn on_delete(server: &Arc<Server>, endpoint: &Endpoint, entry: &Entry) {
    if !endpoint.is("", "services") {
        return;
    }
    match endpoint.resource.decode(entry) {
        Ok(object) => service::delete(server, &object).await,
        Err(error) => tracing::error!(key = %entry.key, error = %error, "unreadable service"),
    }
}
