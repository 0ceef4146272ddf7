//! What the runtime has of one pod.

use std::collections::HashMap;
use std::path::Path;

use cri::v1;
use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;

use super::facts::PodFacts;
use crate::runtime::labels;

/// A container as the runtime has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The runtime's id.
    pub id: String,
    /// Its name in the pod's spec.
    pub name: String,
    /// Its sandbox.
    pub sandbox: String,
    /// What it does.
    pub state: v1::ContainerState,
    /// Unix nanoseconds.
    pub created_at: i64,
    /// Unix nanoseconds; 0 for never.
    pub started_at: i64,
    /// Unix nanoseconds; 0 for not yet.
    pub finished_at: i64,
    /// How it ended.
    pub exit_code: i32,
    /// Why it ended.
    pub reason: String,
    /// The runtime's or its own last words.
    pub message: String,
    /// The image asked for.
    pub image: String,
    /// The image's digest reference.
    pub image_ref: String,
    /// How often it had been restarted before.
    pub restart_count: i32,
    /// Hash of the spec it was made from.
    pub hash: String,
    /// Where its log is.
    pub log_path: String,
    /// What it was given.
    pub resources: Option<v1::LinuxContainerResources>,
    /// Whom it runs as.
    pub user: Option<v1::LinuxContainerUser>,
}

impl Seen {
    /// Whether it runs.
    pub fn running(&self) -> bool {
        self.state == v1::ContainerState::ContainerRunning
    }

    /// Whether it ended.
    pub fn exited(&self) -> bool {
        self.state == v1::ContainerState::ContainerExited
    }
}

/// A sandbox as the runtime has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sandbox {
    /// The runtime's id.
    pub id: String,
    /// Whether containers can run in it.
    pub ready: bool,
    /// Which try of the pod's sandbox it is.
    pub attempt: u32,
    /// Unix nanoseconds.
    pub created_at: i64,
    /// Its addresses, the first one first; empty in the node's network.
    pub ips: Vec<String>,
    /// Whether it shares the node's network.
    pub host_network: bool,
}

/// A pod as the runtime has it; newest first in both lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Its sandboxes.
    pub sandboxes: Vec<Sandbox>,
    /// Its containers, earlier runs of a name included.
    pub containers: Vec<Seen>,
}

impl Observed {
    /// The newest run of a container.
    pub fn newest(&self, name: &str) -> Option<&Seen> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// The newest sandbox.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        self.sandboxes.first()
    }

    /// What there is, by the runtime's ids and numbers of states.
    pub fn states(&self) -> impl Iterator<Item = (&str, i32)> {
        let state = |ready| match ready {
            true => v1::PodSandboxState::SandboxReady,
            false => v1::PodSandboxState::SandboxNotready,
        };
        let sandboxes = self.sandboxes.iter().map(move |s| (s.id.as_str(), state(s.ready) as i32));
        sandboxes.chain(self.containers.iter().map(|c| (c.id.as_str(), c.state as i32)))
    }

    /// What runs.
    pub fn running(&self) -> impl Iterator<Item = &Seen> {
        self.containers.iter().filter(|c| c.running())
    }
}

/// Containers that ended, by id: they change no more, so they are asked for once.
pub type Ended = HashMap<String, Seen>;

fn by_uid(uid: &str) -> HashMap<String, String> {
    HashMap::from([(labels::POD_UID.to_owned(), uid.to_owned())])
}

/// Asks the runtime for everything it has of a pod.
///
/// # Errors
/// The runtime does not answer.
pub async fn observe(
    runtime: &cri::Runtime,
    uid: &str,
    pod: &Pod,
    ended: &mut Ended,
) -> Result<Observed, cri::Error> {
    let filter = v1::PodSandboxFilter { label_selector: by_uid(uid), ..Default::default() };
    let sandboxes = runtime.list_pod_sandbox(v1::ListPodSandboxRequest { filter: Some(filter) });
    let filter = v1::ContainerFilter { label_selector: by_uid(uid), ..Default::default() };
    let containers = runtime.list_containers(v1::ListContainersRequest { filter: Some(filter) });
    let (sandboxes, containers) = tokio::try_join!(sandboxes, containers)?;
    ended.retain(|id, _| containers.containers.iter().any(|c| c.id == *id));
    let of_sandboxes = try_join_all(sandboxes.items.iter().map(|s| sandbox_status(runtime, s)));
    let of_containers =
        try_join_all(containers.containers.into_iter().map(|c| container_status(runtime, pod, c, ended)));
    let (sandboxes, containers) = tokio::try_join!(of_sandboxes, of_containers)?;
    let mut observed = Observed {
        sandboxes: sandboxes.into_iter().flatten().collect(),
        containers: containers.into_iter().flatten().collect(),
    };
    for seen in observed.containers.iter().filter(|s| s.exited()) {
        ended.entry(seen.id.clone()).or_insert_with(|| seen.clone());
    }
    observed.sandboxes.sort_by_key(|s| std::cmp::Reverse(s.created_at));
    observed.containers.sort_by_key(|c| std::cmp::Reverse(c.created_at));
    Ok(observed)
}

