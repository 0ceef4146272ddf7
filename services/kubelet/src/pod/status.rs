//! The status of a pod as the API shows it. Pure.
//!
//! # Upstream
//! `pkg/kubelet/kubelet_pods.go` `generateAPIPodStatus`, `convertToAPIContainerStatuses`

use cri::v1::ContainerState as Cri;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, HostIP, LinuxContainerUser, Pod, PodCondition, PodIP, PodStatus,
    VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::facts::{PodFacts, Role, init_role, qos};
use super::observed::{Observed, Seen};
use super::plan::{Waiting, should_restart};
use super::{phase, resize};
use crate::probes::Results;

/// Why a pod ended before its containers did, or never began.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// `Evicted`, `DeadlineExceeded`, `OutOfcpu`, …
    pub reason: String,
    /// For people.
    pub message: String,
    /// A condition that goes with it (`DisruptionTarget`).
    pub condition: Option<PodCondition>,
}

const REJECTED: &str = "Pod was rejected: ";

impl Verdict {
    /// The node did not take the pod in.
    pub fn rejected(reason: &str, cause: impl std::fmt::Display) -> Self {
        Self { reason: reason.to_owned(), message: format!("{REJECTED}{cause}"), condition: None }
    }

    /// Why, as events say it.
    pub fn cause(&self) -> &str {
        self.message.strip_prefix(REJECTED).unwrap_or(&self.message)
    }

    fn is_rejection(&self) -> bool {
        self.message.starts_with(REJECTED)
    }
}

/// What the status is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// As wanted.
    pub pod: &'a Pod,
    /// The status told last.
    pub old: &'a PodStatus,
    /// As the runtime has it.
    pub observed: &'a Observed,
    /// Of probes.
    pub results: &'a Results,
    /// Why containers wait.
    pub waiting: &'a Waiting,
    /// Ended for a reason of the node's.
    pub verdict: Option<&'a Verdict>,
    /// Nothing will be started again.
    pub terminal: bool,
    /// The node's addresses, the first one first.
    pub host_ips: &'a [String],
    /// State of a resize.
    pub resize: &'a resize::State,
    /// The moment.
    pub now: Timestamp,
}

/// A moment of the runtime's. None is the epoch, as upstream says of a container that ended before it was started.
fn time(nanoseconds: i64) -> Option<Time> {
    Timestamp::from_second(nanoseconds.div_euclid(1_000_000_000)).ok().map(Time) // the runtime's clock is in range
}

/// The status.
pub fn status(f: &Facts<'_>) -> PodStatus {
    if let Some(verdict) = f.verdict.filter(|v| v.is_rejection() && f.observed.sandboxes.is_empty()) {
        return rejection(f, verdict);
    }
    let nothing_left = f.observed.sandboxes.is_empty() && f.observed.containers.is_empty();
    if nothing_left && f.verdict.is_none() && matches!(f.old.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return f.old.clone(); // it had ended, and no more can be known of it
    }
    let spec = f.pod.facts();
    let init_done = init_done(f);
    let init = statuses(
        f,
        spec.init_containers.iter().flatten(),
        f.old.init_container_statuses.as_deref(),
        true,
        true,
    );
    let mut app = statuses(f, spec.containers.iter(), f.old.container_statuses.as_deref(), false, init_done);
    app.sort_by(|a, b| a.name.cmp(&b.name));
    let ephemeral: Vec<_> =
        spec.ephemeral_containers.iter().flatten().map(super::facts::as_container).collect();
    let old = f.old.ephemeral_container_statuses.as_deref();
    let ephemeral = statuses(f, ephemeral.iter(), old, false, true);
    let mut phase = if f.verdict.is_some() { "Failed" } else { phase::phase(f.pod, &init, &app, f.terminal) };
    if let Some(ended @ ("Failed" | "Succeeded")) = f.old.phase.as_deref() {
        phase = if ended == "Failed" { "Failed" } else { "Succeeded" };
    }
    let mut out = PodStatus {
        observed_generation: f.pod.metadata.generation,
        phase: Some(phase.to_owned()),
        conditions: Some(conditions(f, phase, &init, &app)),
        reason: f.verdict.map(|v| v.reason.clone()).or_else(|| f.old.reason.clone()),
        message: f.verdict.map(|v| v.message.clone()).or_else(|| f.old.message.clone()),
        start_time: f.old.start_time.clone().or(Some(Time(whole_second(f.now)))),
        qos_class: f.old.qos_class.clone().or_else(|| Some(qos(spec).name().to_owned())),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: (!app.is_empty()).then_some(app),
        ephemeral_container_statuses: (!ephemeral.is_empty()).then_some(ephemeral),
        nominated_node_name: f.old.nominated_node_name.clone(),
        // what the scheduler and the controllers write stays
        resource_claim_statuses: f.old.resource_claim_statuses.clone(),
        extended_resource_claim_status: f.old.extended_resource_claim_status.clone(),
        node_allocatable_resource_claim_statuses: f.old.node_allocatable_resource_claim_statuses.clone(),
        ..PodStatus::default()
    };
    addresses(f, &mut out);
    out
}

