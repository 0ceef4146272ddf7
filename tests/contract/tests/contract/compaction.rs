//! Compaction.

use etcd::{Error, Range, WatchMessage, WatchOptions};

use crate::fixture::Fixture;

pub(crate) async fn history_ends_there(f: Fixture) {
    if !f.alone {
        return; // it would take other checks' history
    }
    let first = f.put("a", "1").await;
    let second = f.put("a", "2").await;
    let third = f.put("b", "1").await;
    f.kv.compact(second).await.unwrap();
    assert!(matches!(f.kv.get(&f.key("a"), first).await, Err(Error::Compacted)));
    assert_eq!(&f.kv.get(&f.key("a"), second).await.unwrap().1.unwrap().value[..], b"2");
    assert!(matches!(f.kv.compact(second).await, Err(Error::Compacted)));
    assert!(matches!(f.kv.compact(third + 100).await, Err(Error::FutureRevision)));
    assert_eq!(f.kv.range(Range::prefix(f.prefix())).await.unwrap().count, 2);
}

pub(crate) async fn deleted_keys_go(f: Fixture) {
    if !f.alone {
        return;
    }
    for round in 0..300 {
        f.put(&format!("k{}", round % 7), "x").await;
    }
    f.delete("k3").await;
    let deleted = f.delete("k4").await;
    f.kv.compact(deleted).await.unwrap();
    let page = f.kv.range(Range { revision: deleted, ..Range::prefix(f.prefix()) }).await.unwrap();
    assert_eq!(page.count, 5);
    // the deletion at the compacted revision can still be seen by a watch from there
    let mut watch = f.kv.watch(WatchOptions::prefix(f.prefix(), deleted)).await.unwrap();
    loop {
        match watch.next().await.unwrap().unwrap() {
            WatchMessage::Progress { .. } => {}
            WatchMessage::Events { events, .. } => {
                assert_eq!(events.len(), 1);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let again = f.put("k3", "y").await;
    let kv = f.kv.get(&f.key("k3"), 0).await.unwrap().1.unwrap();
    assert_eq!((kv.version, kv.create_revision), (1, again));
}
