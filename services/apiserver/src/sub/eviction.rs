//! Evicting a pod, if its disruption budget allows.
//!
//! # Upstream
//! `pkg/registry/core/pod/storage/eviction.go`

use std::sync::Arc;

use meta::{GroupVersionKind, Reason, Status};
use schema::{Map, Object, Value};

use super::{admit, created, decode_as};
use crate::codec;
use crate::encode::Answer;
use crate::errors::{self, Error, Result};
use crate::request::options::{DeleteOptions, WriteOptions};
use crate::store::entry::Entry;
use crate::store::write::{Attempt, Next};
use crate::verbs::Call;
use crate::verbs::delete::{Deleted, Deletion};
use crate::verbs::meta::timestamp;
use crate::verbs::update::change;
use crate::verbs::write::{Computed, Managed, Source};

/// So many pods may be under way to their end at once.
const MAX_DISRUPTED: usize = 2000;

fn refused(cause: String) -> Error {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    Status::failure(Reason::TooManyRequests, message).because("DisruptionBudget", cause, "").into()
}

/// Whether a pod may go whatever its budget says.
fn free_to_go(pod: &Object) -> bool {
    matches!(pod.str_at(&["status", "phase"]), "Succeeded" | "Failed" | "Pending")
        || pod.deletion_timestamp().is_some()
}

fn is_ready(pod: &Object) -> bool {
    let text = |c: &Value, key: &str| c.at(&[key]).and_then(Value::as_str).unwrap_or("").to_owned();
    let conditions = pod.list_at(&["status", "conditions"]).iter();
    conditions.into_iter().any(|c| text(c, "type") == "Ready" && text(c, "status") == "True")
}

/// Takes one disruption from a budget.
struct Spend<'a> {
    call: &'a Call,
    cache: Arc<crate::store::cache::ResourceCache>,
    pod_ready: bool,
    /// Whether the pod may go without the budget being charged.
    free: bool,
}

impl Spend<'_> {
    fn spend(&mut self, budget: &mut Object) -> Result<bool> {
        let name = budget.name().to_owned();
        let status = |key: &str| budget.int_at(&["status", key]).unwrap_or(0);
        let (allowed, current, desired) =
            (status("disruptionsAllowed"), status("currentHealthy"), status("desiredHealthy"));
        let always = budget.str_at(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
        if !self.pod_ready && (always || (desired > 0 && current >= desired)) {
            self.free = true;
            return Ok(false);
        }
        if status("observedGeneration") < budget.generation() {
            return Err(refused(format!(
                "The disruption budget {name} is still being processed by the server."
            )));
        }
        let disrupted = budget.map_at(&["status", "disruptedPods"]).map_or(0, Map::len);
        let resource =
            meta::GroupResource { group: "policy".into(), resource: "poddisruptionbudgets".into() };
        if allowed < 0 {
            return Err(errors::forbidden(&resource, &name, "pdb disruptions allowed is negative"));
        }
        if disrupted > MAX_DISRUPTED {
            return Err(errors::forbidden(
                &resource,
                &name,
                "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
            ));
        }
        if allowed == 0 {
            return Err(refused(format!(
                "The disruption budget {name} needs {desired} healthy pods and has {current} currently"
            )));
        }
        budget.set(&["status", "disruptionsAllowed"], allowed - 1);
        let pods = budget.root_mut().map_mut("status").map_mut("disruptedPods");
        pods.insert(self.call.info.name.clone(), timestamp(self.call.now));
        Ok(true)
    }
}

impl Attempt for Spend<'_> {
    async fn run(&mut self, current: Option<&Arc<Entry>>) -> Result<Next> {
        let missing = || errors::internal("the disruption budget is gone");
        let mut budget =
            self.cache.resource.decode(current.ok_or_else(missing)?).map_err(errors::internal)?;
        self.spend(&mut budget)?;
        Ok(Next::Put(budget))
    }
}

/// Marks the pod as disrupted before it is deleted.
struct Mark;

