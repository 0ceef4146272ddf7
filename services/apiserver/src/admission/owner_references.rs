//! Who sets an owner must be able to delete the object, and to finalize an owner whose deletion it blocks.
//! Off by default, as upstream; the chain takes it when it is enabled.
//!
//! # Upstream
//! `plugin/pkg/admission/gc/gc_admission.go`

use meta::GroupVersion;
use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::{self, Result};

/// The plugin.
pub struct OwnerReferencesPermissionEnforcement;

impl Admission for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        // a pod's status endpoint does not change owners
        let status = request.endpoint.is("", "pods") && request.subresource == "status";
        !status && matches!(request.operation, Operation::Create | Operation::Update)
    }

    fn validate<'a>(
        &'a self,
        request: &'a Request<'a>,
        object: Option<&'a Object>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(object) = object else { return Ok(()) };
            check(request, object).await
        })
    }
}

fn owners(object: &Object) -> &[Value] {
    object.list_at(&["metadata", "ownerReferences"])
}

fn text<'a>(owner: &'a Value, key: &str) -> &'a str {
    owner.at(&[key]).and_then(Value::as_str).unwrap_or("")
}

fn blocks(owner: &Value) -> bool {
    owner.at(&["blockOwnerDeletion"]).and_then(Value::as_bool) == Some(true)
}

async fn check(request: &Request<'_>, object: &Object) -> Result<()> {
    let before = request.old.map_or(&[][..], owners);
    if owners(object) == before {
        return Ok(());
    }
    let name = request.name_of(object);
    let refuse = |why: &str| Err(errors::forbidden(&request.resource(), name, why));
    if request.operation != Operation::Create && !request.may("delete", name).await {
        return refuse("cannot set an ownerRef on a resource you can't delete: , <nil>");
    }
    let blocked = |uid: &str| before.iter().any(|old| text(old, "uid") == uid && blocks(old));
    let new = owners(object).iter().filter(|owner| blocks(owner) && !blocked(text(owner, "uid")));
    for owner in new {
        let group = GroupVersion::parse(text(owner, "apiVersion")).map(|v| v.group).unwrap_or_default();
        let registry = request.server.registry();
        let served = registry.find_kind(&group, text(owner, "kind"));
        let Some(plural) = served.map(|endpoint| endpoint.face.plural.clone()) else {
            return refuse(&format!(
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {} Kind {}: no matches for kind {:?}",
                text(owner, "apiVersion"),
                text(owner, "kind"),
                text(owner, "kind")
            ));
        };
        let finalizers = format!("{plural}/finalizers");
        if !request.may_on(&group, &finalizers, "update", text(owner, "name")).await {
            return refuse(
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>",
            );
        }
    }
    Ok(())
}
