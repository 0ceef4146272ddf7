//! Facts about pods, templates and hashes that several controllers need.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reconcile::{Kind, Pod};

/// The label that tells apart the pods of a deployment's replica sets.
pub(crate) const TEMPLATE_HASH: &str = "pod-template-hash";

/// The phase, empty before there is a status.
pub(crate) fn phase(pod: &Pod) -> &str {
    &pod.phase
}

/// Neither ended nor being deleted.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !matches!(phase(pod), "Succeeded" | "Failed") && !pod.deleting()
}

/// Whether the pod has ended.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Since when the pod is ready, if it is.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = pod.conditions.iter().find(|c| c.kind == "Ready" && c.status == "True")?;
    Some(ready.since.get().unwrap_or(Timestamp::MIN))
}

/// Whether the pod is ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

/// Whether the pod has been ready long enough.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    ready_since(pod).is_some_and(|since| {
        min_ready_seconds == 0 || now.as_second() - since.as_second() >= i64::from(min_ready_seconds)
    })
}

/// The node a pod is bound to, empty for none.
pub(crate) fn node_name(pod: &Pod) -> &str {
    &pod.node_name
}

/// The time of an object's creation.
pub(crate) fn created<K: Kind>(object: &K) -> Timestamp {
    object.created().unwrap_or(Timestamp::MAX)
}

/// A time as objects hold it.
pub(crate) fn time(now: Timestamp) -> Option<Time> {
    Some(Time(now))
}

/// A number or percentage of a total; `None` for a malformed one.
pub(crate) fn scaled(value: &IntOrString, total: i32, round_up: bool) -> Option<i32> {
    match value {
        IntOrString::Int(n) => Some(*n),
        IntOrString::String(text) => {
            let percent: f64 = text.strip_suffix('%')?.parse::<i32>().ok()?.into();
            let exact = percent * f64::from(total) / 100.0;
            Some(if round_up { exact.ceil() as i32 } else { exact.floor() as i32 })
        }
    }
}

/// FNV-1a, 32 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// FNV-1, 32 bits.
pub(crate) fn fnv1(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(*byte))
}

/// Upstream's alphabet for names: no vowels, nothing that looks like another letter.
///
/// # Upstream
/// `k8s.io/apimachinery/pkg/util/rand.SafeEncodeString`
pub(crate) fn safe_encode(number: u32) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    number.to_string().bytes().map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// The hash of a pod template, in a label's form. Upstream hashes a dump of its own memory layout; ours hashes the JSON
/// form, so the values differ, while templates are matched by equality on either side.
pub(crate) fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut bytes = serde_json::to_vec(template).unwrap_or_default(); // a template came from JSON
    if let Some(collisions) = collisions {
        bytes.extend_from_slice(&i64::from(collisions).to_le_bytes());
    }
    safe_encode(fnv1a(&bytes))
}

/// Whether two templates differ in nothing but the hash label.
pub(crate) fn same_template(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    let bare = |template: &PodTemplateSpec| {
        let mut template = template.clone();
        if let Some(labels) = template.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
            labels.remove(TEMPLATE_HASH);
        }
        template
    };
    bare(a) == bare(b)
}
