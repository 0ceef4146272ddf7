//! Watches.

use std::time::Duration;

use etcd::rpc::watch_create_request::FilterType;
use etcd::rpc::watch_request::RequestUnion;
use etcd::rpc::{
    DeleteRangeRequest, PutRequest, RequestOp, TxnRequest, WatchCancelRequest, WatchCreateRequest,
    WatchRequest, WatchResponse, request_op,
};
use etcd::{Watch, WatchEvent, WatchMessage, WatchOptions};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::fixture::Fixture;

/// The next `n` events, progress aside.
async fn events(watch: &mut Watch, n: usize) -> Vec<WatchEvent> {
    let mut all = Vec::new();
    while all.len() < n {
        match watch.next().await.unwrap().unwrap() {
            WatchMessage::Events { events, .. } => all.extend(events),
            WatchMessage::Progress { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    all
}

/// An event in short: kind, the key's last byte, value, what was there before.
fn short(event: &WatchEvent) -> (char, char, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = |key: &[u8]| char::from(*key.last().unwrap());
    match event {
        WatchEvent::Put { kv, previous } => {
            let before = previous.as_ref().map(|p| text(&p.value)).unwrap_or_default();
            ('+', name(&kv.key), text(&kv.value), before)
        }
        WatchEvent::Delete { key, previous, .. } => {
            ('-', name(key), String::new(), previous.as_ref().map(|p| text(&p.value)).unwrap_or_default())
        }
    }
}

fn is(events: &[WatchEvent], expected: &[(char, char, &str, &str)]) {
    let found: Vec<_> = events.iter().map(short).collect();
    let expected: Vec<_> =
        expected.iter().map(|(k, n, v, p)| (*k, *n, (*v).to_owned(), (*p).to_owned())).collect();
    assert_eq!(found, expected);
}

pub(crate) async fn replays_and_follows(f: Fixture) {
    let first = f.put("a", "1").await;
    f.put("a", "2").await;
    f.delete("a").await;
    let mut old = f.kv.watch(WatchOptions::prefix(f.prefix(), first)).await.unwrap();
    is(&events(&mut old, 3).await, &[('+', 'a', "1", ""), ('+', 'a', "2", "1"), ('-', 'a', "", "2")]);
    let mut new = f.kv.watch(WatchOptions::prefix(f.prefix(), 0)).await.unwrap();
    // the watch exists for sure once it answers
    new.request_progress().await.unwrap();
    assert!(matches!(new.next().await.unwrap().unwrap(), WatchMessage::Progress { .. }));
    f.put("b", "3").await;
    f.put("b", "4").await;
    for watch in [&mut old, &mut new] {
        is(&events(watch, 2).await, &[('+', 'b', "3", ""), ('+', 'b', "4", "3")]);
    }
    // from a revision that is not there yet
    let next = f.kv.linearizable_revision().await.unwrap() + 2;
    let mut future = f.kv.watch(WatchOptions::prefix(f.prefix(), next)).await.unwrap();
    if f.alone {
        f.put("c", "skipped").await;
        f.put("c", "seen").await;
        is(&events(&mut future, 1).await, &[('+', 'c', "seen", "skipped")]);
    }
    // many, more than are sent at once
    let begin = f.put("m", "0").await;
    for _ in 0..30 {
        let puts = (0..100).map(|i| {
            let put = PutRequest {
                key: f.key(&format!("many/{i}")).into(),
                value: "v".into(),
                ..Default::default()
            };
            RequestOp { request: Some(request_op::Request::RequestPut(put)) }
        });
        f.kv.txn(TxnRequest { success: puts.collect(), ..Default::default() }).await.unwrap();
    }
    let mut many = f.kv.watch(WatchOptions::prefix(f.prefix(), begin)).await.unwrap();
    let all = events(&mut many, 3001).await;
    let revisions: Vec<i64> = all
        .iter()
        .map(|e| match e {
            WatchEvent::Put { kv, .. } => kv.mod_revision,
            WatchEvent::Delete { revision, .. } => *revision,
        })
        .collect();
    assert!(revisions.is_sorted() && all.len() == 3001);
}

pub(crate) async fn sees_whole_revisions(f: Fixture) {
    for name in ["a", "b", "c"] {
        f.put(name, "1").await;
    }
    let start = f.put("d", "1").await;
    let mut watch = f.kv.watch(WatchOptions::prefix(f.prefix(), start + 1)).await.unwrap();
    let key = f.prefix().to_vec();
    let range_end = etcd::prefix_end(&key).into();
    let request = DeleteRangeRequest { key: key.into(), range_end, prev_kv: true };
    let answer = f.raw().delete_range(request).await.unwrap().into_inner();
    assert_eq!((answer.deleted, answer.prev_kvs.len()), (4, 4));
    loop {
        match watch.next().await.unwrap().unwrap() {
            WatchMessage::Progress { .. } => {}
            WatchMessage::Events { events, .. } => {
                let names: String = events.iter().map(|e| short(e).1).collect();
                assert_eq!(names, "abcd", "one message, in order of keys");
                let revision = answer.header.unwrap().revision;
                let same =
                    |e: &WatchEvent| matches!(e, WatchEvent::Delete { revision: r, .. } if *r == revision);
                assert!(events.iter().all(same));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// etcd answers nothing, not even headers, before the first request.
async fn raw_stream(
    f: &Fixture,
    first: WatchRequest,
) -> (mpsc::Sender<WatchRequest>, Streaming<WatchResponse>) {
    let (requests, receiver) = mpsc::channel(8);
    requests.send(first).await.unwrap();
    let answers = f.raw_watch().watch(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    (requests, answers)
}

fn create(create: WatchCreateRequest) -> WatchRequest {
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

pub(crate) async fn filters_and_cancels(f: Fixture) {
    let base = WatchCreateRequest { key: f.key("a").into(), ..Default::default() };
    let filtered = |filter: FilterType, id| WatchCreateRequest {
        filters: vec![filter as i32],
        watch_id: id,
        ..base.clone()
    };
    let (requests, mut answers) = raw_stream(&f, create(base.clone())).await;
    let mut ids = Vec::new();
    for next in [Some(filtered(FilterType::Noput, 7)), Some(filtered(FilterType::Nodelete, 9)), None] {
        if let Some(next) = next {
            requests.send(create(next)).await.unwrap();
        }
        let answer = answers.next().await.unwrap().unwrap();
        assert!(answer.created && !answer.canceled);
        ids.push(answer.watch_id);
    }
    assert_eq!(ids[1..], [7, 9]);
    f.put("a", "1").await;
    f.delete("a").await;
    let mut seen = [0; 3];
    while seen.iter().sum::<usize>() < 4 {
        let answer = answers.next().await.unwrap().unwrap();
        let at = ids.iter().position(|id| *id == answer.watch_id).unwrap();
        seen[at] += answer.events.len();
    }
    assert_eq!(seen, [2, 1, 1]);
    let cancel = RequestUnion::CancelRequest(WatchCancelRequest { watch_id: 7 });
    requests.send(WatchRequest { request_union: Some(cancel) }).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap();
    assert!(answer.canceled && answer.watch_id == 7);
    // an id in use
    requests.send(create(WatchCreateRequest { watch_id: 9, ..base.clone() })).await.unwrap();
    let answer = answers.next().await.unwrap().unwrap();
    assert!(answer.created && answer.canceled, "{answer:?}");
    f.put("a", "2").await;
    f.delete("a").await;
    let mut left = 3;
    while left > 0 {
        let answer = answers.next().await.unwrap().unwrap();
        assert_ne!(answer.watch_id, 7);
        left -= answer.events.len();
    }
}

pub(crate) async fn progress_is_a_promise(f: Fixture) {
    let start = f.put("a", "0").await;
    let mut watch = f.kv.watch(WatchOptions::prefix(f.prefix(), start)).await.unwrap();
    events(&mut watch, 1).await;
    let mut seen = start;
    for round in 0..20 {
        let written = f.put("a", "x").await;
        let mut asked = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                // etcd answers only when its watchers are synced: ask again
                _ = asked.tick() => watch.request_progress().await.unwrap(),
                message = watch.next() => match message.unwrap().unwrap() {
                    WatchMessage::Events { events, .. } => for event in events {
                        if let WatchEvent::Put { kv, .. } = event { seen = kv.mod_revision; }
                    },
                    WatchMessage::Progress { revision } if revision >= written => {
                        assert!(seen >= written, "round {round}: progress {revision} before event {written}");
                        break;
                    }
                    _ => {}
                },
            }
        }
    }
    // and unasked, when idle
    loop {
        if let WatchMessage::Progress { revision } = watch.next().await.unwrap().unwrap() {
            assert!(revision >= seen);
            break;
        }
    }
}

pub(crate) async fn compacted_start(f: Fixture) {
    if !f.alone {
        return;
    }
    let first = f.put("a", "1").await;
    f.put("a", "2").await;
    let last = f.put("a", "3").await;
    f.kv.compact(last).await.unwrap();
    let mut watch = f.kv.watch(WatchOptions::prefix(f.prefix(), first)).await.unwrap();
    let message = watch.next().await.unwrap().unwrap();
    assert_eq!(message, WatchMessage::Compacted { revision: last });
    assert!(watch.next().await.is_none());
    // from the compacted revision on is allowed
    let mut watch = f.kv.watch(WatchOptions::prefix(f.prefix(), last)).await.unwrap();
    let event = events(&mut watch, 1).await;
    assert_eq!((short(&event[0]).0, short(&event[0]).2.as_str()), ('+', "3"));
}

pub(crate) async fn prefix_and_single_key(f: Fixture) {
    let start = f.put("k", "1").await;
    f.put("k2", "1").await;
    let single = WatchOptions { start: f.key("k").into(), start_revision: start, ..Default::default() };
    let mut watch = f.kv.watch(single).await.unwrap();
    f.put("k", "2").await;
    let both = events(&mut watch, 2).await;
    is(&both, &[('+', 'k', "1", ""), ('+', 'k', "2", "")]);
}
