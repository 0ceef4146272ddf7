//! What to do about a pod: from what is wanted and what is there to actions. Pure.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_manager.go` `computePodActions`

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::facts::{PodFacts, Role};
use super::observed::{Observed, Seen};
use crate::probes::Results;

/// A running container to be stopped, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Stop {
    /// The container.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Goes into the event.
    pub message: String,
    /// Which failed probe asks for it, for the probe's own grace period.
    pub probe: Option<FailedProbe>,
}

/// A probe whose failure stops a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedProbe {
    /// `livenessProbe`.
    Liveness,
    /// `startupProbe`.
    Startup,
}

/// What to do now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The sandbox is gone or unfit: stop all of the pod, then make a new sandbox with this attempt.
    pub new_sandbox: Option<u32>,
    /// Stop everything and start nothing: the pod has ended.
    pub kill: bool,
    /// Containers to stop first.
    pub stop: Vec<Stop>,
    /// Containers to start, by name, in order.
    pub start: Vec<String>,
}

/// Why a container does not run when it could: kept from failed starts, by container name.
pub type Waiting = HashMap<String, (String, String)>;

/// The decision.
pub fn plan(pod: &Pod, observed: &Observed, results: &Results) -> Plan {
    let mut plan = Plan::default();
    let containers = pod.containers();
    if let Some(attempt) = sandbox_change(pod, observed) {
        return with_new_sandbox(pod, observed, &containers, attempt);
    }
    for (role, c) in containers.iter().filter(|(r, _)| *r == Role::Ephemeral) {
        debug_assert_eq!(*role, Role::Ephemeral);
        if observed.newest(&c.name).is_none() {
            plan.start.push(c.name.clone());
        }
    }
    let initialized = init_steps(pod, observed, results, &containers, &mut plan);
    if !initialized {
        return plan;
    }
    let mut keep = plan.start.len() + plan.stop.len();
    for (_, c) in containers.iter().filter(|(r, _)| *r == Role::App) {
        keep += app_step(pod, observed, results, c, &mut plan);
    }
    let sidecars_run = containers
        .iter()
        .any(|(r, c)| *r == Role::Sidecar && observed.newest(&c.name).is_some_and(Seen::running));
    let apps_done = !containers.iter().any(|(r, c)| {
        *r == Role::App
            && (plan.start.contains(&c.name) || observed.newest(&c.name).is_none_or(Seen::running))
    });
    if keep == 0 && apps_done || apps_done && sidecars_run && plan.stop.is_empty() {
        plan.kill = true;
        plan.start.clear();
    }
    plan
}

/// A container's step; 1 when it stays as it is or changes, 0 when it is over.
fn app_step(pod: &Pod, observed: &Observed, results: &Results, c: &Container, plan: &mut Plan) -> usize {
    let seen = observed.newest(&c.name);
    let Some(running) = seen.filter(|s| s.running()) else {
        if should_restart(pod, c, observed) {
            plan.start.push(c.name.clone());
            return 1;
        }
        return 0;
    };
    let restart = pod.restart_policy() != "Never";
    if let Some(stop) = unfit(c, running, results) {
        if restart {
            plan.start.push(c.name.clone());
        }
        plan.stop.push(Stop {
            message: if restart { format!("{}, will be restarted", stop.message) } else { stop.message },
            ..stop
        });
        return usize::from(restart);
    }
    1
}

/// Whether a running container must be stopped: its image changed, or a probe failed for good.
fn unfit(c: &Container, seen: &Seen, results: &Results) -> Option<Stop> {
    let stop = |message: String, probe| Stop { id: seen.id.clone(), name: c.name.clone(), message, probe };
    if !seen.hash.is_empty() && seen.hash != crate::runtime::labels::hash(c) {
        return Some(stop(format!("Container {} definition changed", c.name), None));
    }
    if results.liveness_failed(&seen.id) {
        return Some(stop(
            format!("Container {} failed liveness probe", c.name),
            Some(FailedProbe::Liveness),
        ));
    }
    if results.startup_failed(&seen.id) {
        return Some(stop(format!("Container {} failed startup probe", c.name), Some(FailedProbe::Startup)));
    }
    None
}

