//! The test kit: a world of objects in memory, plans applied to it, and the properties every controller must have.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::{Key, Patch};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::memory::Memories;
use crate::{Answer, Ask, Body, Controller, Error, Kind, Need, Op, Plan, Refusal, View, Write};

/// Objects by plural and key, as an API server would hold them.
#[derive(Clone, Default, Debug)]
pub struct World {
    objects: BTreeMap<(String, Key), Value>,
    revision: u64,
    /// How often objects of a plural changed, and the snapshot made since: most plans look at what has not changed.
    changes: BTreeMap<String, u64>,
    shown: RefCell<BTreeMap<&'static str, Shown>>,
    memories: BTreeMap<&'static str, Memories>,
    /// The time.
    pub now: Timestamp,
    /// What the API server answers to needs, by path; a path that is missing is not found.
    pub answers: BTreeMap<String, Value>,
}

/// A snapshot and the number of changes it was made after.
type Shown = (u64, Arc<dyn Any + Send + Sync>);

/// No plan writes more than this at once (bursts of 500, and their status).
const BOUND: usize = 600;

/// Why a plan cannot be applied in memory.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// The object is not there.
    #[error("{0} is not there")]
    Absent(String),
    /// It is there already.
    #[error("{0} is there already")]
    Exists(String),
    /// It has changed.
    #[error("{0} has changed")]
    Changed(String),
    /// The write is none the kit knows.
    #[error("the kit cannot apply this write to {0}")]
    Unknown(String),
    /// The plan failed.
    #[error(transparent)]
    Plan(#[from] Error),
    /// A plan depends on the order of what it was shown.
    #[error("the plan changes with the order of the view:\n{0}\n{1}")]
    Ordered(String, String),
    /// A plan writes without bound.
    #[error("a plan of {0} writes")]
    Unbounded(usize),
    /// There was no end of plans.
    #[error("still not quiet after {0} plans")]
    Restless(usize),
}

impl World {
    /// An empty world at a time.
    pub fn new(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// Puts an object, giving it what a server gives.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn put<B: Body>(&mut self, object: &B) -> Result<(), Error> {
        let value = object.encode()?;
        self.store(B::URL_PATH_SEGMENT, object.place(), value);
        Ok(())
    }

