//! Doing what a plan says, and knowing what came of it.

use std::any::TypeId;

use client::{Client, Key, PatchParams, Resource};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::Deserialize;

use crate::events::Recorder;
use crate::expect::{Expect, Unsure};
use crate::name::{self, Named};
use crate::{Caches, Controller, Event, Failure, Metrics, Op, Permit, Write};

/// How many writes of a plan run at once at first: what is refused is refused to few.
const TOGETHER: usize = 16;
/// How many more for each that was answered: four times as many in each round, so that few rounds wait for a disk.
const GROWTH: usize = 3;
/// And at most.
const TOGETHER_MOST: usize = 128;

/// What an answer says of the object written.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Written {
    metadata: WrittenMeta,
}

impl Written {
    pub(crate) fn revision(&self) -> Option<u64> {
        self.metadata.resource_version.parse().ok()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct WrittenMeta {
    name: String,
    namespace: String,
    resource_version: String,
}

/// What came of a plan's writes.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) expects: Vec<Expect>,
    /// Created or not: the answer was lost.
    pub(crate) unsure: Vec<Unsure>,
    pub(crate) failures: Vec<Failure>,
    /// Something changed meanwhile: not an error, plan again.
    pub(crate) conflict: bool,
    /// The kind of the resource written last: mostly of all.
    kind: Option<(Resource, Option<TypeId>)>,
}

impl Outcome {
    fn kind_of(&mut self, caches: &Caches, resource: &Resource) -> Option<TypeId> {
        match &self.kind {
            Some((known, kind)) if known == resource => *kind,
            _ => {
                let kind = caches.kind_of(resource);
                self.kind = Some((resource.clone(), kind));
                kind
            }
        }
    }
}

pub(crate) struct Applier<'a> {
    pub(crate) client: &'a Client,
    pub(crate) caches: &'a Caches,
    pub(crate) recorder: &'a Recorder,
    pub(crate) metrics: &'a Metrics,
    pub(crate) controller: &'a dyn Controller,
    pub(crate) permits: &'a [Permit],
}

impl Applier<'_> {
    /// Runs writes in order, neighbours marked so together; stops at the first that fails.
    pub(crate) async fn apply(&self, writes: Vec<Write>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut writes = writes.into_iter().peekable();
        while let Some(first) = writes.next() {
            let mut running = FuturesUnordered::new();
            let (together, mut most) = (first.together, TOGETHER);
            running.push(self.one(first));
            loop {
                while together
                    && running.len() < most
                    && outcome.failures.is_empty()
                    && let Some(next) = writes.next_if(|w| w.together)
                {
                    running.push(self.one(next));
                }
                let Some((write, result)) = running.next().await else { break };
                self.note(write, result, &mut outcome);
                most = (most + GROWTH).min(TOGETHER_MOST);
            }
            if outcome.conflict || !outcome.failures.is_empty() {
                break;
            }
        }
        outcome
    }

    /// A name made from a prefix is made here and not by the server, so that it can be asked for when the answer is
    /// lost. A name that is taken is made anew as upstream's server does.
    async fn one(&self, mut write: Write) -> (Write, Result<Written, client::Error>) {
        let Some(prefix) = name::prefix(&write) else {
            let result = self.send(&write).await;
            return (write, result);
        };
        let mut tried = 0;
        loop {
            write.key.name = name::make(&prefix);
            let result = self.send(&write).await;
            tried += 1;
            let taken = result.as_ref().is_err_and(|e| e.is(meta::Reason::AlreadyExists));
            if !taken || tried == name::ATTEMPTS {
                return (write, result);
            }
        }
    }

    async fn send(&self, write: &Write) -> Result<Written, client::Error> {
        let (verb, subresource) = (write.op.verb(), write.op.subresource());
        if !self.permits.iter().any(|p| p.covers(&write.resource, subresource, verb)) {
            let message = format!(
                "controller {} does not declare to {verb} {} {subresource}",
                self.controller.name(),
                write.resource.plural
            );
            return Err(client::Error::Api(Box::new(meta::Status::failure(
                meta::Reason::Forbidden,
                message,
            ))));
        }
        let manager = self.controller.name();
        let bytes = match &write.op {
            Op::Create(object) => {
                let path = write.resource.collection(&write.key.namespace);
                let named = Named { object, name: &write.key.name };
                self.client.post(format!("{path}?fieldManager={manager}"), &named).await?
            }
            Op::Patch { subresource, patch } => {
                let params = PatchParams { subresource, field_manager: manager };
                self.client.patch(&write.resource, &write.key, patch, &params).await?
            }
            Op::Delete(options) => self.client.delete(&write.resource, &write.key, options).await?,
            Op::Post { subresource, body } => {
                self.client.post(write.resource.object(&write.key, subresource), body).await?
            }
        };
        Ok(serde_json::from_slice(&bytes)?)
    }

    fn note(&self, write: Write, result: Result<Written, client::Error>, outcome: &mut Outcome) {
        match result {
            Ok(answer) => {
                self.metrics.measure(write.samples);
                if let Some(event) = write.on_ok {
                    self.record(event, "{name}", &answer.metadata.name);
                }
                if let Some(kind) = outcome.kind_of(self.caches, &write.resource) {
                    outcome.expects.extend(expect(kind, write.key, &write.op, &answer));
                }
            }
            Err(error) if error.is_not_found() && !matches!(write.op, Op::Create(_)) => {}
            // what was to be made would be deleted at once: as upstream, no failure
            Err(error) if matches!(write.op, Op::Create(_)) && namespace_ends(&error) => {}
            Err(error) if error.is_conflict() && !matches!(write.op, Op::Post { .. }) => {
                tracing::debug!(
                    controller = self.controller.name(),
                    key = %write.key,
                    error = &error as &dyn std::error::Error,
                    "Object changed meanwhile"
                );
                outcome.conflict = true;
            }
            Err(error) => {
                let message = error.to_string();
                if matches!(write.op, Op::Create(_))
                    && error.leaves_unsure()
                    && let Some(kind) = outcome.kind_of(self.caches, &write.resource)
                {
                    outcome.unsure.push(Unsure { kind, key: write.key.clone() });
                }
                if let Some(event) = write.on_err {
                    self.record(event, "{error}", &message);
                }
                outcome.failures.push(Failure {
                    verb: write.op.verb(),
                    resource: write.resource,
                    key: write.key,
                    status: error.status().cloned(),
                    message,
                });
            }
        }
    }

    fn record(&self, mut event: Event, placeholder: &str, text: &str) {
        event.message = event.message.replace(placeholder, text);
        self.recorder.record(self.controller.component(), event);
    }
}

/// Whether the server refused to create something in a namespace that is being deleted.
fn namespace_ends(error: &client::Error) -> bool {
    let causes = error.status().and_then(|s| s.details.as_ref()).map(|d| &d.causes);
    causes.into_iter().flatten().any(|c| c.reason == "NamespaceTerminating")
}

fn expect(kind: TypeId, key: Key, op: &Op, answer: &Written) -> Option<Expect> {
    match op {
        Op::Delete(options) => {
            let uid = options.preconditions.as_ref()?.uid.clone()?;
            Some(Expect::Gone { kind, key, uid })
        }
        Op::Post { .. } => None,
        Op::Create(_) | Op::Patch { .. } => {
            let revision = answer.revision()?;
            let key = Key::new(answer.metadata.namespace.clone(), answer.metadata.name.clone());
            Some(Expect::Seen { kind, key, revision })
        }
    }
}
