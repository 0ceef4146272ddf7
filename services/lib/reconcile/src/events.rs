//! Events: what a user is told about an object, aggregated so that a loop cannot flood the store.
//!
//! # Upstream
//! `k8s.io/client-go/tools/record/{event,events_cache}.go`

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::{Client, Key, Patch, PatchParams, Resource};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Kind;

/// Similar events (all but the message equal) within this time become one.
const SIMILAR_WITHIN: Duration = Duration::from_secs(600);
/// From this many on.
const SIMILAR_MOST: u32 = 10;
/// Distinct events remembered.
const REMEMBERED: usize = 4096;
/// Events an object and component may have at once, and how fast that refills.
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Involved {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// Namespace and name.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
    /// The revision that was looked at.
    pub resource_version: String,
}

/// An event to record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// What it is about.
    pub about: Arc<Involved>,
    /// How bad it is.
    pub level: Level,
    /// A word in camel case.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Event {
    /// An event as it should be.
    pub fn normal<K: Kind>(about: &K, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about: Arc::new(Involved::of(about)), level: Level::Normal, reason, message: message.into() }
    }

    /// An event somebody should look at.
    pub fn warning<K: Kind>(about: &K, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about: Arc::new(Involved::of(about)), level: Level::Warning, reason, message: message.into() }
    }
}

impl Involved {
    /// An object.
    pub fn of<K: Kind>(object: &K) -> Self {
        Self {
            api_version: K::API_VERSION.into(),
            kind: K::KIND.into(),
            namespace: object.namespace().into(),
            name: object.name().into(),
            uid: object.uid().into(),
            resource_version: object.revision().into_owned(),
        }
    }
}

struct Recorded {
    key: Key,
    count: i32,
}

/// Records events in the background. Clones share it.
#[derive(Clone, Debug)]
pub struct Recorder(mpsc::UnboundedSender<(&'static str, Event)>);

impl Recorder {
    /// Starts recording.
    pub fn start(client: Client) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<(&'static str, Event)>();
        tokio::spawn(async move {
            let mut book = Book::default();
            while let Some((component, event)) = receiver.recv().await {
                if let Err(error) = book.record(&client, component, event).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "Event not recorded");
                }
            }
        });
        Self(sender)
    }

    /// Records an event of a component, in the background.
    pub fn record(&self, component: &'static str, event: Event) {
        if self.0.send((component, event)).is_err() {
            tracing::error!("The event recorder ended");
        }
    }
}

#[derive(Default)]
struct Book {
    known: HashMap<(&'static str, Event), Recorded>,
    similar: HashMap<(&'static str, Event), (u32, Instant)>,
    tokens: HashMap<(&'static str, Arc<Involved>), (f64, Instant)>,
}

impl Book {
    /// Whether the object's share of events is used up.
    fn is_spam(&mut self, component: &'static str, about: &Arc<Involved>) -> bool {
        let now = Instant::now();
        let (tokens, last) = self.tokens.entry((component, Arc::clone(about))).or_insert((BURST, now));
        *tokens = (*tokens + now.duration_since(*last).as_secs_f64() / REFILL_SECONDS).min(BURST);
        *last = now;
        if *tokens < 1.0 {
            return true;
        }
        *tokens -= 1.0;
        false
    }

    /// The event to record in place of many that differ in their message only.
    fn aggregated(&mut self, component: &'static str, mut event: Event) -> Event {
        let message = std::mem::take(&mut event.message);
        let now = Instant::now();
        let (count, since) = self.similar.entry((component, event.clone())).or_insert((0, now));
        if now.duration_since(*since) > SIMILAR_WITHIN {
            *count = 0;
        }
        (*count, *since) = (*count + 1, now);
        let many = *count > SIMILAR_MOST;
        event.message = if many { format!("(combined from similar events): {message}") } else { message };
        event
    }

    async fn record(
        &mut self,
        client: &Client,
        component: &'static str,
        mut event: Event,
    ) -> Result<(), client::Error> {
        // the same object at another revision is the same object
        let revision = std::mem::take(&mut Arc::make_mut(&mut event.about).resource_version);
        if self.known.len() > REMEMBERED {
            self.known.clear();
            self.similar.clear();
            self.tokens.clear();
        }
        let event = self.aggregated(component, event);
        if self.is_spam(component, &event.about) {
            return Ok(());
        }
        let now = Timestamp::now();
        let events = resource();
        let id = (component, event);
        if let Some(known) = self.known.get_mut(&id) {
            known.count += 1;
            let patch = Patch::Merge(
                json!({"count": known.count, "lastTimestamp": meta::time::rfc3339(now), "message": id.1.message}),
            );
            match client.patch(&events, &known.key, &patch, &PatchParams::default()).await {
                Err(error) if error.is_not_found() => {
                    self.known.remove(&id);
                }
                other => return other.map(|_| ()),
            }
        }
        let event = &id.1;
        let namespace = if event.about.namespace.is_empty() {
            "default".to_owned()
        } else {
            event.about.namespace.clone()
        };
        let key = Key::new(namespace, format!("{}.{:016x}", event.about.name, unique(now)));
        let object = body(component, event, &key, &revision, now);
        let path = format!("{}?fieldManager={component}", events.collection(&key.namespace));
        match client.post(path, &object).await {
            // the namespace goes: nobody will read it
            Err(error) if error.is_not_found() || error.is(meta::Reason::Forbidden) => return Ok(()),
            other => drop(other?),
        }
        self.known.insert(id, Recorded { key, count: 1 });
        Ok(())
    }
}

fn resource() -> Resource {
    Resource {
        group: "".into(),
        version: "v1".into(),
        plural: "events".into(),
        kind: "Event".into(),
        namespaced: true,
    }
}

/// Nanoseconds, never the same twice in a process.
fn unique(now: Timestamp) -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let nanos = u64::try_from(now.as_nanosecond()).unwrap_or(0);
    let previous = LAST.fetch_max(nanos, Ordering::Relaxed);
    if nanos > previous { nanos } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 }
}

fn body(component: &str, event: &Event, key: &Key, revision: &str, now: Timestamp) -> Value {
    let about = &event.about;
    let time = meta::time::rfc3339(now);
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": about.api_version, "kind": about.kind, "namespace": about.namespace,
            "name": about.name, "uid": about.uid, "resourceVersion": revision,
        },
        "reason": event.reason,
        "message": event.message,
        "source": {"component": component},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "type": match event.level { Level::Normal => "Normal", Level::Warning => "Warning" },
        "reportingComponent": component,
        "reportingInstance": "",
    })
}
