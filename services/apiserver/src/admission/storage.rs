//! Storage objects in use are protected; claims without a class get the default one.
//!
//! # Upstream
//! `plugin/pkg/admission/storage/{storageobjectinuseprotection,storageclass/setdefault}`

use std::sync::Arc;

use schema::{Object, Value};

use super::{Admission, Operation, Request};
use crate::auth::BoxFuture;
use crate::errors::Result;

/// Adds the finalizers.
pub struct StorageObjectInUseProtection;

fn finalizer(request: &Request<'_>) -> Option<&'static str> {
    [
        ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
        ("", "persistentvolumes", "kubernetes.io/pv-protection"),
        ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
    ]
    .into_iter()
    .find(|(group, plural, _)| request.is(group, plural))
    .map(|(_, _, name)| name)
}

impl Admission for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.operation == Operation::Create && finalizer(request).is_some()
    }

    fn mutate<'a>(&'a self, request: &'a Request<'a>, object: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        if let Some(name) = finalizer(request)
            && !object.finalizers().any(|f| f == name)
        {
            let mut names: Vec<Value> = object.finalizers().map(Value::from).collect();
            names.push(name.into());
            object.set(&["metadata", "finalizers"], names);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The newest of the objects an annotation marks as default.
fn default_of(
    request: &Request<'_>,
    group: &str,
    plural: &str,
    annotations: &[&str],
) -> Result<Option<Arc<Object>>> {
    let all = request.server.peek_objects(group, plural, "")?;
    let marked = all.into_iter().filter(|o| annotations.iter().any(|a| o.annotation(a) == Some("true")));
    // of equally old ones the first name
    Ok(marked.max_by(|a, b| {
        let created = |o: &Object| o.str_at(&["metadata", "creationTimestamp"]).to_owned();
        created(a).cmp(&created(b)).then_with(|| b.name().cmp(a.name()))
    }))
}

/// Sets the default storage class.
pub struct DefaultStorageClass;

impl Admission for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.is("", "persistentvolumeclaims") && request.operation == Operation::Create
    }

    fn mutate<'a>(&'a self, request: &'a Request<'a>, claim: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        let asked = claim.at(&["spec", "storageClassName"]).is_some_and(|v| !v.is_null())
            || claim.annotation("volume.beta.kubernetes.io/storage-class").is_some();
        let outcome = if asked {
            Ok(())
        } else {
            let names = [
                "storageclass.kubernetes.io/is-default-class",
                "storageclass.beta.kubernetes.io/is-default-class",
            ];
            default_of(request, "storage.k8s.io", "storageclasses", &names).map(|class| {
                if let Some(class) = class {
                    claim.set(&["spec", "storageClassName"], class.name());
                }
            })
        };
        Box::pin(std::future::ready(outcome))
    }
}

/// Sets the default ingress class.
pub struct DefaultIngressClass;

impl Admission for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, request: &Request<'_>) -> bool {
        request.is("networking.k8s.io", "ingresses") && request.operation == Operation::Create
    }

    fn mutate<'a>(&'a self, request: &'a Request<'a>, ingress: &'a mut Object) -> BoxFuture<'a, Result<()>> {
        let asked = !ingress.str_at(&["spec", "ingressClassName"]).is_empty()
            || ingress.annotation("kubernetes.io/ingress.class").is_some();
        let outcome = if asked {
            Ok(())
        } else {
            let names = ["ingressclass.kubernetes.io/is-default-class"];
            default_of(request, "networking.k8s.io", "ingressclasses", &names).map(|class| {
                if let Some(class) = class {
                    ingress.set(&["spec", "ingressClassName"], class.name());
                }
            })
        };
        Box::pin(std::future::ready(outcome))
    }
}
