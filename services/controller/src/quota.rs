//! What a namespace uses of its quotas.
//!
//! # Upstream
//! `pkg/controller/resourcequota`, `pkg/quota/v1/evaluator/core`

use std::collections::BTreeMap;
use std::time::Duration;

use client::Key;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, ReplicationController, ResourceQuota, ResourceQuotaStatus,
    ScopedResourceSelectorRequirement, Secret, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire;
use meta::quantity::Quantity;
use reconcile::{Ask, Container, Controller, Error, Kind, Permit, Plan, Pod, View, Watch};

use crate::common::is_terminal;

/// The controller.
#[derive(Debug)]
pub(crate) struct Quotas;

type Usage = BTreeMap<String, Quantity>;

/// Objects that went, or changed so that they use less. A new one is counted by admission, and before it is stored:
/// counting anew without need could take back what admission counted for an object that no view has yet.
///
/// # Upstream
/// `pkg/controller/resourcequota/resource_quota_monitor.go` `QuotaMonitor`
fn in_namespace<K: Kind>(frees: fn(&K, &K) -> bool) -> Watch {
    let quotas = Watch::map::<K>(|view, object| {
        view.list::<ResourceQuota>(object.namespace()).map(|q| q.key()).collect::<Vec<Key>>()
    });
    quotas.when::<K>(move |old, new| match (old, new) {
        (Some(old), Some(new)) => frees(old, new),
        (old, None) => old.is_some(),
        (None, _) => false,
    })
}

/// What admission writes into the status is no reason to count.
///
/// # Upstream
/// `pkg/controller/resourcequota/resource_quota_controller.go` `NewController`
fn quotas() -> Watch {
    Watch::root::<ResourceQuota>().when::<ResourceQuota>(|old, new| match (old, new) {
        (Some(old), Some(new)) => hard(old) != hard(new),
        _ => true,
    })
}

fn hard(quota: &ResourceQuota) -> Option<&BTreeMap<String, Wire>> {
    quota.spec.as_ref()?.hard.as_ref()
}

/// Which changes of an object change what it is counted as, so that quota may have become free.
///
/// # Upstream
/// `pkg/quota/v1/install/update_filter.go` `DefaultUpdateFilter`
///
/// # Differs
/// A pod that outlives its deletion's grace period is counted until it is gone.
mod frees {
    use super::{PersistentVolumeClaim, Pod, Service, in_scope, is_terminal};
    use reconcile::ContainerStatus;

    pub(super) fn pod(old: &Pod, new: &Pod) -> bool {
        let ended = !is_terminal(old) && is_terminal(new);
        ended || resized(old, new) || in_scope(old, "Terminating") != in_scope(new, "Terminating")
    }

    fn resized(old: &Pod, new: &Pod) -> bool {
        fn all(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
            pod.container_statuses.iter().chain(pod.init_container_statuses.iter())
        }
        all(old).any(|o| all(new).any(|n| n.name == o.name && n.resources != o.resources))
    }

    pub(super) fn service(old: &Service, new: &Service) -> bool {
        let counted = |service: &Service| {
            let kind = service.spec.as_ref().and_then(|s| s.type_.clone());
            kind.filter(|t| matches!(t.as_str(), "NodePort" | "LoadBalancer"))
        };
        counted(old) != counted(new)
    }

    pub(super) fn claim(old: &PersistentVolumeClaim, new: &PersistentVolumeClaim) -> bool {
        let storage = |c: &PersistentVolumeClaim| {
            let allocated = c.status.as_ref()?.allocated_resources.as_ref()?;
            allocated.get("storage").cloned()
        };
        let classes = |c: &PersistentVolumeClaim| {
            let status = c.status.as_ref();
            let wanted = c.spec.as_ref().and_then(|s| s.volume_attributes_class_name.clone());
            let current = status.and_then(|s| s.current_volume_attributes_class_name.clone());
            let target = status
                .and_then(|s| s.modify_volume_status.as_ref()?.target_volume_attributes_class_name.clone());
            (wanted, current, target)
        };
        storage(old) != storage(new) || classes(old) != classes(new)
    }

