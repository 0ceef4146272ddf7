//! One served (group, version, resource).

use std::sync::Arc;

use kinds::{Face, Hooks};
use meta::{GroupResource, GroupVersionKind};
use schema::Object;

use super::Resource;
use crate::codec::Type;
use crate::errors::{self, Result};

/// A face of a storage resource, with the schema of its version.
pub struct Endpoint {
    /// What is stored.
    pub resource: Arc<Resource>,
    /// What clients see.
    pub face: Face,
    /// The served version's schema.
    pub schema: Type,
    /// Whether clients see what is stored: no conversion.
    pub native: bool,
}

impl Endpoint {
    /// `None` when the schema does not know the kind.
    pub fn new(resource: Arc<Resource>, face: Face) -> Option<Self> {
        let native = face.gvk == resource.kind.storage;
        let schema = if native { resource.schema.clone() } else { Type::of(&face.gvk)? };
        Some(Self { resource, face, schema, native })
    }

    /// Its group and plural, as errors name it.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.face.gvk.group.clone(), resource: self.face.plural.clone() }
    }

    /// Whether it is this resource.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.face.gvk.group == group && self.face.plural == plural
    }

    /// Whether it has a subresource.
    pub fn has(&self, subresource: &str) -> bool {
        self.face.subresources.iter().any(|s| s == subresource)
    }

    /// Its apiVersion.
    pub fn api_version(&self) -> String {
        self.face.gvk.group_version().to_string()
    }

    /// Turns an object of the served version into the storage version.
    pub fn to_storage(&self, object: &mut Object) -> Result<()> {
        let kind = &self.resource.kind;
        if !self.native {
            convert(&*kind.hooks, &self.face.gvk, &kind.storage, object).map_err(errors::internal)?;
        }
        Ok(())
    }

    /// Turns an object of the storage version into the served version.
    pub fn to_served(&self, object: &mut Object) -> Result<()> {
        let kind = &self.resource.kind;
        if !self.native {
            convert(&*kind.hooks, &kind.storage, &self.face.gvk, object).map_err(errors::internal)?;
        }
        Ok(())
    }

    /// Fills defaults in the served version.
    pub fn default(&self, object: &mut Object) {
        self.resource.kind.hooks.default_versioned(&self.face.gvk.version, object);
    }

    /// Names the object's type in the served version.
    pub fn stamp(&self, object: &mut Object) {
        stamp(object, &self.api_version(), &self.face.gvk.kind);
    }
}

/// Converts an object between two kinds of one storage resource, and names its new type. Hooks are given versions,
/// with the group where the groups differ.
pub(super) fn convert(
    hooks: &dyn Hooks,
    from: &GroupVersionKind,
    to: &GroupVersionKind,
    object: &mut Object,
) -> std::result::Result<(), String> {
    let full = |gvk: &GroupVersionKind| gvk.group_version().to_string();
    if from.group == to.group {
        hooks.convert(&from.version, &to.version, object)?;
    } else {
        hooks.convert(&full(from), &full(to), object)?;
    }
    stamp(object, &full(to), &to.kind);
    Ok(())
}

fn stamp(object: &mut Object, api_version: &str, kind: &str) {
    object.set(&["apiVersion"], api_version);
    object.set(&["kind"], kind);
}
