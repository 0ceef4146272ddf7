//! A claim grows only when it is bound and its class allows it.
//!
//! # Upstream
//! `plugin/pkg/admission/storage/persistentvolume/resize/admission.go`

use meta::quantity::Quantity;
use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

/// The plugin.
pub struct PersistentVolumeClaimResize;

impl Admission for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.operation == Operation::Update && request.is("", "persistentvolumeclaims")
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(match (object, request.old) {
            (Some(new), Some(old)) => grow(request, new, old),
            _ => Ok(()),
        }))
    }
}

fn size(claim: &Object) -> Option<Quantity> {
    claim.str_at(&["spec", "resources", "requests", "storage"]).parse().ok()
}

/// The class a claim names, in the field or in the old annotation.
fn class(claim: &Object) -> &str {
    match claim.annotation("volume.beta.kubernetes.io/storage-class") {
        Some(class) => class,
        None => claim.str_at(&["spec", "storageClassName"]),
    }
}

fn grow(request: &Request<'_>, new: &Object, old: &Object) -> Result<()> {
    let grows = match (size(new), size(old)) {
        (Some(new), Some(old)) => new > old,
        (Some(_), None) => true,
        _ => false,
    };
    if !grows {
        return Ok(());
    }
    let refuse = |why: &str| Err(errors::forbidden(&request.resource(), new.name(), why));
    if old.str_at(&["status", "phase"]) != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let name = class(new);
    let found = match name {
        "" => None,
        name => request.server.peek("storage.k8s.io", "storageclasses", "", name)?,
    };
    let allowed =
        found.is_some_and(|class| class.at(&["allowVolumeExpansion"]).and_then(Value::as_bool) == Some(true));
    if allowed && name == class(old) {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}