/// # Upstream
/// `pkg/kubelet/container/helpers.go` `ShouldContainerBeRestarted`
pub fn should_restart(pod: &Pod, c: &Container, observed: &Observed) -> bool {
    if pod.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let Some(seen) = observed.newest(&c.name) else { return true };
    match seen.state {
        cri::v1::ContainerState::ContainerRunning => false,
        cri::v1::ContainerState::ContainerExited => restarts(pod, c, seen.exit_code),
        _ => true, // made but never started, or unknown
    }
}

/// Whether the policy wants a container that ended this way to run again.
pub fn restarts(pod: &Pod, c: &Container, exit_code: i32) -> bool {
    for rule in c.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|v| *v == exit_code);
        if listed == (codes.operator == "In") {
            return rule.action == "Restart";
        }
    }
    match c.restart_policy.as_deref().unwrap_or(pod.restart_policy()) {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => true,
    }
}

/// Which attempt the next sandbox is, when one is needed.
///
/// # Upstream
/// `pkg/kubelet/kuberuntime/util/util.go` `PodSandboxChanged`
fn sandbox_change(pod: &Pod, observed: &Observed) -> Option<u32> {
    let Some(newest) = observed.sandbox() else { return Some(0) };
    let ready = observed.sandboxes.iter().filter(|s| s.ready).count();
    let unfit = ready > 1
        || !newest.ready
        || newest.host_network != pod.host_network()
        || (!newest.host_network && newest.ips.is_empty());
    unfit.then_some(newest.attempt + 1)
}

