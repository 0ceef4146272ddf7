//! A change of one object, as watchers see it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::entry::Entry;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// It came, or came into the selection.
    Added,
    /// It changed.
    Modified,
    /// It went, or left the selection.
    Deleted,
}

impl Change {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        }
    }
}

/// One change. `object` is what the change left, or for a deletion what was there, both at the change's revision.
#[derive(Debug)]
pub struct Event {
    /// The change's revision.
    pub revision: i64,
    /// The object after the change; for a deletion as it was before, at the deletion's revision.
    pub object: Arc<Entry>,
    /// The object before the change, at its own revision; `None` when it came into being.
    pub previous: Option<Arc<Entry>>,
    /// Whether this is a deletion.
    pub deleted: bool,
    /// The whole frame of the common case, encoded once for all watchers.
    frame: OnceLock<Bytes>,
    /// The same in protobuf.
    pub protobuf_frame: OnceLock<Bytes>,
}

impl Event {
    /// An object came or changed.
    pub fn put(object: Arc<Entry>, previous: Option<Arc<Entry>>) -> Self {
        let (frame, protobuf_frame) = Default::default();
        Self { revision: object.revision, object, previous, deleted: false, frame, protobuf_frame }
    }

    /// An object went at a revision.
    pub fn delete(previous: Arc<Entry>, revision: i64) -> Self {
        let object = Arc::new(previous.at_revision(revision));
        let (frame, protobuf_frame) = Default::default();
        Self { revision, object, previous: Some(previous), deleted: true, frame, protobuf_frame }
    }

    /// The change without a selector.
    pub fn change(&self) -> Change {
        match (self.deleted, &self.previous) {
            (true, _) => Change::Deleted,
            (false, None) => Change::Added,
            (false, Some(_)) => Change::Modified,
        }
    }

    /// The change through a selector: what was selected before, and what is now.
    ///
    /// # Upstream
    /// `k8s.io/apiserver/pkg/storage/cacher/cache_watcher.go` `convertToWatchEvent`
    pub fn change_for(&self, matches: impl Fn(&Entry) -> bool) -> Option<Change> {
        let now = !self.deleted && matches(&self.object);
        let before = self.previous.as_deref().is_some_and(matches);
        match (before, now) {
            (false, true) => Some(Change::Added),
            (true, true) => Some(Change::Modified),
            (true, false) => Some(Change::Deleted),
            (false, false) => None,
        }
    }

    /// The object a change shows: when it left the selection, the old content at the change's revision.
    pub fn shown(&self, change: Change) -> Arc<Entry> {
        match (&self.previous, change) {
            (Some(previous), Change::Deleted) if !self.deleted => {
                Arc::new(previous.at_revision(self.revision))
            }
            _ => self.object.clone(),
        }
    }

    /// The JSON frame of `change` in the storage version; the common one is shared by all watchers.
    pub fn json_frame(&self, change: Change) -> Bytes {
        if change == self.change() {
            return self.frame.get_or_init(|| frame(change, &self.object.bytes)).clone();
        }
        frame(change, &self.shown(change).bytes)
    }

    /// What it costs, roughly: the superseded object is kept alive by it alone.
    pub fn cost(&self) -> usize {
        let frames =
            [&self.frame, &self.protobuf_frame].map(|frame| frame.get().map_or(32, |f| f.len() + 32));
        self.previous.as_ref().map_or(0, |p| p.cost()) + frames.iter().sum::<usize>()
    }
}

/// `{"type":"ADDED","object":…}` and a newline.
pub fn frame(change: Change, object: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(object.len() + 40);
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(change.name().as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(object.trim_ascii_end());
    out.extend_from_slice(b"}\n");
    Bytes::from(out)
}
