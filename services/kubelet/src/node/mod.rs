//! This node's own object: made once, kept up to date.
//!
//! # Upstream
//! `pkg/kubelet/kubelet_node_status.go`, `pkg/kubelet/nodestatus/setters.go`

pub mod lease;
pub mod machine;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Key, Patch, PatchParams, Resource};
use cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use crate::Kubelet;
use crate::events::Kind;
use crate::eviction::thresholds::Condition;

/// Images told of at most.
const MAX_IMAGES: usize = 50;

fn labels(kubelet: &Kubelet) -> BTreeMap<String, String> {
    let arch = machine::architecture();
    let mut out: BTreeMap<String, String> = [
        ("kubernetes.io/hostname", kubelet.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", arch),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    out.extend(kubelet.settings.node_labels.clone());
    out
}

/// Keeps the node's object up to date.
pub async fn run(kubelet: Arc<Kubelet>) {
    if kubelet.settings.register_node {
        register(&kubelet).await;
    }
    kubelet.events.node(Kind::Normal, "Starting", "Starting kubelet.");
    let mut last = Instant::now();
    let (mut told, mut shown): (Option<NodeStatus>, Option<NodeStatus>) = (None, None);
    let mut ready_before = false;
    loop {
        let mut fresh = current(&kubelet).await;
        let quiet = told.as_ref().is_some_and(|t| same(t, &fresh));
        if !quiet || last.elapsed() >= kubelet.settings.node_status_report_frequency {
            keep_transitions(&kubelet, &mut fresh);
            match tell(&kubelet, told.as_ref(), &fresh).await {
                Ok(()) => {
                    announce(&kubelet, shown.as_ref(), &fresh);
                    shown = Some(fresh.clone());
                    ready_before |= is_ready(&fresh);
                    told = Some(fresh);
                    last = Instant::now();
                }
                Err(e) if e.is_not_found() && kubelet.settings.register_node => {
                    register(&kubelet).await;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(error = crate::chain(&error), "Telling the node's status");
                    told = None;
                }
            }
        }
        // until it is ready for the first time, others wait for it
        let pause = if ready_before {
            kubelet.settings.node_status_update_frequency
        } else {
            Duration::from_millis(300)
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = kubelet.node_changed.notified() => {}
        }
    }
}

/// Says in events what has become of conditions, as upstream does.
fn announce(kubelet: &Kubelet, before: Option<&NodeStatus>, fresh: &NodeStatus) {
    let of = |status: &NodeStatus, kind: &str| {
        status.conditions.iter().flatten().find(|c| c.type_ == kind).map(|c| c.status == "True")
    };
    let texts = [
        ("MemoryPressure", "NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
        ("DiskPressure", "NodeHasDiskPressure", "NodeHasNoDiskPressure"),
        ("PIDPressure", "NodeHasInsufficientPID", "NodeHasSufficientPID"),
        ("Ready", "NodeReady", "NodeNotReady"),
    ];
    for (kind, yes, no) in texts {
        let now = of(fresh, kind) == Some(true);
        if before.and_then(|b| of(b, kind)) != Some(now) && (before.is_some() || kind != "Ready" || now) {
            let reason = if now { yes } else { no };
            let text = format!("Node {} status is now: {reason}", kubelet.name);
            kubelet.events.node(Kind::Normal, reason, &text);
        }
    }
}

fn is_ready(status: &NodeStatus) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Nothing to tell but heartbeats.
fn same(a: &NodeStatus, b: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
            condition.last_transition_time = None;
        }
        status
    };
    still(a) == still(b)
}

async fn register(kubelet: &Kubelet) {
    loop {
        match try_register(kubelet).await {
            Ok(()) => {
                tracing::info!(node = kubelet.name, "Registered node");
                return;
            }
            Err(error) => tracing::warn!(error = crate::chain(&error), "Registering the node"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn try_register(kubelet: &Kubelet) -> Result<(), client::Error> {
    let resource = Resource::of::<Node>();
    let provider = Some(kubelet.settings.provider_id.clone()).filter(|p| !p.is_empty());
    let taints = Some(kubelet.settings.register_with_taints.clone()).filter(|t| !t.is_empty());
    let annotation = ("volumes.kubernetes.io/controller-managed-attach-detach".to_owned(), "true".to_owned());
    let node = Node {
        metadata: ObjectMeta {
            name: Some(kubelet.name.clone()),
            labels: Some(labels(kubelet)),
            annotations: Some([annotation].into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec { provider_id: provider, taints, ..NodeSpec::default() }),
        status: Some(current(kubelet).await),
    };
    match kubelet.client.create::<_, serde::de::IgnoredAny>(&resource, "", &node, "").await {
        Ok(_) => Ok(()),
        Err(e) if e.is(meta::Reason::AlreadyExists) => {
            // someone may have changed the node's labels: ours are put back, others are theirs
            let patch = Patch::Strategic(json!({ "metadata": { "labels": labels(kubelet) } }));
            let key = Key::new("", &kubelet.name);
            kubelet.client.patch(&resource, &key, &patch, &PatchParams::default()).await.map(|_| ())
        }
        Err(e) => Err(e),
    }
}

async fn tell(kubelet: &Kubelet, told: Option<&NodeStatus>, fresh: &NodeStatus) -> Result<(), client::Error> {
    let mut status = serde_json::to_value(fresh)?;
    if let (Some(told), Value::Object(map)) = (told, &mut status) {
        let before = serde_json::to_value(told)?;
        map.retain(|key, value| key == "conditions" || before.get(key) != Some(value));
        if told.volumes_in_use.is_some() && fresh.volumes_in_use.is_none() {
            map.insert("volumesInUse".into(), Value::Null);
        }
    }
    if let Some(addresses) = status.get_mut("addresses").and_then(Value::as_array_mut) {
        addresses.push(json!({ "$patch": "replace" }));
    }
    let patch = Patch::Strategic(json!({ "status": status }));
    let params = PatchParams { subresource: "status", field_manager: "" };
    let key = Key::new("", &kubelet.name);
    kubelet.client.patch(&Resource::of::<Node>(), &key, &patch, &params).await.map(|_| ())
}

fn keep_transitions(kubelet: &Kubelet, fresh: &mut NodeStatus) {
    let snapshot = kubelet.node.snapshot();
    let stored = snapshot.get(&Key::new("", &kubelet.name)).and_then(|n| n.status.as_ref());
    let before = stored.and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    for condition in fresh.conditions.iter_mut().flatten() {
        if let Some(old) = before.iter().find(|b| b.type_ == condition.type_ && b.status == condition.status)
        {
            condition.last_transition_time = old.last_transition_time.clone();
        }
    }
}

/// The status as it is now.
async fn current(kubelet: &Kubelet) -> NodeStatus {
    let version = kubelet.runtime.version(v1::VersionRequest { version: String::new() }).await;
    let status = kubelet.runtime.status(v1::StatusRequest { verbose: false }).await;
    let (ready, handlers) = runtime_state(&status);
    let mut addresses: Vec<_> = kubelet
        .addresses
        .iter()
        .map(|a| NodeAddress { type_: "InternalIP".into(), address: a.clone() })
        .collect();
    addresses.push(NodeAddress { type_: "Hostname".into(), address: kubelet.name.clone() });
    let port = i32::from(kubelet.settings.port);
    NodeStatus {
        addresses: Some(addresses),
        capacity: Some(capacity(kubelet)),
        allocatable: Some(kubelet.allocatable()),
        conditions: Some(conditions(kubelet, ready)),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port }) }),
        images: Some(images(kubelet).await),
        node_info: version.ok().map(|v| machine::info(&v, &kubelet.machine)), // told as not ready
        runtime_handlers: handlers,
        volumes_in_use: Some(kubelet.drivers.in_use()).filter(|v| !v.is_empty()),
        features: Some(k8s_openapi::api::core::v1::NodeFeatures { supplemental_groups_policy: Some(true) }),
        ..NodeStatus::default()
    }
}

fn capacity(kubelet: &Kubelet) -> crate::quantity::Amounts {
    let mut out = machine::capacity(&kubelet.settings, &kubelet.machine);
    let devices = kubelet.devices.amounts();
    out.extend(devices.into_iter().map(|(name, a)| (name, Quantity(a.capacity.to_string()))));
    out
}

type State = (Result<(), String>, Option<Vec<NodeRuntimeHandler>>);

fn runtime_state(status: &Result<v1::StatusResponse, cri::Error>) -> State {
    let answer = match status {
        Ok(answer) => answer,
        Err(e) => return (Err(format!("container runtime is down: {}", crate::chain(e))), None),
    };
    let handlers = answer.runtime_handlers.iter().map(|h| NodeRuntimeHandler {
        name: Some(h.name.clone()),
        features: h.features.as_ref().map(|f| NodeRuntimeHandlerFeatures {
            recursive_read_only_mounts: Some(f.recursive_read_only_mounts),
            user_namespaces: Some(f.user_namespaces),
        }),
    });
    let handlers: Vec<_> = handlers.collect();
    let conditions = answer.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
    let bad = ["RuntimeReady", "NetworkReady"].into_iter().find_map(|kind| {
        let found = conditions.iter().find(|c| c.r#type == kind);
        match found {
            Some(c) if c.status => None,
            Some(c) => {
                let what = if kind == "NetworkReady" {
                    "container runtime network not ready"
                } else {
                    "container runtime not ready"
                };
                Some(format!("{what}: {kind}={} reason:{} message:{}", c.status, c.reason, c.message))
            }
            None => Some(format!("{kind} is unknown")),
        }
    });
    (bad.map_or(Ok(()), Err), (!handlers.is_empty()).then_some(handlers))
}

fn conditions(kubelet: &Kubelet, ready: Result<(), String>) -> Vec<NodeCondition> {
    let now =
        Some(Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_else(|_| Timestamp::now())));
    let condition = |kind: &str, status: bool, reason: &str, message: &str| NodeCondition {
        type_: kind.into(),
        status: if status { "True" } else { "False" }.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_heartbeat_time: now.clone(),
        last_transition_time: now.clone(),
    };
    let now_so = kubelet.eviction.conditions();
    let pressure = |kind: Condition, bad: (&str, &str), good: (&str, &str)| {
        let there = now_so.contains(&kind);
        let (reason, message) = if there { bad } else { good };
        condition(&format!("{kind:?}"), there, reason, message)
    };
    let memory = pressure(
        Condition::MemoryPressure,
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    );
    let disk = pressure(
        Condition::DiskPressure,
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    );
    let pids = pressure(
        Condition::PIDPressure,
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    );
    let ready = if kubelet.shutdown.imminent() { Err("node is shutting down".to_owned()) } else { ready };
    let ready = match ready {
        Ok(()) => condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
        Err(why) => condition("Ready", false, "KubeletNotReady", &why),
    };
    vec![memory, disk, pids, ready]
}

async fn images(kubelet: &Kubelet) -> Vec<ContainerImage> {
    let listed = match kubelet.runtime.list_images(v1::ListImagesRequest { filter: None }).await {
        Ok(listed) => listed.images,
        Err(error) => {
            tracing::debug!(error = crate::chain(&error), "Listing images");
            return Vec::new();
        }
    };
    let mut all: Vec<_> = listed
        .into_iter()
        .map(|i| ContainerImage {
            names: Some(i.repo_digests.into_iter().chain(i.repo_tags).take(5).collect()),
            size_bytes: i64::try_from(i.size).ok(), // sizes fit
        })
        .collect();
    all.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.names.cmp(&b.names)));
    all.truncate(MAX_IMAGES);
    all
}
