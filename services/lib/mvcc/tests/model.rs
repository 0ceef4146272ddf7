//! The engine's core beside a model that keeps every revision whole: whatever is written, compacted and rebuilt, reads
//! at every revision and the history agree.

#![allow(clippy::unwrap_used, reason = "a test through and through")]

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use etcd::rpc::{DeleteRangeRequest, PutRequest, RangeRequest};
use k3s_rs_mvcc as mvcc;
use mvcc::{Log, MemoryLog, Refusal, Request, State, Version};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// Requests of one batch.
    Batch(Vec<Change>),
    /// Compact this far: a share of the revisions in hundredths.
    Compact(i64),
    /// Forget and trim what a compaction left, this many changes.
    Forget(usize),
    /// Start again from the log.
    Rebuild,
}

#[derive(Debug, Clone)]
enum Change {
    Put(u8),
    Delete(u8),
    DeleteFrom(u8),
}

fn key(number: u8) -> Bytes {
    Bytes::copy_from_slice(format!("k{number}").as_bytes())
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop_oneof![
        6 => (0..8_u8).prop_map(Change::Put),
        2 => (0..8_u8).prop_map(Change::Delete),
        1 => (0..8_u8).prop_map(Change::DeleteFrom),
    ];
    prop_oneof![
        8 => prop::collection::vec(change, 1..5).prop_map(Step::Batch),
        1 => (0..=100_i64).prop_map(Step::Compact),
        2 => (1..20_usize).prop_map(Step::Forget),
        1 => Just(Step::Rebuild),
    ]
}

/// Every revision's keys: mod revision, create revision, version.
#[derive(Default)]
struct Model {
    revisions: BTreeMap<i64, BTreeMap<Bytes, (i64, i64, i64)>>,
    newest: i64,
    compacted: i64,
}

impl Model {
    fn apply(&mut self, change: &Change) {
        let mut keys = self.revisions.get(&self.newest).cloned().unwrap_or_default();
        let next = self.newest + 1;
        let before = keys.clone();
        match change {
            Change::Put(n) => {
                let (_, create, version) = keys.get(&key(*n)).copied().unwrap_or((0, next, 0));
                keys.insert(key(*n), (next, create, version + 1));
            }
            Change::Delete(n) => drop(keys.remove(&key(*n))),
            Change::DeleteFrom(n) => keys.retain(|k, _| *k < key(*n)),
        }
        if keys != before {
            self.newest = next;
            self.revisions.insert(next, keys);
        }
    }
}

fn request(change: &Change) -> Request {
    match change {
        Change::Put(n) => Request::Put(PutRequest { key: key(*n), value: key(*n), ..Default::default() }),
        Change::Delete(n) => Request::Delete(DeleteRangeRequest { key: key(*n), ..Default::default() }),
        Change::DeleteFrom(n) => {
            let range_end = Bytes::from_static(b"\0");
            Request::Delete(DeleteRangeRequest { key: key(*n), range_end, ..Default::default() })
        }
    }
}

fn commit(state: &mut State, log: &mut MemoryLog, requests: &[Request]) -> Vec<Result<mvcc::Reply, Refusal>> {
    let plan = state.plan(requests, &HashMap::new(), Duration::ZERO);
    if !plan.batch.is_empty() {
        let head = log.append(state.head(), &plan.batch).unwrap();
        state.publish(&plan.batch, &plan.renewed, head, Duration::ZERO);
    }
    plan.replies
}

fn compare(state: &State, model: &Model) {
    assert_eq!((state.revision(), state.compacted()), (model.newest, model.compacted));
    let everything = RangeRequest {
        key: Bytes::from_static(&[0]),
        range_end: Bytes::from_static(&[0]),
        ..Default::default()
    };
    for revision in 1..=model.newest + 1 {
        let read = state.range(&RangeRequest { revision, ..everything.clone() });
        if revision > model.newest {
            assert_eq!(read, Err(Refusal::FutureRevision));
        } else if revision < model.compacted {
            assert_eq!(read, Err(Refusal::Compacted));
        } else {
            let found: BTreeMap<Bytes, _> = read
                .unwrap()
                .found
                .into_iter()
                .map(|f| {
                    let v = f.version;
                    (Bytes::copy_from_slice(&f.key), (v.revision(), v.create_revision, v.version))
                })
                .collect();
            assert_eq!(found, model.revisions.get(&revision).cloned().unwrap_or_default(), "at {revision}");
        }
    }
    // the history from the compacted revision on, replayed over the state before it, gives the newest state
    let from = model.compacted.max(1);
    let mut replayed = model.revisions.get(&(from - 1)).cloned().unwrap_or_default();
    let mut next = Version::id_of(from, 0);
    while next <= Version::id_of(state.revision(), Version::SUB_MAX) {
        let (changes, on) = state.changes(next, 3, |_| true).unwrap();
        for change in changes {
            let key = Bytes::copy_from_slice(&change.key);
            if change.version.revision() > from {
                let before = change.previous.map(|p| p.revision());
                assert_eq!(before, replayed.get(&key).map(|(revision, ..)| *revision), "{change:?}");
            }
            match change.version.is_deletion() {
                true => drop(replayed.remove(&key)),
                false => {
                    let v = change.version;
                    replayed.insert(key, (v.revision(), v.create_revision, v.version));
                }
            }
        }
        assert!(on > next);
        next = on;
    }
    assert_eq!(replayed, model.revisions.get(&model.newest).cloned().unwrap_or_default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn core_agrees_with_a_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut log = MemoryLog::default();
        let mut state = State::default();
        let mut model = Model { newest: 1, ..Model::default() };
        for step in steps {
            match step {
                Step::Batch(changes) => {
                    let requests: Vec<Request> = changes.iter().map(request).collect();
                    for (reply, change) in commit(&mut state, &mut log, &requests).into_iter().zip(&changes) {
                        model.apply(change);
                        prop_assert_eq!(reply.unwrap().revision, model.newest);
                    }
                }
                Step::Compact(percent) => {
                    let revision = (model.newest * percent / 100).max(1);
                    let reply = commit(&mut state, &mut log, &[Request::Compact(revision)]).remove(0);
                    if revision <= model.compacted {
                        prop_assert_eq!(reply, Err(Refusal::Compacted));
                    } else {
                        prop_assert!(reply.is_ok());
                        model.compacted = revision;
                    }
                }
                Step::Forget(steps) => log.trim(&state.forget(steps)).unwrap(),
                Step::Rebuild => {
                    let (rebuilt, garbage) = State::rebuild(&mut log, Duration::ZERO).unwrap();
                    log.trim(&garbage).unwrap();
                    state = rebuilt;
                }
            }
            compare(&state, &model);
        }
    }
}
