//! List, then watch, for ever.

use std::borrow::Cow;
use std::io::BufRead;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::from_response;
use crate::named::Named;
use crate::request::{ListMeta, ListParams, Query};
use crate::{Client, Error, Key, Resource};

/// Items in one page of the first list: bounds memory on both sides.
const PAGE: u32 = 500;
/// The server ends a watch after this; resuming costs one request.
const WATCH_SECONDS: u32 = 540;
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MOST: Duration = Duration::from_secs(30);

/// What happened, with the object's JSON.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// A list begins: everything known may be outdated.
    Listing,
    /// An object of the list.
    Listed(Sent),
    /// The list is complete; what was known before and not listed is gone.
    ListDone,
    /// An object was added or changed.
    Applied(Sent),
    /// An object was deleted; its last state.
    Deleted(Sent),
}

/// An object as the server sent it.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its namespace and name.
    pub key: Key,
    /// Its JSON.
    pub bytes: Bytes,
}

/// A list that stays current. `next` never fails: it logs, waits and goes on, listing again when it must.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    resource: Resource,
    namespace: String,
    selectors: ListParams,
    state: State,
    backoff: Duration,
}

#[derive(Debug)]
enum State {
    Start,
    Page { items: std::vec::IntoIter<Bytes>, next: Option<String>, revision: String },
    Resume { revision: String },
    Stream { lines: Lines, revision: String },
}

#[derive(Deserialize)]
struct RawList<'a> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl Watcher {
    /// A watcher of a resource, in one namespace or everywhere. Of `params` only the selectors count.
    pub fn new(client: Client, resource: Resource, namespace: &str, selectors: ListParams) -> Self {
        let namespace = namespace.to_owned();
        Self { client, resource, namespace, selectors, state: State::Start, backoff: BACKOFF_FIRST }
    }

    /// The next event, whenever it comes.
    pub async fn next(&mut self) -> WatchEvent {
        loop {
            match self.step().await {
                Ok(Some(event)) => {
                    self.backoff = BACKOFF_FIRST;
                    return event;
                }
                Ok(None) => {}
                Err(error) => self.recover(error).await,
            }
        }
    }

    async fn recover(&mut self, error: Error) {
        let resource = &*self.resource.plural;
        let expired = error.is_expired();
        self.state = match std::mem::replace(&mut self.state, State::Start) {
            State::Resume { revision } | State::Stream { revision, .. } if !expired => {
                State::Resume { revision }
            }
            _ => State::Start,
        };
        if expired {
            tracing::info!(resource, "Watch expired, listing again");
            return;
        }
        let retry_ms = self.backoff.as_millis() as u64;
        tracing::warn!(resource, error = &error as &dyn std::error::Error, retry_ms, "Watch failed");
        drop(error);
        tokio::time::sleep(jittered(self.backoff)).await;
        self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
    }

    /// One step of the state machine; `None` when it only moved on.
    async fn step(&mut self) -> Result<Option<WatchEvent>, Error> {
        match &mut self.state {
            State::Start => {
                self.page(String::new()).await?;
                Ok(Some(WatchEvent::Listing))
            }
            State::Page { items, next, revision } => {
                if let Some(bytes) = items.next() {
                    return Ok(match Named::read(&bytes) {
                        Ok(named) => Some(WatchEvent::Listed(Sent { key: named.key(), bytes })),
                        Err(e) => {
                            // one bad object must not keep the others away
                            tracing::error!(
                                error = &e as &dyn std::error::Error,
                                "Listed object has no name"
                            );
                            None
                        }
                    });
                }
                if let Some(token) = next.take() {
                    self.page(token).await?;
                    return Ok(None);
                }
                self.state = State::Resume { revision: std::mem::take(revision) };
                Ok(Some(WatchEvent::ListDone))
            }
            State::Resume { revision } => {
                let revision = revision.clone();
                let lines = self.open(&revision).await?;
                self.state = State::Stream { lines, revision };
                Ok(None)
            }
            State::Stream { lines, revision } => match lines.next().await? {
                Some(line) => event(&line, revision),
                None => {
                    self.state = State::Resume { revision: std::mem::take(revision) };
                    Ok(None)
                }
            },
        }
    }

    async fn page(&mut self, token: String) -> Result<(), Error> {
        let params = ListParams { limit: PAGE, continue_token: token, ..self.selectors.clone() };
        let path = format!("{}{}", self.resource.collection(&self.namespace), params.query());
        let body = self.client.get_raw(path).await?;
        let list: RawList<'_> = serde_json::from_slice(&body)?;
        let items = list.items.unwrap_or_default();
        let items: Vec<Bytes> = items.iter().map(|i| body.slice_ref(i.get().as_bytes())).collect();
        let next = Some(list.metadata.continue_token).filter(|t| !t.is_empty());
        self.state = State::Page { items: items.into_iter(), next, revision: list.metadata.resource_version };
        Ok(())
    }

    async fn open(&self, revision: &str) -> Result<Lines, Error> {
        let mut query = Query::default();
        query.add("watch", "true");
        query.add("allowWatchBookmarks", "true");
        query.add("resourceVersion", revision);
        query.add("timeoutSeconds", &WATCH_SECONDS.to_string());
        query.add("labelSelector", &self.selectors.label_selector);
        query.add("fieldSelector", &self.selectors.field_selector);
        let path = format!("{}{}", self.resource.collection(&self.namespace), query.0);
        let request =
            Request::builder().method(Method::GET).uri(path).header(header::ACCEPT, "application/json");
        let response = self.client.send(request.body(Full::default())?).await?;
        let status = response.status();
        let mut body = response.into_body();
        if status.is_success() {
            return Ok(Lines { body, buffer: BytesMut::new(), scanned: 0 });
        }
        let text = (&mut body).collect().await.map_err(|e| Error::Transport(e.into()))?;
        Err(from_response(status, &text.to_bytes()))
    }
}