/// The status of a pod that was never taken in: nothing is known of its containers.
///
/// # Upstream
/// `pkg/kubelet/kubelet.go` `rejectPod`
fn rejection(f: &Facts<'_>, verdict: &Verdict) -> PodStatus {
    PodStatus {
        observed_generation: f.pod.metadata.generation,
        phase: Some("Failed".to_owned()),
        reason: Some(verdict.reason.clone()),
        message: Some(verdict.message.clone()),
        start_time: f.old.start_time.clone().or(Some(Time(whole_second(f.now)))),
        qos_class: f.old.qos_class.clone().or_else(|| Some(qos(f.pod.facts()).name().to_owned())),
        conditions: f.old.conditions.clone(),
        ..PodStatus::default()
    }
}

fn whole_second(t: Timestamp) -> Timestamp {
    Timestamp::from_second(t.as_second()).unwrap_or(t) // any timestamp has its second
}

fn addresses(f: &Facts<'_>, out: &mut PodStatus) {
    out.host_ip = f.host_ips.first().cloned();
    out.host_ips = Some(f.host_ips.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let seen = if f.pod.host_network() {
        f.host_ips.to_vec()
    } else {
        f.observed.sandbox().map(|s| s.ips.clone()).unwrap_or_default()
    };
    if seen.is_empty() {
        // a pod keeps the addresses it had
        out.pod_ip = f.old.pod_ip.clone();
        out.pod_ips = f.old.pod_ips.clone();
    } else {
        out.pod_ip = seen.first().cloned();
        out.pod_ips = Some(seen.into_iter().map(|ip| PodIP { ip }).collect());
    }
}

/// Conditions only the kubelet writes.
pub const OWNED: &[&str] = &[
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizePending",
    "PodResizeInProgress",
];

fn conditions(
    f: &Facts<'_>,
    phase: &str,
    init: &[ContainerStatus],
    app: &[ContainerStatus],
) -> Vec<PodCondition> {
    let old = f.old.conditions.as_deref().unwrap_or_default();
    let network = f.observed.sandbox().is_some_and(|s| s.ready && (s.host_network || !s.ips.is_empty()));
    let containers = phase::containers_ready(f.pod, init, app, phase);
    let mut all = vec![
        phase::plain("PodReadyToStartContainers", network),
        phase::initialized(f.pod, init, app, phase),
        phase::ready(f.pod, &containers, old),
        containers,
        phase::plain("PodScheduled", true),
    ];
    all.extend(f.resize.conditions());
    all.extend(f.verdict.and_then(|v| v.condition.clone()));
    for condition in &mut all {
        condition.observed_generation = f.pod.metadata.generation;
        let before = old.iter().find(|o| o.type_ == condition.type_ && o.status == condition.status);
        let since = before.and_then(|o| o.last_transition_time.clone());
        condition.last_transition_time = since.or(Some(Time(whole_second(f.now))));
    }
    // what others wrote stays as it is
    let foreign =
        old.iter().filter(|o| !OWNED.contains(&o.type_.as_str()) && all.iter().all(|c| c.type_ != o.type_));
    let foreign: Vec<_> = foreign.cloned().collect();
    all.extend(foreign);
    all
}

fn init_done(f: &Facts<'_>) -> bool {
    f.pod.facts().init_containers.iter().flatten().all(|c| match f.observed.newest(&c.name) {
        None => false,
        Some(s) if init_role(c) == Role::Sidecar => s.running() && f.results.started(c, &s.id) || s.exited(),
        Some(s) => s.exited() && s.exit_code == 0,
    })
}

fn statuses<'a>(
    f: &Facts<'_>,
    containers: impl Iterator<Item = &'a Container>,
    old: Option<&[ContainerStatus]>,
    init: bool,
    init_done: bool,
) -> Vec<ContainerStatus> {
    let old = old.unwrap_or_default();
    let has_init = f.pod.facts().init_containers.as_ref().is_some_and(|i| !i.is_empty());
    let pending = if has_init && (init || !init_done) { "PodInitializing" } else { "ContainerCreating" };
    containers.map(|c| one(f, c, old.iter().find(|o| o.name == c.name), init, pending)).collect()
}

