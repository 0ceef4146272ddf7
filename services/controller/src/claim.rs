//! Which objects belong to an owner with a selector: adopting orphans, releasing what no longer matches.
//!
//! # Upstream
//! `pkg/controller/controller_ref_manager.go`

use std::sync::Arc;

use client::Key;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use reconcile::{Body, Kind, Plan, View, Watch, matches};

/// A kind that owns what its selector lets through.
pub(crate) trait Selects: Kind + Body {
    /// The selector; `None` selects nothing.
    fn selector(&self) -> Option<LabelSelector>;

    /// Whether it selects an object.
    fn selects<K: Kind>(&self, object: &K) -> bool {
        self.selector().is_some_and(|s| matches(&s, object))
    }
}

macro_rules! selects {
    ($($kind:ty),*) => {
        $(impl Selects for $kind {
            fn selector(&self) -> Option<LabelSelector> {
                Some(self.spec.as_ref()?.selector.clone())
            }
        })*
    };
}
selects!(Deployment, ReplicaSet, StatefulSet, DaemonSet);

impl Selects for Job {
    fn selector(&self) -> Option<LabelSelector> {
        self.spec.as_ref()?.selector.clone()
    }
}

impl Selects for ReplicationController {
    fn selector(&self) -> Option<LabelSelector> {
        let labels = self.spec.as_ref()?.selector.clone().filter(|s| !s.is_empty())?;
        Some(LabelSelector { match_labels: Some(labels), match_expressions: None })
    }
}

/// What an owner claims, after adding to the plan what makes that true. Where the plan then has writes, it ends there.
pub(crate) fn claim<'a, O: Selects, K: Kind>(
    view: &'a View,
    owner: &'a O,
    plan: &mut Plan,
) -> Vec<&'a Arc<K>> {
    let mut claimed = Vec::new();
    let selector = owner.selector();
    let selects = |object: &K| selector.as_ref().is_some_and(|s| matches(s, object));
    for object in view.owned::<K>(owner.uid()) {
        if selects(object) {
            claimed.push(object);
        } else if !owner.deleting() {
            let others: Vec<_> = object.owners().iter().filter(|o| o.uid != owner.uid()).cloned().collect();
            plan.hand_over(object.as_ref(), &others).together();
        }
    }
    if !owner.deleting() {
        let orphans = view.orphans::<K>(owner.namespace());
        for orphan in orphans.into_iter().filter(|o| !o.deleting() && selects(o)) {
            let mut owners = orphan.owners().to_vec();
            owners.push(owner.owner_reference());
            plan.hand_over(orphan.as_ref(), &owners).together();
        }
    }
    claimed
}

/// Watches what an owner kind claims: by owner, and orphans by every owner that selects them.
pub(crate) fn claimed<K: Kind, O: Selects>() -> Watch {
    Watch::map::<K>(|view, object| match object.controller() {
        Some(owner) if owner.kind == O::KIND && owner.api_version == O::API_VERSION => {
            vec![Key::new(object.namespace(), owner.name.clone())]
        }
        Some(_) => Vec::new(),
        None => {
            let owners = view.list::<O>(object.namespace()).filter(|o| o.selects(object));
            owners.map(|o| o.key()).collect()
        }
    })
}

/// A revision's number and the labels that find it are its owner's.
pub(crate) fn revisions<O: Selects>() -> Watch {
    claimed::<ControllerRevision, O>()
}
