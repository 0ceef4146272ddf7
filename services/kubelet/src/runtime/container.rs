//! A container's configuration. Pure.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go` `generateContainerConfig`

use cri::v1;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::expand::expand;
use super::security::{self, ImageUser};
use super::{labels, resources};
use crate::devices::Given;
use crate::settings::Settings;

/// What a container is made from, beside its spec.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// Settings.
    pub settings: &'a Settings,
    /// The node's memory.
    pub memory_capacity: i64,
    /// Whether the node's cgroups are of version 2.
    pub cgroup_v2: bool,
    /// The image's id.
    pub image_ref: String,
    /// The image's user.
    pub image_user: ImageUser,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Mounts.
    pub mounts: Vec<v1::Mount>,
    /// How often it was restarted.
    pub restarts: i32,
    /// For an ephemeral container: whose processes it sees.
    pub target: Option<String>,
    /// Its user namespace, when it has one.
    pub users: Option<v1::UserNamespace>,
    /// Groups that volumes bring along.
    pub extra_groups: Vec<i64>,
    /// What its devices bring along.
    pub given: Given,
    /// Volumes it sees as devices.
    pub blocks: Vec<v1::Device>,
}

/// A log's path in the pod's log directory.
pub fn log_path(container: &str, restarts: i32) -> String {
    format!("{container}/{restarts}.log")
}

/// A container's configuration.
pub fn config(parts: Parts<'_>) -> v1::ContainerConfig {
    let (pod, c) = (parts.pod, parts.container);
    let expanded = |texts: &Option<Vec<String>>| -> Vec<String> {
        let lookup = |name: &str| parts.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        texts.iter().flatten().map(|t| expand(t, lookup)).collect()
    };
    let (command, args) = (expanded(&c.command), expanded(&c.args));
    let settings = parts.settings;
    let resources =
        resources::container(pod, c, parts.memory_capacity, settings.cpu_cfs_quota, parts.cgroup_v2);
    let context = security::container(
        pod,
        c,
        &parts.image_user,
        parts.target,
        settings.seccomp_default,
        &settings.root_dir,
        &parts.extra_groups,
        parts.users.as_ref(),
    );
    let mut annotations = labels::container_annotations(pod, c, parts.restarts);
    annotations.extend(parts.given.annotations);
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata {
            name: c.name.clone(),
            attempt: u32::try_from(parts.restarts).unwrap_or(0), // counts up from 0
        }),
        image: Some(v1::ImageSpec {
            image: parts.image_ref,
            user_specified_image: c.image.clone().unwrap_or_default(),
            ..v1::ImageSpec::default()
        }),
        command,
        args,
        working_dir: c.working_dir.clone().unwrap_or_default(),
        envs: parts
            .given
            .env
            .into_iter()
            .chain(parts.env)
            .map(|(key, value)| v1::KeyValue { key, value: value.into_bytes() })
            .collect(),
        mounts: parts.mounts.into_iter().chain(parts.given.mounts).collect(),
        labels: labels::container_labels(pod, c),
        annotations,
        devices: parts.blocks.into_iter().chain(parts.given.devices).collect(),
        cdi_devices: parts.given.named,
        log_path: log_path(&c.name, parts.restarts),
        stdin: c.stdin.unwrap_or(false),
        stdin_once: c.stdin_once.unwrap_or(false),
        tty: c.tty.unwrap_or(false),
        linux: Some(v1::LinuxContainerConfig { resources: Some(resources), security_context: Some(context) }),
        ..v1::ContainerConfig::default()
    }
}
