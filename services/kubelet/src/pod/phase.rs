//! Phase and conditions of a pod from its containers' statuses. Pure.
//!
//! # Upstream
//! `pkg/kubelet/kubelet_pods.go` `getPhase`, `pkg/kubelet/status/generate.go`

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

use super::facts::{PodFacts, Role, init_role};
use super::plan::restarts;

fn find<'a>(statuses: &'a [ContainerStatus], name: &str) -> Option<&'a ContainerStatus> {
    statuses.iter().find(|s| s.name == name)
}

#[derive(Default)]
struct Count {
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
}

impl Count {
    fn add(&mut self, status: Option<&ContainerStatus>) {
        let state = status.and_then(|s| s.state.as_ref());
        match (status, state) {
            (_, Some(s)) if s.running.is_some() => self.running += 1,
            (_, Some(s)) if s.terminated.is_some() => {
                self.stopped += 1;
                let code = s.terminated.as_ref().map_or(1, |t| t.exit_code);
                self.succeeded += usize::from(code == 0);
            }
            (Some(status), Some(s)) if s.waiting.is_some() => {
                let ended = status.last_state.as_ref().is_some_and(|l| l.terminated.is_some());
                if ended { self.stopped += 1 } else { self.waiting += 1 }
            }
            _ => self.unknown += 1,
        }
    }
}

/// The phase. `terminal`: the pod has ended and only its containers' results count.
pub fn phase(pod: &Pod, init: &[ContainerStatus], app: &[ContainerStatus], terminal: bool) -> &'static str {
    let (mut pending, mut failed, mut count) = (0, 0, Count::default());
    for c in pod.facts().init_containers.iter().flatten() {
        let status = find(init, &c.name);
        let state = status.and_then(|s| s.state.as_ref());
        if init_role(c) == Role::Sidecar {
            let started = status.and_then(|s| s.started).unwrap_or(false);
            let running = state.is_some_and(|s| s.running.is_some());
            let ended = state.is_some_and(|s| s.terminated.is_some());
            let ended_before =
                status.is_some_and(|s| s.last_state.as_ref().is_some_and(|l| l.terminated.is_some()));
            if running && !started || !running && !ended && !ended_before {
                pending += 1;
            }
            continue;
        }
        match (status, state) {
            (_, Some(s)) if s.terminated.is_some() => {
                let code = s.terminated.as_ref().map_or(1, |t| t.exit_code);
                if code != 0 {
                    if restarts(pod, c, code) { pending += 1 } else { failed += 1 }
                }
            }
            (Some(status), Some(s)) if s.waiting.is_some() => {
                match status.last_state.as_ref().and_then(|l| l.terminated.as_ref()) {
                    Some(t) if t.exit_code != 0 && !restarts(pod, c, t.exit_code) => failed += 1,
                    Some(t) if t.exit_code == 0 => {}
                    _ => pending += 1,
                }
            }
            _ => pending += 1,
        }
    }
    for c in &pod.facts().containers {
        count.add(find(app, &c.name));
    }
    if failed > 0 {
        return "Failed";
    }
    let Count { unknown, running, waiting, stopped, succeeded } = count;
    let all_succeeded = if stopped == succeeded { "Succeeded" } else { "Failed" };
    match () {
        () if pending > 0 && !(terminal && stopped > 0) => "Pending",
        () if waiting > 0 => "Pending",
        () if running > 0 && unknown == 0 => "Running",
        () if running == 0 && stopped > 0 && unknown == 0 => {
            let again = pod.facts().containers.iter().any(|c| {
                let ended = find(app, &c.name).and_then(|s| s.state.as_ref()?.terminated.as_ref());
                ended.is_none_or(|t| restarts(pod, c, t.exit_code))
            });
            if terminal || !again { all_succeeded } else { "Running" }
        }
        () => "Pending",
    }
}

fn condition(kind: &str, status: bool, reason: &str, message: String) -> PodCondition {
    PodCondition {
        type_: kind.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        message: (!message.is_empty()).then_some(message),
        ..PodCondition::default()
    }
}

