//! Transactions.

use bytes::Bytes;
use etcd::Outcome;
use etcd::rpc::compare::{CompareResult, CompareTarget, TargetUnion};
use etcd::rpc::request_op::Request as Op;
use etcd::rpc::response_op::Response;
use etcd::rpc::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use crate::fixture::Fixture;

fn op(request: Op) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn put(f: &Fixture, name: &str, value: &'static str) -> RequestOp {
    let (key, value) = (f.key(name).into(), Bytes::from_static(value.as_bytes()));
    op(Op::RequestPut(PutRequest { key, value, prev_kv: true, ..Default::default() }))
}

fn delete(f: &Fixture, name: &str) -> RequestOp {
    op(Op::RequestDeleteRange(DeleteRangeRequest { key: f.key(name).into(), ..Default::default() }))
}

fn read(f: &Fixture, name: &str) -> RequestOp {
    op(Op::RequestRange(RangeRequest { key: f.key(name).into(), ..Default::default() }))
}

pub(crate) async fn kubernetes_writes(f: Fixture) {
    let key = f.key("pod");
    let Outcome::Done { revision: created, .. } = f.kv.create(&key, "1".into(), 0).await.unwrap() else {
        panic!("created");
    };
    let Outcome::Mismatch { current: Some(current), revision } =
        f.kv.create(&key, "x".into(), 0).await.unwrap()
    else {
        panic!("exists");
    };
    assert_eq!((current.mod_revision, &current.value[..]), (created, b"1".as_slice()));
    assert!(revision >= created);
    let Outcome::Done { revision: updated, .. } = f.kv.update_if(&key, created, "2".into(), 0).await.unwrap()
    else {
        panic!("updated");
    };
    let stale = f.kv.update_if(&key, created, "3".into(), 0).await.unwrap();
    assert!(matches!(stale, Outcome::Mismatch { current: Some(kv), .. } if kv.mod_revision == updated));
    let stale = f.kv.delete_if(&key, created).await.unwrap();
    assert!(matches!(stale, Outcome::Mismatch { current: Some(kv), .. } if &kv.value[..] == b"2"));
    let Outcome::Done { revision: deleted, deleted: Some(was) } =
        f.kv.delete_if(&key, updated).await.unwrap()
    else {
        panic!("deleted");
    };
    assert!(deleted > updated && &was.value[..] == b"2" && was.version == 2);
    let gone = f.kv.delete_if(&key, updated).await.unwrap();
    assert!(matches!(gone, Outcome::Mismatch { current: None, .. }));
    // a key made again begins anew
    f.kv.create(&key, "4".into(), 0).await.unwrap();
    let again = f.kv.get(&key, 0).await.unwrap().1.unwrap();
    assert_eq!((again.version, again.create_revision), (1, again.mod_revision));
    // an update of revision 0 is a create
    assert!(matches!(f.kv.update_if(&f.key("new"), 0, "".into(), 0).await.unwrap(), Outcome::Done { .. }));
}

pub(crate) async fn one_revision_for_all(f: Fixture) {
    f.put("old", "1").await;
    let before = f.put("gone", "1").await;
    let inner = TxnRequest {
        compare: vec![compare(&f, "old", CompareResult::Equal, TargetUnion::Version(1))],
        success: vec![put(&f, "inner", "i")],
        failure: vec![],
    };
    let success = vec![
        put(&f, "old", "2"),
        read(&f, "old"),
        put(&f, "new", "n"),
        delete(&f, "gone"),
        op(Op::RequestTxn(inner)),
    ];
    let answer = f.kv.txn(TxnRequest { success, ..Default::default() }).await.unwrap();
    let revision = answer.header.unwrap().revision;
    assert!(answer.succeeded && revision == before + 1, "one revision: {before} {revision}");
    let responses: Vec<_> = answer.responses.into_iter().map(|r| r.response.unwrap()).collect();
    let Response::ResponsePut(first) = &responses[0] else { panic!("put") };
    assert_eq!(&first.prev_kv.as_ref().unwrap().value[..], b"1");
    let Response::ResponseRange(seen) = &responses[1] else { panic!("range") };
    assert_eq!((&seen.kvs[0].value[..], seen.kvs[0].mod_revision), (b"2".as_slice(), revision));
    let Response::ResponseDeleteRange(deleted) = &responses[3] else { panic!("delete") };
    assert_eq!(deleted.deleted, 1);
    // the inner compare saw the state before the transaction
    let Response::ResponseTxn(inner) = &responses[4] else { panic!("txn") };
    assert!(inner.succeeded);
    for name in ["old", "new", "inner"] {
        assert_eq!(f.kv.get(&f.key(name), 0).await.unwrap().1.unwrap().mod_revision, revision, "{name}");
    }
    // reads alone make no revision
    let idle = f.kv.txn(TxnRequest { success: vec![read(&f, "old")], ..Default::default() }).await.unwrap();
    assert_eq!(idle.header.unwrap().revision, revision);
    // a deletion of nothing makes none either
    let idle =
        f.kv.txn(TxnRequest { success: vec![delete(&f, "nothing")], ..Default::default() }).await.unwrap();
    assert_eq!(idle.header.unwrap().revision, revision);
}

