//! The store's client, in the words of this crate: text keys, one error.

use bytes::Bytes;
use etcd::rpc::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd::rpc::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, request_op, response_op};
use etcd::{KeyValue, Outcome, Range, WatchEvent, WatchMessage, WatchOptions};

/// Why the store gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KvError {
    /// The revision asked for is no longer kept.
    #[error("the revision was compacted")]
    Compacted,
    /// The revision asked for is not there yet.
    #[error("the revision is in the future")]
    Future,
    /// This client has ended.
    #[error("the client has ended")]
    Closed,
    /// Anything else.
    #[error(transparent)]
    Store(etcd::Error),
}

impl From<etcd::Error> for KvError {
    fn from(error: etcd::Error) -> Self {
        match error {
            etcd::Error::Compacted => KvError::Compacted,
            etcd::Error::FutureRevision => KvError::Future,
            other => KvError::Store(other),
        }
    }
}

/// One key with its value.
#[derive(Debug, Clone)]
pub struct Row {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// The revision that wrote it.
    pub revision: i64,
}

impl From<KeyValue> for Row {
    fn from(kv: KeyValue) -> Self {
        Self { key: text(&kv.key), value: kv.value, revision: kv.mod_revision }
    }
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// A piece of a range.
#[derive(Debug)]
pub struct Page {
    /// The keys in order.
    pub rows: Vec<Row>,
    /// Whether more follow.
    pub more: bool,
    /// How many keys the range has, these included.
    pub count: i64,
    /// The store's revision.
    pub revision: i64,
}

/// What became of a guarded write.
#[derive(Debug)]
pub enum Written {
    /// It happened at this revision.
    Done(i64),
    /// The key was not as expected; what is there instead.
    Changed(Option<Row>),
}

impl From<Outcome> for Written {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done { revision, .. } => Written::Done(revision),
            Outcome::Mismatch { current, .. } => Written::Changed(current.map(Row::from)),
        }
    }
}

/// A change seen by a watch.
#[derive(Debug)]
pub enum Update {
    /// A key was written.
    Put(Row),
    /// A key was deleted.
    Delete {
        /// The key.
        key: String,
        /// When.
        revision: i64,
    },
}

impl Update {
    /// When it happened.
    pub fn revision(&self) -> i64 {
        match self {
            Update::Put(row) => row.revision,
            Update::Delete { revision, .. } => *revision,
        }
    }
}

/// What a watch says.
#[derive(Debug)]
pub enum WatchItem {
    /// Changes in order.
    Events(Vec<Update>),
    /// Everything up to this revision was said.
    Progress(i64),
    /// What was asked for is gone.
    Compacted,
}

/// Who won the race for compaction.
#[derive(Debug, Clone, Copy)]
pub enum Race {
    /// This server.
    Won {
        /// The key's version now.
        version: i64,
        /// The store's revision.
        revision: i64,
    },
    /// Another one.
    Lost {
        /// The key's version.
        version: i64,
        /// The store's revision.
        revision: i64,
        /// What the winner compacted.
        compacted: i64,
    },
}

/// The client.
#[derive(Debug, Clone)]
pub struct Kv(etcd::Kv);

type Result<T> = std::result::Result<T, KvError>;

impl Kv {
    /// Wraps a client.
    pub fn new(kv: etcd::Kv) -> Self {
        Self(kv)
    }

    /// One key, as it was at a revision (0: now).
    pub async fn get(&self, key: &str, revision: i64) -> Result<Option<Row>> {
        Ok(self.0.get(key.as_bytes(), revision).await?.1.map(Row::from))
    }

    /// A piece of a range, as it was at a revision (0: now).
    pub async fn page(&self, start: &str, end: &str, limit: i64, revision: i64) -> Result<Page> {
        let (start, end) = (Bytes::copy_from_slice(start.as_bytes()), Bytes::copy_from_slice(end.as_bytes()));
        let page = self.0.range(Range { start, end, limit, revision, ..Range::default() }).await?;
        let rows = page.kvs.into_iter().map(Row::from).collect();
        Ok(Page { rows, more: page.more, count: page.count, revision: page.revision })
    }