fn waiting(reason: &str, message: Option<&str>) -> ContainerState {
    let message = message.filter(|m| !m.is_empty()).map(str::to_owned);
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn one(
    f: &Facts<'_>,
    c: &Container,
    old: Option<&ContainerStatus>,
    init: bool,
    pending: &str,
) -> ContainerStatus {
    let mut runs = f.observed.containers.iter().filter(|s| s.name == c.name);
    let (newest, before) = (runs.next(), runs.next());
    let mut out = match newest {
        Some(seen) => from_seen(f, c, seen),
        None => unseen(f, c, old, pending),
    };
    match before {
        Some(before) if before.exited() => out.last_state = Some(terminated(before)),
        _ => {
            if out.last_state.is_none() {
                let kept = old.and_then(|o| o.last_state.clone());
                out.last_state = kept.filter(|_| newest.is_none_or(|n| n.restart_count > 0));
            }
        }
    }
    // what is about to run again waits, and says why
    let ended_well =
        init && out.state.as_ref().is_some_and(|s| s.terminated.as_ref().is_some_and(|t| t.exit_code == 0));
    let due = !f.terminal && !ended_well && should_restart(f.pod, c, f.observed);
    if let Some((reason, message)) = f.waiting.get(&c.name).filter(|_| due) {
        let state = out.state.take();
        if state.as_ref().is_some_and(|s| s.terminated.is_some()) {
            out.last_state = state;
        }
        out.state = Some(waiting(reason, Some(message)));
    }
    readiness(f, c, newest, init, &mut out);
    resources(f, c, newest, &mut out);
    out
}

fn unseen(f: &Facts<'_>, c: &Container, old: Option<&ContainerStatus>, pending: &str) -> ContainerStatus {
    let mut out = ContainerStatus {
        name: c.name.clone(),
        image: c.image.clone().unwrap_or_default(),
        state: Some(waiting(pending, None)),
        ..ContainerStatus::default()
    };
    let Some(old) = old else { return out };
    out.restart_count = old.restart_count;
    let state = old.state.as_ref();
    if state.is_some_and(|s| s.terminated.is_some()) {
        // it ended and its remains were cleared away: what was told stays true
        out.state = old.state.clone();
        out.last_state = old.last_state.clone();
        out.container_id = old.container_id.clone();
        out.image_id = old.image_id.clone();
    } else if state.is_some_and(|s| s.running.is_some()) {
        let lost = ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".into()),
            message: Some(
                "The container could not be located when the pod was deleted.  The container used to be Running".into(),
            ),
            ..ContainerStateTerminated::default()
        };
        let lost = ContainerState { terminated: Some(lost), ..ContainerState::default() };
        if f.terminal {
            out.state = Some(lost);
        } else {
            out.last_state = Some(lost);
            out.restart_count += 1;
        }
    } else if f.terminal && pending == "ContainerCreating" {
        // (of a pod that never got through its initialisation they stay as they were: waiting)
        let never = ContainerStateTerminated {
            exit_code: 137,
            reason: Some("ContainerStatusUnknown".into()),
            message: Some("The container could not be located when the pod was terminated".into()),
            ..ContainerStateTerminated::default()
        };
        out.state = Some(ContainerState { terminated: Some(never), ..ContainerState::default() });
    }
    out
}

