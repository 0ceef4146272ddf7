//! Watching a collection or one object.
//!
//! # Upstream
//! `k8s.io/apiserver/pkg/endpoints/handlers/watch.go`, `…/storage/cacher/cacher.go` `Watch`

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, header};
use meta::Reason;
use tokio::time::Instant;
use web::BodySender;

use super::Call;
use crate::encode::Answer;
use crate::encode::frames::Frames;
use crate::errors::{self, Result};
use crate::request::accept::{Form, Offer};
use crate::request::options::{ListOptions, parse_revision};
use crate::selector::Selection;
use crate::store::cache::{ResourceCache, Start};
use crate::store::event::{Change, Event};
use crate::store::watcher::Scope;

/// How often a watcher gets a bookmark.
const BOOKMARK: Duration = Duration::from_secs(60);
/// The shortest default life of a watch; the longest is twice that.
const MIN_TIMEOUT_SECONDS: u64 = 1800;
/// Frames are put together up to this size when several wait.
const PIECE: usize = 64 << 10;

/// Starts a watch and answers with its stream.
pub async fn run(call: &Call) -> Result<Answer> {
    let offer =
        Offer { protobuf: call.endpoint.schema.has_protobuf(), table: true, partial: true, list: false };
    let form = call.form_of(offer).or_else(|e| call.form_of(Offer { list: true, ..offer }).map_err(|_| e))?;
    let options = ListOptions::read(call.query.as_deref(), true)?;
    let mut selection = Selection::read(&call.endpoint, &options.label_selector, &options.field_selector)?;
    if !call.info.name.is_empty() {
        selection.only_name(&call.info.name)?;
    }
    let start = match start(call, &options, &selection).await {
        // what the cache cannot serve is told in the stream
        Err(error) if error.is(Reason::Expired) || error.is(Reason::Timeout) => Err(error),
        started => Ok(started?),
    };
    let (sender, body) = web::channel(8);
    let stream = Stream {
        call: call.for_object(&call.info.namespace, &call.info.name),
        form,
        selection,
        bookmarks: options.bookmarks,
        marked: options.send_initial_events == Some(true),
        deadline: Instant::now() + timeout(&options),
        sender,
    };
    tokio::spawn(stream.run(start));
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static(Frames::content_type(form));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(Answer::Ready(response))
}

fn timeout(options: &ListOptions) -> Duration {
    let random = u64::from(uuid::Uuid::new_v4().as_bytes()[0]) * MIN_TIMEOUT_SECONDS / 256;
    let seconds = match options.timeout_seconds {
        Some(seconds) if seconds > 0 => seconds,
        _ => MIN_TIMEOUT_SECONDS + random,
    };
    Duration::from_secs(seconds)
}

fn scope(call: &Call, selection: &Selection) -> Scope {
    let resource = &call.endpoint.resource;
    if let Some(key) = selection.object_key(resource, &call.info.namespace) {
        return Scope::Object(key.into());
    }
    if let Some(value) = selection.index_value(resource) {
        return Scope::Index(value.into());
    }
    match call.info.namespace.as_str() {
        ns if ns.is_empty() || !resource.kind.namespaced => Scope::All,
        ns => Scope::Namespace(ns.into()),
    }
}

async fn start(call: &Call, options: &ListOptions, selection: &Selection) -> Result<Start> {
    let cache: Arc<ResourceCache> = call.cache();
    let store = &call.server.store;
    let revision = parse_revision(&options.resource_version)?;
    let initial = match (revision, options.send_initial_events) {
        (_, Some(true)) => true,
        (None, Some(false)) => false,
        (None | Some(0), None) => true,
        _ => false,
    };
    if initial {
        store.not_older(&options.resource_version).await?;
    }
    let after = match revision {
        _ if initial => None,
        // without a version and without the initial state: from now on
        None | Some(0) => {
            store.not_older("").await?;
            Some(store.cache.revision())
        }
        Some(revision) => Some(revision),
    };
    let started = cache.watch(scope(call, selection), after, store.cache.revision());
    let mut started = started.map_err(|old| errors::too_old(after.unwrap_or(0), old.oldest))?;
    if let Some(after) = after {
        // events up to the client's version are known to it, even those still to come
        started.revision = started.revision.max(after);
        if started.replay.is_empty() && after > store.cache.revision() {
            started.revision = after;
        }
    }
    Ok(started)
}

struct Stream {
    call: Call,
    form: Form,
    selection: Selection,
    bookmarks: bool,
    marked: bool,
    deadline: Instant,
    sender: BodySender,
}

/// The stream is over: its client went away, or an error was sent.
struct Over;

impl Stream {
    async fn run(self, start: Result<Start>) {
        let call = self.call.for_object("", "");
        let mut frames = Frames::new(&call, self.form);
        let over = match start {
            Ok(start) => self.all(start, &mut frames).await,
            Err(error) => self.fail(&error, &frames).await,
        };
        // over for whatever reason: dropping the sender ends the body
        drop(over);
    }

