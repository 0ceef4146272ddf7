//! One watch: events in order, without a gap, across lost connections.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use tonic::Streaming;

use crate::mvccpb::{self, event::EventType};
use crate::rpc::watch_client::WatchClient;
use crate::rpc::{WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, watch_request};
use crate::{Channel, Error, KeyValue};

/// Between attempts to reach a store that went away.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What to watch.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// The first key.
    pub start: Bytes,
    /// The key after the last one; empty watches `start` alone.
    pub end: Bytes,
    /// The revision of the first event wanted; 0 begins with the next write.
    pub start_revision: i64,
    /// Send what an event replaced.
    pub prev_kv: bool,
    /// Send progress now and then while idle.
    pub progress_notify: bool,
}

impl WatchOptions {
    /// Every key that begins with `prefix`.
    pub fn prefix(prefix: &[u8], start_revision: i64) -> Self {
        let (start, end) = (Bytes::copy_from_slice(prefix), crate::prefix_end(prefix).into());
        Self { start, end, start_revision, prev_kv: true, progress_notify: true }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchEvent {
    /// A key was written; `previous` is what it held, if that was asked for and is not compacted away.
    Put {
        /// The new state.
        kv: KeyValue,
        /// The state before.
        previous: Option<KeyValue>,
    },
    /// A key was deleted.
    Delete {
        /// The key.
        key: Bytes,
        /// The revision of the deletion.
        revision: i64,
        /// The state before.
        previous: Option<KeyValue>,
    },
}

/// What a watch says.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchMessage {
    /// Changes in order; those of one revision are never spread over two messages.
    Events {
        /// The store's revision when they were sent.
        revision: i64,
        /// The changes.
        events: Vec<WatchEvent>,
    },
    /// Every event up to this revision was sent.
    Progress {
        /// The revision.
        revision: i64,
    },
    /// Events from the revision asked for on are gone: read everything anew. The watch has ended.
    Compacted {
        /// The oldest revision that can be watched from.
        revision: i64,
    },
}

/// An open watch. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    client: WatchClient<Channel>,
    options: WatchOptions,
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    /// The revision to begin with when the connection has to be made again; 0 until the store has said.
    next: i64,
    partial: Vec<WatchEvent>,
    ended: bool,
}

impl Watch {
    pub(crate) async fn open(mut client: WatchClient<Channel>, options: WatchOptions) -> Result<Self, Error> {
        let next = options.start_revision;
        let (requests, answers) = stream(&mut client, &options, next).await?;
        Ok(Self { client, options, requests, answers, next, partial: Vec::new(), ended: false })
    }

    /// Asks for a progress message: it comes after every event that was committed before the store saw this.
    ///
    /// # Errors
    /// The connection is lost; [`Watch::next`] makes it again.
    pub async fn request_progress(&self) -> Result<(), Error> {
        let progress = watch_request::RequestUnion::ProgressRequest(WatchProgressRequest {});
        self.requests
            .send(WatchRequest { request_union: Some(progress) })
            .await
            .map_err(|_| Error::Unavailable("the watch lost its connection".into()))
    }

    /// A way to ask for progress from another task; it lasts as long as this connection.
    pub fn progress_requester(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let requests = self.requests.clone();
        move || {
            let progress = watch_request::RequestUnion::ProgressRequest(WatchProgressRequest {});
            requests.try_send(WatchRequest { request_union: Some(progress) }).is_ok()
        }
    }

    /// The next message; `None` after the watch ended. A lost connection is made again, from where it broke.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// The store refused the watch: it has ended.
    pub async fn next(&mut self) -> Option<Result<WatchMessage, Error>> {
        while !self.ended {
            match self.answers.next().await {
                Some(Ok(answer)) => {
                    if let Some(message) = self.take(answer) {
                        self.ended = matches!(message, Err(_) | Ok(WatchMessage::Compacted { .. }));
                        return Some(message);
                    }
                }
                Some(Err(status)) => match Error::from(status) {
                    Error::Unavailable(_) | Error::Timeout => self.reconnect().await,
                    error => {
                        self.ended = true;
                        return Some(Err(error));
                    }
                },
                None => self.reconnect().await,
            }
        }
        None
    }

    /// The messages as a stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<WatchMessage, Error>> + Send {
        futures_util::stream::unfold(self, |mut watch| async move { Some((watch.next().await?, watch)) })
    }

    async fn reconnect(&mut self) {
        let mut wait = RETRY_MIN;
        self.partial.clear();
        loop {
            match stream(&mut self.client, &self.options, self.next).await {
                Ok((requests, answers)) => {
                    (self.requests, self.answers) = (requests, answers);
                    return;
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "Opening a watch again");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }

    fn take(&mut self, answer: WatchResponse) -> Option<Result<WatchMessage, Error>> {
        let revision = answer.header.as_ref().map_or(0, |h| h.revision);
        if answer.compact_revision != 0 {
            return Some(Ok(WatchMessage::Compacted { revision: answer.compact_revision }));
        }
        if answer.canceled {
            let message = answer.cancel_reason;
            return Some(Err(Error::Other { code: tonic::Code::Cancelled, message }));
        }
        if answer.created {
            if self.next == 0 {
                self.next = revision + 1;
            }
            return None;
        }
        if answer.events.is_empty() && !answer.fragment {
            // progress: everything up to it was sent
            self.next = self.next.max(revision + 1);
            return Some(Ok(WatchMessage::Progress { revision }));
        }
        let events = answer.events.into_iter().filter_map(event);
        self.partial.extend(events);
        if answer.fragment {
            return None;
        }
        let events = std::mem::take(&mut self.partial);
        let last = match events.last()? {
            WatchEvent::Put { kv, .. } => kv.mod_revision,
            WatchEvent::Delete { revision, .. } => *revision,
        };
        self.next = self.next.max(last + 1);
        Some(Ok(WatchMessage::Events { revision, events }))
    }
}

fn event(event: mvccpb::Event) -> Option<WatchEvent> {
    let (kind, previous, kv) = (event.r#type(), event.prev_kv, event.kv?);
    Some(match kind {
        EventType::Put => WatchEvent::Put { kv, previous },
        EventType::Delete => WatchEvent::Delete { key: kv.key, revision: kv.mod_revision, previous },
    })
}

async fn stream(
    client: &mut WatchClient<Channel>,
    options: &WatchOptions,
    start_revision: i64,
) -> Result<(mpsc::Sender<WatchRequest>, Streaming<WatchResponse>), Error> {
    let (requests, receiver) = mpsc::channel(16);
    let create = WatchCreateRequest {
        key: options.start.clone(),
        range_end: options.end.clone(),
        start_revision,
        prev_kv: options.prev_kv,
        progress_notify: options.progress_notify,
        fragment: true,
        ..Default::default()
    };
    let create = watch_request::RequestUnion::CreateRequest(create);
    let gone = |_| Error::Unavailable("the watch lost its connection".into());
    requests.send(WatchRequest { request_union: Some(create) }).await.map_err(gone)?;
    let outgoing =
        futures_util::stream::unfold(receiver, |mut r| async move { r.recv().await.map(|q| (q, r)) });
    let mut request = tonic::Request::new(outgoing);
    // a member that lost its leader ends the stream instead of staying silent
    request.metadata_mut().insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
    Ok((requests, client.watch(request).await?.into_inner()))
}
