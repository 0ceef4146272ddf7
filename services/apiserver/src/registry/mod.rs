//! What is served: an immutable snapshot, swapped whole when a kind appears or vanishes.

mod endpoint;
mod resets;
mod resource;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kinds::StorageResource;

pub use endpoint::Endpoint;
pub use resets::{Path, resets};
pub use resource::{Resource, Unreadable};

/// The storage resources of all built-in kinds.
pub fn storage_resources() -> Vec<StorageResource> {
    kinds::kinds()
}

/// Everything that is served. Built-in kinds and those that come at run time are on the same path.
pub struct Registry {
    /// By plural: one for each group and version that has it, in the order of the resources.
    by_plural: HashMap<String, Vec<Arc<Endpoint>>>,
    versions: HashSet<String>,
    resources: Vec<Arc<Resource>>,
}

impl Registry {
    /// A snapshot of storage resources.
    pub fn new(resources: Vec<Arc<Resource>>) -> Self {
        let mut by_plural: HashMap<String, Vec<Arc<Endpoint>>> = HashMap::new();
        let mut versions = HashSet::new();
        for resource in &resources {
            for face in &resource.kind.faces {
                let Some(endpoint) = Endpoint::new(resource.clone(), face.clone()) else {
                    tracing::warn!(kind = ?face.gvk, "no schema for a kind: it is not served");
                    continue;
                };
                versions.insert(face.gvk.group_version().to_string());
                let named = by_plural.entry(face.plural.clone()).or_default();
                let same = |e: &Arc<Endpoint>| {
                    e.face.gvk.group == face.gvk.group && e.face.gvk.version == face.gvk.version
                };
                match named.iter().position(same) {
                    Some(at) => named[at] = Arc::new(endpoint),
                    None => named.push(Arc::new(endpoint)),
                }
            }
        }
        Self { by_plural, versions, resources }
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
        let mut named = self.by_plural.get(plural)?.iter();
        named.find(|e| e.face.gvk.group == group && e.face.gvk.version == version)
    }

    /// What is served of a group and plural, in any version: the preferred face.
    pub fn find_any(&self, group: &str, plural: &str) -> Option<&Arc<Endpoint>> {
        self.by_plural.get(plural)?.iter().find(|e| e.face.gvk.group == group)
    }

    /// What serves a kind.
    pub fn find_kind(&self, group: &str, kind: &str) -> Option<&Arc<Endpoint>> {
        let faces = self.resources.iter().flat_map(|r| &r.kind.faces);
        let face = faces.into_iter().find(|f| f.gvk.group == group && f.gvk.kind == kind)?;
        self.find(group, &face.gvk.version, &face.plural)
    }

    /// Whether anything is served in a group and version.
    pub fn has_version(&self, group_version: &str) -> bool {
        self.versions.contains(group_version)
    }
}
