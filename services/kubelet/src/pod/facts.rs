//! What a pod's spec says, in the shapes the rest asks for. Pure.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::quantity::{Amounts, counted};

/// Annotation of a static pod: where it comes from.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Annotation of a static pod: the hash of its manifest.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Annotation of a mirror pod: the hash of the static pod it shows.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// Annotation: when the kubelet first saw the pod.
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";

/// Which list of a pod's spec a container stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `initContainers`, run to its end before the next.
    Init,
    /// `initContainers` with `restartPolicy: Always`.
    Sidecar,
    /// `containers`.
    App,
    /// `ephemeralContainers`.
    Ephemeral,
}

/// Quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Limits equal requests everywhere.
    Guaranteed,
    /// Something between.
    Burstable,
    /// Nothing asked for.
    BestEffort,
}

impl Qos {
    /// Upstream's spelling.
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

/// Questions to a pod.
pub trait PodFacts {
    /// The spec; an empty one where there is none.
    fn facts(&self) -> &PodSpec;
    /// The metadata.
    fn meta(&self) -> &ObjectMeta;
    /// The uid.
    fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }
    /// The namespace.
    fn namespace(&self) -> &str {
        self.meta().namespace.as_deref().unwrap_or_default()
    }
    /// The name.
    fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }
    /// An annotation.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.meta().annotations.as_ref()?.get(key).map(String::as_str)
    }
    /// `name_namespace(uid)`, as upstream's messages name pods.
    fn full_name(&self) -> String {
        format!("{}_{}({})", self.name(), self.namespace(), self.uid())
    }
    /// `Always`, `OnFailure` or `Never`.
    fn restart_policy(&self) -> &str {
        self.facts().restart_policy.as_deref().unwrap_or("Always")
    }
    /// Whether it shares the node's network.
    fn host_network(&self) -> bool {
        self.facts().host_network.unwrap_or(false)
    }
    /// Whether it came from this node's own manifests.
    fn is_static(&self) -> bool {
        self.annotation(CONFIG_SOURCE).is_some_and(|s| s != "api")
    }
    /// Whether it is the API server's picture of a static pod.
    fn is_mirror(&self) -> bool {
        self.annotation(CONFIG_MIRROR).is_some()
    }
    /// Whether it may not be evicted for pressure.
    fn is_critical(&self) -> bool {
        self.is_static() || self.is_mirror() || self.facts().priority.unwrap_or(0) >= 2_000_000_000
    }
    /// Every container with its role: init containers, containers, ephemeral ones.
    fn containers(&self) -> Vec<(Role, Cow<'_, Container>)> {
        let spec = self.facts();
        let init = spec.init_containers.iter().flatten().map(|c| (init_role(c), Cow::Borrowed(c)));
        let app = spec.containers.iter().map(|c| (Role::App, Cow::Borrowed(c)));
        let ephemeral = spec.ephemeral_containers.iter().flatten();
        let ephemeral = ephemeral.map(|c| (Role::Ephemeral, Cow::Owned(as_container(c))));
        init.chain(app).chain(ephemeral).collect()
    }
}

impl PodFacts for Pod {
    fn facts(&self) -> &PodSpec {
        static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
        self.spec.as_ref().unwrap_or(&EMPTY)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
}

/// Role of an init container.
pub fn init_role(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

/// An ephemeral container in the common shape.
pub fn as_container(e: &EphemeralContainer) -> Container {
    let e = e.clone();
    Container {
        args: e.args,
        command: e.command,
        env: e.env,
        env_from: e.env_from,
        image: e.image,
        image_pull_policy: e.image_pull_policy,
        lifecycle: e.lifecycle,
        name: e.name,
        ports: e.ports,
        resources: e.resources,
        security_context: e.security_context,
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        termination_message_path: e.termination_message_path,
        termination_message_policy: e.termination_message_policy,
        tty: e.tty,
        volume_devices: e.volume_devices,
        volume_mounts: e.volume_mounts,
        working_dir: e.working_dir,
        ..Container::default()
    }
}

fn requests(c: &Container) -> Option<&Amounts> {
    c.resources.as_ref()?.requests.as_ref()
}

fn limits(c: &Container) -> Option<&Amounts> {
    c.resources.as_ref()?.limits.as_ref()
}

/// A container's request: thousandths of a core or bytes; what is not requested but limited counts as requested.
pub fn request(c: &Container, name: &str) -> i64 {
    let amount = requests(c).and_then(|r| r.get(name)).or_else(|| limits(c)?.get(name));
    amount.map_or(0, |q| counted(name, q))
}

/// A container's limit; 0 for none.
pub fn limit(c: &Container, name: &str) -> i64 {
    limits(c).and_then(|l| l.get(name)).map_or(0, |q| counted(name, q))
}

/// What the whole pod requests of a resource: the larger of its steady state and each step of its start.
///
/// # Upstream
/// `k8s.io/component-helpers/resource/helpers.go` `PodRequests`
pub fn pod_request(spec: &PodSpec, name: &str) -> i64 {
    if let Some(q) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()?.get(name)) {
        return counted(name, q) + overhead(spec, name);
    }
    pod_total(spec, name, request) + overhead(spec, name)
}

/// What the whole pod may use; `None` when a container has no limit.
///
/// # Upstream
/// `k8s.io/component-helpers/resource/helpers.go` `PodLimits`
pub fn pod_limit(spec: &PodSpec, name: &str) -> Option<i64> {
    if let Some(q) = spec.resources.as_ref().and_then(|r| r.limits.as_ref()?.get(name)) {
        return Some(counted(name, q) + overhead(spec, name));
    }
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    if all.any(|c| limit(c, name) == 0) {
        return None;
    }
    Some(pod_total(spec, name, limit) + overhead(spec, name))
}

fn overhead(spec: &PodSpec, name: &str) -> i64 {
    spec.overhead.as_ref().and_then(|o| o.get(name)).map_or(0, |q| counted(name, q))
}

fn pod_total(spec: &PodSpec, name: &str, of: fn(&Container, &str) -> i64) -> i64 {
    let (mut sidecars, mut peak) = (0, 0);
    for c in spec.init_containers.iter().flatten() {
        if init_role(c) == Role::Sidecar {
            sidecars += of(c, name);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + of(c, name));
        }
    }
    let steady: i64 = spec.containers.iter().map(|c| of(c, name)).sum();
    peak.max(steady + sidecars)
}

/// The pod's quality of service.
///
/// # Upstream
/// `pkg/apis/core/v1/helper/qos/qos.go` `ComputePodQOS`
pub fn qos(spec: &PodSpec) -> Qos {
    let mut any = false;
    let mut guaranteed = true;
    if let Some(pod) = &spec.resources {
        for name in ["cpu", "memory"] {
            let amount =
                |a: &Option<Amounts>| a.as_ref().and_then(|a| a.get(name)).map_or(0, |q| counted(name, q));
            let (r, l) = (amount(&pod.requests), amount(&pod.limits));
            any |= r > 0 || l > 0;
            guaranteed &= l > 0 && (r == l || r == 0);
        }
        if any {
            return if guaranteed { Qos::Guaranteed } else { Qos::Burstable };
        }
        guaranteed = true;
    }
    for c in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        for name in ["cpu", "memory"] {
            let (r, l) = (request(c, name), limit(c, name));
            any |= r > 0 || l > 0;
            guaranteed &= l > 0 && r == l;
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}
