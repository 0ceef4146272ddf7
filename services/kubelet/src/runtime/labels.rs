//! Labels and annotations of sandboxes and containers: upstream's names, from which all state is found again after a
//! restart.
//!
//! # Upstream
//! `pkg/kubelet/kuberuntime/labels.go`, `k8s.io/kubelet/pkg/types/labels.go`

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::pod::facts::{CONFIG_SEEN, CONFIG_SOURCE, PodFacts};

/// Label: the pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Label: its namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label: its uid.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label: the container's name.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// Annotation: hash of the container's spec.
pub const HASH: &str = "io.kubernetes.container.hash";
/// Annotation: how often it was restarted.
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation: where its last words are.
pub const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation: and from where else.
pub const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation: the pod's grace period.
pub const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";
/// Annotation: the hook to run before it is stopped.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// Annotation: its ports.
pub const PORTS: &str = "io.kubernetes.container.ports";

fn identity(pod: &Pod) -> HashMap<String, String> {
    [(POD_NAME, pod.name()), (POD_NAMESPACE, pod.namespace()), (POD_UID, pod.uid())]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
}

/// Labels of a pod's sandbox: the pod's own and who it is.
pub fn sandbox_labels(pod: &Pod) -> HashMap<String, String> {
    let own = pod.metadata.labels.iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
    own.chain(identity(pod)).collect()
}

/// Annotations of a pod's sandbox: the pod's own and where it is from.
pub fn sandbox_annotations(pod: &Pod, now: jiff::Timestamp) -> HashMap<String, String> {
    let mut all: HashMap<_, _> =
        pod.metadata.annotations.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    all.entry(CONFIG_SEEN.to_owned()).or_insert_with(|| now.to_string());
    all.entry(CONFIG_SOURCE.to_owned()).or_insert_with(|| "api".to_owned());
    all
}

/// Labels of a container.
pub fn container_labels(pod: &Pod, container: &Container) -> HashMap<String, String> {
    let mut all = identity(pod);
    all.insert(CONTAINER_NAME.to_owned(), container.name.clone());
    all
}

/// Annotations of a container.
pub fn container_annotations(pod: &Pod, c: &Container, restarts: i32) -> HashMap<String, String> {
    let mut all: HashMap<String, String> = HashMap::from([
        (HASH.to_owned(), hash(c)),
        (RESTART_COUNT.to_owned(), restarts.to_string()),
        (TERMINATION_PATH.to_owned(), c.termination_message_path.clone().unwrap_or_default()),
        (TERMINATION_POLICY.to_owned(), c.termination_message_policy.clone().unwrap_or_default()),
    ]);
    if let Some(grace) = pod.facts().termination_grace_period_seconds {
        all.insert(GRACE.to_owned(), grace.to_string());
    }
    let json = |value: Result<String, serde_json::Error>| value.ok(); // typed structs always encode
    if let Some(hook) = c.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()) {
        all.extend(json(serde_json::to_string(hook)).map(|t| (PRE_STOP.to_owned(), t)));
    }
    if let Some(ports) = c.ports.as_ref().filter(|p| !p.is_empty()) {
        all.extend(json(serde_json::to_string(ports)).map(|t| (PORTS.to_owned(), t)));
    }
    all
}

/// Hash of what makes a container another one: its name and image.
///
/// # Upstream
/// `pkg/kubelet/container/helpers.go` `HashContainer` (the same fields; the function differs)
pub fn hash(c: &Container) -> String {
    let text = format!("{}\0{}", c.name, c.image.as_deref().unwrap_or_default());
    // FNV-1a: stable across builds, which the standard hasher does not promise
    let value = text.bytes().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    format!("{value:x}")
}
