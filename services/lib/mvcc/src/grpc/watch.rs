//! The Watch service. A watcher is a place in the order of changes; it is sent what was published since. There are no
//! queues per watcher: a slow one reads history, as far as that was not compacted.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use etcd::mvccpb::{Event, event::EventType};
use etcd::rpc::watch_create_request::FilterType;
use etcd::rpc::watch_request::RequestUnion;
use etcd::rpc::{WatchCreateRequest, WatchRequest, WatchResponse, watch_server};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::MAX_REQUEST_BYTES;
use super::convert::{header, key_value};
use crate::{Change, Engine, Refusal, Version, index};

/// Changes taken from history at once.
const CHANGES_AT_ONCE: usize = 1000;
/// Responses that may wait for a slow client.
const WAITING: usize = 8;
/// The id of a response that speaks for all watchers of a stream.
///
/// # Upstream
/// `go.etcd.io/etcd/client/v3/watch.go` `InvalidWatchID`
const EVERY_WATCHER: i64 = -1;

#[derive(Debug)]
pub(super) struct Watch {
    pub(super) engine: Engine,
    pub(super) progress_interval: Duration,
}

#[tonic::async_trait]
impl watch_server::Watch for Watch {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (out, receiver) = mpsc::channel(WAITING);
        let session = Session { engine: self.engine.clone(), out, watchers: BTreeMap::new(), next_id: 0 };
        tokio::spawn(session.run(request.into_inner(), self.progress_interval));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

#[derive(Debug)]
struct Watcher {
    key: Bytes,
    end: Bytes,
    /// The id of the first change not looked at yet.
    from: u64,
    prev_kv: bool,
    progress: bool,
    fragment: bool,
    without_puts: bool,
    without_deletes: bool,
    /// Something was sent since the last progress tick.
    active: bool,
}

impl Watcher {
    fn wants(&self, change: &Change) -> bool {
        let filtered = if change.version.is_deletion() { self.without_deletes } else { self.without_puts };
        !filtered && change.version.id >= self.from && self.holds(&change.key)
    }