    /// The store's revision, linearizable.
    pub async fn revision(&self) -> Result<i64> {
        Ok(self.0.linearizable_revision().await?)
    }

    /// Writes a key whose revision is still `expected` (0: that is not there).
    pub async fn put(&self, key: &str, value: Bytes, expected: i64, lease: i64) -> Result<Written> {
        Ok(self.0.update_if(key.as_bytes(), expected, value, lease).await?.into())
    }

    /// Deletes a key whose revision is still `expected`.
    pub async fn delete(&self, key: &str, expected: i64) -> Result<Written> {
        Ok(self.0.delete_if(key.as_bytes(), expected).await?.into())
    }

    /// A lease of `ttl` seconds.
    pub async fn grant(&self, ttl: u64) -> Result<i64> {
        Ok(self.0.grant(ttl as i64).await?)
    }

    /// Forgets what was superseded before a revision.
    pub async fn compact(&self, revision: i64) -> Result<()> {
        match self.0.compact(revision).await {
            // somebody else did it
            Err(etcd::Error::Compacted) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Watches a range from a revision on.
    pub async fn watch(&self, start: &str, end: &str, revision: i64) -> Result<Watch> {
        let options = WatchOptions {
            start: Bytes::copy_from_slice(start.as_bytes()),
            end: Bytes::copy_from_slice(end.as_bytes()),
            start_revision: revision,
            prev_kv: false,
            progress_notify: true,
        };
        Ok(Watch(self.0.watch(options).await?))
    }

    /// Takes part in the race for compaction: writes `revision` if the key's version is still `version`.
    pub async fn race(&self, key: &'static str, version: i64, revision: i64) -> Result<Race> {
        let key = Bytes::from_static(key.as_bytes());
        let compare = Compare {
            result: CompareResult::Equal as i32,
            target: CompareTarget::Version as i32,
            key: key.clone(),
            target_union: Some(TargetUnion::Version(version)),
            ..Compare::default()
        };
        let value = Bytes::from(revision.to_string());
        let put =
            request_op::Request::RequestPut(PutRequest { key: key.clone(), value, ..PutRequest::default() });
        let get = request_op::Request::RequestRange(RangeRequest { key, ..RangeRequest::default() });
        let request = TxnRequest {
            compare: vec![compare],
            success: vec![RequestOp { request: Some(put) }],
            failure: vec![RequestOp { request: Some(get) }],
        };
        let answer = self.0.txn(request).await?;
        let now = answer.header.map_or(0, |h| h.revision);
        if answer.succeeded {
            return Ok(Race::Won { version: version + 1, revision: now });
        }
        let found = answer.responses.into_iter().next().and_then(|r| r.response);
        let Some(response_op::Response::ResponseRange(range)) = found else {
            return Ok(Race::Lost { version: 0, revision: now, compacted: 0 });
        };
        let (version, compacted) = range.kvs.first().map_or((0, 0), |kv| {
            (kv.version, std::str::from_utf8(&kv.value).ok().and_then(|t| t.parse().ok()).unwrap_or(0))
        });
        Ok(Race::Lost { version, revision: now, compacted })
    }
}

/// An open watch.
#[derive(Debug)]
pub struct Watch(etcd::Watch);

impl Watch {
    /// The next thing it says.
    pub async fn next(&mut self) -> Result<WatchItem> {
        match self.0.next().await {
            None => Err(KvError::Closed),
            Some(message) => Ok(match message? {
                WatchMessage::Events { events, .. } => {
                    WatchItem::Events(events.into_iter().map(update).collect())
                }
                WatchMessage::Progress { revision } => WatchItem::Progress(revision),
                WatchMessage::Compacted { .. } => WatchItem::Compacted,
            }),
        }
    }

    /// Asks for progress; the answer comes through `next`.
    pub async fn ask_progress(&self) {
        if let Err(error) = self.0.request_progress().await {
            tracing::debug!(error = %error, "cannot ask for progress");
        }
    }
}

fn update(event: WatchEvent) -> Update {
    match event {
        WatchEvent::Put { kv, .. } => Update::Put(kv.into()),
        WatchEvent::Delete { key, revision, .. } => Update::Delete { key: text(&key), revision },
    }
}