    /// How many there are is all that counts.
    pub(super) fn never<K>(_: &K, _: &K) -> bool {
        false
    }
}

impl Controller for Quotas {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            quotas(),
            in_namespace::<Pod>(frees::pod),
            in_namespace::<Service>(frees::service),
            in_namespace::<PersistentVolumeClaim>(frees::claim),
            in_namespace::<ConfigMap>(frees::never),
            in_namespace::<Secret>(frees::never),
            in_namespace::<ReplicationController>(frees::never),
            in_namespace::<ReplicaSet>(frees::never),
            in_namespace::<Deployment>(frees::never),
            in_namespace::<StatefulSet>(frees::never),
            in_namespace::<DaemonSet>(frees::never),
            in_namespace::<Job>(frees::never),
            in_namespace::<CronJob>(frees::never),
        ]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![Permit::sub::<ResourceQuota>("status", "patch")]
    }

    fn period(&self) -> Option<Duration> {
        Some(Duration::from_secs(300))
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(quota) = ask.view.get::<ResourceQuota>(ask.key).filter(|q| !q.deleting()) else {
            return Ok(plan);
        };
        let hard = quota.spec.as_ref().and_then(|s| s.hard.clone()).unwrap_or_default();
        let usage = usage(ask.view, quota);
        let known = quota.status.as_ref().and_then(|s| s.used.clone()).unwrap_or_default();
        let mut used = BTreeMap::new();
        for name in hard.keys() {
            let value = usage.get(name).map_or_else(|| "0".to_owned(), ToString::to_string);
            // the same amount written otherwise is no change
            let same = known.get(name).filter(|k| equal(&k.0, &value));
            used.insert(name.clone(), same.cloned().unwrap_or(Wire(value)));
        }
        let mut next = ResourceQuota::clone(quota);
        next.status = Some(ResourceQuotaStatus { hard: Some(hard), used: Some(used) });
        plan.update_status(quota.as_ref(), &next)?;
        Ok(plan)
    }
}

fn equal(a: &str, b: &str) -> bool {
    match (Quantity::parse(a), Quantity::parse(b)) {
        (Ok(mut a), Ok(b)) => {
            a.sub(&b);
            a.is_zero()
        }
        _ => false,
    }
}

fn add(usage: &mut Usage, name: &str, amount: &str) {
    if let Ok(amount) = Quantity::parse(amount) {
        match usage.get_mut(name) {
            Some(known) => known.add(&amount),
            None => {
                usage.insert(name.into(), amount);
            }
        }
    }
}

fn usage(view: &View, quota: &ResourceQuota) -> Usage {
    let mut usage = Usage::new();
    let namespace = quota.namespace();
    let spec = quota.spec.clone().unwrap_or_default();
    let scopes = spec.scopes.clone().unwrap_or_default();
    let selectors = spec.scope_selector.and_then(|s| s.match_expressions).unwrap_or_default();
    for pod in view.list::<Pod>(namespace) {
        let scoped = scopes.iter().all(|s| in_scope(pod, s)) && selectors.iter().all(|s| selected(pod, s));
        if scoped {
            pod_usage(&mut usage, pod);
        }
    }
    if !scopes.is_empty() || !selectors.is_empty() {
        return usage;
    }
    for service in view.list::<Service>(namespace) {
        service_usage(&mut usage, service);
    }
    for claim in view.list::<PersistentVolumeClaim>(namespace) {
        claim_usage(&mut usage, claim);
    }
    count::<ConfigMap>(&mut usage, view, namespace, &["configmaps", "count/configmaps"]);
    count::<Secret>(&mut usage, view, namespace, &["secrets", "count/secrets"]);
    let names = ["replicationcontrollers", "count/replicationcontrollers"];
    count::<ReplicationController>(&mut usage, view, namespace, &names);
    count::<ResourceQuota>(&mut usage, view, namespace, &["resourcequotas", "count/resourcequotas"]);
    count::<ReplicaSet>(&mut usage, view, namespace, &["count/replicasets.apps"]);
    count::<Deployment>(&mut usage, view, namespace, &["count/deployments.apps"]);
    count::<StatefulSet>(&mut usage, view, namespace, &["count/statefulsets.apps"]);
    count::<DaemonSet>(&mut usage, view, namespace, &["count/daemonsets.apps"]);
    count::<Job>(&mut usage, view, namespace, &["count/jobs.batch"]);
    count::<CronJob>(&mut usage, view, namespace, &["count/cronjobs.batch"]);
    usage
}

