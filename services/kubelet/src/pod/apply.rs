//! Acting on a plan.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_manager.go` `SyncPod`, `kuberuntime_container.go` `startContainer`

use std::sync::Arc;

use cri::v1;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use k8s_openapi::api::node::v1::RuntimeClass;

use super::facts::{PodFacts, Role};
use super::memory::Memory;
use super::observed::Observed;
use super::plan::Plan;
use super::{kill, start};
use crate::Kubelet;
use crate::events::Kind;
use crate::sources::Materials;
use crate::volumes::{self, Places};

/// What starting containers needs to know of their pod.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What the runtime had of it.
    pub observed: &'a Observed,
    /// What was told of it.
    pub told: &'a PodStatus,
    /// What it refers to.
    pub materials: &'a Materials,
    /// Its volumes.
    pub places: &'a Places,
    /// Its sandbox.
    pub sandbox: String,
    /// How its sandbox was made.
    pub config: v1::PodSandboxConfig,
    /// Its addresses.
    pub ips: Vec<String>,
    /// Its user namespace, when it has one.
    pub users: Option<v1::UserNamespace>,
    /// The runtime handler it asks for.
    pub handler: String,
}

/// A pod's addresses: its sandbox's, or the node's.
pub fn pod_ips(kubelet: &Kubelet, pod: &Pod, observed: &Observed) -> Vec<String> {
    if pod.host_network() {
        return kubelet.addresses.clone();
    }
    observed.sandbox().map(|s| s.ips.clone()).unwrap_or_default()
}

/// Does what the plan says; true when something changed, so that the pod has to be looked at again.
pub async fn apply(
    kubelet: &Kubelet,
    memory: &mut Memory,
    pod: &Arc<Pod>,
    observed: &Observed,
    plan: &Plan,
    told: &PodStatus,
) -> bool {
    let starts = plan.new_sandbox.is_some() || !plan.start.is_empty();
    let prepares = starts || !memory.prepared;
    let place = async {
        tokio::task::yield_now().await; // what the API server is asked for goes out first
        if prepares { prepare(kubelet, pod) } else { Ok(()) }
    };
    let (materials, tokens, place) = tokio::join!(kubelet.sources.load(pod), kubelet.tokens.of(pod), place);
    if let Err(error) = place {
        place_failed(kubelet, memory, pod, &error);
        return false;
    }
    memory.prepared = true;
    let places = match volumes::ensure(kubelet, pod, &materials, &tokens).await {
        Ok(places) => places,
        Err(error) => {
            volume_failed(kubelet, memory, pod, &error);
            return false;
        }
    };
    let ip = pod_ips(kubelet, pod, observed).first().cloned().unwrap_or_default();
    let mut changed = false;
    for stop in &plan.stop {
        memory.waiting.remove(&stop.name);
        let mut stopped = memory.stopped.contains(&stop.id);
        changed |= kill::container(kubelet, &mut stopped, pod, stop, None, &ip).await;
    }
    if changed {
        return true; // what they leave behind decides whether and when they start again
    }
    if !starts {
        memory.failures = 0;
        return false;
    }
    let Some(Foundation { handler, node_dns, users }) = foundation(kubelet, memory, pod).await else {
        return false;
    };
    let attempt = plan.new_sandbox.or(observed.sandbox().map(|s| s.attempt)).unwrap_or(0);
    let parent = kubelet.cgroups.parent(pod);
    let config = crate::runtime::sandbox::config(
        pod,
        &kubelet.settings,
        &node_dns,
        parent,
        attempt,
        Timestamp::now(),
        users.as_ref(),
    );
    let (sandbox, ips) = if plan.new_sandbox.is_some() {
        match new_sandbox(kubelet, memory, pod, observed, &config, &handler).await {
            Some(made) => made,
            None => return false,
        }
    } else {
        let id = observed.sandbox().map(|s| s.id.clone()).unwrap_or_default();
        (id, pod_ips(kubelet, pod, observed))
    };
    memory.failures = 0;
    let materials = &materials;
    let ground =
        Ground { pod, observed, told, materials, places: &places, sandbox, config, ips, handler, users };
    changed |= plan.new_sandbox.is_some();
    changed | start_all(kubelet, memory, &ground, plan).await
}

/// What a sandbox is made with beside its pod.
struct Foundation {
    handler: String,
    node_dns: v1::DnsConfig,
    users: Option<v1::UserNamespace>,
}

async fn foundation(kubelet: &Kubelet, memory: &mut Memory, pod: &Pod) -> Option<Foundation> {
    let node_dns = match std::fs::read_to_string(&kubelet.settings.resolv_conf) {
        Ok(text) => crate::runtime::dns::parse(&text),
        Err(_) => v1::DnsConfig::default(), // a node without a resolver has none to pass on
    };
    let handler = handler(kubelet, pod).await;
    let users = crate::runtime::userns::of(&kubelet.settings, pod);
    let users = users.map_err(|e| format!("failed to get user namespace: {e}"));
    match handler.and_then(|handler| Ok(Foundation { handler, node_dns, users: users? })) {
        Ok(foundation) => Some(foundation),
        Err(message) => {
            sandbox_failed(kubelet, memory, pod, &message);
            None
        }
    }
}