/// Whether every init container is done and every sidecar started.
///
/// # Upstream
/// `pkg/kubelet/status/generate.go` `GeneratePodInitializedCondition`
pub fn initialized(
    pod: &Pod,
    init: &[ContainerStatus],
    app: &[ContainerStatus],
    phase: &str,
) -> PodCondition {
    let kind = "Initialized";
    let all = pod.facts().init_containers.as_deref().unwrap_or_default();
    if phase == "Succeeded" {
        return condition(kind, true, "PodCompleted", String::new());
    }
    let started_app =
        app.iter().any(|s| s.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some()));
    let unknown: Vec<_> =
        all.iter().filter(|c| find(init, &c.name).is_none()).map(|c| c.name.as_str()).collect();
    let incomplete: Vec<_> = all
        .iter()
        .filter(|c| {
            find(init, &c.name).is_some_and(|s| match init_role(c) {
                Role::Sidecar => !s.started.unwrap_or(false),
                _ => !s.ready,
            })
        })
        .map(|c| c.name.as_str())
        .collect();
    let mut messages = Vec::new();
    if !unknown.is_empty() {
        messages.push(format!("containers with unknown status: [{}]", unknown.join(" ")));
    }
    if !incomplete.is_empty() {
        messages.push(format!("containers with incomplete status: [{}]", incomplete.join(" ")));
    }
    // once a container proper ran, sidecars may come and go without undoing initialisation
    if messages.is_empty() || started_app && all.iter().any(|c| init_role(c) == Role::Sidecar) {
        return condition(kind, true, "", String::new());
    }
    condition(kind, false, "ContainersNotInitialized", messages.join(", "))
}

/// Whether every container is ready.
///
/// # Upstream
/// `pkg/kubelet/status/generate.go` `GenerateContainersReadyCondition`
pub fn containers_ready(
    pod: &Pod,
    init: &[ContainerStatus],
    app: &[ContainerStatus],
    phase: &str,
) -> PodCondition {
    let kind = "ContainersReady";
    match phase {
        "Succeeded" => return condition(kind, false, "PodCompleted", String::new()),
        "Failed" => return condition(kind, false, "PodFailed", String::new()),
        _ => {}
    }
    let sidecars = pod.facts().init_containers.iter().flatten().filter(|c| init_role(c) == Role::Sidecar);
    let all = sidecars.map(|c| (c, find(init, &c.name)));
    let all = all.chain(pod.facts().containers.iter().map(|c| (c, find(app, &c.name))));
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    for (c, status) in all {
        match status {
            None => unknown.push(c.name.as_str()),
            Some(s) if !s.ready => unready.push(c.name.as_str()),
            Some(_) => {}
        }
    }
    let mut messages = Vec::new();
    if !unknown.is_empty() {
        messages.push(format!("containers with unknown status: [{}]", unknown.join(" ")));
    }
    if !unready.is_empty() {
        messages.push(format!("containers with unready status: [{}]", unready.join(" ")));
    }
    if messages.is_empty() {
        return condition(kind, true, "", String::new());
    }
    condition(kind, false, "ContainersNotReady", messages.join(", "))
}

/// Whether the pod is ready: its containers, and the gates others open.
///
/// # Upstream
/// `pkg/kubelet/status/generate.go` `GeneratePodReadyCondition`
pub fn ready(pod: &Pod, containers: &PodCondition, conditions: &[PodCondition]) -> PodCondition {
    if containers.status != "True" {
        return PodCondition { type_: "Ready".to_owned(), ..containers.clone() };
    }
    let mut unready = Vec::new();
    for gate in pod.facts().readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match conditions.iter().find(|c| c.type_ == *kind) {
            None => unready
                .push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(c) if c.status != "True" => unready.push(format!(
                "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                c.status
            )),
            Some(_) => {}
        }
    }
    if unready.is_empty() {
        return condition("Ready", true, "", String::new());
    }
    condition("Ready", false, "ReadinessGatesNotReady", unready.join(", "))
}

/// A condition that simply holds or not.
pub fn plain(kind: &str, status: bool) -> PodCondition {
    condition(kind, status, "", String::new())
}
