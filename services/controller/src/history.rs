//! Controller revisions: the past templates of stateful and daemon sets.
//!
//! # Upstream
//! `pkg/controller/history`

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use reconcile::{Body, Error, Kind, Plan};
use serde_json::{Value, json};

use crate::common::{fnv1, safe_encode};

pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";

/// The revisions of a set, oldest first, and the one of its template as it is now.
pub(crate) struct History<'a> {
    pub(crate) known: Vec<&'a Arc<ControllerRevision>>,
    pub(crate) current: ControllerRevision,
}

/// What a revision stores of a set.
pub(crate) fn template_patch(template: &PodTemplateSpec) -> Result<Value, Error> {
    let mut template = serde_json::to_value(template)?;
    template["$patch"] = json!("replace");
    Ok(json!({"spec": {"template": template}}))
}

/// As Go writes it: keys sorted, `<`, `>` and `&` escaped.
fn go_json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

impl<'a> History<'a> {
    /// Matches the current template with the known revisions, or makes a new one.
    pub(crate) fn of<O: Kind + Body>(
        owner: &O,
        mut known: Vec<&'a Arc<ControllerRevision>>,
        data: Value,
        collisions: Option<i32>,
        template: &PodTemplateSpec,
    ) -> Result<Self, Error> {
        known.sort_by_key(|r| (r.revision, crate::common::created(r.as_ref()), r.name().to_owned()));
        let mut bytes = go_json(&data).into_bytes();
        if let Some(collisions) = collisions {
            bytes.extend_from_slice(collisions.to_string().as_bytes());
        }
        let hash = safe_encode(fnv1(&bytes));
        let newest = known.last().map_or(0, |r| r.revision);
        let mut labels = template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
        labels.insert(REVISION_LABEL.into(), hash.clone());
        let mut current = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", owner.name().get(..223).unwrap_or(owner.name()))),
                namespace: owner.metadata().namespace.clone(),
                labels: Some(labels),
                annotations: owner.metadata().annotations.clone(),
                owner_references: Some(vec![owner.owner_reference()]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data)),
            revision: newest + 1,
        };
        if let Some(equal) = known.iter().rev().find(|r| r.data == current.data) {
            let revision = if equal.revision == newest { newest } else { newest + 1 };
            current = ControllerRevision { revision, ..ControllerRevision::clone(equal) };
        }
        Ok(Self { known, current })
    }

    /// The current revision's hash.
    pub(crate) fn hash(&self) -> String {
        self.current.label(REVISION_LABEL).unwrap_or_default().to_owned()
    }

    /// Stores the current revision, if it is not stored; whether there is something to store.
    pub(crate) fn ensure<O: Kind>(&self, _owner: &O, plan: &mut Plan) -> Result<bool, Error> {
        match self.known.iter().find(|r| r.name() == self.current.name()) {
            Some(stored) => plan.update(stored.as_ref(), &self.current),
            None => {
                plan.create(&self.current)?;
                Ok(true)
            }
        }
    }

    /// Deletes old revisions that no pod has, beyond the limit.
    pub(crate) fn truncate(&self, live: &HashSet<&str>, limit: i32, plan: &mut Plan) {
        let idle: Vec<_> = self
            .known
            .iter()
            .filter(|r| r.name() != self.current.name())
            .filter(|r| {
                !r.label(REVISION_LABEL).is_some_and(|l| live.contains(l)) && !live.contains(r.name())
            })
            .collect();
        let limit = usize::try_from(limit).unwrap_or(0);
        let surplus = idle.len().saturating_sub(limit);
        for revision in idle.into_iter().take(surplus) {
            plan.delete(revision.as_ref());
        }
    }
}