    fn store(&mut self, plural: &str, mut key: Key, mut value: Value) -> Key {
        self.revision += 1;
        let meta = &mut value["metadata"];
        if key.name.is_empty() {
            let prefix = meta["generateName"].as_str().unwrap_or_default();
            key.name = format!("{prefix}{:05}", self.revision);
            meta["name"] = json!(key.name);
        }
        meta["resourceVersion"] = json!(self.revision.to_string());
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{}", self.revision));
            meta["creationTimestamp"] = json!(meta::time::rfc3339(self.now));
        }
        self.changed(plural);
        self.objects.insert((plural.to_owned(), key.clone()), value);
        key
    }

    /// Takes an object away, as by somebody else.
    pub fn remove<K: Kind>(&mut self, key: &Key) {
        self.changed(K::URL_PATH_SEGMENT);
        self.objects.remove(&(K::URL_PATH_SEGMENT.to_owned(), key.clone()));
        for memories in self.memories.values_mut() {
            memories.gone(key);
        }
    }

    fn changed(&mut self, plural: &str) {
        *self.changes.entry(plural.to_owned()).or_default() += 1;
    }

    /// All objects of a kind.
    pub fn all<B: Body>(&self) -> Vec<B> {
        let mine = self.objects.iter().filter(|((plural, _), _)| plural == B::URL_PATH_SEGMENT);
        mine.filter_map(|(_, value)| B::from_value(value).ok()).collect()
    }

    /// Changes every object of a kind.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn each<B: Body>(&mut self, change: impl Fn(&mut B)) -> Result<(), Error> {
        for mut object in self.all::<B>() {
            change(&mut object);
            self.put(&object)?;
        }
        Ok(())
    }

    pub(crate) fn fill<K: Kind>(&self, view: &mut View) -> Result<(), Error> {
        let changes = self.changes.get(K::URL_PATH_SEGMENT).copied().unwrap_or(0);
        let mut shown = self.shown.borrow_mut();
        if let Some((_, snapshot)) = shown.get(K::URL_PATH_SEGMENT).filter(|(made, _)| *made == changes) {
            view.show::<K>(Arc::clone(snapshot));
            return Ok(());
        }
        let mine = self.objects.iter().filter(|((plural, _), _)| plural == K::URL_PATH_SEGMENT);
        let snapshot = K::snapshot_of(mine.map(|(_, value)| value.clone()).collect())?;
        shown.insert(K::URL_PATH_SEGMENT, (changes, Arc::clone(&snapshot)));
        view.show::<K>(snapshot);
        Ok(())
    }

    /// What a controller sees of it.
    ///
    /// # Errors
    /// An object is not of its kind.
    pub fn view(&self, controller: &dyn Controller) -> Result<View, Error> {
        let mut view = View::default();
        for watch in controller.watches() {
            (watch.fill)(self, &mut view)?;
        }
        Ok(view)
    }

    /// The keys everything in it leads to.
    ///
    /// # Errors
    /// An object is not of its kind.
    pub fn keys(&self, controller: &dyn Controller) -> Result<BTreeSet<Key>, Error> {
        let view = self.view(controller)?;
        let mut keys = BTreeSet::new();
        for watch in controller.watches() {
            keys.extend((watch.each)(&watch, &view));
        }
        Ok(keys)
    }

    /// A controller's plan now.
    ///
    /// # Errors
    /// The controller's.
    pub fn plan(&self, controller: &dyn Controller, key: &Key) -> Result<Plan, Error> {
        self.plan_of(controller, key, &self.view(controller)?)
    }

    /// A controller's plans for all keys, as when it looks at everything: on one view, before any of them is applied.
    ///
    /// # Errors
    /// The controller's.
    pub fn sweep(&mut self, controller: &dyn Controller) -> Result<Vec<Plan>, Error> {
        let (view, mut plans) = (self.view(controller)?, Vec::new());
        for key in self.keys(controller)? {
            let plan = self.plan_of(controller, &key, &view)?;
            self.keep(controller, &key, &plan);
            plans.push(plan);
        }
        Ok(plans)
    }

    fn keep(&mut self, controller: &dyn Controller, key: &Key, plan: &Plan) {
        let memories = self.memories.entry(controller.name()).or_default();
        memories.keep(key, &memories.recall(key), plan);
    }

    fn plan_of(&self, controller: &dyn Controller, key: &Key, view: &View) -> Result<Plan, Error> {
        let mut answers: Vec<(Need, Answer)> = Vec::new();
        let told = self.memories.get(controller.name()).map(|m| m.recall(key)).unwrap_or_default();
        loop {
            let plan = controller.plan(&Ask {
                view,
                key,
                now: self.now,
                failures: &[],
                answers: &answers,
                memory: told.own.as_ref(),
                shared: told.shared.as_ref(),
            })?;
            if plan.needs.is_empty() {
                return Ok(plan);
            }
            for need in plan.needs {
                let refusal = || Refusal {
                    status: Some(meta::Status::failure(meta::Reason::NotFound, "not there")),
                    message: format!("{} is not there", need.path),
                };
                let answer = self.answers.get(&need.path).cloned().ok_or_else(refusal);
                answers.push((need, answer));
            }
        }
    }

    /// Whether a controller's plan is bounded and the same however its view is ordered.
    fn check_plan(&self, controller: &dyn Controller, key: &Key) -> Result<Plan, KitError> {
        let view = self.view(controller)?;
        let plan = self.plan_of(controller, key, &view)?;
        if plan.writes.len() > BOUND {
            return Err(KitError::Unbounded(plan.writes.len()));
        }
        let other = self.plan_of(controller, key, &view.backwards())?;
        let (one, other) = (render(&plan), render(&other));
        if one == other { Ok(plan) } else { Err(KitError::Ordered(one.join("\n"), other.join("\n"))) }
    }

    /// Applies one write.
    ///
    /// # Errors
    /// See [`KitError`].
    pub fn apply(&mut self, write: &Write) -> Result<(), KitError> {
        let plural = write.resource.plural.to_string();
        let id = (plural.clone(), write.key.clone());
        match &write.op {
            Op::Create(_) if self.objects.contains_key(&id) => {
                return Err(KitError::Exists(write.key.to_string()));
            }
            Op::Create(object) => {
                self.store(&plural, write.key.clone(), Value::clone(object));
            }
            Op::Delete(_) => {
                let held = self
                    .objects
                    .get(&id)
                    .is_some_and(|o| o["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty()));
                if held {
                    let mut object = self.objects[&id].clone();
                    object["metadata"]["deletionTimestamp"] = json!(meta::time::rfc3339(self.now));
                    self.store(&plural, write.key.clone(), object);
                } else {
                    self.changed(&plural);
                    self.objects.remove(&id);
                }
            }
            Op::Patch { patch: Patch::Merge(patch) | Patch::Strategic(patch), .. } => {
                let Some(object) = self.objects.get(&id) else {
                    return Err(KitError::Absent(write.key.to_string()));
                };
                let (mut object, mut patch) = (object.clone(), patch.clone());
                let expected = &patch["metadata"]["resourceVersion"];
                if !expected.is_null() && *expected != object["metadata"]["resourceVersion"] {
                    return Err(KitError::Changed(write.key.to_string()));
                }
                let gone = patch["metadata"]["$deleteFromPrimitiveList/finalizers"].take();
                if let (Some(gone), Some(known)) =
                    (gone.as_array(), object["metadata"]["finalizers"].as_array_mut())
                {
                    known.retain(|f| !gone.contains(f));
                }
                merge(&mut object, &patch);
                self.store(&plural, write.key.clone(), object);
            }
            Op::Patch { .. } | Op::Post { .. } => return Err(KitError::Unknown(write.key.to_string())),
        }
        Ok(())
    }

    /// Plans and applies until nothing is left to write; gives how many plans that took.
    ///
    /// # Errors
    /// See [`KitError`]; `Restless` when `most` plans were not enough.
    pub fn settle(&mut self, controller: &dyn Controller, key: &Key, most: usize) -> Result<usize, KitError> {
        for count in 0..most {
            let plan = self.check_plan(controller, key)?;
            self.keep(controller, key, &plan);
            if plan.writes.is_empty() {
                return Ok(count);
            }
            for write in &plan.writes {
                match self.apply(write) {
                    Err(KitError::Changed(_) | KitError::Exists(_)) => break, // as a server would: plan again
                    other => other?,
                }
            }
        }
        Err(KitError::Restless(most))
    }

    /// Checks that a controller settles with bounded plans that do not depend on the order of what it sees, stays quiet,
    /// and settles as well after a crash at any point of its first plan.
    ///
    /// # Errors
    /// See [`KitError`].
    pub fn check(&self, controller: &dyn Controller, key: &Key, most: usize) -> Result<Self, KitError> {
        let mut settled = self.clone();
        settled.settle(controller, key, most)?;
        let first = self.plan(controller, key)?;
        for length in 0..first.writes.len() {
            let mut crashed = self.clone();
            crashed.memories.clear();
            for write in &first.writes[..length] {
                crashed.apply(write)?;
            }
            crashed.settle(controller, key, most)?;
            if crashed.count() != settled.count() {
                return Err(KitError::Changed(format!("the outcome after a crash at write {length}")));
            }
        }
        Ok(settled)
    }

    fn count(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for (plural, _) in self.objects.keys() {
            *counts.entry(plural.as_str()).or_default() += 1;
        }
        counts
    }
}

/// A plan's writes as lines; neighbours that may run together have no order among each other.
fn render(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut from = 0;
    for write in &plan.writes {
        if !write.together {
            lines[from..].sort_unstable();
            from = lines.len();
        }
        lines.push(format!("{} {} {:?}", write.resource.plural, write.key, write.op));
        if !write.together {
            from = lines.len();
        }
    }
    lines[from..].sort_unstable();
    lines
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
