//! Changing a running pod's resources: what is allocated, what is actuated, what is told. Pure.
//!
//! # Upstream
//! `pkg/kubelet/allocation/allocation_manager.go`

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{Container, PodCondition, ResourceRequirements};

/// How far a resize has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// What the node has granted, by container.
    allocated: HashMap<String, ResourceRequirements>,
    /// What containers run with.
    actual: HashMap<String, ResourceRequirements>,
    /// Why the wanted resources are not granted: reason and message.
    pub pending: Option<(String, String)>,
    /// Why the granted resources are not in place.
    pub error: Option<String>,
}

impl State {
    /// What a container is granted.
    pub fn allocated(&self, name: &str) -> Option<&ResourceRequirements> {
        self.allocated.get(name)
    }

    /// What a container runs with.
    pub fn actual(&self, name: &str) -> Option<&ResourceRequirements> {
        self.actual.get(name)
    }

    /// Grants what a container asks for.
    pub fn grant(&mut self, c: &Container) {
        self.allocated.insert(c.name.clone(), c.resources.clone().unwrap_or_default());
    }

    /// A container runs with what it is granted.
    pub fn actuated(&mut self, name: &str) {
        if let Some(granted) = self.allocated.get(name) {
            self.actual.insert(name.to_owned(), granted.clone());
        }
    }

    /// A container runs with these, as told before a restart of the kubelet.
    pub fn restore(&mut self, name: &str, resources: ResourceRequirements) {
        self.allocated.insert(name.to_owned(), resources.clone());
        self.actual.insert(name.to_owned(), resources);
    }

    /// Whether a container asks for something else than it is granted.
    pub fn wants_more(&self, c: &Container) -> bool {
        let wanted = c.resources.clone().unwrap_or_default();
        self.allocated.get(&c.name).is_some_and(|a| !same(a, &wanted))
    }

    /// Whether a container runs with something else than it is granted.
    pub fn unactuated(&self, name: &str) -> bool {
        match (self.allocated.get(name), self.actual.get(name)) {
            (Some(a), Some(b)) => !same(a, b),
            _ => false,
        }
    }

    /// `PodResizePending` and `PodResizeInProgress`.
    pub fn conditions(&self) -> Vec<PodCondition> {
        let mut all = Vec::new();
        if let Some((reason, message)) = &self.pending {
            all.push(PodCondition {
                type_: "PodResizePending".into(),
                status: "True".into(),
                reason: Some(reason.clone()),
                message: Some(message.clone()),
                ..PodCondition::default()
            });
        }
        if self.error.is_some() || self.allocated.keys().any(|name| self.unactuated(name)) {
            all.push(PodCondition {
                type_: "PodResizeInProgress".into(),
                status: "True".into(),
                reason: self.error.as_ref().map(|_| "Error".into()),
                message: self.error.clone(),
                ..PodCondition::default()
            });
        }
        all
    }

    /// Whether a change of a container's granted resources asks for its restart.
    pub fn needs_restart(&self, c: &Container) -> bool {
        let (Some(a), Some(b)) = (self.allocated.get(&c.name), self.actual.get(&c.name)) else {
            return false;
        };
        c.resize_policy
            .iter()
            .flatten()
            .any(|p| p.restart_policy == "RestartContainer" && !same_of(a, b, &p.resource_name))
    }
}

fn same_of(a: &ResourceRequirements, b: &ResourceRequirements, name: &str) -> bool {
    let amount = |r: &Option<crate::quantity::Amounts>| {
        r.as_ref().and_then(|r| r.get(name)).map_or(0, |q| crate::quantity::counted(name, q))
    };
    amount(&a.requests) == amount(&b.requests) && amount(&a.limits) == amount(&b.limits)
}

fn same(a: &ResourceRequirements, b: &ResourceRequirements) -> bool {
    same_of(a, b, "cpu") && same_of(a, b, "memory")
}
