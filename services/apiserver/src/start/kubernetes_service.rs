//! The Service `default/kubernetes` and its endpoints: the addresses of the API servers that live.
//!
//! # Upstream
//! `pkg/controlplane/controller/kubernetesservice`, `pkg/controlplane/reconcilers/lease.go`

use std::sync::Arc;

use bytes::Bytes;
use schema::{Map, Value};
use serde_json::json;

use crate::codec::Type;
use crate::errors::{self, Result};
use crate::server::Server;
use crate::store::kv::Written;
use crate::store::{PREFIX, end_of};

const LEASES: &str = "masterleases/";
/// A server that does not renew for this long is gone.
const LEASE_SECONDS: u64 = 15;

async fn renew_lease(server: &Arc<Server>) -> Result<()> {
    let address = server.settings.advertised().to_string();
    let key = format!("{PREFIX}{LEASES}{address}");
    let gvk = meta::GroupVersionKind::new("", "v1", "Endpoints");
    let schema = Type::of(&gvk).ok_or_else(|| errors::internal("no schema for Endpoints"))?;
    let object = json!({
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": {"generation": jiff::Timestamp::now().as_second()},
        "subsets": [{"addresses": [{"ip": address}]}],
    });
    let object = schema.decode(crate::request::accept::Media::Json, object.to_string().as_bytes());
    let value = Bytes::from(schema.encode_json(&object.map_err(errors::internal)?.object));
    let lease = server.store.kv.grant(LEASE_SECONDS).await?;
    loop {
        let revision = server.store.kv.get(&key, 0).await?.map_or(0, |row| row.revision);
        if let Written::Done(_) = server.store.kv.put(&key, value.clone(), revision, lease).await? {
            return Ok(());
        }
    }
}

async fn living(server: &Arc<Server>) -> Result<Vec<String>> {
    let prefix = format!("{PREFIX}{LEASES}");
    let page = server.store.kv.page(&prefix, &end_of(&prefix), 0, 0).await?;
    let mut all: Vec<String> =
        page.rows.iter().filter_map(|r| r.key.strip_prefix(&prefix)).map(str::to_owned).collect();
    all.sort();
    Ok(all)
}

/// Creates the Service, renews this server's lease and writes the endpoints.
pub(super) async fn ensure_all(server: Arc<Server>) -> Result<()> {
    let first = server.settings.service_ranges().map_err(errors::internal)?.first().copied();
    let first = first.ok_or_else(|| errors::internal("no range of service addresses"))?;
    let port = server.settings.listen.port();
    if server.peek("", "services", "default", "kubernetes")?.is_none() {
        let address = first.address(1).to_string();
        let service = json!({
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"provider": "kubernetes", "component": "apiserver"},
            },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": address,
                "clusterIPs": [address],
                "ipFamilies": [first.family()],
                "ipFamilyPolicy": "SingleStack",
                "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            },
        });
        super::ensure(&server, "", "services", &service).await?;
    }
    renew_lease(&server).await?;
    let addresses = living(&server).await?;
    endpoints(&server, &addresses, port).await?;
    slice(&server, &addresses, port).await
}

fn port_map(port: u16) -> Map {
    let mut map = Map::new();
    map.insert("name", "https");
    map.insert("port", i64::from(port));
    map.insert("protocol", "TCP");
    map
}

async fn endpoints(server: &Arc<Server>, addresses: &[String], port: u16) -> Result<()> {
    let object = json!({
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{
            "addresses": addresses.iter().map(|a| json!({"ip": a})).collect::<Vec<_>>(),
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }],
    });
    if super::ensure(server, "", "endpoints", &object).await? {
        return Ok(());
    }
    let list: Vec<Value> =
        addresses.iter().map(|a| Value::Map([("ip", a.as_str())].into_iter().collect())).collect();
    let mut subset = Map::new();
    subset.insert("addresses", list);
    subset.insert("ports", vec![Value::Map(port_map(port))]);
    let subsets = vec![Value::Map(subset)];
    super::edit(server, ("", "endpoints"), ("default", "kubernetes"), "", move |object| {
        object.set(&["subsets"], subsets.clone());
    })
    .await
}

async fn slice(server: &Arc<Server>, addresses: &[String], port: u16) -> Result<()> {
    let family = if addresses.first().is_some_and(|a| a.contains(':')) { "IPv6" } else { "IPv4" };
    let endpoints: Vec<_> =
        addresses.iter().map(|a| json!({"addresses": [a], "conditions": {"ready": true}})).collect();
    let object = json!({
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    if super::ensure(server, "discovery.k8s.io", "endpointslices", &object).await? {
        return Ok(());
    }
    let one = |a: &String| {
        let mut conditions = Map::new();
        conditions.insert("ready", true);
        let mut endpoint = Map::new();
        endpoint.insert("addresses", vec![Value::from(a.as_str())]);
        endpoint.insert("conditions", conditions);
        Value::Map(endpoint)
    };
    let endpoints: Vec<Value> = addresses.iter().map(one).collect();
    super::edit(
        server,
        ("discovery.k8s.io", "endpointslices"),
        ("default", "kubernetes"),
        "",
        move |object| {
            object.set(&["endpoints"], endpoints.clone());
            object.set(&["ports"], vec![Value::Map(port_map(port))]);
        },
    )
    .await
}
