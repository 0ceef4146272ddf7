//! Ending containers and pods.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go` `killContainer`, `kuberuntime_termination_order.go`, `kuberuntime_gc.go`

use std::time::{Duration, Instant};

use cri::v1;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use super::facts::{PodFacts, Role};
use super::memory::Memory;
use super::observed::{Observed, Seen};
use super::plan::{FailedProbe, Stop};
use super::workers::Wanted;
use crate::Kubelet;
use crate::events::Kind;
use crate::probes::act;

/// The least time a container gets between the signal and the end.
const MINIMUM: i64 = 2;

/// Seconds the pod is given to end; `None` where its own setting counts.
pub fn grace(wanted: &Wanted) -> Option<i64> {
    if wanted.gone {
        return Some(1);
    }
    let asked = wanted.pod.metadata.deletion_timestamp.as_ref();
    let deleted = asked.and(wanted.pod.metadata.deletion_grace_period_seconds);
    deleted.or_else(|| wanted.verdict.as_ref().and_then(|(_, grace)| *grace))
}

fn own_grace(pod: &Pod, c: Option<&Container>, probe: Option<FailedProbe>) -> i64 {
    let of_probe = c.and_then(|c| match probe? {
        FailedProbe::Liveness => c.liveness_probe.as_ref()?.termination_grace_period_seconds,
        FailedProbe::Startup => c.startup_probe.as_ref()?.termination_grace_period_seconds,
    });
    of_probe.or(pod.facts().termination_grace_period_seconds).unwrap_or(30)
}

/// Stops one container: its hook, its signal, and in the end its process. False when the runtime refuses.
pub async fn container(
    kubelet: &Kubelet,
    stopped: &mut bool,
    pod: &Pod,
    stop: &Stop,
    grace: Option<i64>,
    ip: &str,
) -> bool {
    let containers = pod.containers();
    let found = containers.iter().find(|(_, c)| c.name == stop.name).map(|(_, c)| c.as_ref());
    let mut grace = grace.unwrap_or_else(|| own_grace(pod, found, stop.probe));
    let field = format!("spec.containers{{{}}}", stop.name);
    kubelet.events.pod(pod, &field, Kind::Normal, "Killing", &stop.message);
    let hook = found.and_then(|c| Some((c, c.lifecycle.as_ref()?.pre_stop.as_ref()?)));
    if let (Some((c, hook)), false) = (hook, *stopped || grace <= 0) {
        grace -= pre_stop(kubelet, pod, &stop.id, c, hook, grace, ip).await;
        *stopped = true;
    }
    let timeout = grace.max(MINIMUM);
    let request = v1::StopContainerRequest { container_id: stop.id.clone(), timeout };
    match kubelet.runtime.stop_container(request).await {
        Ok(_) => true,
        Err(e) if e.is_not_found() => true,
        Err(error) => {
            tracing::warn!(
                pod = pod.full_name(),
                container = stop.name,
                error = crate::chain(&error),
                "Stopping a container"
            );
            false
        }
    }
}

/// Runs the hook, for as long as the grace period lasts; the seconds it took.
async fn pre_stop(
    kubelet: &Kubelet,
    pod: &Pod,
    id: &str,
    c: &Container,
    hook: &LifecycleHandler,
    grace: i64,
    ip: &str,
) -> i64 {
    let begun = Instant::now();
    let limit = Duration::from_secs(grace.unsigned_abs());
    match tokio::time::timeout(limit, act::hook(&kubelet.runtime, id, pod, c, hook, ip)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let field = format!("spec.containers{{{}}}", c.name);
            tracing::info!(pod = pod.full_name(), container = c.name, error, "PreStop hook failed");
            kubelet.events.pod(pod, &field, Kind::Warning, "FailedPreStopHook", "PreStopHook failed");
        }
        Err(_) => tracing::info!(
            pod = pod.full_name(),
            container = c.name,
            "PreStop hook took all of the grace period"
        ),
    }
    i64::try_from(begun.elapsed().as_secs()).unwrap_or(grace)
}

