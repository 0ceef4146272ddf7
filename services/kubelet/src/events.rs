//! Events: what happens to pods and to the node, told to the API server in the background; repeats are counted.
//!
//! # Upstream
//! `k8s.io/client-go/tools/record`, `pkg/kubelet/events/event.go`

use std::collections::HashMap;

use client::{Client, Key, Patch, PatchParams, Resource};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::pod::facts::{CONFIG_MIRROR, PodFacts};

/// Whether all is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is.
    Normal,
    /// It is not.
    Warning,
}

struct Told {
    object: ObjectReference,
    kind: Kind,
    reason: String,
    message: String,
    at: Timestamp,
}

/// The way events take. Clones share it.
#[derive(Debug, Clone)]
pub struct Events {
    sender: mpsc::Sender<Message>,
    node: String,
}

#[derive(Debug)]
enum Message {
    Told(Box<Told>),
    /// Everything before this has been sent.
    Mark(oneshot::Sender<()>),
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// Events waiting to be sent; more are dropped, as upstream does.
const QUEUE: usize = 1000;
/// Repeats remembered.
const REMEMBERED: usize = 4096;
/// Events on one object in a burst, and seconds until one more is allowed.
const BURST: f64 = 25.0;
const REFILL_SECONDS: f64 = 300.0;

impl Events {
    /// Starts telling, on the current runtime.
    pub fn start(client: Client, node: String) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(tell(client, node.clone(), receiver));
        Self { sender, node }
    }

    /// Something happened to a pod; `field` names the container (`spec.containers{name}`) or is empty.
    pub fn pod(&self, pod: &Pod, field: &str, kind: Kind, reason: &str, message: &str) {
        let uid = pod.annotation(CONFIG_MIRROR).unwrap_or(pod.uid());
        let object = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: Some(pod.namespace().to_owned()),
            name: Some(pod.name().to_owned()),
            uid: Some(uid.to_owned()),
            resource_version: pod.meta().resource_version.clone(),
            field_path: (!field.is_empty()).then(|| field.to_owned()),
        };
        self.send(object, kind, reason, message);
    }

    /// Something happened to the node.
    pub fn node(&self, kind: Kind, reason: &str, message: &str) {
        let object = ObjectReference {
            kind: Some("Node".into()),
            name: Some(self.node.clone()),
            uid: Some(self.node.clone()),
            ..ObjectReference::default()
        };
        self.send(object, kind, reason, message);
    }

    /// Waits until everything said so far has been told.
    pub async fn flush(&self) {
        let (mark, reached) = oneshot::channel();
        if self.sender.send(Message::Mark(mark)).await.is_err() || reached.await.is_err() {
            tracing::debug!("Nobody tells events any more");
        }
    }

    fn send(&self, object: ObjectReference, kind: Kind, reason: &str, message: &str) {
        let told = Told {
            object,
            kind,
            reason: reason.to_owned(),
            message: message.to_owned(),
            at: Timestamp::now(),
        };
        tracing::debug!(name = told.object.name, reason, event = message, "Event occurred");
        if self.sender.try_send(Message::Told(Box::new(told))).is_err() {
            tracing::warn!(reason, "Dropped an event: too many are waiting");
        }
    }
}

struct Known {
    name: String,
    count: i32,
}

struct Bucket {
    tokens: f64,
    at: Timestamp,
}

async fn tell(client: Client, node: String, mut receiver: mpsc::Receiver<Message>) {
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut buckets: HashMap<String, Bucket> = HashMap::new();
    while let Some(message) = receiver.recv().await {
        let told = match message {
            Message::Told(told) => *told,
            Message::Mark(mark) => {
                if mark.send(()).is_err() {
                    tracing::trace!("Nobody waits for events to be told");
                }
                continue;
            }
        };
        let object = told.object.uid.clone().unwrap_or_default();
        if !allowed(&mut buckets, &object, told.at) {
            continue;
        }
        if known.len() > REMEMBERED {
            known.clear();
            buckets.clear();
        }
        let field = told.object.field_path.as_deref().unwrap_or_default();
        let key = format!("{object}\0{field}\0{}\0{}", told.reason, told.message);
        if let Err(error) = tell_one(&client, &node, told, known.entry(key)).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "Telling an event");
        }
    }
}

fn allowed(buckets: &mut HashMap<String, Bucket>, object: &str, at: Timestamp) -> bool {
    let bucket = buckets.entry(object.to_owned()).or_insert(Bucket { tokens: BURST, at });
    let passed = at.duration_since(bucket.at).as_secs_f64().max(0.0);
    bucket.tokens = (bucket.tokens + passed / REFILL_SECONDS).min(BURST);
    bucket.at = at;
    let allowed = bucket.tokens >= 1.0;
    bucket.tokens -= if allowed { 1.0 } else { 0.0 };
    allowed
}

async fn tell_one(
    client: &Client,
    node: &str,
    told: Told,
    known: std::collections::hash_map::Entry<'_, String, Known>,
) -> Result<(), client::Error> {
    let resource = Resource::of::<Event>();
    let namespace = told.object.namespace.clone().unwrap_or_else(|| "default".into());
    if let std::collections::hash_map::Entry::Occupied(mut entry) = known {
        let before = entry.get_mut();
        let count = before.count + 1;
        let patch = Patch::Strategic(json!({ "count": count, "lastTimestamp": Time(told.at) }));
        let key = Key::new(&namespace, &before.name);
        match client.patch(&resource, &key, &patch, &PatchParams::default()).await {
            Ok(_) => {
                before.count = count;
                return Ok(());
            }
            Err(e) if e.is_not_found() => {} // it has lived long enough: a new one is made
            Err(e) => return Err(e),
        }
        let event = new_event(node, told, namespace);
        entry.insert(Known { name: event.metadata.name.clone().unwrap_or_default(), count: 1 });
        return create(client, &resource, event).await;
    }
    let event = new_event(node, told, namespace);
    known.or_insert(Known { name: event.metadata.name.clone().unwrap_or_default(), count: 1 });
    create(client, &resource, event).await
}

async fn create(client: &Client, resource: &Resource, event: Event) -> Result<(), client::Error> {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    client.create::<_, serde::de::IgnoredAny>(resource, &namespace, &event, "").await.map(|_| ())
}

fn new_event(node: &str, told: Told, namespace: String) -> Event {
    let name = format!("{}.{:x}", told.object.name.as_deref().unwrap_or_default(), told.at.as_nanosecond());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: Some(namespace), ..ObjectMeta::default() },
        involved_object: told.object,
        reason: Some(told.reason),
        message: Some(told.message.chars().take(1024).collect()),
        source: Some(EventSource { component: Some("kubelet".into()), host: Some(node.to_owned()) }),
        reporting_component: Some("kubelet".into()),
        reporting_instance: Some(node.to_owned()),
        first_timestamp: Some(Time(told.at)),
        last_timestamp: Some(Time(told.at)),
        count: Some(1),
        type_: Some(if told.kind == Kind::Normal { "Normal" } else { "Warning" }.to_owned()),
        ..Event::default()
    }
}
