//! Starting one container.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go` `startContainer`

use std::time::Duration;

use cri::v1;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::apply::Ground;
use super::facts::{PodFacts, Role};
use super::kill;
use super::memory::Memory;
use super::plan::Stop;
use crate::Kubelet;
use crate::events::Kind;
use crate::probes::act;
use crate::runtime::{container, env, hosts, security};
use crate::volumes::mounts;

/// A container did not start: upstream's reason and message for its status.
#[derive(Debug)]
pub struct Refusal {
    /// `CrashLoopBackOff`, `ErrImagePull`, `CreateContainerError`, …
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// When to try again.
    pub until: Option<Timestamp>,
    /// The runtime has something new all the same.
    pub changed: bool,
}

fn refusal(reason: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { reason, message: message.into(), until: None, changed: false }
}

fn soon(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp::now() + SignedDuration::from_secs(seconds))
}

/// Starts a container, unless it has to wait.
pub async fn start(
    kubelet: &Kubelet,
    memory: &mut Memory,
    ground: &Ground<'_>,
    c: &Container,
    role: Role,
) -> Result<(), Refusal> {
    let pod = ground.pod;
    let field = field(c, role);
    restart_wait(kubelet, memory, ground, c, &field)?;
    let image = match pull(kubelet, memory, ground, c).await {
        Ok(image) => image,
        Err(refusal) => {
            let text = format!("Error: {}", refusal.reason);
            kubelet.events.pod(pod, &field, Kind::Warning, "Failed", &text);
            return Err(refusal);
        }
    };
    let restarts = restarts(ground, c);
    let config_error = |message: String, kubelet: &Kubelet| {
        kubelet.events.pod(pod, &field, Kind::Warning, "Failed", &format!("Error: {message}"));
        Refusal { until: soon(10), ..refusal("CreateContainerConfigError", message) }
    };
    security::check_non_root(pod, c, &image.user).map_err(|m| config_error(m, kubelet))?;
    let env = environment(kubelet, ground, c).map_err(|e| config_error(e.0, kubelet))?;
    left_out(kubelet, pod, &env);
    let hosts = write_hosts(kubelet, ground).map_err(|e| config_error(e.to_string(), kubelet))?;
    let facts = mounts::Facts {
        settings: &kubelet.settings,
        pod,
        container: c,
        places: ground.places,
        env: &env.variables,
        hosts: hosts.as_deref(),
        users: ground.users.as_ref(),
    };
    let mounts = mounts::mounts(&facts).map_err(|m| config_error(m, kubelet))?;
    let blocks = mounts::devices(&facts).map_err(|m| config_error(m, kubelet))?;
    let given = kubelet.devices.given(pod, c).await.map_err(|m| config_error(m, kubelet))?;
    if let Err(e) = std::fs::create_dir_all(std::path::Path::new(&ground.config.log_directory).join(&c.name))
    {
        return Err(config_error(
            format!("create container log directory for container {} failed: {e}", c.name),
            kubelet,
        ));
    }
    let target = target(ground, c, role).map_err(|m| config_error(m, kubelet))?;
    let parts = container::Parts {
        pod,
        container: c,
        settings: &kubelet.settings,
        memory_capacity: kubelet.machine.memory,
        cgroup_v2: kubelet.cgroups.v2,
        image_ref: image.id,
        image_user: image.user,
        env: env.variables,
        mounts,
        restarts,
        target,
        users: ground.users.clone(),
        extra_groups: Vec::new(),
        given,
        blocks,
    };
    let config = container::config(parts);
    let id = create(kubelet, ground, &field, config.clone()).await?;
    run(kubelet, ground, c, &field, &id).await?;
    link_log(kubelet, ground, c, &id, restarts);
    post_start(kubelet, ground, c, &field, &id).await
}

fn field(c: &Container, role: Role) -> String {
    let list = match role {
        Role::Init | Role::Sidecar => "initContainers",
        Role::App => "containers",
        Role::Ephemeral => "ephemeralContainers",
    };
    format!("spec.{list}{{{}}}", c.name)
}

