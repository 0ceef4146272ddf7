//! What a controller states and does.

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Duration;

use client::{Key, Resource};
use jiff::Timestamp;
use serde_json::Value;

use crate::kit::World;
use crate::{Caches, Failure, Kind, Memory, Metric, Need, Plan, View};

/// Why there is no plan; the key is tried again with backoff.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something the user can see and must change, or that will change by itself.
    #[error("{0}")]
    Invalid(String),
    /// An object has no JSON form.
    #[error("encoding an object")]
    Encode(#[from] serde_json::Error),
}

/// What a plan is made from.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The caches.
    pub view: &'a View,
    /// The root object's key.
    pub key: &'a Key,
    /// The time.
    pub now: Timestamp,
    /// Writes of this key's previous plan that failed, once.
    pub failures: &'a [Failure],
    /// What the API server answered to what the plan before this said it needs.
    pub answers: &'a [(Need, Answer)],
    /// What the key's last plan wanted to be remembered; lost with the process. Of an object that is gone one plan more is
    /// told.
    pub memory: Option<&'a Memory>,
    /// What the last plan of any key wanted all to see; lost with the process.
    pub shared: Option<&'a Memory>,
}

/// An answer to a [`Need`].
pub type Answer = Result<Value, Refusal>;

/// Why a need was not met.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The server's status, when it answered.
    pub status: Option<meta::Status>,
    /// The error's text.
    pub message: String,
}

impl Refusal {
    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status.as_ref().is_some_and(|s| s.is(meta::Reason::NotFound))
    }
}

impl From<client::Error> for Refusal {
    fn from(error: client::Error) -> Self {
        Self { status: error.status().cloned(), message: error.to_string() }
    }
}

impl<'a> Ask<'a> {
    /// The answer to a need, when it was asked.
    pub fn answer(&self, need: &Need) -> Option<&'a Answer> {
        self.answers.iter().find(|(asked, _)| asked == need).map(|(_, answer)| answer)
    }

    /// What was remembered, when it is of this type.
    pub fn remembered<T: 'static>(&self) -> Option<&'a T> {
        self.memory?.downcast_ref()
    }

    /// What was shared, when it is of this type.
    pub fn shared<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.shared?).downcast().ok() // one of another type is none
    }
}

/// A control loop: a pure function from what is to what shall be written.
pub trait Controller: Send + Sync + 'static {
    /// Upstream's name of it, as in `--controllers`.
    fn name(&self) -> &'static str;

    /// The component its events name.
    fn component(&self) -> &'static str {
        self.name()
    }

    /// What it watches, and how a change leads to root keys.
    fn watches(&self) -> Vec<Watch>;

    /// What it may write.
    fn writes(&self) -> Vec<Permit>;

    /// What it measures, beside what is measured of every controller.
    fn metrics(&self) -> Vec<&'static Metric> {
        Vec::new()
    }

    /// The metric of the seconds that work on a key takes, where upstream has one.
    fn worked(&self) -> Option<&'static Metric> {
        None
    }

    /// How often every root key is planned without a change.
    fn period(&self) -> Option<Duration> {
        None
    }

    /// What shall be written, now.
    ///
    /// # Errors
    /// See [`Error`]: tried again with backoff.
    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error>;
}

/// Something a controller may write.
#[derive(Debug, Clone)]
pub struct Permit {
    /// The resource.
    pub resource: Resource,
    /// Its subresource, or empty.
    pub subresource: &'static str,
    /// Verbs as in RBAC, separated by blanks.
    pub verbs: &'static str,
}

impl Permit {
    /// A permit for a kind.
    pub fn of<K: Kind>(verbs: &'static str) -> Self {
        Self { resource: K::resource(), subresource: "", verbs }
    }

    /// A permit for a kind's subresource.
    pub fn sub<K: Kind>(subresource: &'static str, verbs: &'static str) -> Self {
        Self { resource: K::resource(), subresource, verbs }
    }

    /// Whether it covers a write.
    pub fn covers(&self, resource: &Resource, subresource: &str, verb: &str) -> bool {
        let resource = self.resource.plural == "*" || self.resource == *resource;
        resource && self.subresource == subresource && self.verbs.split(' ').any(|v| v == verb)
    }
}

type Map = Arc<dyn Fn(&View, &dyn Any) -> Vec<Key> + Send + Sync>;
type Counts = Arc<dyn Fn(Option<&dyn Any>, Option<&dyn Any>) -> bool + Send + Sync>;

/// A kind that is watched and how a change of it leads to root keys.
#[derive(Clone)]
pub struct Watch {
    pub(crate) kind: TypeId,
    pub(crate) root: bool,
    pub(crate) declare: fn(&mut Caches),
    pub(crate) fill: fn(&World, &mut View) -> Result<(), Error>,
    /// The keys all objects of a view lead to.
    pub(crate) each: fn(&Watch, &View) -> Vec<Key>,
    pub(crate) map: Map,
    /// Which changes, from an old to a new state, are a reason to plan.
    pub(crate) counts: Counts,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Watch {
    /// The root kind: its own key.
    pub fn root<K: Kind>() -> Self {
        Self { root: true, ..Self::map::<K>(|_, object| vec![object.key()]) }
    }

    /// Objects the root kind `R` controls.
    pub fn owned<K: Kind, R: Kind>() -> Self {
        Self::map::<K>(|_, object| {
            let owner = object.controller().filter(|o| o.kind == R::KIND && o.api_version == R::API_VERSION);
            owner.map(|o| Key::new(object.namespace(), o.name.clone())).into_iter().collect()
        })
    }

    /// A function from a changed object (both its old and its new state are asked) to root keys.
    pub fn map<K: Kind>(map: impl Fn(&View, &K) -> Vec<Key> + Send + Sync + 'static) -> Self {
        let map: Map = Arc::new(move |view, object| {
            object.downcast_ref::<K>().map(|object| map(view, object)).unwrap_or_default()
        });
        Self {
            kind: TypeId::of::<K>(),
            root: false,
            declare: |caches| caches.declare::<K>(),
            fill: |world, view| world.fill::<K>(view),
            each: |watch, view| {
                view.all::<K>().flat_map(|object| (watch.map)(view, object.as_ref())).collect()
            },
            map,
            counts: Arc::new(|_, _| true),
        }
    }

    /// Only these changes are a reason to plan: asked with the old state (none of a new object) and the new one (none of
    /// one that is gone).
    #[must_use]
    pub fn when<K: Kind>(
        mut self,
        counts: impl Fn(Option<&K>, Option<&K>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.counts = Arc::new(move |old, new| {
            counts(old.and_then(<dyn Any>::downcast_ref), new.and_then(<dyn Any>::downcast_ref))
        });
        self
    }

    /// Read by the plan, but no reason to plan.
    pub fn read<K: Kind>() -> Self {
        Self::map::<K>(|_, _| Vec::new())
    }
}
