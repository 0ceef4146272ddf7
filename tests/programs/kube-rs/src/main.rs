//! What operators written with kube-rs do, each step checked: objects, server-side apply, a reflector with its store,
//! events, leases, exec, portforward, logs, eviction. One line is printed for each step.
//!
//! Arguments: the namespace to make and use, and an image with sh and httpd.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::api::events::v1::Event as Recorded;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{
    Api, AttachParams, DeleteParams, EvictParams, ListParams, LogParams, Patch, PatchParams, PostParams,
};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// No step may take longer.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (namespace, image) = arguments.next().zip(arguments.next()).context("NAMESPACE IMAGE")?;
    let client = Client::try_default().await?;
    let version = client.apiserver_version().await?;
    ensure!(version.major == "1", "version {}", version.git_version);
    let spaces: Api<Namespace> = Api::all(client.clone());
    let space = Namespace { metadata: named(&namespace), ..Namespace::default() };
    spaces.create(&PostParams::default(), &space).await?;
    let begun = tokio::time::Instant::now();
    step("objects", objects(&client, &namespace)).await?;
    step("apply", apply(&client, &namespace)).await?;
    step("reflector", reflect(&client, &namespace, watcher::Config::default())).await?;
    step("streaming list", reflect(&client, &namespace, watcher::Config::default().streaming_lists())).await?;
    step("events", events(&client, &namespace)).await?;
    step("leases", leases(&client, &namespace)).await?;
    step("pod", pod(&client, &namespace, &image)).await?;
    spaces.delete(&namespace, &DeleteParams::default()).await?;
    eprintln!("took {:?}", begun.elapsed());
    Ok(())
}

async fn step(name: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(PATIENCE, work).await.with_context(|| format!("{name}: too slow"))?.with_context(|| name.to_owned())?;
    println!("{name}");
    Ok(())
}

fn named(name: &str) -> kube::api::ObjectMeta {
    kube::api::ObjectMeta { name: Some(name.to_owned()), ..kube::api::ObjectMeta::default() }
}

fn map(name: &str, say: &str) -> ConfigMap {
    let labels = BTreeMap::from([("made".to_owned(), "here".to_owned())]);
    let data = BTreeMap::from([("say".to_owned(), say.to_owned())]);
    ConfigMap { metadata: kube::api::ObjectMeta { labels: Some(labels), ..named(name) }, data: Some(data), ..ConfigMap::default() }
}

/// The code and reason of a refusal.
fn refusal<T>(result: kube::Result<T>) -> Option<(u16, String)> {
    match result {
        Err(kube::Error::Api(status)) => Some((status.code, status.reason.clone())),
        _ => None,
    }
}

async fn objects(client: &Client, namespace: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    for number in 0..5 {
        maps.create(&PostParams::default(), &map(&format!("m{number}"), "first")).await?;
    }
    let again = refusal(maps.create(&PostParams::default(), &map("m0", "x")).await);
    ensure!(again == Some((409, "AlreadyExists".into())), "{again:?}");
    let page = maps.list(&ListParams::default().labels("made=here").limit(2)).await?;
    let token = page.metadata.continue_.clone().context("no second page")?;
    let rest = maps.list(&ListParams::default().labels("made=here").continue_token(&token)).await?;
    ensure!((page.items.len(), rest.items.len()) == (2, 3), "{} {}", page.items.len(), rest.items.len());
    ensure!(maps.get_opt("none").await?.is_none());
    let metadata = maps.get_metadata("m1").await?;
    ensure!(metadata.labels().get("made").is_some_and(|v| v == "here"));
    let mut stale = maps.get("m1").await?;
    maps.patch("m1", &PatchParams::default(), &Patch::Merge(json!({"data": {"say": "newer"}}))).await?;
    stale.data = None;
    let conflict = refusal(maps.replace("m1", &PostParams::default(), &stale).await);
    ensure!(conflict == Some((409, "Conflict".into())), "{conflict:?}");
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    maps.patch("m1", &dry, &Patch::Strategic(json!({"data": {"say": "never"}}))).await?;
    let kept = maps.get("m1").await?.data.and_then(|mut d| d.remove("say"));
    ensure!(kept.as_deref() == Some("newer"), "{kept:?}");
    Ok(())
}

async fn apply(client: &Client, namespace: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let wanted = |say: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"say": say}});
    let made = maps.patch("applied", &PatchParams::apply("one"), &Patch::Apply(wanted("1"))).await?;
    let same = maps.patch("applied", &PatchParams::apply("one"), &Patch::Apply(wanted("1"))).await?;
    ensure!(made.resource_version() == same.resource_version(), "an apply of the same changed something");
    let theirs = refusal(maps.patch("applied", &PatchParams::apply("two"), &Patch::Apply(wanted("2"))).await);
    ensure!(theirs == Some((409, "Conflict".into())), "{theirs:?}");
    let forced = maps.patch("applied", &PatchParams::apply("two").force(), &Patch::Apply(wanted("2"))).await?;
    let owners: Vec<_> = forced.managed_fields().iter().filter_map(|m| m.manager.clone()).collect();
    ensure!(owners == ["two"], "{owners:?}");
    let strict = PatchParams { field_validation: Some(kube::api::ValidationDirective::Strict), ..PatchParams::apply("two") };
    let unknown = json!({"apiVersion": "v1", "kind": "ConfigMap", "dat": {}});
    ensure!(refusal(maps.patch("applied", &strict, &Patch::Apply(unknown)).await).is_some(), "an unknown field was taken");
    Ok(())
}