fn with_new_sandbox(
    pod: &Pod,
    observed: &Observed,
    containers: &[(Role, std::borrow::Cow<'_, Container>)],
    attempt: u32,
) -> Plan {
    let mut plan = Plan { new_sandbox: Some(attempt), ..Plan::default() };
    let apps = || containers.iter().filter(|(r, _)| *r == Role::App);
    if pod.restart_policy() == "Never" && attempt > 0 && !observed.containers.is_empty() {
        // a pod that never restarts and whose sandbox died has ended
        plan = Plan { kill: true, ..Plan::default() };
        return plan;
    }
    let done = |c: &Container| {
        observed.newest(&c.name).is_some_and(|s| s.exited() && s.exit_code == 0 && !restarts(pod, c, 0))
    };
    if apps().all(|(_, c)| done(c)) && attempt > 0 {
        return Plan { kill: true, ..Plan::default() };
    }
    // a new sandbox starts over: initialisation first, however far it had come
    match containers.iter().position(|(r, _)| matches!(r, Role::Init | Role::Sidecar)) {
        Some(first) => plan.start.push(containers[first].1.name.clone()),
        None => {
            let wanted = apps().filter(|(_, c)| should_restart(pod, c, observed) || running(observed, c));
            plan.start.extend(wanted.map(|(_, c)| c.name.clone()));
        }
    }
    plan
}

fn running(observed: &Observed, c: &Container) -> bool {
    observed.newest(&c.name).is_some_and(Seen::running)
}

/// Takes init containers and sidecars forward; true when the containers proper may run.
///
/// # Upstream
/// `pkg/kubelet/kuberuntime/kuberuntime_container.go` `computeInitContainerActions`
fn init_steps(
    pod: &Pod,
    observed: &Observed,
    results: &Results,
    containers: &[(Role, std::borrow::Cow<'_, Container>)],
    plan: &mut Plan,
) -> bool {
    let sandbox = observed.sandbox().map(|s| s.id.as_str()).unwrap_or_default();
    // once a container proper has been made in this sandbox, initialisation is over; sidecars are still kept alive
    let passed = containers.iter().any(|(r, c)| {
        *r == Role::App && observed.containers.iter().any(|s| s.name == c.name && s.sandbox == sandbox)
    });
    for (role, c) in containers.iter().filter(|(r, _)| matches!(r, Role::Init | Role::Sidecar)) {
        let seen = observed.newest(&c.name).filter(|s| s.sandbox == sandbox);
        if *role == Role::Sidecar {
            if !sidecar_step(c, seen, results, plan) && !passed {
                return false;
            }
            continue;
        }
        if passed {
            continue;
        }
        match seen {
            Some(s) if s.exited() && s.exit_code == 0 => {}
            Some(s) if s.running() => {
                if let Some(stop) = unfit(c, s, results) {
                    plan.stop.push(stop);
                }
                return false;
            }
            Some(s) if s.exited() && !init_restarts(pod, c, s.exit_code) => {
                plan.kill = true;
                return false;
            }
            _ => {
                plan.start.push(c.name.clone());
                return false;
            }
        }
    }
    true
}

fn init_restarts(pod: &Pod, c: &Container, exit_code: i32) -> bool {
    exit_code != 0 && restarts(pod, c, exit_code)
}

/// A sidecar's step; true when what comes after it may start.
fn sidecar_step(c: &Container, seen: Option<&Seen>, results: &Results, plan: &mut Plan) -> bool {
    match seen {
        Some(s) if s.running() => {
            if let Some(stop) = unfit(c, s, results) {
                plan.start.push(c.name.clone());
                plan.stop.push(Stop { message: format!("{}, will be restarted", stop.message), ..stop });
                return false;
            }
            results.started(c, &s.id)
        }
        _ => {
            plan.start.push(c.name.clone());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use cri::v1::ContainerState::{ContainerExited as Exited, ContainerRunning as Running};
    use serde_json::json;

    use super::*;
    use crate::pod::observed::Sandbox;

    fn seen(name: &str, state: cri::v1::ContainerState, exit_code: i32) -> Seen {
        Seen {
            id: format!("id-{name}"),
            name: name.into(),
            sandbox: "s".into(),
            state,
            created_at: 1,
            started_at: 1,
            finished_at: 0,
            exit_code,
            reason: String::new(),
            message: String::new(),
            image: String::new(),
            image_ref: String::new(),
            restart_count: 0,
            hash: String::new(),
            log_path: String::new(),
            resources: None,
            user: None,
        }
    }

    fn check(policy: &str, init: &[&str], containers: Vec<Seen>, start: &[&str], kill: bool) {
        let named =
            |names: &[&str]| names.iter().map(|n| json!({ "name": n, "image": "i" })).collect::<Vec<_>>();
        let spec = json!({
            "restartPolicy": policy, "initContainers": named(init), "containers": named(&["a", "b"]),
        });
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "uid": "u" }, "spec": spec })).unwrap();
        let sandbox = Sandbox {
            id: "s".into(),
            ready: true,
            attempt: 0,
            created_at: 0,
            ips: vec!["10.0.0.1".into()],
            host_network: false,
        };
        let observed = Observed { sandboxes: vec![sandbox], containers };
        let plan = plan(&pod, &observed, &Results::default());
        let expected: Vec<String> = start.iter().map(|s| (*s).to_owned()).collect();
        assert_eq!((plan.start, plan.kill), (expected, kill));
        assert!(plan.stop.is_empty() && plan.new_sandbox.is_none());
    }

    #[test]
    fn containers_start_in_turn() {
        check("Always", &[], vec![], &["a", "b"], false);
        check("Always", &["i", "j"], vec![], &["i"], false);
        check("Always", &["i", "j"], vec![seen("i", Running, 0)], &[], false);
        check("Always", &["i", "j"], vec![seen("i", Exited, 0)], &["j"], false);
        check("Always", &["i"], vec![seen("i", Exited, 1)], &["i"], false);
        check("Never", &["i"], vec![seen("i", Exited, 1)], &[], true);
        check("Always", &["i"], vec![seen("i", Exited, 0)], &["a", "b"], false);
        check("Always", &["i"], vec![seen("a", Running, 0), seen("b", Exited, 0)], &["b"], false);
    }

    #[test]
    fn policies_decide_about_the_end() {
        let over = || vec![seen("a", Exited, 0), seen("b", Exited, 1)];
        check("Never", &[], over(), &[], true);
        check("OnFailure", &[], over(), &["b"], false);
        check("Always", &[], over(), &["a", "b"], false);
        check("OnFailure", &[], vec![seen("a", Exited, 0), seen("b", Exited, 0)], &[], true);
        check("Never", &[], vec![seen("a", Running, 0), seen("b", Exited, 1)], &[], false);
    }
}
