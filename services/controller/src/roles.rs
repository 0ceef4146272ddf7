//! Cluster roles made of others.
//!
//! # Upstream
//! `pkg/controller/clusterroleaggregation`

use client::Key;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use reconcile::{Ask, Controller, Error, Kind, Permit, Plan, Watch, matches};

/// The controller.
#[derive(Debug)]
pub(crate) struct Aggregation;

impl Controller for Aggregation {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        let all = Watch::map::<ClusterRole>(|view, _| {
            view.all::<ClusterRole>()
                .filter(|r| r.aggregation_rule.is_some())
                .map(|r| r.key())
                .collect::<Vec<Key>>()
        });
        vec![Watch::root::<ClusterRole>(), all]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::of::<ClusterRole>("patch escalate")]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(role) = ask.view.get::<ClusterRole>(ask.key) else { return Ok(plan) };
        let Some(rule) = &role.aggregation_rule else { return Ok(plan) };
        let mut rules: Vec<PolicyRule> = Vec::new();
        for selector in rule.cluster_role_selectors.iter().flatten() {
            let parts = ask.view.all::<ClusterRole>().filter(|r| r.name() != role.name());
            for part in parts.filter(|r| matches(selector, r.as_ref())) {
                for rule in part.rules.iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
        }
        let mut next = ClusterRole::clone(role);
        next.rules = Some(rules).filter(|r| !r.is_empty());
        plan.update(role.as_ref(), &next)?;
        Ok(plan)
    }
}