fn compare(f: &Fixture, name: &str, result: CompareResult, union: TargetUnion) -> Compare {
    let target = match union {
        TargetUnion::Version(_) => CompareTarget::Version,
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
        TargetUnion::Value(_) => CompareTarget::Value,
        TargetUnion::Lease(_) => CompareTarget::Lease,
    };
    let (result, target, key) = (result as i32, target as i32, f.key(name).into());
    Compare { result, target, key, target_union: Some(union), ..Default::default() }
}

pub(crate) async fn compares(f: Fixture) {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    use TargetUnion::{CreateRevision, Lease, ModRevision, Value, Version};
    let created = f.put("a", "m").await;
    let updated = f.put("a", "n").await;
    let value = |text: &'static str| Value(Bytes::from_static(text.as_bytes()));
    let cases = [
        ("a", Equal, Version(2), true),
        ("a", Greater, Version(2), false),
        ("a", Less, Version(3), true),
        ("a", NotEqual, Version(2), false),
        ("a", Equal, CreateRevision(created), true),
        ("a", Equal, ModRevision(updated), true),
        ("a", Less, ModRevision(updated), false),
        ("a", Equal, value("n"), true),
        ("a", Greater, value("m"), true),
        ("a", Equal, value("m"), false),
        ("a", Equal, Lease(0), true),
        ("none", Equal, Version(0), true),
        ("none", Equal, ModRevision(0), true),
        ("none", Equal, CreateRevision(0), true),
        ("none", Equal, value(""), false),
        ("none", NotEqual, value("x"), false),
    ];
    for (name, result, union, expected) in cases {
        let text = format!("{name} {result:?} {union:?}");
        let compare = vec![compare(&f, name, result, union)];
        let answer = f.kv.txn(TxnRequest { compare, ..Default::default() }).await.unwrap();
        assert_eq!(answer.succeeded, expected, "{text}");
    }
    // over a range, every key must hold
    f.put("b", "n").await;
    for (result, union, expected) in
        [(Equal, value("n"), true), (Equal, Version(1), false), (Greater, Version(0), true)]
    {
        let mut all = compare(&f, "", result, union);
        all.range_end = etcd::prefix_end(&all.key).into();
        let answer = f.kv.txn(TxnRequest { compare: vec![all.clone()], ..Default::default() }).await.unwrap();
        assert_eq!(answer.succeeded, expected, "{all:?}");
    }
}

pub(crate) async fn bad_transactions(f: Fixture) {
    let before = f.put("a", "1").await;
    let leased = PutRequest { key: f.key("b").into(), lease: 12345, ..Default::default() };
    let keep = PutRequest { key: f.key("none").into(), ignore_value: true, ..Default::default() };
    let mut range = DeleteRangeRequest { key: f.prefix().to_vec().into(), ..Default::default() };
    range.range_end = etcd::prefix_end(f.prefix()).into();
    let cases = [
        (vec![put(&f, "a", "2"), put(&f, "a", "3")], "etcdserver: duplicate key given in txn request"),
        (
            vec![put(&f, "a", "2"), op(Op::RequestDeleteRange(range))],
            "etcdserver: duplicate key given in txn request",
        ),
        (vec![put(&f, "a", "2"), op(Op::RequestPut(leased))], "etcdserver: requested lease not found"),
        (vec![op(Op::RequestPut(keep))], "etcdserver: key not found"),
        (vec![op(Op::RequestPut(PutRequest::default()))], "etcdserver: key is not provided"),
        (vec![read(&f, "a"); 129], "etcdserver: too many operations in txn request"),
    ];
    for (success, message) in cases {
        let status = f.raw().txn(TxnRequest { success, ..Default::default() }).await.unwrap_err();
        assert_eq!(status.message(), message);
    }
    // nothing of a refused transaction happened
    let (revision, kv) = f.kv.get(&f.key("a"), 0).await.unwrap();
    assert_eq!(kv.unwrap().mod_revision, before);
    assert!(revision >= before);
    // keeping the value is a write of its own
    let keep = PutRequest { key: f.key("a").into(), ignore_value: true, prev_kv: true, ..Default::default() };
    f.raw().put(keep).await.unwrap();
    let kv = f.kv.get(&f.key("a"), 0).await.unwrap().1.unwrap();
    assert_eq!((&kv.value[..], kv.version), (b"1".as_slice(), 2));
}
