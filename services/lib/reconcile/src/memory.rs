//! What plans remember for the plans after them; lost with the process.

use std::collections::HashMap;
use std::sync::Arc;

use client::Key;

use crate::{Memory, Plan};

/// What one controller's plans remember.
#[derive(Debug, Default, Clone)]
pub(crate) struct Memories {
    keys: HashMap<Key, Entry>,
    shared: Option<Memory>,
}

#[derive(Debug, Clone)]
struct Entry {
    memory: Memory,
    /// Whether the key's object has gone, and its next plan is to say what that means.
    gone: bool,
}

/// What a plan is told.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    pub(crate) own: Option<Memory>,
    pub(crate) shared: Option<Memory>,
    gone: bool,
}

impl Memories {
    /// What a key's plan is told. Ask before the caches are looked at: they show no less than was known here.
    pub(crate) fn recall(&self, key: &Key) -> Recalled {
        let entry = self.keys.get(key);
        Recalled {
            own: entry.map(|e| Arc::clone(&e.memory)),
            shared: self.shared.clone(),
            gone: entry.is_some_and(|e| e.gone),
        }
    }

    /// Keeps what a plan wants to be remembered. Of an object that is gone a plan is told once, unless it wants that again.
    pub(crate) fn keep(&mut self, key: &Key, told: &Recalled, plan: &Plan) {
        if let Some(memory) = &plan.memory {
            let entry = Entry { memory: Arc::clone(memory), gone: false };
            self.keys.insert(key.clone(), entry);
        } else if told.gone {
            self.keys.remove(key);
        }
        if plan.shared.is_some() {
            self.shared.clone_from(&plan.shared);
        }
    }

    /// The key's object is gone. Gives whether something is remembered of it, so that there must be one plan more.
    pub(crate) fn gone(&mut self, key: &Key) -> bool {
        let entry = self.keys.get_mut(key);
        entry.map(|e| e.gone = true).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembers(what: u8) -> Plan {
        let mut plan = Plan::nothing();
        plan.remember(what);
        plan
    }

    fn own(memories: &Memories, key: &Key) -> Option<u8> {
        memories.recall(key).own.and_then(|m| m.downcast_ref().copied())
    }

    #[test]
    fn what_is_gone_is_told_once() {
        let (mut memories, key) = (Memories::default(), Key::new("", "n"));
        memories.keep(&key, &Recalled::default(), &remembers(1));
        memories.keep(&key, &memories.recall(&key), &Plan::nothing());
        assert!(memories.gone(&key));
        let told = memories.recall(&key);
        assert_eq!(own(&memories, &key), Some(1));
        memories.keep(&key, &told, &Plan::nothing());
        assert_eq!(own(&memories, &key), None);
        assert!(!memories.gone(&key));
    }

    #[test]
    fn a_plan_may_remember_what_is_gone() {
        let (mut memories, key) = (Memories::default(), Key::new("", "n"));
        memories.keep(&key, &Recalled::default(), &remembers(1));
        memories.gone(&key);
        memories.keep(&key, &memories.recall(&key), &remembers(2));
        memories.keep(&key, &memories.recall(&key), &Plan::nothing());
        assert_eq!(own(&memories, &key), Some(2));
    }

    #[test]
    fn what_is_shared_every_key_is_told() {
        let (mut memories, mut plan) = (Memories::default(), Plan::nothing());
        plan.share(Arc::new(7_u8));
        memories.keep(&Key::new("", "a"), &Recalled::default(), &plan);
        let told = memories.recall(&Key::new("", "b"));
        assert_eq!(told.shared.and_then(|m| m.downcast_ref().copied()), Some(7_u8));
    }
}
