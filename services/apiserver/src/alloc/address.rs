//! ClusterIPs: one `IPAddress` object each, whose creation is the allocation.
//!
//! # Upstream
//! `pkg/registry/core/service/ipallocator/ipallocator.go`

use std::net::IpAddr;
use std::sync::Arc;

use schema::{Object, Value};

use super::range::Range;
use crate::errors::{self, Result};
use crate::server::Server;
use crate::store::write::{Attempt, Next};
use crate::verbs::meta::{new_uid, timestamp};

/// How many random addresses are tried before the range is searched in order.
const RANDOM_TRIES: usize = 16;

/// For whom an address is.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The Service's namespace.
    pub namespace: &'a str,
    /// The Service's name.
    pub name: &'a str,
}

fn ip_address(address: IpAddr, owner: Owner<'_>) -> Object {
    let mut object = Object::default();
    object.set(&["kind"], "IPAddress");
    object.set(&["apiVersion"], "networking.k8s.io/v1");
    object.set(&["metadata", "name"], address.to_string());
    object.set(&["metadata", "uid"], new_uid());
    object.set(&["metadata", "creationTimestamp"], timestamp(jiff::Timestamp::now()));
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    object.set(&["metadata", "labels", "ipaddress.kubernetes.io/ip-family"], family);
    object.set(&["metadata", "labels", "ipaddress.kubernetes.io/managed-by"], "ipallocator.k8s.io");
    object.set(&["spec", "parentRef", "resource"], "services");
    object.set(&["spec", "parentRef", "namespace"], owner.namespace);
    object.set(&["spec", "parentRef", "name"], owner.name);
    object
}

async fn take(server: &Arc<Server>, address: IpAddr, owner: Owner<'_>) -> Result<bool> {
    let cache = server.cache_of("networking.k8s.io", "ipaddresses")?;
    let key = cache.resource.key("", &address.to_string());
    if cache.get(&key).is_some() {
        // most likely taken; the store has the last word when a user insists
        return Ok(false);
    }
    Ok(server.store.create(&cache, &key, &ip_address(address, owner)).await?.is_some())
}

/// The ranges in use: `ServiceCIDR` objects that are ready, in order of name; those of the configuration first.
pub fn ranges(server: &Arc<Server>) -> Result<Vec<Range>> {
    let mut all = server.settings.service_ranges().map_err(errors::internal)?;
    for object in server.peek_objects("networking.k8s.io", "servicecidrs", "")? {
        if object.deletion_timestamp().is_some() {
            continue;
        }
        let cidrs = object.list_at(&["spec", "cidrs"]).iter().filter_map(Value::as_str);
        for range in cidrs.filter_map(|c| c.parse::<Range>().ok()) {
            if !all.contains(&range) {
                all.push(range);
            }
        }
    }
    Ok(all)
}

/// Takes an address a user chose.
pub async fn claim(
    server: &Arc<Server>,
    address: IpAddr,
    owner: Owner<'_>,
) -> Result<std::result::Result<(), String>> {
    if !ranges(server)?.iter().any(|range| range.contains(address)) {
        let why = "the provided network does not match the current range";
        return Ok(Err(format!("failed to allocate IP {address}: {why}")));
    }
    if take(server, address, owner).await? {
        return Ok(Ok(()));
    }
    Ok(Err(format!("failed to allocate IP {address}: provided IP is already allocated")))
}

/// Takes any free address of a family.
pub async fn any(server: &Arc<Server>, ipv4: bool, owner: Owner<'_>) -> Result<IpAddr> {
    for range in ranges(server)?.into_iter().filter(|r| r.is_ipv4() == ipv4) {
        let (size, from) = (range.size(), range.dynamic_from());
        for _ in 0..RANDOM_TRIES {
            let n = from + uuid::Uuid::new_v4().as_u128() % (size - from).max(1);
            let address = range.address(n + 1);
            if range.contains(address) && take(server, address, owner).await? {
                return Ok(address);
            }
        }
        // nearly full: the dynamic band in order, then the band of the users
        for n in (from..size).chain(0..from) {
            let address = range.address(n + 1);
            if take(server, address, owner).await? {
                return Ok(address);
            }
        }
    }
    let status = meta::Status::failure(
        meta::Reason::InternalError,
        "Internal error occurred: failed to allocate a serviceIP: range is full",
    );
    Err(status.into())
}

/// Deletes the `IPAddress` of a Service, if it is that Service's.
struct Release<'a>(Option<Owner<'a>>, &'a crate::registry::Resource);

impl Attempt for Release<'_> {
    async fn run(&mut self, current: Option<&Arc<crate::store::entry::Entry>>) -> Result<Next> {
        let gone = || errors::not_found(&self.1.kind.resource, "");
        let object = self.1.decode(current.ok_or_else(gone)?).map_err(errors::internal)?;
        if let Some(owner) = self.0 {
            let parent = |key: &str| object.str_at(&["spec", "parentRef", key]);
            if parent("namespace") != owner.namespace || parent("name") != owner.name {
                return Ok(Next::Put(object));
            }
        }
        Ok(Next::Delete(object))
    }
}

/// Gives an address back. What cannot be given back is logged: the repair loop finds it.
pub async fn release(server: &Arc<Server>, address: IpAddr, owner: Option<Owner<'_>>) {
    let Ok(cache) = server.cache_of("networking.k8s.io", "ipaddresses") else { return };
    let key = cache.resource.key("", &address.to_string());
    let mut release = Release(owner, &cache.resource);
    match server.store.update(&cache, &key, &mut release).await {
        Ok(_) => {}
        Err(error) if error.is(meta::Reason::NotFound) => {}
        Err(error) => tracing::warn!(%address, error = %error, "cannot release an address"),
    }
}