fn count<K: Kind>(usage: &mut Usage, view: &View, namespace: &str, names: &[&str]) {
    let count = view.list::<K>(namespace).count().to_string();
    for name in names {
        add(usage, name, &count);
    }
}

fn pod_usage(usage: &mut Usage, pod: &Pod) {
    add(usage, "count/pods", "1");
    if is_terminal(pod) {
        return;
    }
    add(usage, "pods", "1");
    for (name, amount) in demand(pod, |c| c.resources.as_ref()?.requests.clone()) {
        let text = amount.to_string();
        match name.as_str() {
            "cpu" | "memory" | "ephemeral-storage" => {
                add(usage, &name, &text);
                add(usage, &format!("requests.{name}"), &text);
            }
            _ => add(usage, &format!("requests.{name}"), &text),
        }
    }
    for (name, amount) in demand(pod, |c| c.resources.as_ref()?.limits.clone()) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            add(usage, &format!("limits.{name}"), &amount.to_string());
        }
    }
}

/// What a pod asks for: the sum of its containers, or its largest start-up container, whichever is more.
fn demand(pod: &Pod, of: fn(&Container) -> Option<BTreeMap<String, Wire>>) -> Usage {
    let spec = &pod.spec;
    let mut total = Usage::new();
    for container in &spec.containers {
        for (name, amount) in of(container).unwrap_or_default() {
            add(&mut total, &name, &amount.0);
        }
    }
    let mut sidecars = Usage::new();
    let mut peak = Usage::new();
    for container in &spec.init_containers {
        let wanted = of(container).unwrap_or_default();
        if container.restart_policy.as_deref() == Some("Always") {
            for (name, amount) in wanted {
                add(&mut sidecars, &name, &amount.0);
                add(&mut total, &name, &amount.0);
            }
            continue;
        }
        for (name, amount) in wanted {
            let mut sum = Usage::new();
            add(&mut sum, &name, &amount.0);
            if let Some(side) = sidecars.get(&name) {
                add(&mut sum, &name, &side.to_string());
            }
            if let Some(sum) = sum.remove(&name) {
                larger(&mut peak, name, sum);
            }
        }
    }
    for (name, amount) in peak {
        larger(&mut total, name, amount);
    }
    for (name, amount) in spec.overhead.iter().flatten() {
        add(&mut total, name, &amount.0);
    }
    total
}

fn larger(usage: &mut Usage, name: String, amount: Quantity) {
    let more = usage.get(&name).is_none_or(|known| {
        let mut rest = amount.clone();
        rest.sub(known);
        rest.sign() > 0
    });
    if more {
        usage.insert(name, amount);
    }
}

fn service_usage(usage: &mut Usage, service: &Service) {
    add(usage, "services", "1");
    add(usage, "count/services", "1");
    let spec = service.spec.clone().unwrap_or_default();
    let ports = spec.ports.as_ref().map_or(0, Vec::len);
    match spec.type_.as_deref() {
        Some("NodePort") => add(usage, "services.nodeports", &ports.to_string()),
        Some("LoadBalancer") => {
            let own = spec.allocate_load_balancer_node_ports != Some(false);
            let chosen = spec.ports.iter().flatten().filter(|p| p.node_port.unwrap_or(0) != 0).count();
            add(usage, "services.nodeports", &if own { ports } else { chosen }.to_string());
            add(usage, "services.loadbalancers", "1");
        }
        _ => {}
    }
}