/// # Upstream
/// `pkg/kubelet/kuberuntime/kuberuntime_manager.go` `doBackOff`
fn restart_wait(
    kubelet: &Kubelet,
    memory: &mut Memory,
    ground: &Ground<'_>,
    c: &Container,
    field: &str,
) -> Result<(), Refusal> {
    let Some(last) = ground.observed.newest(&c.name).filter(|s| s.exited()) else { return Ok(()) };
    let nanoseconds = i128::from(last.finished_at);
    let since = Timestamp::from_nanosecond(nanoseconds).unwrap_or_else(|_| Timestamp::now()); // the runtime's clock is in range
    let key = format!("{}/{}", c.name, last.hash);
    if let Some((wait, until)) = memory.restarts.waiting(&key, since, Timestamp::now()) {
        let who = format!("container={} pod={}", c.name, ground.pod.full_name());
        let text =
            format!("Back-off restarting failed container {} in pod {}", c.name, ground.pod.full_name());
        let said = memory.said.get(&key).is_none_or(|at| *at != since);
        if said {
            kubelet.events.pod(ground.pod, field, Kind::Warning, "BackOff", &text);
            memory.said.insert(key, since);
        }
        let wait = crate::runtime::images::go_duration(wait);
        let message = format!("back-off {wait} restarting failed {who}");
        return Err(Refusal { until: Some(until), ..refusal(BACK_OFF, message) });
    }
    memory.restarts.next(&key, since);
    Ok(())
}

async fn pull(
    kubelet: &Kubelet,
    memory: &mut Memory,
    ground: &Ground<'_>,
    c: &Container,
) -> Result<crate::runtime::images::Image, Refusal> {
    let key = c.image.clone().unwrap_or_default();
    let now = Timestamp::now();
    let wait = memory.pulls.waiting(&key, last_try(memory, &key, now), now);
    let secrets = &ground.materials.secrets;
    let last = wait.map(|_| memory.pull_errors.get(&key).cloned().unwrap_or_default());
    let ensured = kubelet
        .images
        .ensure(ground.pod, c, &ground.handler, secrets, &kubelet.events, last.as_deref())
        .await;
    ensured.map_err(|e| {
        let until = match e.reason {
            "ImagePullBackOff" => wait.map(|(_, until)| until),
            PULL_FAILED => {
                let now = Timestamp::now();
                memory.pulls.next(&key, now);
                memory.said.insert(format!("pull/{key}"), now);
                memory.pull_errors.insert(key, e.to_string());
                soon(1)
            }
            _ => soon(10),
        };
        // the failure is seen first, then the waiting
        Refusal { until, ..refusal(e.reason, e.message) }
    })
}

/// Reason of a container that ended and whose next start is waited for.
pub const BACK_OFF: &str = "CrashLoopBackOff";
/// Reason of a container whose image was asked for in vain.
pub const PULL_FAILED: &str = "ErrImagePull";

/// How long a failed pull is shown as such before the waiting for the next try is.
pub const PULL_SEEN: Duration = Duration::from_secs(3);
/// How long a failed start is, meanwhile tried again or not: upstream's `backOffPeriod`.
pub const START_SEEN: Duration = Duration::from_secs(10);

fn last_try(memory: &Memory, image: &str, now: Timestamp) -> Timestamp {
    memory.said.get(&format!("pull/{image}")).copied().unwrap_or(now)
}

/// How often the container has been started before.
fn restarts(ground: &Ground<'_>, c: &Container) -> i32 {
    if let Some(last) = ground.observed.newest(&c.name) {
        return last.restart_count + 1;
    }
    let lists = [&ground.told.container_statuses, &ground.told.init_container_statuses];
    let told = lists.into_iter().flatten().flatten().find(|s| s.name == c.name);
    told.filter(|s| s.container_id.is_some()).map_or(0, |s| s.restart_count + 1)
}

fn environment(
    kubelet: &Kubelet,
    ground: &Ground<'_>,
    c: &Container,
) -> Result<env::Environment, env::Error> {
    let services = kubelet.services.snapshot();
    let links = ground.pod.facts().enable_service_links.unwrap_or(true);
    let namespace = ground.pod.namespace();
    let master =
        services.namespace("default").filter(|(k, _)| k.name == "kubernetes").map(|(_, s)| s.as_ref());
    let mut variables = env::of_services(master);
    if links {
        variables.extend(env::of_services(services.namespace(namespace).map(|(_, s)| s.as_ref())));
    }
    let facts = env::Facts {
        pod: ground.pod,
        pod_ips: &ground.ips,
        host_ips: &kubelet.addresses,
        allocatable: &kubelet.allocatable(),
        materials: ground.materials,
    };
    env::environment(&facts, c, &variables)
}

/// Says which variables are left out for their names.
fn left_out(kubelet: &Kubelet, pod: &Pod, env: &env::Environment) {
    for (source, keys) in &env.invalid {
        let text = format!(
            "keys [{}] from the EnvFrom {source} were skipped since they are considered invalid environment variable names.",
            keys.join(", ")
        );
        kubelet.events.pod(pod, "", Kind::Warning, "InvalidEnvironmentVariableNames", &text);
    }
}