/// Stops all of a pod: its containers together, then its sidecars from the last to the first, then its sandboxes.
pub async fn pod(
    kubelet: &Kubelet,
    memory: &mut Memory,
    pod: &Pod,
    observed: &Observed,
    grace: Option<i64>,
) -> bool {
    let ips = super::apply::pod_ips(kubelet, pod, observed);
    let ip = ips.first().map(String::as_str).unwrap_or_default();
    let containers = pod.containers();
    let role = |s: &Seen| containers.iter().find(|(_, c)| c.name == s.name).map(|(r, _)| *r);
    let begun = Instant::now();
    let (sidecars, others): (Vec<_>, Vec<_>) =
        observed.running().partition(|s| role(s) == Some(Role::Sidecar));
    let stops = |seen: &[&Seen]| -> Vec<(Stop, bool)> {
        let stop = |s: &&Seen| {
            let message = format!("Stopping container {}", s.name);
            (
                Stop { id: s.id.clone(), name: s.name.clone(), message, probe: None },
                memory.stopped.contains(&s.id),
            )
        };
        seen.iter().map(stop).collect()
    };
    let mut first = stops(&others);
    let mut order: Vec<_> = sidecars;
    order.sort_by_key(|s| std::cmp::Reverse(containers.iter().position(|(_, c)| c.name == s.name)));
    let mut second = stops(&order);
    let mut good =
        join_all(first.iter_mut().map(|(stop, stopped)| container(kubelet, stopped, pod, stop, grace, ip)))
            .await
            .into_iter()
            .all(|g| g);
    let whole = grace.unwrap_or_else(|| own_grace(pod, None, None));
    for (stop, stopped) in &mut second {
        let left = whole - i64::try_from(begun.elapsed().as_secs()).unwrap_or(whole);
        good &= container(kubelet, stopped, pod, stop, Some(left.max(0)), ip).await;
    }
    let done = first.into_iter().chain(second).filter(|(_, stopped)| *stopped).map(|(stop, _)| stop.id);
    memory.stopped.extend(done);
    good && sandboxes(kubelet, pod, observed).await
}

/// Stops all of a pod's sandboxes.
pub async fn sandboxes(kubelet: &Kubelet, pod: &Pod, observed: &Observed) -> bool {
    let mut good = true;
    for sandbox in observed.sandboxes.iter().filter(|s| s.ready) {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
        match kubelet.runtime.stop_pod_sandbox(request).await {
            Ok(_) => {}
            Err(e) if e.is_not_found() => {}
            Err(error) => {
                let error = crate::chain(&error);
                tracing::warn!(pod = pod.full_name(), error, "Stopping a sandbox");
                let text = format!(
                    "error killing pod: failed to \"KillPodSandbox\" for \"{}\" with KillPodSandboxError: \"{error}\"",
                    pod.uid()
                );
                kubelet.events.pod(pod, "", Kind::Warning, "FailedKillPod", &text);
                good = false;
            }
        }
    }
    good
}

/// Removes a pod's containers, sandboxes and logs.
///
/// # Errors
/// The runtime or the file system refuses.
pub async fn remove(
    kubelet: &Kubelet,
    pod: &Pod,
    observed: &Observed,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for container in &observed.containers {
        remove_container(kubelet, container).await?;
    }
    for sandbox in &observed.sandboxes {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: sandbox.id.clone() };
        match kubelet.runtime.remove_pod_sandbox(request).await {
            Err(e) if !e.is_not_found() => return Err(e.into()),
            _ => {}
        }
    }
    if pod.name().is_empty() {
        return Ok(());
    }
    match std::fs::remove_dir_all(crate::runtime::sandbox::log_directory(&kubelet.settings, pod)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Removes a container that has ended, and its logs.
///
/// # Errors
/// The runtime or the file system refuses.
pub async fn remove_container(
    kubelet: &Kubelet,
    container: &Seen,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let request = v1::RemoveContainerRequest { container_id: container.id.clone() };
    match kubelet.runtime.remove_container(request).await {
        Err(e) if !e.is_not_found() => return Err(e.into()),
        _ => {}
    }
    if container.log_path.is_empty() {
        return Ok(());
    }
    let path = std::path::Path::new(&container.log_path);
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let name = name.to_string_lossy().into_owned();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    // the log itself and what rotation has made of it
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&name) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
