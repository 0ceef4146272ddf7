//! API priority and fairness, as far as a client sees it: each request is of one FlowSchema and its priority level,
//! and the answer says of which.
//!
//! How many requests are worked on is limited by [`crate::http::limits`], not by level.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go`, `…/server/filters/priority-and-fairness.go`
//! # Differs
//! Requests are not queued by level: the levels' shares are kept, shown and not acted upon.

pub mod bootstrap;
pub mod dangling;
mod rules;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::User;
use crate::auth::follow::follow;
use crate::registry::Registry;
use crate::request::RequestInfo;
use crate::store::Store;
use crate::store::entry::Entry;

/// The API group of both kinds.
pub(crate) const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// FlowSchemas.
pub(crate) const SCHEMAS: &str = "flowschemas";
/// Priority levels.
pub(crate) const LEVELS: &str = "prioritylevelconfigurations";

const SCHEMA_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// What a request is of.
#[derive(Debug, Clone)]
pub struct Flow {
    schema: HeaderValue,
    level: HeaderValue,
}

impl Flow {
    /// Says it in an answer's headers.
    pub fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(SCHEMA_HEADER, self.schema.clone());
        headers.insert(LEVEL_HEADER, self.level.clone());
    }
}

struct Schema {
    uid: HeaderValue,
    level: String,
    rules: Vec<rules::Rules>,
}

#[derive(Default)]
struct Known {
    /// In the order they are tried: by precedence, then by name.
    schemas: BTreeMap<(i64, String), Schema>,
    levels: BTreeMap<String, HeaderValue>,
}

/// The FlowSchemas and levels as the cache shows them.
#[derive(Clone, Default)]
pub struct Flows {
    known: Arc<RwLock<Known>>,
    changed: Arc<tokio::sync::Notify>,
}

fn read<'a, T: serde::Deserialize<'a>>(entry: &'a Entry) -> Option<T> {
    match serde_json::from_slice(&entry.bytes) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(key = %entry.key, error = %error, "unreadable FlowSchema or priority level");
            None
        }
    }
}

fn uid(entry: &Entry) -> Option<HeaderValue> {
    entry.str_at(&["metadata", "uid"]).and_then(|uid| HeaderValue::from_str(&uid).ok())
}

impl Known {
    fn set_schema(&mut self, name: &str, entry: Option<&Entry>) {
        self.schemas.retain(|(_, known), _| known != name);
        let Some(entry) = entry else { return };
        let (Some(uid), Some(found)) = (uid(entry), read::<rules::FlowSchema>(entry)) else { return };
        let spec = found.spec;
        let schema = Schema { uid, level: spec.priority_level_configuration.name, rules: spec.rules };
        self.schemas.insert((spec.matching_precedence, name.to_owned()), schema);
    }

    fn set_level(&mut self, name: &str, entry: Option<&Entry>) {
        match entry.and_then(uid) {
            Some(uid) => drop(self.levels.insert(name.to_owned(), uid)),
            None => drop(self.levels.remove(name)),
        }
    }
}

impl Flows {
    /// Follows both kinds.
    pub fn new(store: &Store, registry: &Registry) -> Self {
        let flows = Self::default();
        for (plural, set) in
            [(SCHEMAS, Known::set_schema as fn(&mut Known, &str, Option<&Entry>)), (LEVELS, Known::set_level)]
        {
            let Some(endpoint) = registry.find_any(GROUP, plural) else { continue };
            let cache = store.cache.add(&endpoint.resource);
            let own = flows.clone();
            follow(store.cache.clone(), cache, move |_, name, entry| {
                set(
                    &mut own.known.write().unwrap_or_else(PoisonError::into_inner),
                    name,
                    entry.map(|e| &**e),
                );
                own.changed.notify_one();
            });
        }
        flows
    }

    /// The flow of a request; `None` for streams, which are in none, and while there are no FlowSchemas yet.
    pub fn classify(&self, user: &User, info: &RequestInfo) -> Option<Flow> {
        if info.long_running() && info.verb != "watch" {
            return None;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.schemas.values().find_map(|schema| {
            let level = known.levels.get(&schema.level)?;
            let matches = schema.rules.iter().any(|rules| rules.match_request(user, info));
            matches.then(|| Flow { schema: schema.uid.clone(), level: level.clone() })
        })
    }
}