fn write_hosts(kubelet: &Kubelet, ground: &Ground<'_>) -> std::io::Result<Option<std::path::PathBuf>> {
    if ground.ips.is_empty() && !ground.pod.host_network() {
        return Ok(None);
    }
    let (host, domain) = hosts::names(ground.pod, &kubelet.settings.cluster_domain);
    let node = if ground.pod.host_network() { std::fs::read_to_string("/etc/hosts")? } else { String::new() };
    let path = kubelet.settings.pod_dir(ground.pod.uid()).join("etc-hosts");
    let text = hosts::render(ground.pod, &ground.ips, &host, &domain, &node);
    // written in place: containers have this very file mounted
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    Ok(Some(path))
}

fn target(ground: &Ground<'_>, c: &Container, role: Role) -> Result<Option<String>, String> {
    if role != Role::Ephemeral {
        return Ok(None);
    }
    let own = ground.pod.facts().ephemeral_containers.iter().flatten().find(|e| e.name == c.name);
    let Some(name) = own.and_then(|e| e.target_container_name.as_ref()).filter(|n| !n.is_empty()) else {
        return Ok(None);
    };
    match ground.observed.newest(name) {
        Some(seen) => Ok(Some(seen.id.clone())),
        None => Err(format!("unable to find target container {name}")),
    }
}

async fn create(
    kubelet: &Kubelet,
    ground: &Ground<'_>,
    field: &str,
    config: v1::ContainerConfig,
) -> Result<String, Refusal> {
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: ground.sandbox.clone(),
        config: Some(config),
        sandbox_config: Some(ground.config.clone()),
    };
    match kubelet.runtime.create_container(request).await {
        Ok(answer) => {
            kubelet.events.pod(ground.pod, field, Kind::Normal, "Created", "Container created");
            Ok(answer.container_id)
        }
        Err(e) => {
            let message = match &e {
                cri::Error::Status { message, .. } => message.clone(),
                other => crate::chain(other),
            };
            kubelet.events.pod(ground.pod, field, Kind::Warning, "Failed", &format!("Error: {message}"));
            Err(Refusal { until: soon(10), ..refusal("CreateContainerError", message) })
        }
    }
}

async fn run(
    kubelet: &Kubelet,
    ground: &Ground<'_>,
    c: &Container,
    field: &str,
    id: &str,
) -> Result<(), Refusal> {
    match kubelet.runtime.start_container(v1::StartContainerRequest { container_id: id.to_owned() }).await {
        Ok(_) => {
            kubelet.events.pod(ground.pod, field, Kind::Normal, "Started", "Container started");
            Ok(())
        }
        Err(e) => {
            let message = match &e {
                cri::Error::Status { message, .. } => message.clone(),
                other => crate::chain(other),
            };
            tracing::info!(
                pod = ground.pod.full_name(),
                container = c.name,
                error = message,
                "Starting a container"
            );
            kubelet.events.pod(ground.pod, field, Kind::Warning, "Failed", &format!("Error: {message}"));
            Err(Refusal { changed: true, ..refusal("RunContainerError", message) })
        }
    }
}

/// The name under which log collectors look for it.
///
/// # Upstream
/// `pkg/kubelet/kuberuntime/legacy.go`
fn link_log(kubelet: &Kubelet, ground: &Ground<'_>, c: &Container, id: &str, restarts: i32) {
    let log = std::path::Path::new(&ground.config.log_directory).join(container::log_path(&c.name, restarts));
    let dir = kubelet.settings.pod_logs_dir.with_file_name("containers");
    let pod = ground.pod;
    let link = dir.join(format!("{}_{}_{}-{id}.log", pod.name(), pod.namespace(), c.name));
    let made = std::fs::create_dir_all(&dir).and_then(|()| std::os::unix::fs::symlink(&log, &link));
    if let Err(error) = made {
        tracing::debug!(error = &error as &dyn std::error::Error, "Linking a container's log");
    }
}

async fn post_start(
    kubelet: &Kubelet,
    ground: &Ground<'_>,
    c: &Container,
    field: &str,
    id: &str,
) -> Result<(), Refusal> {
    let Some(hook) = c.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else { return Ok(()) };
    let ip = ground.ips.first().map(String::as_str).unwrap_or_default();
    let Err(error) = act::hook(&kubelet.runtime, id, ground.pod, c, hook, ip).await else { return Ok(()) };
    tracing::info!(pod = ground.pod.full_name(), container = c.name, error = error, "PostStart hook failed");
    kubelet.events.pod(ground.pod, field, Kind::Warning, "FailedPostStartHook", "PostStartHook failed");
    let message = "FailedPostStartHook".to_owned();
    let stop = Stop { id: id.to_owned(), name: c.name.clone(), message, probe: None };
    kill::container(kubelet, &mut true, ground.pod, &stop, None, ip).await;
    Err(Refusal { changed: true, ..refusal("PostStartHookError", error) })
}
