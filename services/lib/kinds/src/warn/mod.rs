//! Warnings: what the server takes although it is surely not meant, with upstream's texts in upstream's order.
//!
//! They are looked for at every write, after the checks have passed: where there is nothing to say, nothing is
//! allocated. Paths are `format_args!`, which are not rendered before there is a warning.
//!
//! # Upstream
//! `WarningsOnCreate`, `WarningsOnUpdate` in `pkg/registry/*/*/strategy.go`

mod address;
mod claim;
mod container;
mod definition;
mod der;
mod name;
mod network;
mod node;
mod overlap;
mod pod;
mod policy;
mod port;
mod secret;
mod storage;
mod volume;
mod workload;

pub(crate) use claim::{claim, volume as persistent_volume};
pub(crate) use definition::definition;
pub(crate) use name::reserved as reserved_name;
pub(crate) use network::{
    endpoint_slice, endpoints, ingress, ingress_status, network_policy, service, service_status,
};
pub(crate) use node::{node, runtime_class};
pub(crate) use pod::{pod, pod_status};
pub(crate) use policy::{resource_quota, resource_slice, service_account};
pub(crate) use secret::secret;
pub(crate) use storage::{csi_driver, storage_capacity, storage_class};
pub(crate) use workload::{
    cron_job, daemon_set, deployment, job, pod_template, replica_set, replication_controller, stateful_set,
};

use std::collections::HashSet;
use std::hash::Hash;

use meta::Quantity;
use meta::field::quote;
use schema::{Map, Object};

/// The warnings so far.
type Warnings = Vec<String>;

/// Whether this is a new object or one whose content has changed.
fn is_news(object: &Object, old: Option<&Object>) -> bool {
    old.is_none_or(|old| old.generation() != object.generation())
}

/// An annotation's value.
fn annotation<'a>(metadata: Option<&'a Map>, key: &str) -> Option<&'a str> {
    crate::tree::map(metadata?, "annotations")?.get(key)?.as_str()
}

/// An amount of bytes that is not whole.
fn fraction(warnings: &mut Warnings, at: std::fmt::Arguments<'_>, amount: &str) {
    // without a point, a small unit or an exponent it is whole
    if amount.bytes().all(|b| b.is_ascii_digit() || b"kKMGTPEi".contains(&b)) {
        return;
    }
    let Ok(amount) = Quantity::parse(amount) else { return };
    if amount.scaled(-3).0 % 1000 != 0 {
        let amount = quote(&amount.to_string());
        warnings.push(format!("{at}: fractional byte value {amount} is invalid, must be an integer"));
    }
}

/// What was met so far; the first few take no memory of their own.
#[derive(Default)]
struct Seen<T> {
    few: [T; 8],
    count: usize,
    more: HashSet<T>,
}

impl<T: Copy + Eq + Hash> Seen<T> {
    /// Whether this was there before; it is from now on.
    fn again(&mut self, item: T) -> bool {
        let few = &self.few[..self.count];
        if few.contains(&item) || self.more.contains(&item) {
            return true;
        }
        if self.count < self.few.len() {
            self.few[self.count] = item;
            self.count += 1;
        } else {
            self.more.insert(item);
        }
        false
    }
}

#[cfg(test)]
mod tests;
