//! What a plan says: writes in order, events, when to look again.

#[cfg(test)]
mod tests;

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, DeleteOptions, Key, Patch, Preconditions, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Map, Value, json};

use crate::{Answer, Ask, Body, Error, Event, Kind, Sample};

/// What came of an effect: when to plan again, if at all.
pub type EffectResult = Result<Option<Duration>, client::Error>;

/// Something only live requests can do (emptying a namespace).
pub trait Effect: std::fmt::Debug + Send + Sync {
    /// Does it.
    fn run<'a>(&'a self, client: &'a Client) -> Pin<Box<dyn Future<Output = EffectResult> + Send + 'a>>;
}

/// What shall be done, in order.
#[derive(Debug, Default, Clone)]
pub struct Plan {
    /// Writes, in order; neighbours marked `together` run at once.
    pub writes: Vec<Write>,
    /// Events that depend on no write.
    pub events: Vec<Event>,
    /// Plan again after this time.
    pub requeue: Option<Duration>,
    /// Live work, after the writes.
    pub effects: Vec<Arc<dyn Effect>>,
    /// What must be asked before there can be a plan: nothing else of this one counts, and the next sees the answers.
    pub needs: Vec<Need>,
    /// What the key's next plan shall see, see [`crate::Ask::remembered`]; `None` keeps what there is.
    pub memory: Option<Memory>,
    /// What the next plans of all keys shall see, see [`crate::Ask::shared`]; `None` keeps what there is.
    pub shared: Option<Memory>,
    /// What is measured whatever comes of the writes.
    pub samples: Vec<Sample>,
}

/// What a plan hands to later ones.
pub type Memory = Arc<dyn Any + Send + Sync>;

/// A request no cache can answer: a read of something not followed, or a review.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// The path, with its query.
    pub path: String,
    /// What is posted; `None` reads.
    pub body: Option<Value>,
}

impl Need {
    /// A read.
    pub fn read(path: impl Into<String>) -> Self {
        Self { path: path.into(), body: None }
    }

    /// A review.
    pub fn review(path: impl Into<String>, body: Value) -> Self {
        Self { path: path.into(), body: Some(body) }
    }
}

/// One write.
#[derive(Debug, Clone)]
pub struct Write {
    /// The resource.
    pub resource: Resource,
    /// The object; the name is empty where the server makes it.
    pub key: Key,
    /// What to do.
    pub op: Op,
    /// Whether it may run beside its neighbours.
    pub together: bool,
    /// Recorded when it succeeded; `{name}` in the message is the object's name.
    pub on_ok: Option<Event>,
    /// Recorded when it failed; `{error}` in the message is the server's.
    pub on_err: Option<Event>,
    /// Measured when it succeeded.
    pub samples: Vec<Sample>,
}

/// What a write does.
#[derive(Debug, Clone)]
pub enum Op {
    /// Creates the object, which others may be created like.
    Create(Arc<Value>),
    /// Patches the object or a subresource of it.
    Patch {
        /// The subresource, or empty.
        subresource: &'static str,
        /// The change, with its preconditions.
        patch: Patch,
    },
    /// Deletes the object.
    Delete(DeleteOptions),
    /// Posts to a subresource.
    Post {
        /// The subresource.
        subresource: &'static str,
        /// The body.
        body: Value,
    },
}

/// A write of the previous plan that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The resource.
    pub resource: Resource,
    /// The object.
    pub key: Key,
    /// `create`, `patch`, `delete` or `post`.
    pub verb: &'static str,
    /// The server's status, when it answered.
    pub status: Option<meta::Status>,
    /// The error's text.
    pub message: String,
}

impl Op {
    /// Its RBAC verb.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) | Self::Post { .. } => "create",
            Self::Patch { .. } => "patch",
            Self::Delete(_) => "delete",
        }
    }

    /// Its subresource, or empty.
    pub fn subresource(&self) -> &'static str {
        match self {
            Self::Create(_) | Self::Delete(_) => "",
            Self::Patch { subresource, .. } | Self::Post { subresource, .. } => subresource,
        }
    }
}

impl Plan {
    /// Nothing to do.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Whether it does nothing (looking again later is nothing).
    pub fn is_quiet(&self) -> bool {
        self.writes.is_empty() && self.events.is_empty() && self.effects.is_empty()
    }

    fn push(&mut self, resource: Resource, key: Key, op: Op) -> &mut Write {
        let write =
            Write { resource, key, op, together: false, on_ok: None, on_err: None, samples: Vec::new() };
        self.writes.push(write);
        let last = self.writes.len() - 1;
        &mut self.writes[last]
    }

