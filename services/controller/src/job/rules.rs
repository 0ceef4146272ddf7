//! What a job's success and failure policies say of its pods.
//!
//! # Upstream
//! `pkg/controller/job/{pod_failure_policy,success_policy,backoff_utils}.go`

use std::collections::BTreeSet;

use reconcile::{Kind, Pod};

use super::indexes::{parse_indexes, print_indexes};
use super::{FAILURES, Work, has_failed, index};
use crate::common::phase;

impl Work<'_> {
    pub(super) fn success_policy(&self) -> Option<String> {
        let done = parse_indexes(self.status.completed_indexes.as_deref().unwrap_or_default());
        let rules = &self.spec.success_policy.as_ref()?.rules;
        let met = rules.iter().position(|rule| {
            let wanted = rule.succeeded_indexes.as_deref().map(parse_indexes);
            let hits = wanted.as_ref().map_or(done.len(), |w| w.intersection(&done).count());
            let needed = rule.succeeded_count.map(|n| usize::try_from(n).unwrap_or(0));
            hits >= needed.or(wanted.as_ref().map(BTreeSet::len)).unwrap_or(usize::MAX)
        })?;
        Some(format!("Matched rules at index {met}"))
    }

    /// Pods of an index that failed too often fail the index, and in the end the job.
    pub(super) fn failed_indexes(&mut self) -> Option<(&'static str, String, String)> {
        let limit = self.spec.backoff_limit_per_index?;
        let mut failed = parse_indexes(self.status.failed_indexes.as_deref().unwrap_or_default());
        for pod in self.pods.iter().filter(|p| has_failed(p, self.only_failed()) && !self.is_ignored(p)) {
            let before: i32 = pod.annotation(FAILURES).and_then(|f| f.parse().ok()).unwrap_or(0);
            if before >= limit || self.rule_of(pod).is_some_and(|r| r.0 == "FailIndex") {
                failed.extend(index(pod));
            }
        }
        self.status.failed_indexes = Some(print_indexes(&failed));
        let done = parse_indexes(self.status.completed_indexes.as_deref().unwrap_or_default());
        if self.spec.max_failed_indexes.is_some_and(|m| failed.len() as i32 > m) {
            let message = "Job has exceeded the specified maximal number of failed indexes".to_owned();
            return Some(("Failed", "MaxFailedIndexesExceeded".into(), message));
        }
        let all = self.spec.completions.unwrap_or(0) as usize;
        (!failed.is_empty() && failed.len() + done.len() >= all)
            .then(|| ("Failed", "FailedIndexes".into(), "Job has failed indexes".into()))
    }

    /// The pod failure policy's rule that a failed pod matches: action and description.
    pub(super) fn rule_of(&self, pod: &Pod) -> Option<(String, String)> {
        let policy = self.spec.pod_failure_policy.as_ref()?;
        for (i, rule) in policy.rules.iter().enumerate() {
            if let Some(codes) = &rule.on_exit_codes {
                for status in pod.container_statuses.iter().chain(pod.init_container_statuses.iter()) {
                    let Some(code) = status.terminated.map(|t| t.exit_code).filter(|c| *c != 0) else {
                        continue;
                    };
                    let named = codes.container_name.as_ref().is_none_or(|n| *n == status.name);
                    let within = codes.values.contains(&code);
                    if named && (codes.operator == "In") == within {
                        let message = format!(
                            "Container {} for pod {}/{} failed with exit code {code} matching {} rule at index {i}",
                            status.name,
                            pod.namespace(),
                            pod.name(),
                            rule.action
                        );
                        return Some((rule.action.clone(), message));
                    }
                }
            }
            for condition in pod.conditions.iter() {
                let hit = rule.on_pod_conditions.iter().flatten().any(|p| {
                    p.type_ == condition.kind && p.status.as_deref().unwrap_or("True") == condition.status
                });
                if hit {
                    let message = format!(
                        "Pod {}/{} has condition {} matching {} rule at index {i}",
                        pod.namespace(),
                        pod.name(),
                        condition.kind,
                        rule.action
                    );
                    return Some((rule.action.clone(), message));
                }
            }
        }
        None
    }

    /// Whether the failure policy says that a failed pod does not count.
    pub(super) fn is_ignored(&self, pod: &Pod) -> bool {
        self.rule_of(pod).is_some_and(|(action, _)| action == "Ignore")
    }

    pub(super) fn policy_failure(&mut self) -> Option<(String, String)> {
        let failed = self.pods.iter().filter(|p| phase(p) == "Failed");
        let hit = failed.filter_map(|p| self.rule_of(p)).find(|(action, _)| action == "FailJob");
        hit.map(|(_, message)| ("PodFailurePolicy".to_owned(), message))
    }
}