fn terminated(seen: &Seen) -> ContainerState {
    let terminated = ContainerStateTerminated {
        container_id: Some(format!("containerd://{}", seen.id)),
        exit_code: seen.exit_code,
        reason: (!seen.reason.is_empty()).then(|| seen.reason.clone()),
        message: (!seen.message.is_empty()).then(|| seen.message.clone()),
        started_at: time(seen.started_at),
        finished_at: time(seen.finished_at),
        ..ContainerStateTerminated::default()
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}

fn from_seen(f: &Facts<'_>, c: &Container, seen: &Seen) -> ContainerStatus {
    let state = match seen.state {
        Cri::ContainerRunning => ContainerState {
            running: Some(ContainerStateRunning { started_at: time(seen.started_at) }),
            ..ContainerState::default()
        },
        Cri::ContainerExited => terminated(seen),
        Cri::ContainerCreated => waiting("ContainerCreating", None),
        Cri::ContainerUnknown => waiting("ContainerStatusUnknown", None),
    };
    let user = seen.user.as_ref().map(|u| ContainerUser {
        linux: Some(LinuxContainerUser {
            uid: u.uid,
            gid: u.gid,
            supplemental_groups: (!u.supplemental_groups.is_empty()).then(|| u.supplemental_groups.clone()),
        }),
    });
    let mounts = c.volume_mounts.iter().flatten().map(|m| VolumeMountStatus {
        name: m.name.clone(),
        mount_path: m.mount_path.clone(),
        read_only: m.read_only.filter(|r| *r),
        recursive_read_only: m.read_only.filter(|r| *r).map(|_| {
            if m.recursive_read_only.as_deref() == Some("Enabled") { "Enabled" } else { "Disabled" }
                .to_owned()
        }),
        ..VolumeMountStatus::default()
    });
    let mounts: Vec<_> = mounts.collect();
    ContainerStatus {
        name: c.name.clone(),
        container_id: Some(format!("containerd://{}", seen.id)),
        image: if seen.image.is_empty() { c.image.clone().unwrap_or_default() } else { seen.image.clone() },
        image_id: seen.image_ref.clone(),
        restart_count: seen.restart_count,
        state: Some(state),
        user: user.filter(|_| f.observed.newest(&c.name).is_some_and(Seen::running)),
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        ..ContainerStatus::default()
    }
}

/// # Upstream
/// `pkg/kubelet/prober/prober_manager.go` `UpdatePodStatus`
fn readiness(f: &Facts<'_>, c: &Container, newest: Option<&Seen>, init: bool, out: &mut ContainerStatus) {
    let state = out.state.as_ref();
    let running = state.is_some_and(|s| s.running.is_some());
    let id = newest.map(|n| n.id.as_str()).unwrap_or_default();
    let sidecar = init && init_role(c) == Role::Sidecar;
    let started = running && f.results.started(c, id);
    out.started = Some(started);
    if init && !sidecar {
        out.started = Some(false);
        let ended = state.and_then(|s| s.terminated.as_ref());
        out.ready = ended.is_some_and(|t| t.exit_code == 0);
        if running {
            out.started = Some(true);
        }
        return;
    }
    out.ready = started && f.results.ready(c, id);
}

fn resources(f: &Facts<'_>, c: &Container, newest: Option<&Seen>, out: &mut ContainerStatus) {
    let running = newest.filter(|s| s.running());
    let Some(declared) = c.resources.as_ref().filter(|_| running.is_some()) else { return };
    let allocated = f.resize.allocated(&c.name).unwrap_or(declared);
    out.allocated_resources = allocated.requests.clone();
    let mut actual = f.resize.actual(&c.name).unwrap_or(allocated).clone();
    actual.claims = None;
    out.resources = Some(actual);
}