    fn holds(&self, key: &[u8]) -> bool {
        index::holds(&self.key, &self.end, key)
    }
}

/// The client went away.
struct Gone;

/// One gRPC stream and its watchers.
struct Session {
    engine: Engine,
    out: mpsc::Sender<Result<WatchResponse, Status>>,
    watchers: BTreeMap<i64, Watcher>,
    next_id: i64,
}

impl Session {
    async fn run(mut self, mut requests: Streaming<WatchRequest>, progress_interval: Duration) {
        let mut published = self.engine.published();
        let mut tick = tokio::time::interval(progress_interval);
        let closed = self.out.clone();
        loop {
            let done = tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.answer(request).await,
                    // the client ended the stream, or it broke
                    Ok(None) | Err(_) => Err(Gone),
                },
                changed = published.changed() => match changed {
                    Ok(()) => self.catch_up().await.map(drop),
                    Err(_) => Err(Gone),
                },
                _ = tick.tick() => self.tell_progress().await,
                () = closed.closed() => Err(Gone),
            };
            if let Err(Gone) = done {
                return;
            }
        }
    }

    async fn send(&self, response: WatchResponse) -> Result<(), Gone> {
        self.out.send(Ok(response)).await.map_err(|_| Gone)
    }

    async fn answer(&mut self, request: WatchRequest) -> Result<(), Gone> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                self.create(create).await?;
                self.catch_up().await.map(drop)
            }
            Some(RequestUnion::CancelRequest(cancel)) => {
                let id = cancel.watch_id;
                if self.watchers.remove(&id).is_none() {
                    return Ok(());
                }
                let header = header(self.engine.state().revision());
                self.send(WatchResponse { header, watch_id: id, canceled: true, ..Default::default() }).await
            }
            Some(RequestUnion::ProgressRequest(_)) => {
                // everything published up to here goes first: then the revision is a promise
                let revision = self.catch_up().await?;
                let header = header(revision);
                self.send(WatchResponse { header, watch_id: EVERY_WATCHER, ..Default::default() }).await
            }
            None => Ok(()),
        }
    }

    /// # Upstream
    /// `go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc/watch.go` `recvLoop`
    async fn create(&mut self, create: WatchCreateRequest) -> Result<(), Gone> {
        let revision = self.engine.state().revision();
        let key = if create.key.is_empty() { Bytes::from_static(&[0]) } else { create.key.clone() };
        let id = if create.watch_id > 0 { create.watch_id } else { self.free_id() };
        let end = &create.range_end;
        let refused = if self.watchers.contains_key(&id) {
            Some("mvcc: duplicate watch ID provided on the WatchStream")
        } else if !end.is_empty() && end[..] != [0] && *end <= key {
            Some("mvcc: watcher range is empty")
        } else {
            None
        };
        let header = header(revision);
        if let Some(reason) = refused {
            let (watch_id, cancel_reason) = (EVERY_WATCHER, reason.into());
            let refusal = WatchResponse {
                header,
                watch_id,
                created: true,
                canceled: true,
                cancel_reason,
                ..Default::default()
            };
            return self.send(refusal).await;
        }
        let first = if create.start_revision > 0 { create.start_revision } else { revision + 1 };
        let watcher = Watcher {
            key,
            end: create.range_end.clone(),
            from: Version::id_of(first, 0),
            prev_kv: create.prev_kv,
            progress: create.progress_notify,
            fragment: create.fragment,
            without_puts: create.filters().any(|f| f == FilterType::Noput),
            without_deletes: create.filters().any(|f| f == FilterType::Nodelete),
            active: false,
        };
        self.watchers.insert(id, watcher);
        self.send(WatchResponse { header, watch_id: id, created: true, ..Default::default() }).await
    }

    fn free_id(&mut self) -> i64 {
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    /// Sends every watcher what was published since its place; gives the revision all of them are at.
    async fn catch_up(&mut self) -> Result<i64, Gone> {
        loop {
            self.cancel_compacted().await?;
            let (revision, changes, next) = {
                let state = self.engine.state();
                let behind = Version::id_of(state.revision() + 1, 0);
                let from = self.watchers.values().map(|w| w.from).filter(|from| *from < behind).min();
                let Some(from) = from else { return Ok(state.revision()) };
                let wanted = |key: &[u8]| self.watchers.values().any(|w| w.holds(key));
                match state.changes(from, CHANGES_AT_ONCE, wanted) {
                    Ok((changes, next)) => (state.revision(), changes, next),
                    // compacted since: look again
                    Err(_) => continue,
                }
            };
            let Some(values) = self.values(&changes).await? else { continue };
            for (id, watcher) in &mut self.watchers {
                let events: Vec<Event> = changes
                    .iter()
                    .filter(|change| watcher.wants(change))
                    .map(|change| event(change, watcher.prev_kv, &values))
                    .collect();
                watcher.from = watcher.from.max(next);
                if !events.is_empty() {
                    watcher.active = true;
                    send_events(&self.out, *id, revision, events, watcher.fragment).await?;
                }
            }
        }
    }

    /// The values of changes and of what they replaced; `None` when some are compacted by now.
    async fn values(&self, changes: &[Change]) -> Result<Option<HashMap<u64, Bytes>>, Gone> {
        let with_previous = self.watchers.values().any(|w| w.prev_kv);
        let previous = changes.iter().filter(|_| with_previous).filter_map(|c| c.previous.map(|p| p.id));
        let puts = changes.iter().filter(|c| !c.version.is_deletion()).map(|c| c.version.id);
        let ids: Vec<u64> = puts.clone().chain(previous).collect();
        let values = match self.engine.values(&ids).await {
            Ok(values) => values,
            Err(refusal) => {
                // the stream ends with the reason: the client opens another one
                self.out.send(Err(refusal.into())).await.map_err(|_| Gone)?;
                return Err(Gone);
            }
        };
        let values: HashMap<u64, Bytes> =
            ids.into_iter().zip(values).filter_map(|(id, v)| Some((id, v?))).collect();
        if puts.clone().all(|id| values.contains_key(&id)) {
            return Ok(Some(values));
        }
        let oldest = Version::id_of(self.engine.state().compacted(), 0);
        if puts.clone().any(|id| id >= oldest && !values.contains_key(&id)) {
            tracing::error!("A row that was not compacted is missing");
            self.out.send(Err(Refusal::LogFailed.into())).await.map_err(|_| Gone)?;
            return Err(Gone);
        }
        Ok(None)
    }

    async fn cancel_compacted(&mut self) -> Result<(), Gone> {
        let (revision, compacted) = {
            let state = self.engine.state();
            (state.revision(), state.compacted())
        };
        let oldest = Version::id_of(compacted, 0);
        let gone: Vec<i64> =
            self.watchers.iter().filter(|(_, w)| w.from < oldest).map(|(id, _)| *id).collect();
        for id in gone {
            self.watchers.remove(&id);
            let response = WatchResponse {
                header: header(revision),
                watch_id: id,
                canceled: true,
                compact_revision: compacted,
                cancel_reason: Status::from(Refusal::Compacted).message().into(),
                ..Default::default()
            };
            self.send(response).await?;
        }
        Ok(())
    }

    /// Tells idle watchers that asked for it how far they are.
    async fn tell_progress(&mut self) -> Result<(), Gone> {
        if !self.watchers.values().any(|w| w.progress) {
            return Ok(());
        }
        let revision = self.catch_up().await?;
        for (id, watcher) in &mut self.watchers {
            let idle = !std::mem::take(&mut watcher.active);
            if watcher.progress && idle && watcher.from > Version::id_of(revision, 0) {
                let response =
                    WatchResponse { header: header(revision), watch_id: *id, ..Default::default() };
                self.out.send(Ok(response)).await.map_err(|_| Gone)?;
            }
        }
        Ok(())
    }
}

fn event(change: &Change, with_previous: bool, values: &HashMap<u64, Bytes>) -> Event {
    let Change { key, version, previous } = change;
    let kind = if version.is_deletion() { EventType::Delete } else { EventType::Put };
    let kv = key_value(key, *version, values.get(&version.id).cloned().unwrap_or_default());
    // a value compacted meanwhile is left out, as in etcd
    let previous = previous.filter(|_| with_previous).and_then(|p| Some((p, values.get(&p.id)?)));
    let prev_kv = previous.map(|(p, value)| key_value(key, p, value.clone()));
    Event { r#type: kind as i32, kv: Some(kv), prev_kv }
}

/// Sends events in one response, or in fragments if the watcher takes them.
async fn send_events(
    out: &mpsc::Sender<Result<WatchResponse, Status>>,
    watch_id: i64,
    revision: i64,
    events: Vec<Event>,
    fragment: bool,
) -> Result<(), Gone> {
    let response = |events, fragment| {
        Ok(WatchResponse { header: header(revision), watch_id, events, fragment, ..Default::default() })
    };
    let mut piece = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.encoded_len();
        if fragment && !piece.is_empty() && bytes + size > MAX_REQUEST_BYTES {
            out.send(response(std::mem::take(&mut piece), true)).await.map_err(|_| Gone)?;
            bytes = 0;
        }
        bytes += size;
        piece.push(event);
    }
    out.send(response(piece, false)).await.map_err(|_| Gone)
}