fn sandbox_failed(kubelet: &Kubelet, memory: &mut Memory, pod: &Pod, message: &str) {
    let text = format!("Failed to create pod sandbox: {message}");
    kubelet.events.pod(pod, "", Kind::Warning, "FailedCreatePodSandBox", &text);
    tracing::warn!(pod = pod.full_name(), error = message, "Making a sandbox");
    memory.retry();
}

async fn start_all(kubelet: &Kubelet, memory: &mut Memory, ground: &Ground<'_>, plan: &Plan) -> bool {
    let containers = ground.pod.containers();
    let mut changed = false;
    for name in &plan.start {
        let Some((role, c)) = containers.iter().find(|(_, c)| c.name == *name) else { continue };
        if memory.pull_shown(name) {
            memory.wake_at(Timestamp::now() + jiff::SignedDuration::from_secs(1));
            continue;
        }
        let started = start::start(kubelet, memory, ground, c, *role).await;
        if let Err(refusal) = started {
            tracing::debug!(
                pod = ground.pod.full_name(),
                container = name,
                reason = refusal.reason,
                "Container does not start"
            );
            if let Some(at) = refusal.until {
                memory.wake_at(at);
            }
            changed |= refusal.changed;
            memory.refused(name, refusal);
        } else {
            memory.started(name);
            changed = true;
        }
    }
    changed
}

fn prepare(kubelet: &Kubelet, pod: &Pod) -> std::io::Result<()> {
    let settings = &kubelet.settings;
    if !kubelet.cgroups.systemd {
        kubelet.cgroups.ensure_pod(pod, settings.pod_pids_limit, settings.cpu_cfs_quota)?;
    }
    std::fs::create_dir_all(settings.pod_dir(pod.uid()).join("volumes"))?;
    std::fs::create_dir_all(settings.pod_dir(pod.uid()).join("containers"))
}

fn place_failed(kubelet: &Kubelet, memory: &mut Memory, pod: &Pod, error: &std::io::Error) {
    tracing::warn!(pod = pod.full_name(), error = crate::chain(error), "Preparing a pod's place");
    let text = format!("unable to ensure pod container exists: {error}");
    kubelet.events.pod(pod, "", Kind::Warning, "FailedCreatePodContainer", &text);
    memory.retry();
}

fn volume_failed(kubelet: &Kubelet, memory: &mut Memory, pod: &Pod, error: &volumes::Error) {
    let text = error.to_string();
    if let volumes::Error::Image(e) = error {
        // the containers wait for it as for an image of their own
        for (_, c) in pod.containers() {
            memory.waiting.insert(c.name.clone(), (e.reason.to_owned(), e.message.clone()));
        }
    } else {
        kubelet.events.pod(pod, "", Kind::Warning, "FailedMount", &text);
    }
    tracing::info!(pod = pod.full_name(), error = text, "Volume is not there yet");
    memory.retry();
}

async fn handler(kubelet: &Kubelet, pod: &Pod) -> Result<String, String> {
    let Some(name) = pod.facts().runtime_class_name.as_ref().filter(|n| !n.is_empty()) else {
        return Ok(String::new());
    };
    let key = client::Key::new("", name);
    match kubelet.client.get::<RuntimeClass>(&client::Resource::of::<RuntimeClass>(), &key).await {
        Ok(class) => Ok(class.handler),
        Err(e) => Err(format!("failed to get sandbox runtime: {}", crate::chain(&e))),
    }
}

/// Replaces a pod's sandbox: id and addresses.
async fn new_sandbox(
    kubelet: &Kubelet,
    memory: &mut Memory,
    pod: &Arc<Pod>,
    observed: &Observed,
    config: &v1::PodSandboxConfig,
    handler: &str,
) -> Option<(String, Vec<String>)> {
    if observed.sandbox().is_some() {
        let text = "Pod sandbox changed, it will be killed and re-created.";
        kubelet.events.pod(pod, "", Kind::Normal, "SandboxChanged", text);
        if !kill::pod(kubelet, memory, pod, observed, None).await {
            memory.retry();
            return None;
        }
    }
    let failed = |error: &cri::Error, memory: &mut Memory| {
        sandbox_failed(kubelet, memory, pod, &crate::chain(error));
    };
    if let Err(error) = std::fs::create_dir_all(&config.log_directory) {
        tracing::warn!(
            pod = pod.full_name(),
            error = &error as &dyn std::error::Error,
            "Making a log directory"
        );
    }
    let request =
        v1::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: handler.to_owned() };
    let id = match kubelet.runtime.run_pod_sandbox(request).await {
        Ok(answer) => answer.pod_sandbox_id,
        Err(error) => {
            failed(&error, memory);
            return None;
        }
    };
    if pod.host_network() {
        return Some((id, kubelet.addresses.clone()));
    }
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: false };
    match kubelet.runtime.pod_sandbox_status(request).await {
        Ok(answer) => {
            let network = answer.status.and_then(|s| s.network).unwrap_or_default();
            let more = network.additional_ips.into_iter().map(|i| i.ip);
            let ips = std::iter::once(network.ip).chain(more).filter(|ip| !ip.is_empty());
            Some((id, ips.collect()))
        }
        Err(error) => {
            failed(&error, memory);
            None
        }
    }
}