fn event(line: &Bytes, revision: &mut String) -> Result<Option<WatchEvent>, Error> {
    let (kind, text) = split(line)?;
    if kind == "ERROR" {
        let status: meta::Status = serde_json::from_slice(text)?;
        return Err(Error::Api(Box::new(status)));
    }
    let named = Named::read(text)?;
    revision.clone_from(&named.revision);
    let sent = Sent { key: named.key(), bytes: line.slice_ref(text) };
    Ok(match &*kind {
        "ADDED" | "MODIFIED" => Some(WatchEvent::Applied(sent)),
        "DELETED" => Some(WatchEvent::Deleted(sent)),
        _ => None, // BOOKMARK: the revision is all it says
    })
}

/// The type and the object of an event.
fn split(line: &[u8]) -> Result<(Cow<'_, str>, &[u8]), serde_json::Error> {
    // as API servers write it: what is left is read anyway, so it need not be parsed twice
    for kind in ["ADDED", "MODIFIED", "DELETED"] {
        let rest = line.strip_prefix(b"{\"type\":\"").and_then(|r| r.strip_prefix(kind.as_bytes()));
        let object = rest.and_then(|r| r.strip_prefix(b"\",\"object\":")).and_then(|r| r.strip_suffix(b"}"));
        if let Some(object) = object {
            return Ok((Cow::Borrowed(kind), object));
        }
    }
    let line: Line<'_> = serde_json::from_slice(line)?;
    Ok((line.kind, line.object.get().as_bytes()))
}

/// A response body cut at newlines.
#[derive(Debug)]
struct Lines {
    body: Incoming,
    buffer: BytesMut,
    scanned: usize,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(at) = newline(&self.buffer[self.scanned..]) {
                let line = self.buffer.split_to(self.scanned + at).freeze();
                self.buffer.advance(1);
                self.scanned = 0;
                if line.is_empty() {
                    continue;
                }
                // a copy of its own: a slice would keep the whole read buffer alive
                return Ok(Some(Bytes::copy_from_slice(&line)));
            }
            self.scanned = self.buffer.len();
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(e)) => return Err(Error::Transport(e.into())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

/// Where the first newline is, by the library's search over words: lines are thousands of bytes long.
fn newline(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let passed = rest.skip_until(b'\n').ok()?; // a slice can always be read
    passed.checked_sub(1).filter(|last| bytes[*last] == b'\n')
}

/// Up to half more, so that a thousand clients do not come back in step.
fn jittered(base: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    base + base.mul_f64((random % 500) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_by_line() {
        let object = r#"{"metadata":{"name":"a","namespace":"b","resourceVersion":"7"},"spec":{"x":"}"}}"#;
        for (line, applied) in [
            (format!(r#"{{"type":"ADDED","object":{object}}}"#), true),
            (format!(r#"{{"type":"MODIFIED","object":{object}}}"#), true),
            (format!(r#"{{ "object": {object}, "type": "MODIFIED" }}"#), true),
            (format!(r#"{{"type":"DELETED","object":{object}}}"#), false),
        ] {
            let mut revision = String::new();
            let (sent, is_applied) = match event(&Bytes::from(line.clone()), &mut revision).unwrap() {
                Some(WatchEvent::Applied(sent)) => (sent, true),
                Some(WatchEvent::Deleted(sent)) => (sent, false),
                other => panic!("{other:?} of {line}"),
            };
            assert_eq!((sent.key, is_applied, &*revision), (Key::new("b", "a"), applied, "7"));
            assert_eq!(sent.bytes, object);
        }
        let mut revision = String::new();
        let bookmark = Bytes::from(r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#);
        assert!(event(&bookmark, &mut revision).unwrap().is_none());
        assert_eq!(revision, "9");
        let gone = Bytes::from(
            r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","code":410}}"#,
        );
        assert!(event(&gone, &mut revision).unwrap_err().is_expired());
    }
}
