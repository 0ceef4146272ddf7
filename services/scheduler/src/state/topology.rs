//! Which domain (zone, host, rack …) each node belongs to, for the keys that are asked for.

use std::collections::HashMap;

use super::Slot;
use crate::model::Labels;

/// A topology key that is followed.
pub type KeyId = usize;

/// The domain of a node without the label.
pub const NO_DOMAIN: u32 = u32::MAX;

#[derive(Debug, Default)]
struct Key {
    name: String,
    domains: Vec<u32>,
    values: HashMap<String, u32>,
}

/// Domains by key and slot.
#[derive(Debug, Default)]
pub struct Topology {
    keys: Vec<Key>,
}

impl Key {
    fn set(&mut self, slot: usize, value: Option<&String>) {
        if self.domains.len() <= slot {
            self.domains.resize(slot + 1, NO_DOMAIN);
        }
        self.domains[slot] = match value {
            None => NO_DOMAIN,
            Some(value) => {
                let next = self.values.len() as u32;
                *self.values.entry(value.clone()).or_insert(next)
            }
        };
    }
}

impl Topology {
    /// The domain of a node.
    pub fn domain(&self, key: KeyId, slot: Slot) -> u32 {
        self.keys[key].domains.get(slot as usize).copied().unwrap_or(NO_DOMAIN)
    }

    /// The domains of all nodes, by slot.
    pub fn domains(&self, key: KeyId) -> &[u32] {
        &self.keys[key].domains
    }

    /// How many domains there may be: every domain is less than this.
    pub fn size(&self, key: KeyId) -> usize {
        self.keys[key].values.len()
    }

    pub(super) fn key<'a>(
        &mut self,
        name: &str,
        value: impl Fn(Slot) -> Option<&'a String>,
        slots: usize,
    ) -> KeyId {
        if let Some(known) = self.keys.iter().position(|k| k.name == name) {
            return known;
        }
        let mut key = Key { name: name.to_owned(), ..Key::default() };
        for slot in 0..slots {
            key.set(slot, value(slot as Slot));
        }
        self.keys.push(key);
        self.keys.len() - 1
    }

    pub(super) fn set(&mut self, slot: Slot, labels: Option<&Labels>) {
        for key in &mut self.keys {
            let value = labels.and_then(|l| l.get(&key.name));
            key.set(slot as usize, value);
        }
    }
}