fn claim_usage(usage: &mut Usage, claim: &PersistentVolumeClaim) {
    let spec = claim.spec.clone().unwrap_or_default();
    let storage = spec.resources.and_then(|r| r.requests).and_then(|r| r.get("storage").cloned());
    add(usage, "persistentvolumeclaims", "1");
    add(usage, "count/persistentvolumeclaims", "1");
    let class = spec.storage_class_name.filter(|c| !c.is_empty());
    if let Some(class) = &class {
        add(usage, &format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), "1");
    }
    if let Some(storage) = storage {
        add(usage, "requests.storage", &storage.0);
        if let Some(class) = class {
            add(usage, &format!("{class}.storageclass.storage.k8s.io/requests.storage"), &storage.0);
        }
    }
}

fn in_scope(pod: &Pod, scope: &str) -> bool {
    let terminating = pod.spec.active_deadline_seconds.is_some();
    let best_effort = demand(pod, |c| c.resources.as_ref()?.requests.clone()).values().all(Quantity::is_zero)
        && demand(pod, |c| c.resources.as_ref()?.limits.clone()).values().all(Quantity::is_zero);
    match scope {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "PriorityClass" => class_of(pod).is_some(),
        _ => false,
    }
}

fn class_of(pod: &Pod) -> Option<&str> {
    pod.spec.priority_class_name.as_deref().filter(|name| !name.is_empty())
}

fn selected(pod: &Pod, selector: &ScopedResourceSelectorRequirement) -> bool {
    if selector.scope_name != "PriorityClass" {
        let inside = in_scope(pod, &selector.scope_name);
        return if selector.operator == "DoesNotExist" { !inside } else { inside };
    }
    let class = class_of(pod);
    let values = selector.values.as_deref().unwrap_or_default();
    match selector.operator.as_str() {
        "Exists" => class.is_some(),
        "DoesNotExist" => class.is_none(),
        "In" => class.is_some_and(|c| values.iter().any(|v| v == c)),
        "NotIn" => class.is_none_or(|c| !values.iter().any(|v| v == c)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pair<K: Kind>(old: Value, new: Value) -> (K, K) {
        let cached = |value: Value| K::project(value.to_string().as_bytes()).unwrap();
        (cached(old), cached(new))
    }

    #[test]
    fn what_frees_quota() {
        let running = json!({"status": {"phase": "Running"}});
        let cases = [
            (json!({"status": {"phase": "Pending"}}), running.clone(), false),
            (running.clone(), json!({"status": {"phase": "Succeeded"}}), true),
            (
                running.clone(),
                json!({"status": {"phase": "Running"}, "spec": {"nodeName": "n", "containers": []}}),
                false,
            ),
            (
                running,
                json!({"status": {"phase": "Running"}, "spec": {"activeDeadlineSeconds": 5, "containers": []}}),
                true,
            ),
        ];
        for (old, new, expected) in cases {
            let (a, b) = pair::<Pod>(old.clone(), new.clone());
            assert_eq!(frees::pod(&a, &b), expected, "{old} to {new}");
        }
        let service = |kind: &str, port: i32| json!({"spec": {"type": kind, "ports": [{"port": port}]}});
        for (old, new, expected) in [
            (service("ClusterIP", 1), service("ClusterIP", 2), false),
            (service("ClusterIP", 1), service("ExternalName", 1), false),
            (service("NodePort", 1), service("ClusterIP", 1), true),
        ] {
            let (a, b) = pair::<Service>(old.clone(), new.clone());
            assert_eq!(frees::service(&a, &b), expected, "{old} to {new}");
        }
        let claim = |storage: &str, class: &str| json!({"spec": {"volumeAttributesClassName": class}, "status": {"allocatedResources": {"storage": storage}}});
        for (old, new, expected) in [
            (claim("1Gi", "a"), claim("1Gi", "a"), false),
            (claim("1Gi", "a"), claim("2Gi", "a"), true),
            (claim("1Gi", "a"), claim("1Gi", "b"), true),
        ] {
            let (a, b) = pair::<PersistentVolumeClaim>(old.clone(), new.clone());
            assert_eq!(frees::claim(&a, &b), expected, "{old} to {new}");
        }
    }
}