/// Brings running containers to the resources their pod asks for now, if the node can give them.
///
/// # Upstream
/// `pkg/kubelet/allocation/allocation_manager.go`, `kuberuntime_manager.go` `doPodResizeAction`
pub async fn resize(kubelet: &Kubelet, memory: &mut Memory, pod: &Arc<Pod>, observed: &Observed) {
    let containers = pod.containers();
    let known = |role: &Role| *role == Role::App || *role == Role::Sidecar;
    for (_, c) in containers.iter().filter(|(r, _)| known(r)) {
        if memory.resize.allocated(&c.name).is_none() {
            memory.resize.grant(c);
            memory.resize.actuated(&c.name);
        }
    }
    let asked = containers.iter().any(|(r, c)| known(r) && memory.resize.wants_more(c));
    if !asked {
        memory.resize.pending = None;
    } else {
        match kubelet.workers.fits(kubelet, pod) {
            Ok(()) => {
                memory.resize.pending = None;
                for (_, c) in containers.iter().filter(|(r, _)| known(r)) {
                    memory.resize.grant(c);
                }
            }
            Err(verdict) => {
                let alone = super::admission::resources(&[], pod, &kubelet.allocatable());
                let (reason, why) = match alone {
                    Err(alone) => ("Infeasible", alone.cause().to_owned()),
                    Ok(()) => ("Deferred", verdict.cause().to_owned()),
                };
                memory.resize.pending = Some((reason.to_owned(), why));
                if reason == "Deferred" {
                    memory.wake_at(Timestamp::now() + jiff::SignedDuration::from_secs(10));
                }
                return;
            }
        }
    }
    actuate(kubelet, memory, pod, observed, &containers).await;
}

async fn actuate(
    kubelet: &Kubelet,
    memory: &mut Memory,
    pod: &Pod,
    observed: &Observed,
    containers: &[(Role, std::borrow::Cow<'_, Container>)],
) {
    let due: Vec<_> = containers.iter().filter(|(_, c)| memory.resize.unactuated(&c.name)).collect();
    if due.is_empty() {
        return;
    }
    memory.resize.error = None;
    // the pod may first have more, and only when its containers have less may it have less
    let limits =
        crate::cgroups::pod_limits(pod, kubelet.settings.pod_pids_limit, kubelet.settings.cpu_cfs_quota);
    let mut problem = kubelet.cgroups.widen_pod(pod, limits).err().map(|e| e.to_string());
    for (_, c) in due {
        let Some(seen) = observed.newest(&c.name).filter(|s| s.running()) else {
            memory.resize.actuated(&c.name); // it will start with them
            continue;
        };
        let done = if memory.resize.needs_restart(c) {
            let message = format!("Container {} resize requires restart", c.name);
            let stop = super::plan::Stop { id: seen.id.clone(), name: c.name.clone(), message, probe: None };
            kill::container(kubelet, &mut false, pod, &stop, None, "")
                .await
                .then_some(())
                .ok_or("stopping it failed".to_owned())
        } else {
            update(kubelet, pod, c, &seen.id).await
        };
        match done {
            Ok(()) => memory.resize.actuated(&c.name),
            Err(e) => problem = Some(e),
        }
    }
    if let Err(e) =
        kubelet.cgroups.ensure_pod(pod, kubelet.settings.pod_pids_limit, kubelet.settings.cpu_cfs_quota)
    {
        problem = Some(e.to_string());
    }
    if problem.is_some() {
        memory.resize.error = problem;
        memory.retry();
    } else {
        let text = format!("Pod resize completed: generation {}", pod.metadata.generation.unwrap_or(0));
        kubelet.events.pod(pod, "", Kind::Normal, "ResizeCompleted", &text);
    }
    memory.ended.clear();
}

async fn update(kubelet: &Kubelet, pod: &Pod, c: &Container, id: &str) -> Result<(), String> {
    let (memory, cfs, v2) = (kubelet.machine.memory, kubelet.settings.cpu_cfs_quota, kubelet.cgroups.v2);
    let mut linux = crate::runtime::resources::container(pod, c, memory, cfs, v2);
    // nothing said means no limit here, not "as before"
    if linux.cpu_quota == 0 {
        linux.cpu_quota = -1;
    }
    if linux.memory_limit_in_bytes == 0 {
        linux.memory_limit_in_bytes = -1;
        linux.memory_swap_limit_in_bytes = -1;
    }
    let request = v1::UpdateContainerResourcesRequest {
        container_id: id.to_owned(),
        linux: Some(linux),
        ..v1::UpdateContainerResourcesRequest::default()
    };
    kubelet.runtime.update_container_resources(request).await.map(|_| ()).map_err(|e| crate::chain(&e))
}