/// A container in full; what ended before is known already.
async fn container_status(
    runtime: &cri::Runtime,
    pod: &Pod,
    container: v1::Container,
    ended: &Ended,
) -> Result<Option<Seen>, cri::Error> {
    if let Some(known) = ended.get(&container.id) {
        return Ok(Some(known.clone()));
    }
    let request = v1::ContainerStatusRequest { container_id: container.id.clone(), verbose: false };
    match runtime.container_status(request).await {
        Ok(answer) => Ok(answer.status.map(|s| container_seen(s, container.pod_sandbox_id, pod))),
        Err(e) if e.is_not_found() => Ok(None), // removed since it was listed
        Err(e) => Err(e),
    }
}

async fn sandbox_status(
    runtime: &cri::Runtime,
    listed: &v1::PodSandbox,
) -> Result<Option<Sandbox>, cri::Error> {
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: listed.id.clone(), verbose: false };
    let status = match runtime.pod_sandbox_status(request).await {
        Ok(answer) => answer.status,
        Err(e) if e.is_not_found() => None, // removed since it was listed
        Err(e) => return Err(e),
    };
    let Some(status) = status else { return Ok(None) };
    let network =
        status.linux.as_ref().and_then(|l| l.namespaces.as_ref()?.options.as_ref()).map(|o| o.network);
    let mut ips = Vec::new();
    if let Some(network) = status.network.filter(|n| !n.ip.is_empty()) {
        ips.push(network.ip);
        ips.extend(network.additional_ips.into_iter().map(|i| i.ip));
    }
    Ok(Some(Sandbox {
        ready: status.state == v1::PodSandboxState::SandboxReady as i32,
        attempt: status.metadata.map_or(0, |m| m.attempt),
        created_at: status.created_at,
        ips,
        host_network: network == Some(v1::NamespaceMode::Node as i32),
        id: status.id,
    }))
}

/// # Upstream
/// `pkg/kubelet/kuberuntime/kuberuntime_container.go` `toKubeContainerStatus`
fn container_seen(status: v1::ContainerStatus, sandbox: String, pod: &Pod) -> Seen {
    let annotation = |key: &str| status.annotations.get(key).map(String::as_str).unwrap_or_default();
    let mut message = status.message.clone();
    if status.state() == v1::ContainerState::ContainerExited {
        message = last_words(&status, pod, message);
    }
    Seen {
        name: status.labels.get(labels::CONTAINER_NAME).cloned().unwrap_or_default(),
        sandbox,
        state: status.state(),
        restart_count: annotation(labels::RESTART_COUNT).parse().unwrap_or(0), // not ours: never restarted
        hash: annotation(labels::HASH).to_owned(),
        image: status.image.as_ref().map(|i| i.image.clone()).unwrap_or_default(),
        resources: status.resources.and_then(|r| r.linux),
        user: status.user.and_then(|u| u.linux),
        id: status.id,
        created_at: status.created_at,
        started_at: status.started_at,
        finished_at: status.finished_at,
        exit_code: status.exit_code,
        reason: status.reason,
        message,
        image_ref: status.image_ref,
        log_path: status.log_path,
    }
}

/// The most of a termination message file or of a log that is told.
const MAX_MESSAGE: u64 = 4096;
const MAX_LOG_MESSAGE: usize = 2048;

/// # Upstream
/// `pkg/kubelet/kuberuntime/kuberuntime_container.go` `getTerminationMessage`
fn last_words(status: &v1::ContainerStatus, pod: &Pod, runtime_message: String) -> String {
    let annotation = |key: &str| status.annotations.get(key).map(String::as_str).unwrap_or_default();
    let path = annotation(labels::TERMINATION_PATH);
    let mounted = status.mounts.iter().find(|m| !path.is_empty() && m.container_path == path);
    let mut own = String::new();
    if let Some(mount) = mounted {
        match crate::runtime::logs::read_tail_of_file(Path::new(&mount.host_path), MAX_MESSAGE) {
            Ok(text) => own = text,
            Err(e) => own = format!("Error on reading termination log {}: {e}", mount.host_path),
        }
    }
    let fall_back = annotation(labels::TERMINATION_POLICY) == "FallbackToLogsOnError";
    if own.is_empty() && fall_back && status.exit_code != 0 && !status.log_path.is_empty() {
        tracing::debug!(pod = pod.full_name(), "Taking the end of the log as termination message");
        own = crate::runtime::logs::last_lines(Path::new(&status.log_path), 80, MAX_LOG_MESSAGE);
    }
    match (runtime_message.is_empty(), own.is_empty()) {
        (_, true) => runtime_message,
        (true, _) => own,
        _ => format!("{runtime_message}: {own}"),
    }
}
