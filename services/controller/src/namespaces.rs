//! Namespaces that are being deleted: emptied, then finalised.
//!
//! # Upstream
//! `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, DeleteOptions, Key, ListParams, Patch, PatchParams, Propagation};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use reconcile::{Ask, Controller, Effect, EffectResult, Error, Kind, Permit, Plan, Watch};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::discovery;

/// The controller.
#[derive(Debug)]
pub(crate) struct Namespaces;

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::root::<Namespace>()]
    }

    fn writes(&self) -> Vec<Permit> {
        vec![
            Permit::sub::<Namespace>("status", "patch"),
            Permit::sub::<Namespace>("finalize", "update"),
            discovery::everything("get list delete deletecollection"),
        ]
    }

    fn plan(&self, ask: &Ask<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::nothing();
        let Some(namespace) = ask.view.get::<Namespace>(ask.key).filter(|n| n.deleting()) else {
            return Ok(plan);
        };
        let ours =
            namespace.spec.iter().flat_map(|s| s.finalizers.iter().flatten()).any(|f| f == "kubernetes");
        if ours {
            plan.effects.push(Arc::new(Empty { namespace: Namespace::clone(namespace) }));
        }
        Ok(plan)
    }
}

/// Deletes everything in a namespace, step by step, and says what is left.
#[derive(Debug)]
struct Empty {
    namespace: Namespace,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    metadata: ItemMeta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ItemMeta {
    name: String,
    finalizers: Vec<String>,
    deletion_timestamp: Option<String>,
    deletion_grace_period_seconds: Option<i64>,
}

/// What is left of a namespace.
#[derive(Default)]
struct Left {
    objects: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    discovery: Vec<String>,
    deletion: Vec<String>,
    seconds: i64,
}

impl Effect for Empty {
    fn run<'a>(&'a self, client: &'a Client) -> Pin<Box<dyn Future<Output = EffectResult> + Send + 'a>> {
        Box::pin(self.empty(client))
    }
}

impl Empty {
    async fn empty(&self, client: &Client) -> EffectResult {
        let found = discovery::namespaced(client).await?;
        let name = self.namespace.name();
        let mut left = Left { discovery: found.errors, ..Left::default() };
        // pods first, as upstream: what they mount and use goes after them
        let mut resources = found.resources;
        resources.sort_by_key(|r| (r.resource.plural != "pods", r.resource.group.to_string()));
        let mut pods_left = false;
        for found in &resources {
            if pods_left && found.resource.plural != "pods" {
                // the rest waits until pods are gone, so that they can end in peace
                break;
            }
            match self.clear(client, found, name, &mut left).await {
                Ok(count) => pods_left |= count > 0 && found.resource.plural == "pods",
                Err(error) => left.deletion.push(error.to_string()),
            }
        }
        let clean = left.objects.is_empty() && left.discovery.is_empty() && left.deletion.is_empty();
        self.report(client, &left).await?;
        if clean && !pods_left {
            return self.finalize(client).await.map(|()| None);
        }
        Ok(Some(Duration::from_secs(u64::try_from(left.seconds.clamp(1, 5)).unwrap_or(1))))
    }

    /// Deletes a resource's objects in the namespace and counts what is left.
    async fn clear(
        &self,
        client: &Client,
        found: &discovery::Found,
        namespace: &str,
        left: &mut Left,
    ) -> Result<usize, client::Error> {
        let items: Vec<Item> = match client.list(&found.resource, namespace, &ListParams::default()).await {
            Ok(list) => list.items,
            Err(error) if error.is_not_found() || error.status().is_some_and(|s| s.code == 405) => {
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let options =
            DeleteOptions { propagation_policy: Some(Propagation::Background), ..DeleteOptions::default() };
        for item in items.iter().filter(|i| i.metadata.deletion_timestamp.is_none()) {
            let key = Key::new(namespace, item.metadata.name.clone());
            match client.delete(&found.resource, &key, &options).await {
                Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        let items: Vec<Item> = if items.is_empty() {
            items
        } else {
            client.list(&found.resource, namespace, &ListParams::default()).await?.items
        };
        for item in &items {
            for finalizer in &item.metadata.finalizers {
                *left.finalizers.entry(finalizer.clone()).or_default() += 1;
            }
            let grace = item.metadata.deletion_grace_period_seconds.unwrap_or(5);
            left.seconds = left.seconds.max(if grace == 0 { 1 } else { grace });
        }
        if !items.is_empty() {
            left.objects.insert(found.dotted(), items.len());
        }
        Ok(items.len())
    }

    async fn report(&self, client: &Client, left: &Left) -> Result<(), client::Error> {
        let old: Value = serde_json::to_value(&self.namespace.status)?;
        let known = old["conditions"].as_array().cloned().unwrap_or_default();
        let conditions: Vec<Value> = conditions(left)
            .into_iter()
            .map(|(kind, status, reason, message)| {
                let before = known.iter().find(|c| c["type"] == kind && c["status"] == status);
                let now = json!(meta::time::rfc3339(Timestamp::now()));
                let since = before.map_or(now, |c| c["lastTransitionTime"].clone());
                json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
            })
            .collect();
        if json!(known) == json!(conditions) {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
        let params = PatchParams { subresource: "status", field_manager: "namespace-controller" };
        match client.patch(&Namespace::resource(), &self.namespace.key(), &patch, &params).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn finalize(&self, client: &Client) -> Result<(), client::Error> {
        let (resource, key) = (Namespace::resource(), self.namespace.key());
        let mut live: Value = match client.get(&resource, &key).await {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        if let Some(finalizers) = live["spec"]["finalizers"].as_array_mut() {
            finalizers.retain(|f| f != "kubernetes");
        }
        match client.put(resource.object(&key, "finalize"), &live).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

fn conditions(left: &Left) -> Vec<(&'static str, &'static str, &'static str, String)> {
    let list = |map: &BTreeMap<String, usize>, format: &dyn Fn(&str, usize) -> String| {
        map.iter().map(|(name, count)| format(name, *count)).collect::<Vec<_>>().join(", ")
    };
    let mut out = Vec::new();
    out.push(if left.discovery.is_empty() {
        (
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered".into(),
        )
    } else {
        let message = format!(
            "Discovery failed for some groups, {} failing: {}",
            left.discovery.len(),
            left.discovery.join(", ")
        );
        ("NamespaceDeletionDiscoveryFailure", "True", "DiscoveryFailed", message)
    });
    out.push((
        "NamespaceDeletionGroupVersionParsingFailure",
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed".into(),
    ));
    out.push(if left.deletion.is_empty() {
        (
            "NamespaceDeletionContentFailure",
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".into(),
        )
    } else {
        let message = format!(
            "Failed to delete all resource types, {} remaining: {}",
            left.deletion.len(),
            left.deletion.join(", ")
        );
        ("NamespaceDeletionContentFailure", "True", "ContentDeletionFailed", message)
    });
    out.push(if left.objects.is_empty() {
        ("NamespaceContentRemaining", "False", "ContentRemoved", "All content successfully removed".into())
    } else {
        let text = list(&left.objects, &|name, count| format!("{name} has {count} resource instances"));
        (
            "NamespaceContentRemaining",
            "True",
            "SomeResourcesRemain",
            format!("Some resources are remaining: {text}"),
        )
    });
    out.push(if left.finalizers.is_empty() {
        (
            "NamespaceFinalizersRemaining",
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".into(),
        )
    } else {
        let text = list(&left.finalizers, &|name, count| format!("{name} in {count} resource instances"));
        (
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {text}"),
        )
    });
    out
}
