//! A kind that comes and goes while the server runs, on the path of the built-in ones.

use std::borrow::Cow;
use std::sync::Arc;

use kinds::{Face, StorageResource};
use meta::{GroupResource, GroupVersionKind};
use schema::table::{Field, Ty, Type as Struct};
use schema::{Schema, Table};

use super::Store;
use super::kv::Kv;
use super::read::Query;
use super::watcher::Scope;
use crate::codec::Type;
use crate::registry::{Registry, Resource};
use crate::request::options::ListOptions;
use crate::selector::Selection;

fn widget() -> GroupVersionKind {
    GroupVersionKind::new("example.org", "v1", "Widget")
}

/// A kind with a table of its own: any metadata, any spec.
fn resource() -> Arc<Resource> {
    let field = |json: &'static str, ty: Ty| Field {
        json: Cow::Borrowed(json),
        ty: Some(ty),
        omit_empty: true,
        ..Field::default()
    };
    let fields = vec![
        field("apiVersion", Ty::Str),
        field("kind", Ty::Str),
        field("metadata", Ty::Json),
        field("spec", Ty::Json),
    ];
    let name = "org.example.v1.Widget";
    let mut kind = Struct::default();
    (kind.name, kind.fields) = (Cow::Borrowed(name), fields);
    let table = Table::new(vec![kind]);
    let schema = Schema { id: table.find(name).unwrap(), table: Arc::new(table) };
    let hooks = kinds::kinds().into_iter().find(|k| k.key_prefix == "configmaps").unwrap().hooks;
    let kind = StorageResource {
        key_prefix: "example.org/widgets".into(),
        storage: widget(),
        resource: GroupResource { group: "example.org".into(), resource: "widgets".into() },
        namespaced: true,
        faces: vec![Face { gvk: widget(), plural: "widgets".into(), subresources: Vec::new() }],
        create_on_update: false,
        unconditional_update: true,
        delete_returns_object: false,
        hooks,
    };
    Arc::new(Resource::with_schema(kind, Type::at_run_time(schema, widget())))
}

fn object(name: &str) -> Vec<u8> {
    format!(
        r#"{{"apiVersion":"example.org/v1","kind":"Widget","metadata":{{"name":"{name}","namespace":"ns"}},"spec":{{"source":"/x"}}}}"#
    )
    .into_bytes()
}

async fn names(store: &Store, registry: &Registry) -> Vec<String> {
    let endpoint = registry.find("example.org", "v1", "widgets").unwrap();
    let cache = store.cache.add(&endpoint.resource);
    let selection = Selection::read(endpoint, "", "").unwrap();
    let query = Query { cache: &cache, namespace: "", selection: &selection };
    let listing = store.list(&query, &ListOptions::default()).await.unwrap();
    listing.entries.iter().map(|e| endpoint.resource.name_of(&e.key).to_owned()).collect()
}

#[tokio::test]
async fn a_kind_comes_and_goes() {
    let backing = testkit::store().await;
    let kv = Kv::new(etcd::Kv::connect(&[&backing.endpoint], None).unwrap());
    kv.put("/registry/example.org/widgets/ns/before", object("before").into(), 0, 0).await.unwrap();
    let registry = Registry::built_in(kinds::kinds(), |_| true);
    let store = Store::start(kv.clone(), registry.resources());
    assert!(registry.find("example.org", "v1", "widgets").is_none());

    let resource = resource();
    let cache = store.add(&resource).await;
    let served = registry.with(resource.clone());
    assert!(served.find("", "v1", "pods").is_some(), "the others stay");
    assert_eq!(names(&store, &served).await, ["before"]);

    let mut watch = cache.watch(Scope::All, None, 0).unwrap();
    kv.put("/registry/example.org/widgets/ns/after", object("after").into(), 0, 0).await.unwrap();
    let event = watch.live.recv().await.unwrap();
    assert_eq!(resource.name_of(&event.object.key), "after");
    assert_eq!(names(&store, &served).await, ["after", "before"]);

    let gone = served.without(&resource.prefix);
    store.remove(&resource);
    assert!(gone.find("example.org", "v1", "widgets").is_none());
    assert!(watch.live.recv().await.is_none(), "its watches end");

    let again = self::resource();
    store.add(&again).await;
    assert_eq!(names(&store, &gone.with(again)).await, ["after", "before"], "its objects stayed");
}
