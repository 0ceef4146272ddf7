//! Reads.

use bytes::Bytes;
use etcd::rpc::RangeRequest;
use etcd::rpc::range_request::{SortOrder, SortTarget};
use etcd::{Error, Range};

use crate::fixture::Fixture;

pub(crate) async fn pages_counts_and_revisions(f: Fixture) {
    let mut last = 0;
    for name in ["c", "a", "e", "b", "d"] {
        let revision = f.put(name, "1").await;
        assert!(revision > last, "revisions grow");
        last = revision;
    }
    let before = last;
    let newest = f.put("b", "2").await;
    f.delete("d").await;

    let all = f.kv.range(Range::prefix(f.prefix())).await.unwrap();
    let names: Vec<_> = all.kvs.iter().map(|kv| kv.key.last().copied().unwrap()).collect();
    assert_eq!((names.as_slice(), all.count, all.more), (b"abce".as_slice(), 4, false));
    assert_eq!(
        (all.kvs[1].version, all.kvs[1].mod_revision, &all.kvs[1].value[..]),
        (2, newest, b"2".as_slice())
    );
    assert!(all.kvs[1].create_revision < newest && all.revision > newest);

    // Kubernetes' pages: a limit, then on from the last key with a zero byte, at the first page's revision
    let first = f.kv.range(Range { limit: 2, ..Range::prefix(f.prefix()) }).await.unwrap();
    assert_eq!((first.kvs.len(), first.count, first.more), (2, 4, true));
    let mut start = f.key("b");
    start.push(0);
    let rest = Range { start: start.into(), limit: 2, revision: first.revision, ..Range::prefix(f.prefix()) };
    let second = f.kv.range(rest).await.unwrap();
    assert_eq!((second.kvs.len(), second.count, second.more), (2, 2, false));

    let old = f.kv.range(Range { revision: before, ..Range::prefix(f.prefix()) }).await.unwrap();
    assert_eq!((old.kvs.len(), &old.kvs[1].value[..]), (5, b"1".as_slice()));
    assert!(old.revision >= all.revision, "the header has the newest revision");

    let keys = f.kv.range(Range { keys_only: true, ..Range::prefix(f.prefix()) }).await.unwrap();
    assert!(keys.kvs.len() == 4 && keys.kvs.iter().all(|kv| kv.value.is_empty() && kv.mod_revision > 0));
    let count = f.kv.range(Range { count_only: true, ..Range::prefix(f.prefix()) }).await.unwrap();
    assert_eq!((count.kvs.len(), count.count, count.more), (0, 4, false));
    assert_eq!(f.kv.get(&f.key("d"), 0).await.unwrap().1, None);
    assert!(f.kv.get(&f.key("d"), before).await.unwrap().1.is_some());
    // what sorts between keys: `-` before `/`
    f.put("x-y", "").await;
    f.put("x/y", "").await;
    let x = f.kv.range(Range::prefix(&f.key("x"))).await.unwrap();
    assert_eq!(&x.kvs[0].key[..], f.key("x-y"));
}

pub(crate) async fn orders_and_filters(f: Fixture) {
    let first = f.put("a", "z").await;
    f.put("b", "y").await;
    let third = f.put("c", "x").await;
    let last = f.put("a", "w").await;
    let read = async |request: RangeRequest| {
        let key = f.prefix().to_vec();
        let range_end = etcd::prefix_end(&key).into();
        let answer =
            f.raw().range(RangeRequest { key: key.into(), range_end, ..request }).await.unwrap().into_inner();
        let names: String = answer.kvs.iter().map(|kv| char::from(*kv.key.last().unwrap())).collect();
        (names, answer.count, answer.more)
    };
    let sorted = |target: SortTarget, order: SortOrder, limit| RangeRequest {
        sort_target: target as i32,
        sort_order: order as i32,
        limit,
        ..Default::default()
    };
    let cases = [
        (sorted(SortTarget::Key, SortOrder::Descend, 0), "cba", false),
        (sorted(SortTarget::Key, SortOrder::Descend, 2), "cb", true),
        (sorted(SortTarget::Mod, SortOrder::Ascend, 0), "bca", false),
        (sorted(SortTarget::Mod, SortOrder::Descend, 1), "a", true),
        (sorted(SortTarget::Create, SortOrder::Descend, 0), "cba", false),
        (sorted(SortTarget::Version, SortOrder::Descend, 1), "a", true),
        (sorted(SortTarget::Value, SortOrder::Ascend, 0), "acb", false),
        (sorted(SortTarget::Value, SortOrder::None, 0), "acb", false),
        (RangeRequest { min_mod_revision: third, ..Default::default() }, "ac", false),
        (RangeRequest { max_mod_revision: third, ..Default::default() }, "bc", false),
        (RangeRequest { max_create_revision: first, ..Default::default() }, "a", false),
        (RangeRequest { min_mod_revision: last, limit: 1, ..Default::default() }, "a", false),
    ];
    for (request, names, more) in cases {
        assert_eq!(read(request.clone()).await, (names.into(), 3, more), "{request:?}");
    }
}

pub(crate) async fn bad_reads(f: Fixture) {
    let newest = f.put("a", "").await;
    let future = f.kv.get(&f.key("a"), newest + 1000).await;
    assert!(matches!(future, Err(Error::FutureRevision)), "{future:?}");
    let status = f.raw().range(RangeRequest::default()).await.unwrap_err();
    assert_eq!(status.message(), "etcdserver: key is not provided");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let large = f.kv.create(&f.key("large"), Bytes::from(vec![0; 1600 * 1024]), 0).await;
    assert!(matches!(large, Err(Error::TooLarge)), "{large:?}");
}