    async fn all(&self, start: Start, frames: &mut Frames<'_>) -> std::result::Result<(), Over> {
        let Start { initial, replay, mut live, revision } = start;
        let mut seen = revision;
        if let Some(snapshot) = initial {
            self.initial(&snapshot.objects, frames).await?;
            if self.marked && self.bookmarks {
                self.send(frames.bookmark(revision, true), frames).await?;
            }
        }
        for event in &replay {
            self.event(event, frames).await?;
        }
        let server = self.call.server.clone();
        let mut ticks = tokio::time::interval_at(Instant::now() + BOOKMARK, BOOKMARK);
        loop {
            tokio::select! {
                biased;
                event = live.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    if event.revision <= revision {
                        continue;
                    }
                    seen = event.revision;
                    let mut piece = self.frame(&event, frames).await?;
                    while piece.len() < PIECE && let Ok(next) = live.try_recv() {
                        seen = next.revision;
                        let more = self.frame(&next, frames).await?;
                        piece = join(piece, more);
                    }
                    if !piece.is_empty() {
                        self.sender.send(piece).await.map_err(|_| Over)?;
                    }
                }
                _ = ticks.tick(), if self.bookmarks => {
                    // events up to the cache's revision were queued before it moved: the queue was empty just now
                    let reached = server.store.cache.revision();
                    if live.is_empty() {
                        self.send(frames.bookmark(reached.max(seen), false), frames).await?;
                    }
                }
                () = tokio::time::sleep_until(self.deadline) => {
                    if self.bookmarks && live.is_empty() {
                        self.send(frames.bookmark(seen, false), frames).await?;
                    }
                    return Ok(());
                }
                () = self.sender.closed() => return Err(Over),
            }
        }
    }

    async fn initial(
        &self,
        objects: &crate::store::cache::Objects,
        frames: &mut Frames<'_>,
    ) -> std::result::Result<(), Over> {
        let resource = &self.call.endpoint.resource;
        let prefix = resource.list_prefix(&self.call.info.namespace);
        let mut piece = BytesMut::new();
        let from = Arc::<str>::from(prefix.as_str());
        for (key, entry) in objects.range(from..) {
            if !key.starts_with(prefix.as_str()) {
                break;
            }
            if !self.selection.matches(resource, entry) {
                continue;
            }
            match frames.object(Change::Added, entry) {
                Ok(bytes) => piece.extend_from_slice(&bytes),
                Err(error) => return self.fail(&error, frames).await,
            }
            if piece.len() >= PIECE {
                self.sender.send(piece.split().freeze()).await.map_err(|_| Over)?;
            }
        }
        if piece.is_empty() {
            return Ok(());
        }
        self.sender.send(piece.freeze()).await.map_err(|_| Over)
    }

    async fn event(&self, event: &Event, frames: &mut Frames<'_>) -> std::result::Result<(), Over> {
        let bytes = self.frame(event, frames).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.sender.send(bytes).await.map_err(|_| Over)
    }

    /// The frame of an event, empty when the watcher does not select it.
    async fn frame(&self, event: &Event, frames: &mut Frames<'_>) -> std::result::Result<Bytes, Over> {
        let resource = &self.call.endpoint.resource;
        let namespace = &self.call.info.namespace;
        if resource.kind.namespaced
            && !namespace.is_empty()
            && resource.namespace_of(&event.object.key) != namespace
        {
            return Ok(Bytes::new());
        }
        let change = if self.selection.is_empty() {
            Some(event.change())
        } else {
            event.change_for(|entry| self.selection.matches(resource, entry))
        };
        let Some(change) = change else { return Ok(Bytes::new()) };
        match frames.event(event, change) {
            Ok(bytes) => Ok(bytes),
            Err(error) => self.fail(&error, frames).await.map(|()| Bytes::new()),
        }
    }

    async fn send(&self, bytes: Result<Bytes>, frames: &Frames<'_>) -> std::result::Result<(), Over> {
        match bytes {
            Ok(bytes) => self.sender.send(bytes).await.map_err(|_| Over),
            Err(error) => self.fail(&error, frames).await,
        }
    }

    async fn fail(&self, error: &errors::Error, frames: &Frames<'_>) -> std::result::Result<(), Over> {
        if self.sender.send(frames.error(error)).await.is_err() {
            tracing::debug!("a watcher went away before its error");
        }
        Err(Over)
    }
}

fn join(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    if second.is_empty() {
        return first;
    }
    let mut both = match first.try_into_mut() {
        Ok(piece) => piece,
        Err(shared) => BytesMut::from(&shared[..]),
    };
    both.extend_from_slice(&second);
    both.freeze()
}
