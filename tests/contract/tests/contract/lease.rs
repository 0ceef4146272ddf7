//! Leases.

use etcd::rpc::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseTimeToLiveRequest};
use etcd::{Error, Range, WatchEvent, WatchMessage, WatchOptions};

use crate::fixture::Fixture;

pub(crate) async fn keys_end_with_it(f: Fixture) {
    let lease = f.kv.grant(600).await.unwrap();
    assert!(lease > 0);
    for name in ["b", "a", "moved"] {
        f.kv.create(&f.key(name), "1".into(), lease).await.unwrap();
    }
    // a key written without the lease leaves it
    let kept = f.put("moved", "2").await;
    let kv = f.kv.get(&f.key("a"), 0).await.unwrap().1.unwrap();
    assert_eq!(kv.lease, lease);
    let ask = LeaseTimeToLiveRequest { id: lease, keys: true };
    let left = f.raw_lease().lease_time_to_live(ask).await.unwrap().into_inner();
    assert!(left.granted_ttl == 600 && (590..=600).contains(&left.ttl), "{left:?}");
    let mut names: Vec<_> = left.keys.iter().map(|key| *key.last().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, b"ab");
    let leases = f.raw_lease().lease_leases(LeaseLeasesRequest {}).await.unwrap().into_inner().leases;
    assert!(leases.iter().any(|l| l.id == lease));
    let mut watch = f.kv.watch(WatchOptions::prefix(f.prefix(), kept + 1)).await.unwrap();
    f.kv.revoke(lease).await.unwrap();
    let mut deletions = Vec::new();
    while deletions.len() < 2 {
        if let WatchMessage::Events { events, .. } = watch.next().await.unwrap().unwrap() {
            deletions.extend(events.into_iter().map(|e| match e {
                WatchEvent::Delete { revision, .. } => revision,
                other => panic!("{other:?}"),
            }));
        }
    }
    assert_eq!(deletions[0], deletions[1], "one revision");
    assert_eq!(f.kv.range(Range::prefix(f.prefix())).await.unwrap().count, 1);
    let left = f.raw_lease().lease_time_to_live(ask).await.unwrap().into_inner();
    assert_eq!(left.ttl, -1);
}

pub(crate) async fn expires(f: Fixture) {
    let lease = f.kv.grant(2).await.unwrap();
    let kept = f.kv.grant(600).await.unwrap();
    f.kv.create(&f.key("short"), "".into(), lease).await.unwrap();
    f.kv.create(&f.key("long"), "".into(), kept).await.unwrap();
    let start = f.put("marker", "").await;
    let mut watch = f.kv.watch(WatchOptions::prefix(f.prefix(), start + 1)).await.unwrap();
    loop {
        match watch.next().await.unwrap().unwrap() {
            WatchMessage::Events { events, .. } => {
                assert!(matches!(&events[..], [WatchEvent::Delete { key, .. }] if key.ends_with(b"short")));
                break;
            }
            WatchMessage::Progress { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(f.kv.get(&f.key("long"), 0).await.unwrap().1.is_some());
    f.kv.revoke(kept).await.unwrap();
}

pub(crate) async fn bad_leases(f: Fixture) {
    assert!(matches!(f.kv.revoke(987_654).await, Err(Error::LeaseNotFound)));
    let put = f.kv.create(&f.key("a"), "".into(), 987_654).await;
    assert!(matches!(put, Err(Error::LeaseNotFound)), "{put:?}");
    let chosen = 424_242 + i64::from(std::process::id());
    let grant = LeaseGrantRequest { ttl: 100, id: chosen };
    assert_eq!(f.raw_lease().lease_grant(grant).await.unwrap().into_inner().id, chosen);
    let again = f.raw_lease().lease_grant(grant).await.unwrap_err();
    assert_eq!(again.message(), "etcdserver: lease already exists");
    let long = f.raw_lease().lease_grant(LeaseGrantRequest { ttl: 9_000_000_001, id: 0 }).await.unwrap_err();
    assert_eq!(long.message(), "etcdserver: too large lease TTL");
    let alive = async |id| {
        let requests = tokio_stream::once(LeaseKeepAliveRequest { id });
        let mut answers = f.raw_lease().lease_keep_alive(requests).await.unwrap().into_inner();
        answers.message().await.unwrap().unwrap().ttl
    };
    assert_eq!(alive(chosen).await, 100);
    assert_eq!(alive(987_654).await, 0);
    f.kv.revoke(chosen).await.unwrap();
}