impl Source for Mark {
    fn compute(&mut self, call: &Call, old: &Object) -> Result<Computed> {
        let mut object = old.clone();
        let mut condition = Map::new();
        condition.insert("type", "DisruptionTarget");
        condition.insert("status", "True");
        condition.insert("reason", "EvictionByEvictionAPI");
        condition.insert("message", "Eviction API: evicting");
        super::binding::set_condition(&mut object, condition, call.now);
        Ok(Computed { object, managed: Managed::Done, insists_on: String::new() })
    }
}

fn budgets_of(call: &Call, pod: &Object) -> Result<Vec<Arc<Object>>> {
    let all = call.server.peek_objects("policy", "poddisruptionbudgets", &call.info.namespace)?;
    let mut found = Vec::new();
    for budget in all {
        let selector = budget.at(&["spec", "selector"]).cloned().unwrap_or_default();
        let mut json = Vec::new();
        schema::json::encode_generic(&selector, &mut json);
        let json: serde_json::Value = serde_json::from_slice(&json).map_err(errors::internal)?;
        let Ok(selector) = meta::LabelSelector::from_json(&json) else { continue };
        if selector.matches(|key| pod.label(key)) {
            found.push(budget);
        }
    }
    Ok(found)
}

/// POST of `pods/<name>/eviction`.
pub async fn run(call: &Call) -> Result<Answer> {
    let query = WriteOptions::read(call.query.as_deref(), "CreateOptions", call.agent(), None)?;
    let gvk = GroupVersionKind::new("policy", "v1", "Eviction");
    let (mut eviction, _) = decode_as(&call.headers, &call.body, &gvk)?;
    if !eviction.name().is_empty() && eviction.name() != call.info.name {
        return Err(errors::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = match eviction.map_at(&["deleteOptions"]) {
        None => DeleteOptions::default(),
        Some(map) => {
            let mut json = Vec::new();
            schema::json::encode_generic(&Value::Map(map.clone()), &mut json);
            let body = codec::decode_options("application/json", &json, "DeleteOptions");
            DeleteOptions::from_json(&body.map_err(|e| errors::bad_request(e.to_string()))?)?
        }
    };
    options.dry_run |= query.dry_run;
    admit(call, &mut eviction, options.dry_run).await?;
    let pod = call.server.read("", "pods", &call.info.namespace, &call.info.name).await?;
    let pod = pod.ok_or_else(|| call.missing())?;
    if options.uid.as_deref().is_some_and(|uid| uid != pod.uid()) {
        let why = "Precondition failed: the UID of the pod is not the one given";
        return Err(errors::conflict(&call.endpoint.group_resource(), pod.name(), why));
    }
    if !free_to_go(&pod) {
        charge(call, &pod, options.dry_run).await?;
        let marking = WriteOptions { dry_run: options.dry_run, ..query };
        let mut status = call.for_object(&call.info.namespace, &call.info.name);
        status.info.subresource = "status".into();
        change(&status, &marking, Mark).await?;
    }
    let mut single = call.for_object(&call.info.namespace, &call.info.name);
    single.info.subresource.clear();
    let _gone: Deleted = Deletion::new(&single, &call.info.name, options).run_to_end().await?;
    created(call)
}

async fn charge(call: &Call, pod: &Object, dry_run: bool) -> Result<()> {
    let budgets = budgets_of(call, pod)?;
    let [budget] = budgets.as_slice() else {
        if budgets.is_empty() {
            return Ok(());
        }
        return Err(errors::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    };
    let cache = call.server.cache_of("policy", "poddisruptionbudgets")?;
    let key = cache.resource.key(budget.namespace(), budget.name());
    let mut spend = Spend { call, cache: cache.clone(), pod_ready: is_ready(pod), free: false };
    if dry_run {
        let mut budget = Object::clone(budget);
        return spend.spend(&mut budget).map(drop);
    }
    call.server.store.update(&cache, &key, &mut spend).await.map(drop)
}
