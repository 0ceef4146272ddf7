//! Pod Security Standards: what a pod may not ask for at a level.
//!
//! # Upstream
//! `k8s.io/pod-security-admission/policy`

mod baseline;
mod confined;
mod level;
mod parts;
mod restricted;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;

pub use level::{Level, LevelVersion, Policy, Version};
use parts::Parts;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// In a word or two: `hostPort`.
    pub reason: String,
    /// Who and what: `container "a" uses hostPort 80`.
    pub detail: String,
}

/// What a pod is, for checks.
pub(crate) struct Pod<'a> {
    pub(crate) annotations: &'a BTreeMap<String, String>,
    pub(crate) spec: &'a PodSpec,
    pub(crate) parts: Parts<'a>,
}

impl Pod<'_> {
    /// Whether it has a user namespace of its own, which makes root in it nobody outside.
    pub(crate) fn has_own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }

    /// Whether it is for Windows, where Linux's means do not exist.
    pub(crate) fn is_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }
}

pub(crate) type Check = fn(&Pod<'_>, Version) -> Option<Violation>;

/// Everything in a pod that a level forbids, in upstream's order.
pub fn evaluate(at: LevelVersion, annotations: &BTreeMap<String, String>, spec: &PodSpec) -> Vec<Violation> {
    let pod = Pod { annotations, spec, parts: Parts::of(spec) };
    let run = |checks: &[Check]| checks.iter().filter_map(|check| check(&pod, at.version)).collect();
    match at.level {
        Level::Privileged => Vec::new(),
        Level::Baseline => run(&baseline::CHECKS),
        Level::Restricted => {
            let mut found: Vec<Violation> = run(&restricted::KEPT_OF_BASELINE);
            found.extend(run(&restricted::CHECKS));
            found
        }
    }
}

/// `reason (detail), …` of all.
pub fn details(found: &[Violation]) -> String {
    let one = |v: &Violation| {
        if v.detail.is_empty() { v.reason.clone() } else { format!("{} ({})", v.reason, v.detail) }
    };
    found.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The reasons of all.
pub fn reasons(found: &[Violation]) -> String {
    found.iter().map(|v| v.reason.as_str()).collect::<Vec<_>>().join(", ")
}
