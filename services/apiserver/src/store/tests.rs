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

fn addon() -> GroupVersionKind {
    GroupVersionKind::new("k3s.cattle.io", "v1", "Addon")
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
    let name = "io.cattle.k3s.v1.Addon";
    let table = Table::new(vec![Struct { name: Cow::Borrowed(name), fields, ..Struct::default() }]);
    let schema = Schema { id: table.find(name).unwrap(), table: Arc::new(table) };
    let hooks = kinds::kinds().into_iter().find(|k| k.key_prefix == "configmaps").unwrap().hooks;
    let kind = StorageResource {
        key_prefix: "k3s.cattle.io/addons".into(),
        storage: addon(),
        resource: GroupResource { group: "k3s.cattle.io".into(), resource: "addons".into() },
        namespaced: true,
        faces: vec![Face { gvk: addon(), plural: "addons".into(), subresources: Vec::new() }],
        create_on_update: false,
        unconditional_update: true,
        delete_returns_object: false,
        hooks,
    };
    Arc::new(Resource::with_schema(kind, Type::at_run_time(schema, addon())))
}

fn object(name: &str) -> Vec<u8> {
    format!(
        r#"{{"apiVersion":"k3s.cattle.io/v1","kind":"Addon","metadata":{{"name":"{name}","namespace":"ns"}},"spec":{{"source":"/x"}}}}"#
    )
    .into_bytes()
}

async fn names(store: &Store, registry: &Registry) -> Vec<String> {
    let endpoint = registry.find("k3s.cattle.io", "v1", "addons").unwrap();
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
    kv.put("/registry/k3s.cattle.io/addons/ns/before", &object("before"), 0, 0).await.unwrap();
    let registry = Registry::built_in(kinds::kinds(), |_| true);
    let store = Store::start(kv.clone(), registry.resources());
    assert!(registry.find("k3s.cattle.io", "v1", "addons").is_none());

    let resource = resource();
    let cache = store.add(&resource).await;
    let served = registry.with(resource.clone());
    assert!(served.find("", "v1", "pods").is_some(), "the others stay");
    assert_eq!(names(&store, &served).await, ["before"]);

    let mut watch = cache.watch(Scope::All, None, 0).unwrap();
    kv.put("/registry/k3s.cattle.io/addons/ns/after", &object("after"), 0, 0).await.unwrap();
    let event = watch.live.recv().await.unwrap();
    assert_eq!(resource.name_of(&event.object.key), "after");
    assert_eq!(names(&store, &served).await, ["after", "before"]);

    let gone = served.without(&resource.prefix);
    store.remove(&resource);
    assert!(gone.find("k3s.cattle.io", "v1", "addons").is_none());
    assert!(watch.live.recv().await.is_none(), "its watches end");

    let again = self::resource();
    store.add(&again).await;
    assert_eq!(names(&store, &gone.with(again)).await, ["after", "before"], "its objects stayed");
}
