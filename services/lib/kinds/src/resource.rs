//! A storage resource and the faces it is served under.

use std::sync::Arc;

use meta::{GroupResource, GroupVersionKind};

use crate::Hooks;

/// One served (group, version, resource) of a storage resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Face {
    /// Group, version and kind as clients see it.
    pub gvk: GroupVersionKind,
    /// The plural name in this group.
    pub plural: String,
    /// Subresources served under it (`status`, `scale`, …).
    pub subresources: Vec<String>,
}

/// What is stored under one key prefix in one version, and everything it is served as.
///
/// HPA v1 and v2 are one storage resource with two faces; Event in core and events.k8s.io likewise.
#[derive(Clone)]
pub struct StorageResource {
    /// The key prefix below `/registry/`, upstream's spelling with its exceptions (`minions`, `services/specs`, …).
    pub key_prefix: String,
    /// The storage version.
    pub storage: GroupVersionKind,
    /// The resource in the storage version's group, as errors name it.
    pub resource: GroupResource,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Served faces, preferred first.
    pub faces: Vec<Face>,
    /// PUT creates when missing (appendix C.2).
    pub create_on_update: bool,
    /// PUT without resourceVersion is allowed (appendix C.3).
    pub unconditional_update: bool,
    /// DELETE answers the object instead of a Status (appendix C.5).
    pub delete_returns_object: bool,
    /// Where the kind differs from the generic machine.
    pub hooks: Arc<dyn Hooks>,
}