/// A reflector's store follows what happens, and its stream says what.
async fn reflect(client: &Client, namespace: &str, config: watcher::Config) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let (reader, writer) = reflector::store();
    let stream = watcher(maps.clone(), config.labels("made=here")).default_backoff();
    let mut stream = pin!(reflector::reflector(writer, stream).applied_objects());
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(stream.try_next().await?.context("the stream ended")?.name_any());
    }
    seen.sort();
    ensure!(seen == ["m0", "m1", "m2", "m3", "m4"], "{seen:?}");
    maps.create(&PostParams::default(), &map("late", "late")).await?;
    maps.patch("m2", &PatchParams::default(), &Patch::Merge(json!({"data": {"say": "again"}}))).await?;
    for wanted in ["late", "m2"] {
        let next = stream.try_next().await?.context("the stream ended")?.name_any();
        ensure!(next == wanted, "{next} instead of {wanted}");
    }
    let stored = reader.get(&ObjectRef::new("m2").within(namespace)).context("m2 is not in the store")?;
    ensure!(stored.data.as_ref().and_then(|d| d.get("say")).is_some_and(|v| v == "again"));
    maps.delete("late", &DeleteParams::default()).await?;
    maps.patch("m3", &PatchParams::default(), &Patch::Merge(json!({"data": {"say": "last"}}))).await?;
    stream.try_next().await?.context("the stream ended")?;
    ensure!(reader.state().len() == 5, "the store has {} objects", reader.state().len());
    maps.patch("m2", &PatchParams::default(), &Patch::Merge(json!({"data": {"say": "first"}}))).await?;
    Ok(())
}

async fn events(client: &Client, namespace: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let about = maps.get("m0").await?.object_ref(&());
    let reporter = Reporter { controller: "kube-rs-test".into(), instance: Some("one".into()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let event = Event {
        type_: EventType::Normal,
        reason: "Looked".into(),
        note: Some("looked at it".into()),
        action: "Look".into(),
        secondary: None,
    };
    recorder.publish(&event, &about).await?;
    recorder.publish(&event, &about).await?;
    let recorded: Api<Recorded> = Api::namespaced(client.clone(), namespace);
    let found = recorded.list(&ListParams::default().fields("reason=Looked,regarding.name=m0")).await?;
    let [one] = found.items.as_slice() else { anyhow::bail!("{} events", found.items.len()) };
    let count = one.series.as_ref().map_or(1, |s| s.count);
    ensure!(count == 2, "counted {count}");
    Ok(())
}

/// A lease taken, renewed, and refused to who did not see the renewal.
async fn leases(client: &Client, namespace: &str) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let now = || Some(MicroTime(jiff::Timestamp::now()));
    let spec = LeaseSpec {
        holder_identity: Some("one".into()),
        lease_duration_seconds: Some(15),
        acquire_time: now(),
        renew_time: now(),
        ..LeaseSpec::default()
    };
    let taken = leases.create(&PostParams::default(), &Lease { metadata: named("lead"), spec: Some(spec) }).await?;
    let mut renewed = taken.clone();
    if let Some(spec) = renewed.spec.as_mut() {
        spec.renew_time = now();
    }
    leases.replace("lead", &PostParams::default(), &renewed).await?;
    let late = refusal(leases.replace("lead", &PostParams::default(), &taken).await);
    ensure!(late == Some((409, "Conflict".into())), "{late:?}");
    Ok(())
}

async fn pod(client: &Client, namespace: &str, image: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let wanted: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p"},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "c", "image": image, "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", "echo begun; exec httpd -f -p 8080 -h /etc"],
        }]},
    }))?;
    pods.create(&PostParams::default(), &wanted).await?;
    await_condition(pods.clone(), "p", conditions::is_pod_running()).await?;
    ensure!(pods.logs("p", &LogParams::default()).await? == "begun\n");
    let mut process = pods.exec("p", ["tr", "a-z", "A-Z"], &AttachParams::default().stdin(true).stderr(false)).await?;
    let status = process.take_status().context("no status")?;
    let mut output = process.stdout().context("no output")?;
    let mut input = process.stdin().context("no input")?;
    input.write_all(b"hello\n").await?;
    input.shutdown().await?;
    drop(input);
    let mut said = String::new();
    output.read_to_string(&mut said).await?;
    ensure!(said == "HELLO\n", "{said:?}");
    ensure!(status.await.and_then(|s| s.status).as_deref() == Some("Success"));
    let mut failing = pods.exec("p", ["sh", "-c", "exit 3"], &AttachParams::default()).await?;
    let status = failing.take_status().context("no status")?.await.context("no status")?;
    ensure!(status.reason.as_deref() == Some("NonZeroExitCode"), "{status:?}");
    let mut forwarder = pods.portforward("p", &[8080]).await?;
    let mut line = forwarder.take_stream(8080).context("no stream")?;
    line.write_all(b"GET /hostname HTTP/1.0\r\n\r\n").await?;
    let mut answer = vec![0; 6];
    line.read_exact(&mut answer).await?;
    ensure!(answer == b"HTTP/1", "{answer:?}");
    drop(line);
    forwarder.abort();
    let uid = pods.get("p").await?.uid().context("no uid")?;
    pods.evict("p", &EvictParams::default()).await?;
    await_condition(pods, "p", conditions::is_deleted(&uid)).await?;
    Ok(())
}