    /// Creates an object.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn create<B: Body>(&mut self, object: &B) -> Result<&mut Write, Error> {
        Ok(self.push(B::target(), object.place(), Op::Create(Arc::new(object.encode()?))))
    }

    /// Creates as many objects, alike but for the names made for them.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn create_many<B: Body>(&mut self, object: &B, count: usize) -> Result<&mut [Write], Error> {
        let first = self.writes.len();
        if count > 0 {
            let write = self.create(object)?.clone();
            self.writes.extend(std::iter::repeat_n(write, count - 1));
        }
        Ok(&mut self.writes[first..])
    }

    /// Changes what differs between two states of an object, provided that it has not changed since `old`.
    /// Gives whether anything differs.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn update<K: Kind + Body>(&mut self, old: &K, new: &K) -> Result<bool, Error> {
        self.change(old, new, "", true)
    }

    /// As [`Plan::update`], through the status subresource.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn update_status<K: Kind + Body>(&mut self, old: &K, new: &K) -> Result<bool, Error> {
        self.change(old, new, "status", true)
    }

    fn change<K: Kind + Body>(
        &mut self,
        old: &K,
        new: &K,
        subresource: &'static str,
        guarded: bool,
    ) -> Result<bool, Error> {
        let Some(Value::Object(mut patch)) = merge_diff(&old.encode()?, &new.encode()?) else {
            return Ok(false);
        };
        let meta = patch.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        meta["uid"] = json!(old.uid());
        if guarded && !old.revision().is_empty() {
            meta["resourceVersion"] = json!(old.revision());
        }
        let patch = Patch::Merge(Value::Object(patch));
        self.push(K::resource(), old.key(), Op::Patch { subresource, patch });
        Ok(true)
    }

    /// Changes whom an object belongs to, provided that it has not changed since.
    pub fn hand_over<K: Kind>(&mut self, object: &K, owners: &[OwnerReference]) -> &mut Write {
        let mut meta = json!({ "uid": object.uid(), "ownerReferences": owners });
        if !object.revision().is_empty() {
            meta["resourceVersion"] = json!(object.revision());
        }
        self.patch(object, "", Patch::Merge(json!({ "metadata": meta })))
    }

    /// A patch as it is.
    pub fn patch<K: Kind>(&mut self, object: &K, subresource: &'static str, patch: Patch) -> &mut Write {
        self.push(K::resource(), object.key(), Op::Patch { subresource, patch })
    }

    /// Deletes an object, provided that it is still this one.
    pub fn delete<K: Kind>(&mut self, object: &K) -> &mut Write {
        let preconditions = Some(Preconditions { uid: Some(object.uid().into()), resource_version: None });
        let options = DeleteOptions { preconditions, ..DeleteOptions::default() };
        self.push(K::resource(), object.key(), Op::Delete(options))
    }

    /// Deletes an object with options of the caller's.
    pub fn delete_with<K: Kind>(&mut self, object: &K, options: DeleteOptions) -> &mut Write {
        self.push(K::resource(), object.key(), Op::Delete(options))
    }

    /// A write of a resource known at run time only.
    pub fn write(&mut self, resource: Resource, key: Key, op: Op) -> &mut Write {
        self.push(resource, key, op)
    }

    /// Asks something first: the answer, or `None` when this plan must wait for it.
    pub fn need<'a>(&mut self, ask: &Ask<'a>, need: Need) -> Option<&'a Answer> {
        let answer = ask.answer(&need);
        if answer.is_none() {
            self.needs.push(need);
        }
        answer
    }

    /// Hands something to the key's next plan.
    pub fn remember<T: Any + Send + Sync>(&mut self, what: T) {
        self.memory = Some(Arc::new(what));
    }

    /// Hands something to the next plans of all keys: what would cost each of them as much to find out.
    pub fn share<T: Any + Send + Sync>(&mut self, what: Arc<T>) {
        self.shared = Some(what);
    }

    /// Plans again after a time, or sooner if asked before.
    pub fn again(&mut self, after: Duration) {
        self.requeue = Some(self.requeue.map_or(after, |r| r.min(after)));
    }
}

impl Write {
    /// May run beside its neighbours.
    pub fn together(&mut self) -> &mut Self {
        self.together = true;
        self
    }

    /// Events for either outcome.
    pub fn events(&mut self, ok: Event, err: Event) -> &mut Self {
        self.on_ok = Some(ok);
        self.on_err = Some(err);
        self
    }

    /// Measured when it succeeds.
    pub fn measured(&mut self, samples: impl IntoIterator<Item = Sample>) -> &mut Self {
        self.samples.extend(samples);
        self
    }
}

/// The JSON merge patch (RFC 7386) from one value to another, `None` when they are equal.
pub fn merge_diff(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for (name, value) in new {
                match old.get(name) {
                    None => {
                        patch.insert(name.clone(), value.clone());
                    }
                    Some(before) => {
                        if let Some(inner) = merge_diff(before, value) {
                            patch.insert(name.clone(), inner);
                        }
                    }
                }
            }
            for name in old.keys().filter(|n| !new.contains_key(*n)) {
                patch.insert(name.clone(), Value::Null);
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ => (old != new).then(|| new.clone()),
    }
}
