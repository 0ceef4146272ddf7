//! What is served: an immutable snapshot, swapped whole when a kind appears or vanishes.

mod endpoint;
mod resets;
mod resource;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kinds::StorageResource;

pub use endpoint::Endpoint;
pub use resets::{Path, resets};
pub use resource::Resource;

/// The storage resources of all built-in kinds.
pub fn storage_resources() -> Vec<StorageResource> {
    kinds::kinds()
}

/// Everything that is served. Built-in kinds and those that come at run time are on the same path.
pub struct Registry {
    by_version: HashMap<String, BTreeMap<String, Arc<Endpoint>>>,
    resources: Vec<Arc<Resource>>,
}

impl Registry {
    /// A snapshot of storage resources.
    pub fn new(resources: Vec<Arc<Resource>>) -> Self {
        let mut by_version: HashMap<String, BTreeMap<String, Arc<Endpoint>>> = HashMap::new();
        for resource in &resources {
            for face in &resource.kind.faces {
                let Some(endpoint) = Endpoint::new(resource.clone(), face.clone()) else {
                    tracing::warn!(kind = ?face.gvk, "no schema for a kind: it is not served");
                    continue;
                };
                let version = by_version.entry(face.gvk.group_version().to_string()).or_default();
                version.insert(face.plural.clone(), Arc::new(endpoint));
            }
        }
        Self { by_version, resources }
    }

    /// The built-in kinds.
    pub fn built_in(all: Vec<StorageResource>, enabled: impl Fn(&meta::GroupVersionKind) -> bool) -> Self {
        let resources = all.into_iter().filter_map(|mut kind| {
            kind.faces.retain(|f| enabled(&f.gvk));
            // what is served nowhere is not cached either
            (!kind.faces.is_empty()).then(|| Resource::new(kind)).flatten().map(Arc::new)
        });
        Self::new(resources.collect())
    }

    /// The same with one more resource, or with it replaced.
    pub fn with(&self, resource: Arc<Resource>) -> Self {
        let kept = self.resources.iter().filter(|r| r.prefix != resource.prefix).cloned();
        Self::new(kept.chain([resource.clone()]).collect())
    }

    /// The same without a resource.
    pub fn without(&self, prefix: &str) -> Self {
        Self::new(self.resources.iter().filter(|r| &*r.prefix != prefix).cloned().collect())
    }

    /// The storage resources.
    pub fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// What is served under a group, version and plural.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Endpoint>> {
        if group.is_empty() {
            return self.by_version.get(version)?.get(plural);
        }
        self.by_version.get(&format!("{group}/{version}"))?.get(plural)
    }

    /// What is served of a group and plural, in any version: the preferred face.
    pub fn find_any(&self, group: &str, plural: &str) -> Option<&Arc<Endpoint>> {
        let faces = self.resources.iter().flat_map(|r| &r.kind.faces);
        let face = faces.into_iter().find(|f| f.gvk.group == group && f.plural == plural)?;
        self.find(group, &face.gvk.version, plural)
    }

    /// What serves a kind.
    pub fn find_kind(&self, group: &str, kind: &str) -> Option<&Arc<Endpoint>> {
        let faces = self.resources.iter().flat_map(|r| &r.kind.faces);
        let face = faces.into_iter().find(|f| f.gvk.group == group && f.gvk.kind == kind)?;
        self.find(group, &face.gvk.version, &face.plural)
    }

    /// Whether anything is served in a group and version.
    pub fn has_version(&self, group_version: &str) -> bool {
        self.by_version.contains_key(group_version)
    }
}
