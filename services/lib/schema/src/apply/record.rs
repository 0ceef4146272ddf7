//! `metadata.managedFields` read and written.

use super::set::Set;
use crate::{Map, Object, Value};

/// More update managers than this are folded into one.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// One manager's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) manager: String,
    pub(super) apply: bool,
    pub(super) api_version: String,
    pub(super) subresource: String,
    pub(super) time: String,
    pub(super) set: Set,
}

impl Entry {
    /// Whether it is the same manager: appliers whatever the version.
    pub(super) fn same(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.apply == other.apply
            && self.subresource == other.subresource
            && (self.apply || self.api_version == other.api_version)
    }
}

/// The entries of an object; one that cannot be read is left out.
pub(super) fn read(object: &Object) -> Vec<Entry> {
    let text = |v: &Value, key: &str| v.at(&[key]).and_then(Value::as_str).unwrap_or_default().to_owned();
    let entry = |v: &Value| {
        let operation = text(v, "operation");
        let known = operation == "Apply" || operation == "Update";
        known.then(|| Entry {
            manager: text(v, "manager"),
            apply: operation == "Apply",
            api_version: text(v, "apiVersion"),
            subresource: text(v, "subresource"),
            time: text(v, "time"),
            set: v.at(&["fieldsV1"]).map(Set::from_value).unwrap_or_default(),
        })
    };
    object.list_at(&["metadata", "managedFields"]).iter().filter_map(entry).collect()
}

/// Whether a client asks for a reset: an empty list, or one empty entry.
pub(super) fn is_reset(object: &Object) -> bool {
    match object.at(&["metadata", "managedFields"]) {
        Some(Value::List(list)) => match list.as_slice() {
            [] => true,
            [Value::Map(one)] => one.is_empty(),
            _ => false,
        },
        _ => false,
    }
}

/// Writes entries in upstream's order, the oldest updaters folded together when there are too many.
pub(super) fn write(object: &mut Object, mut entries: Vec<Entry>) {
    entries.retain(|e| !e.set.is_empty());
    sort(&mut entries);
    cap(&mut entries);
    sort(&mut entries);
    if entries.is_empty() {
        object.metadata_mut().remove("managedFields");
        return;
    }
    let list: Vec<Value> = entries.into_iter().map(|e| Value::Map(value(e))).collect();
    object.metadata_mut().insert("managedFields", list);
}

fn sort(entries: &mut [Entry]) {
    fn key(e: &Entry) -> (bool, [&str; 4]) {
        (!e.apply, [&e.time, &e.manager, &e.api_version, &e.subresource])
    }
    entries.sort_by(|a, b| key(a).cmp(&key(b)));
}

fn cap(entries: &mut Vec<Entry>) {
    let updaters = entries.iter().filter(|e| !e.apply).count();
    if updaters <= MAX_UPDATERS {
        return;
    }
    // sorted by time: the first updaters are the oldest; those of one version fold into one
    let mut fold = updaters - MAX_UPDATERS + 1;
    let mut folded: Vec<Entry> = Vec::new();
    entries.retain(|e| {
        if e.apply || fold == 0 {
            return true;
        }
        fold -= 1;
        let bucket = folded.iter_mut().find(|b| b.api_version == e.api_version);
        match bucket {
            Some(bucket) => bucket.set = std::mem::take(&mut bucket.set).union(e.set.clone()),
            None => folded.push(Entry { manager: ANCIENT.into(), subresource: String::new(), ..e.clone() }),
        }
        false
    });
    entries.extend(folded);
}

fn value(entry: Entry) -> Map {
    let mut map = Map::with_capacity(7);
    map.push("manager", entry.manager);
    map.push("operation", if entry.apply { "Apply" } else { "Update" });
    map.push("apiVersion", entry.api_version);
    if !entry.time.is_empty() {
        map.push("time", entry.time);
    }
    map.push("fieldsType", "FieldsV1");
    map.push("fieldsV1", entry.set.into_value());
    if !entry.subresource.is_empty() {
        map.push("subresource", entry.subresource);
    }
    map
}
