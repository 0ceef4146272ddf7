//! Events, as upstream's scheduler writes them (events.k8s.io/v1).
//!
//! # Upstream
//! `k8s.io/client-go/tools/events/{event_broadcaster,event_recorder}.go`

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use client::{Client, Key, Patch, PatchParams, Resource};
use jiff::Timestamp;
use k8s_openapi::api::events::v1 as events;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::model::Pod;

/// The longest note the API server takes.
const NOTE: usize = 1024;
/// Refusals remembered to be counted rather than written again.
const REMEMBERED: usize = 8192;
/// Events on their way at once.
const AT_ONCE: usize = 64;

/// Writes events. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(Arc<Writer>);

#[derive(Debug)]
struct Writer {
    client: Client,
    instance: String,
    slots: Semaphore,
    series: Mutex<HashMap<Id, Series>>,
}

/// A pod's uid and revision.
type Id = (Arc<str>, String);

#[derive(Debug, Clone)]
struct Series {
    name: String,
    count: u32,
}

/// What happened to a pod.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) kind: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) action: &'static str,
    pub(crate) text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    api_version: &'static str,
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    resource_version: &'a str,
}

#[derive(Serialize)]
struct Meta<'a> {
    name: &'a str,
    namespace: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta<'a>,
    event_time: String,
    reporting_controller: &'a str,
    reporting_instance: String,
    action: &'a str,
    reason: &'a str,
    regarding: Reference<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<Reference<'a>>,
    note: &'a str,
    #[serde(rename = "type")]
    level: &'a str,
}

fn reference(pod: &Pod) -> Reference<'_> {
    Reference {
        api_version: "v1",
        kind: "Pod",
        namespace: pod.namespace(),
        name: &pod.name,
        uid: &pod.uid,
        resource_version: &pod.revision,
    }
}

impl Note {
    /// A pod is bound to the node it says.
    pub(crate) fn bound(pod: &Pod) -> Self {
        let text = format!("Successfully assigned {}/{} to {}", pod.namespace(), pod.name, pod.node);
        Self { kind: "Normal", reason: "Scheduled", action: "Binding", text }
    }
}

impl Recorder {
    pub(crate) fn new(client: Client, instance: &str) -> Self {
        let (slots, series) = (Semaphore::new(AT_ONCE), Mutex::default());
        Self(Arc::new(Writer { client, instance: instance.to_owned(), slots, series }))
    }

    /// Writes an event about a pod in the background; `related` is the pod it happened for.
    pub(crate) fn record(&self, pod: &Arc<Pod>, related: Option<&Arc<Pod>>, note: Note) {
        let (this, pod, related) = (self.clone(), Arc::clone(pod), related.cloned());
        tokio::spawn(async move { this.recorded(&pod, related.as_deref(), note).await });
    }

    /// Writes an event about a pod. One that cannot be written is logged.
    pub(crate) async fn recorded(&self, pod: &Pod, related: Option<&Pod>, note: Note) {
        let Ok(_slot) = self.0.slots.acquire().await else { return };
        if let Err(error) = self.0.write(pod, related, note).await {
            // the namespace goes, or is gone: nobody will read it
            if !(error.is_not_found() || error.is(meta::Reason::Forbidden)) {
                tracing::warn!(error = &error as &dyn std::error::Error, "Event not recorded");
            }
        }
    }
}

impl Writer {
    async fn write(&self, pod: &Pod, related: Option<&Pod>, mut note: Note) -> Result<(), client::Error> {
        let now = Timestamp::now();
        let events = Resource::of::<events::Event>();
        let id = (Arc::clone(&pod.uid), pod.revision.clone());
        let is_refusal = note.kind == "Warning";
        if is_refusal && let Some(Series { name, count }) = self.counted(&id) {
            if count == 2 || count.is_power_of_two() && count > 4 {
                let series = json!({"count": count, "lastObservedTime": meta::time::rfc3339_micro(now)});
                let (key, patch) =
                    (Key::new(pod.namespace(), name), Patch::Merge(json!({ "series": series })));
                self.client.patch(&events, &key, &patch, &PatchParams::default()).await?;
            }
            return Ok(());
        }
        truncate(&mut note.text);
        let nanos = u64::try_from(now.as_nanosecond()).unwrap_or_default(); // after 1970
        let name = format!("{}.{nanos:x}", pod.name);
        let body = Body {
            api_version: "events.k8s.io/v1",
            kind: "Event",
            metadata: Meta { name: &name, namespace: pod.namespace() },
            event_time: format!("{now:.6}"),
            reporting_controller: &pod.scheduler,
            reporting_instance: format!("{}-{}", pod.scheduler, self.instance),
            action: note.action,
            reason: note.reason,
            regarding: reference(pod),
            related: related.map(reference),
            note: &note.text,
            level: note.kind,
        };
        self.client.post(events.collection(pod.namespace()), &body).await?;
        if is_refusal {
            let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
            if series.len() >= REMEMBERED {
                series.clear();
            }
            series.insert(id, Series { name, count: 1 });
        }
        Ok(())
    }

    /// Counts a repeated event.
    fn counted(&self, id: &Id) -> Option<Series> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let known = series.get_mut(id)?;
        known.count += 1;
        Some(known.clone())
    }
}

/// # Upstream
/// `pkg/scheduler/schedule_one.go` `truncateMessage`
fn truncate(text: &mut String) {
    const SUFFIX: &str = " ...";
    if text.len() > NOTE {
        let mut end = NOTE - SUFFIX.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(SUFFIX);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    #[test]
    fn times_are_micro_times() {
        for nanoseconds in [0, 1, 999, 1_000, 1_700_000_000_999_999_999, 1_700_000_000_000_000_000] {
            let time = Timestamp::from_nanosecond(nanoseconds).unwrap();
            assert_eq!(format!("{time:.6}"), meta::time::rfc3339_micro(time));
        }
    }
}
